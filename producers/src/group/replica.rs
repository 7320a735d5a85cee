//! One replica of the producers: what it needs at the start, then the [`Scheduler`] until shutdown.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{debug, info, warn};
use vigie_daemon::{Context, ServiceError};
use vigie_schemas::{Codec, Service};

use crate::config::{Checked, Config};
use crate::fetcher::Fetcher;
use crate::group::membership::Membership;
use crate::group::plan::Plan;
use crate::group::reload;
use crate::group::scheduler::Scheduler;
use crate::group::takeover::partitions;
use crate::lease::Lease;
use crate::publish::authors::Authors;
use crate::publish::metrics::Metrics;
use crate::publish::publisher::{Known, Shared};
use crate::sources;

/// How long a start waits for Kafka and the registry.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// Polls the sources that the group gives this replica and publishes their posts until shutdown.
///
/// # Errors
/// [`ServiceError::Unavailable`] if Kafka or the registry does not answer at the start. Later outages are waited out.
pub async fn run(checked: Checked, ctx: Context) -> Result<(), ServiceError> {
    let Checked { config, sources, author_key, keyring } = checked;
    let session_timeout = Duration::from_millis(config.session_timeout_ms);
    // The group has heard of this process within the last fifth of the time that it waits (a second at most).
    let lease = Arc::new(Lease::new(ctx.clock.clone(), session_timeout / 2));
    let fetcher = Fetcher::new(config.fetcher(), ctx.clock.clone()).map_err(ServiceError::failed)?;
    let health = ctx.health.component(Service::Producers.name());
    let metrics = Metrics::register(&ctx.metrics);
    let Some((codec, partitions)) = connect(&config, &ctx).await? else { return Ok(()) };
    let plan = Plan::new(sources::ready(sources), partitions);
    if keyring.is_none() {
        warn!("no keyring: handles of authors are not kept, not even sealed");
    }
    info!(sources = plan.len(), partitions, "producers started, joining the group");
    let shared = Shared {
        codec,
        metrics,
        health: health.clone(),
        known: Mutex::new(Known::default()),
        authors: Mutex::new(Authors::new(author_key, keyring)),
        clock: ctx.clock.clone(),
        lease: Arc::clone(&lease),
    };
    let lists = match &config.sources {
        Some(file) if config.list.is_none() && config.reload_seconds > 0 => {
            Some(reload::watch(file.clone(), Duration::from_secs(config.reload_seconds)))
        }
        _ => None,
    };
    let membership =
        Membership::join(&config.kafka, session_timeout, Arc::clone(&lease)).map_err(ServiceError::failed)?;
    let fetcher = Arc::new(fetcher.under(lease));
    let scheduler = Scheduler::new(plan, lists, shared, fetcher, &config, ctx);
    let result = scheduler.run(membership).await;
    if let Err(error) = &result {
        health.failed(error.to_string());
    }
    result
}

/// Waits for Kafka and the registry; `None` if the shutdown came first.
async fn connect(config: &Config, ctx: &Context) -> Result<Option<(Codec, i32)>, ServiceError> {
    let begun = ctx.clock.monotonic();
    let connecting = async {
        loop {
            let problem = match Codec::connect(&config.registry, &config.kafka.topic_prefix).await {
                Ok(codec) => match partitions(&config.kafka).await {
                    Ok(partitions) => return Ok((codec, partitions)),
                    Err(error) => ("kafka", error.to_string()),
                },
                Err(error) => ("schema registry", error.to_string()),
            };
            if ctx.clock.monotonic().saturating_sub(begun) > START_PATIENCE {
                return Err(ServiceError::unavailable(problem.0, problem.1));
            }
            debug!(service = problem.0, error = problem.1, "not available yet");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = ctx.shutdown.cancelled() => Ok(None),
        result = connecting => result.map(Some),
    }
}
