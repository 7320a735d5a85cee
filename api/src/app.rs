use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use vigie_audit::AuditLog;
use vigie_authors::Keyring;
use vigie_clock::SharedClock;
use vigie_daemon::{Context, Health, ServiceError};
use vigie_schemas::Switch;

use crate::auth::Authenticator;
use crate::config::{Checked, Config};
use crate::events::{Events, redis};
use crate::http::places::Places;
use crate::http::proxies::Proxies;
use crate::http::rate_limit::RateLimit;
use crate::http::rate_limit::lease::Lessor;
use crate::http::turns::Turns;
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
    /// Who did what.
    pub(crate) audit: AuditLog,
    /// Opens handles; `None` if this server opens none.
    pub(crate) keyring: Option<Keyring>,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: SharedClock,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) streams_by_client: Places,
    pub(crate) requests: Semaphore,
    /// By which the API may be asked for; `None` if by any name.
    pub(crate) hosts: Option<Vec<String>>,
    /// The switches that subscribers have heard of.
    pub(crate) switches: watch::Sender<Arc<[Switch]>>,
    /// Of questions that may take the database seconds.
    pub(crate) turns: Turns,
    pub(crate) timeout: Duration,
    pub(crate) proxies: Proxies,
    pub(crate) cors_origins: Vec<String>,
}

/// How handlers get it.
pub(crate) type SharedApp = axum::extract::State<Arc<App>>;

impl App {
    pub(crate) fn new(checked: &Checked, ctx: &Context) -> Result<Self, ServiceError> {
        let redis = redis::connect(&checked.redis, None)?;
        let config = &checked.config;
        let (store, metrics) = (Store::new(checked)?, Metrics::register(&ctx.metrics)?);
        // A proxy on this machine may be known by any name.
        let is_local = config.listen.ip().is_loopback() && !config.behind_proxy;
        // Who may ask is looked up on a connection of its own: no slow question delays a revocation.
        let alone = Config { postgres_connections: 1, ..config.clone() };
        let ledger = Store::new(&Checked { config: alone, ..checked.clone() })?.ledger(ctx.clock.clone());
        let (check, login) = (checked.auth.clone(), checked.login.clone());
        let auth = check.map(|check| Authenticator::new(check, login, ledger, ctx.clock.clone()));
        let capacity = config.cache_mib << 20;
        let events = Events::new(redis.clone(), &config.redis_prefix);
        let lessor = Lessor::new(redis.clone(), &config.redis_prefix, events.presence.clone());
        Ok(Self {
            serving: Serving::new(
                store.clone(),
                (redis, &config.redis_prefix),
                metrics.clone(),
                ctx.clock.clone(),
                capacity,
            ),
            store,
            names: Arc::new(Names::new(&checked.names)),
            events,
            auth: auth.transpose()?,
            audit: AuditLog::start(
                config.audit.clone(),
                "api",
                config.author_openings,
                checked.timeout(),
                ctx.clock.clone(),
            ),
            keyring: checked.keyring.clone(),
            rate: RateLimit::new(config.rate, config.burst, ctx.clock.clone(), Some(lessor)),
            metrics,
            clock: ctx.clock.clone(),
            health: ctx.health.clone(),
            shutdown: ctx.shutdown.clone(),
            switches: watch::Sender::default(),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            streams_by_client: Places::new(config.max_streams_per_client),
            requests: Semaphore::new(config.max_requests),
            hosts: (is_local || !config.hosts.is_empty()).then(|| config.hosts.clone()),
            turns: Turns::new((config.postgres_connections / 2).max(1)),
            timeout: checked.timeout(),
            proxies: checked.proxies.clone(),
            cors_origins: config.cors_origins.clone(),
        })
    }

    /// Tells subscribers, unless they know.
    pub(crate) fn tell_switches(&self, switches: &Arc<[Switch]>) {
        self.switches.send_if_modified(|announced| {
            let is_new = announced != switches;
            announced.clone_from(switches);
            is_new
        });
    }
}
