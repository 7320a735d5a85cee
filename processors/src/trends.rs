//! How much and how kindly every asset is talked about, in event-time windows.
//!
//! ```text
//! posts.mentions.v1 ─▶ [window, authors, posts, history] ─▶ insights.trends.v1 (revisions, an interval apart)
//!                                                        └▶ insights.alerts.v1 (once per event)
//! ```
//!
//! **Guarantees.** A window's counts depend on the set of its mentions only, not on their order nor on where commits or restarts fall. A post counts
//! once in each window and asset: a later revision takes the place of the earlier one, and a deleted post is taken away, as long as its window is
//! open. `unique_posts` leaves out spam ([`crate::text::spam`]) and near duplicates ([`crate::text::fingerprint`]) of a post about the same asset that was
//! published in the 24 hours before.
//! Revisions of a window go up by one, each with other numbers than the one before, and come the emission interval apart at least, but for
//! those of a moment that matters: when the window settles, gets its forecast or becomes final. The last is marked `final` and comes when the
//! watermark passes the window's end plus grace. What is not emitted yet at a commit is known from the window's state, so a crash loses no revision. A mention
//! that comes later is counted as late (`vigie_trends_late_total`), and its post stays in the post history. Anomaly scores and alerts are
//! judged when a revision is emitted, by what was known then, and when a window has settled, together with the hour, six hours and day before it
//! (`signals.rs`); an event is raised once. The forecast after a window is made once, when the window has settled, from the
//! windows up to it ([`crate::forecast`]); all assets whose windows settle together are forecast in one run.
//!
//! Beside it runs [`terms`], which looks for words that rise.
//!
//! **Known gap.** When a source is read for the first time it brings posts that are older than the grace; those are late. They are in the post
//! history, and a replay of the range (the module `replay`) counts them in windows.
//!
//! **Failures.** Records that cannot be decoded or contradict the contract go to `posts.mentions.v1.dlq`.

pub mod alerts;
pub mod batch;
mod config;
pub mod copies;
mod counted;
mod counting;
pub mod history;
mod market;
mod metrics;
pub mod mood;
mod processor;
pub mod progress;
mod share;
mod signals;
pub(crate) mod stores;
pub mod terms;
pub mod window;

use std::sync::Arc;
use std::time::Duration;

pub use config::{Checked, Config, TrendsOptions};
use market::MarketProcessor;
pub use metrics::TrendsMetrics;
pub use processor::{TrendsProcessor, TrendsSettings};
pub use share::MarketTopic;
use terms::windows::KnownAssets;
use terms::{TermsMetrics, TermsSettings};
use tracing::debug;
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig, TopicPartition};
use vigie_schemas::{LIVE_RUN, Service, Topic};
use vigie_streams::{StreamsConfig, Topology, TopologyError};

use crate::service;
use crate::service::record_codec::RecordCodec;

/// Name of the topology.
pub(crate) const TOPOLOGY: &str = Service::Trends.name();

/// Name of the consumer group; changelogs and transactional ids begin with it.
pub const APPLICATION_ID: &str = Service::Trends.group();

/// That of the tasks that look for terms that rise.
pub const TERMS_APPLICATION_ID: &str = "vigie-terms";

/// That of the tasks that look for copies in the whole market and add it up.
pub const MARKET_APPLICATION_ID: &str = "vigie-market";

const MAX_BATCH: usize = 2000;

/// How often the topic of the whole market is looked at while nothing is in it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Time between two revisions of a term that rises, at least.
const TERMS_INTERVAL: Duration = Duration::from_secs(60);

/// The topology over any codec.
///
/// # Errors
/// If a topic has two parts to play.
pub fn topology<C: RecordCodec>(
    settings: TrendsSettings,
    codec: C,
    metrics: TrendsMetrics,
) -> Result<Topology, TopologyError> {
    let settings = Arc::new(settings);
    let mut builder = Topology::builder(TOPOLOGY)
        .source(&settings.source)
        .sink(&settings.insights)
        .sink(&settings.alerts)
        .accounted()
        .max_batch(MAX_BATCH);
    if settings.market.partitions > 0 {
        builder = builder.sink(settings.market.name);
    }
    for store in stores::specs() {
        builder = builder.store(store);
    }
    builder
        .processor(move |_| Box::new(TrendsProcessor::new(Arc::clone(&settings), codec.clone(), metrics.clone())))
        .build()
}

/// The topology of what is counted of the whole market, over any codec.
///
/// # Errors
/// If a topic has two parts to play.
pub fn market_topology<C: RecordCodec>(
    settings: TrendsSettings,
    codec: C,
    metrics: TrendsMetrics,
) -> Result<Topology, TopologyError> {
    let market = settings.market.name;
    let settings = Arc::new(TrendsSettings { source: market.to_owned(), ..settings });
    let mut builder = Topology::builder("market")
        .source(market)
        .sink(market)
        .sink(&settings.insights)
        .sink(&settings.alerts)
        .accounted()
        .max_batch(MAX_BATCH);
    for store in market::specs() {
        builder = builder.store(store);
    }
    builder
        .processor(move |_| Box::new(MarketProcessor::new(Arc::clone(&settings), codec.clone(), metrics.clone())))
        .build()
}

