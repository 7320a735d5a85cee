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
//! (`signals.rs`); an event is told once. The forecast after a window is made once, when the window has settled, from the
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
mod stores;
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
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig};
use vigie_schemas::{LIVE_RUN, Topic};
use vigie_streams::{StreamsConfig, Topology, TopologyError};

use crate::service;
use crate::service::record_codec::RecordCodec;

/// Name of the consumer group; changelogs and transactional ids begin with it.
pub const APPLICATION_ID: &str = "vigie-trends";

/// That of the tasks that look for terms that rise.
pub const TERMS_APPLICATION_ID: &str = "vigie-terms";

/// That of the tasks that look for copies in the whole market and add it up.
pub const MARKET_APPLICATION_ID: &str = "vigie-market";

const MAX_BATCH: usize = 2000;

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
    let mut builder = Topology::builder("trends")
        .source(&settings.source)
        .sink(&settings.insights)
        .sink(&settings.alerts)
        .sink(&settings.market.name)
        .accounted()
        .max_batch(MAX_BATCH);
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
    let market = settings.market.name.clone();
    let settings = Arc::new(TrendsSettings { source: market.clone(), ..settings });
    let mut builder = Topology::builder("market")
        .source(&market)
        .sink(&market)
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

/// Runs the topologies until the context asks it to stop.
///
/// # Errors
/// See [`ServiceError`].
pub async fn run(checked: Checked, ctx: Context) -> Result<(), ServiceError> {
    let Checked { config, forecaster } = checked;
    let no_terms = config.no_terms;
    let codec = service::connect(&config.registry, &config.kafka).await?;
    let (name, partitions) = paired(config.kafka.clone(), Topic::PostsMentions, Topic::TrendsMarket).await?;
    let market = MarketTopic { name, partitions };
    let (words, _) = paired(config.kafka.clone(), Topic::InsightsSentiment, Topic::PostsTerms).await?;
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
        market,
        insights: Topic::InsightsTrends.name().to_owned(),
        alerts: Topic::InsightsAlerts.name().to_owned(),
        windows: config.trends.windows(),
        settle: config.trends.settle,
        emit_interval: Duration::from_millis(config.trends.emit_interval_ms),
        idle_timeout: streams.idle_timeout,
        policy: config.trends.policy(),
        forecaster,
    };
    let terms_settings = TermsSettings {
        run_id: LIVE_RUN.to_owned(),
        source: Topic::InsightsSentiment.name().to_owned(),
        words,
        insights: Topic::InsightsTerms.name().to_owned(),
        grace: config.trends.grace,
        interval: TERMS_INTERVAL,
        idle_timeout: streams.idle_timeout,
    };
    let known = Arc::new(KnownAssets::bundled().map_err(ServiceError::failed)?);
    let terms = terms::topology(terms_settings, codec.clone(), TermsMetrics::new(&ctx.metrics), known);
    let terms = terms.map_err(ServiceError::failed)?;
    let metrics = TrendsMetrics::new(&ctx.metrics);
    let market = market_topology(settings.clone(), codec.clone(), metrics.clone()).map_err(ServiceError::failed)?;
    let trends = topology(settings, codec.clone(), metrics).map_err(ServiceError::failed)?;
    tokio::try_join!(
        service::run("trends", streams, trends, codec.clone(), &ctx),
        service::run("market", market_streams, market, codec.clone(), &ctx),
        async { if no_terms { Ok(()) } else { service::run("terms", terms_streams, terms, codec, &ctx).await } },
    )
    .map(drop)
}

/// The name of `inner`, to which the tasks of a topology write for each other, and its partitions: as many as `source` has.
async fn paired(kafka: KafkaConfig, source: Topic, inner: Topic) -> Result<(String, i32), ServiceError> {
    let partitions = tokio::task::spawn_blocking(move || {
        let admin = Admin::new(&kafka)?;
        let of = |topic: Topic| admin.partitions(topic.name());
        Ok((of(source)?, of(inner)?))
    });
    let name = inner.name().to_owned();
    match partitions.await.map_err(ServiceError::failed)?.map_err(service::kafka_error)? {
        (Some(expected), Some(partitions)) if expected == partitions => Ok((name, partitions)),
        (expected, partitions) => Err(ServiceError::failed(format!(
            "topic {name} has {partitions:?} partitions and {} has {expected:?}, expected as many: vigie topics apply creates what is missing",
            source.name()
        ))),
    }
}
