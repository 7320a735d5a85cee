use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use vigie_authors::Keyring;
use vigie_clock::SharedClock;
use vigie_daemon::{Context, Health, ServiceError};
use vigie_schemas::{LIVE_RUN, WHOLE_MARKET};

use crate::auth::Authenticator;
use crate::cache::Cache;
use crate::config::Checked;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::rate_limit::RateLimit;
use crate::redis;
use crate::store::Store;
use crate::store::assets::Extent;

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) cache: Cache,
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
        Ok(Self {
            store: Store::new(checked)?,
            cache: Cache::new(redis.clone(), &config.redis_prefix),
            events: Events::new(redis, &config.redis_prefix),
            auth: checked.auth.clone().map(|check| Authenticator { check, clock: ctx.clock.clone() }),
            keyring: checked.keyring.clone(),
            rate: RateLimit::new(config.rate, config.burst, ctx.clock.clone()),
            metrics: Metrics::register(&ctx.metrics)?,
            clock: ctx.clock.clone(),
            health: ctx.health.clone(),
            shutdown: ctx.shutdown.clone(),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            timeout: checked.timeout(),
            behind_proxy: config.behind_proxy,
            cors_origins: config.cors_origins.clone(),
        })
    }

    /// How far the run's data reaches; `None` if it has none yet.
    pub(crate) async fn extent(&self, run: &str) -> Result<Option<Extent>, Problem> {
        let extent = self.store.extent(run).await?;
        // The live run has no data until the first post came through: that is no error.
        if extent.is_none() && run != LIVE_RUN && !self.store.run_exists(run).await? {
            return Err(Problem::not_found(format!("there is no run {run:?}, see /v1/runs")));
        }
        Ok(extent)
    }

    /// The asset's id, in whatever case it is asked for; an error unless posts of the run mention it.
    pub(crate) async fn asset(&self, run: &str, asset: String) -> Result<String, Problem> {
        if asset == WHOLE_MARKET || self.store.asset_exists(run, &asset).await? {
            return Ok(asset);
        }
        let upper = asset.to_ascii_uppercase();
        if upper != asset && self.store.asset_exists(run, &upper).await? {
            return Ok(upper);
        }
        let shown: String = asset.chars().take(64).collect();
        Err(Problem::not_found(format!(
            "no post of run {run:?} mentions an asset {shown:?}, see /v1/assets for those that are known"
        )))
    }
}