/// Runs the topologies until the context asks it to stop; that of the whole market from when it is shared, that of terms if it is wanted.
///
/// # Errors
/// See [`ServiceError`].
pub async fn run(checked: Checked, ctx: Context) -> Result<(), ServiceError> {
    let Checked { config, forecaster } = checked;
    let codec = service::connect(&config.registry, &config.kafka).await?;
    let (admin, market) = find_market(config.kafka.clone()).await?;
    let words = if config.terms { Some(find_words(config.kafka.clone()).await?) } else { None };
    // A fail point is for one topology: with two, each would count commits of its own, and the process would stop twice.
    let beside = |application: &str| StreamsConfig {
        fail_point: None,
        ..StreamsConfig::new(config.kafka.clone(), application, &config.streams)
    };
    let (market_streams, terms_streams) = (beside(MARKET_APPLICATION_ID), beside(TERMS_APPLICATION_ID));
    let streams = StreamsConfig::new(config.kafka, APPLICATION_ID, &config.streams);
    let settings = TrendsSettings {
        run_id: LIVE_RUN.to_owned(),
        source: Topic::PostsMentions.name().to_owned(),
        market: market.clone(),
        insights: Topic::InsightsTrends.name().to_owned(),
        alerts: Topic::InsightsAlerts.name().to_owned(),
        windows: config.trends.windows(),
        settle: config.trends.settle,
        emit_interval: Duration::from_millis(config.trends.emit_interval_ms),
        idle_timeout: streams.idle_timeout,
        policy: config.trends.policy(),
        forecaster,
    };
    let terms = match words {
        None => None,
        Some(words) => {
            let settings = TermsSettings {
                run_id: LIVE_RUN.to_owned(),
                source: Topic::InsightsSentiment.name().to_owned(),
                words,
                insights: Topic::InsightsTerms.name().to_owned(),
                grace: config.trends.grace,
                interval: TERMS_INTERVAL,
                idle_timeout: streams.idle_timeout,
            };
            let known = Arc::new(KnownAssets::bundled().map_err(ServiceError::failed)?);
            let topology = terms::topology(settings, codec.clone(), TermsMetrics::new(&ctx.metrics), known);
            Some(topology.map_err(ServiceError::failed)?)
        }
    };
    let metrics = TrendsMetrics::new(&ctx.metrics);
    let adding_up = market_topology(settings.clone(), codec.clone(), metrics.clone()).map_err(ServiceError::failed)?;
    let trends = topology(settings, codec.clone(), metrics).map_err(ServiceError::failed)?;
    let terms = async {
        if let Some(terms) = terms {
            service::run("terms", terms_streams, terms, codec.clone(), &ctx).await?;
        }
        Ok(())
    };
    let market = async {
        if until_shared(&market, admin, &ctx).await {
            service::run("market", market_streams, adding_up, codec.clone(), &ctx).await?;
        }
        Ok(())
    };
    tokio::try_join!(service::run(TOPOLOGY, streams, trends, codec.clone(), &ctx), market, terms).map(drop)
}

/// The name of the topic in which tasks send each other terms; it must have the partitions of the scored posts.
async fn find_words(kafka: KafkaConfig) -> Result<String, ServiceError> {
    let (source, words) = (Topic::InsightsSentiment, Topic::PostsTerms);
    let find = tokio::task::spawn_blocking(move || {
        let admin = Admin::new(&kafka)?;
        Ok((admin.partitions(source.name())?, admin.partitions(words.name())?))
    });
    let (expected, found) = find.await.map_err(ServiceError::failed)?.map_err(service::kafka_error)?;
    if expected.is_some() && expected == found {
        return Ok(words.name().to_owned());
    }
    Err(ServiceError::failed(format!(
        "topic {} has {found:?} partitions and {} has {expected:?}, expected as many: vigie topics apply creates what is missing",
        words.name(),
        source.name()
    )))
}

/// The topic of what tasks send each other, if it exists; then it must have the partitions of the topic of mentions.
async fn find_market(kafka: KafkaConfig) -> Result<(Arc<Admin>, MarketTopic), ServiceError> {
    let find = tokio::task::spawn_blocking(move || {
        let admin = Admin::new(&kafka)?;
        let of = |topic: Topic| admin.partitions(topic.name());
        let found = (of(Topic::PostsMentions)?, of(Topic::TrendsMarket)?);
        Ok((Arc::new(admin), found))
    });
    let (admin, found) = find.await.map_err(ServiceError::failed)?.map_err(service::kafka_error)?;
    match found {
        (Some(_), None) => Ok((admin, MarketTopic::new(0))),
        (Some(mentions), Some(partitions)) if mentions == partitions => Ok((admin, MarketTopic::new(partitions))),
        (mentions, partitions) => Err(ServiceError::failed(format!(
            "topic {} has {partitions:?} partitions and {} has {mentions:?}, expected as many: vigie topics apply creates what is missing",
            Topic::TrendsMarket.name(),
            Topic::PostsMentions.name()
        ))),
    }
}

/// Waits until a task has reported on the whole market: whoever begins reports its progress to every partition, so the first has had a record ever
/// since. `false` if there is no such topic, or the context asks to stop before.
async fn until_shared(market: &MarketTopic, admin: Arc<Admin>, ctx: &Context) -> bool {
    if market.partitions == 0 {
        return false;
    }
    loop {
        let first = TopicPartition::new(market.name, 0);
        let admin = Arc::clone(&admin);
        let end = tokio::task::spawn_blocking(move || admin.watermarks(&first));
        match end.await {
            Ok(Ok((_, end))) if end > 0 => {
                market.share();
                return true;
            }
            Ok(Err(error)) => debug!(%error, "the topic of the whole market cannot be looked at, trying again"),
            _ => {}
        }
        tokio::select! {
            () = ctx.shutdown.cancelled() => return false,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}
