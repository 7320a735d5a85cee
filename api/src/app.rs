use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use vigie_authors::Keyring;
use vigie_clock::SharedClock;
use vigie_daemon::{Context, Health, ServiceError};
use vigie_schemas::Switch;

use crate::auth::Authenticator;
use crate::config::Checked;
use crate::events::{Events, redis};
use crate::http::problem::Problem;
use crate::http::rate_limit::RateLimit;
use crate::metrics::Metrics;
use crate::names::Names;
use crate::serving::Serving;
use crate::store::Store;

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) serving: Serving,
    pub(crate) names: Arc<Names>,
    pub(crate) events: Events,
    pub(crate) auth: Option<Authenticator>,
    /// Opens handles; `None` if this server opens none.
    pub(crate) keyring: Option<Keyring>,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: SharedClock,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) streams: Arc<Semaphore>,
    /// Of which switches subscribers are told.
    pub(crate) switches: watch::Sender<Arc<[Switch]>>,
    /// Half of the connections to the database are left to quick questions.
    heavy: Semaphore,
    pub(crate) timeout: Duration,
    pub(crate) behind_proxy: bool,
    pub(crate) cors_origins: Vec<String>,
}

/// How handlers get it.
pub(crate) type SharedApp = axum::extract::State<Arc<App>>;

impl App {
    pub(crate) fn new(checked: &Checked, ctx: &Context) -> Result<Self, ServiceError> {
        let redis = redis::connect(&checked.redis, None)?;
        let config = &checked.config;
        let (store, metrics) = (Store::new(checked)?, Metrics::register(&ctx.metrics)?);
        let capacity = config.cache_mib << 20;
        Ok(Self {
            serving: Serving::new(
                store.clone(),
                (redis.clone(), &config.redis_prefix),
                metrics.clone(),
                ctx.clock.clone(),
                capacity,
            ),
            store,
            names: Arc::new(Names::new(&checked.names)),
            events: Events::new(redis, &config.redis_prefix),
            auth: checked.auth.clone().map(|check| Authenticator { check, clock: ctx.clock.clone() }),
            keyring: checked.keyring.clone(),
            rate: RateLimit::new(config.rate, config.burst, ctx.clock.clone()),
            metrics,
            clock: ctx.clock.clone(),
            health: ctx.health.clone(),
            shutdown: ctx.shutdown.clone(),
            switches: watch::Sender::default(),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            heavy: Semaphore::new((config.postgres_connections / 2).max(1)),
            timeout: checked.timeout(),
            behind_proxy: config.behind_proxy,
            cors_origins: config.cors_origins.clone(),
        })
    }

    /// Tells subscribers, unless they know.
    pub(crate) fn tell_switches(&self, switches: &Arc<[Switch]>) {
        self.switches.send_if_modified(|told| {
            let is_new = told != switches;
            told.clone_from(switches);
            is_new
        });
    }

    /// Waited for by questions that may take the database seconds; held until it has answered.
    pub(crate) async fn heavy_turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.heavy.acquire().await.map_err(|_| Problem::internal())
    }
}
