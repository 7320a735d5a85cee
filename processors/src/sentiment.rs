//! Language, assets and sentiment of every post.
//!
//! ```text
//! posts.raw.v1 ─▶ [seen] ─▶ insights.sentiment.v1 (one per post and revision)
//!                        └▶ posts.mentions.v1 (one per asset of the post, and one under * for the whole market)
//! ```
//!
//! **Guarantees.** A post id leaves the topology once, however often it comes in, as long as it comes again within the retention after it was
//! last seen (7 days). The record that came first wins, until the source says that the post was edited later (`edited_at`): then it is scored
//! again and leaves as its next revision, at the event time of the first. A record without a value says that the post was deleted: a last
//! revision leaves that holds nothing of what it said, and its mentions are taken back. What leaves holds the keyed pseudonym of its
//! author, and the handle under seal if at all.
//!
//! **Failures.** Records go to `posts.raw.v1.dlq` as `undecodable`, `invalid` (the key is not the post id, an impossible date, a text on which
//! the model alone fails) or `future_timestamp` (published over an hour after it arrived). They are not remembered as seen, so they can be
//! sent again. A model that fails on every text stops the topology.

mod config;
pub(crate) mod dedupe;
mod emitted;
mod enrich;
mod metrics;
mod only;
mod processor;
pub(crate) mod scoring;

use std::sync::Arc;

pub(crate) use config::load;
pub use config::{Checked, Config, EnrichmentConfig};
pub use enrich::enrich;
pub use metrics::SentimentMetrics;
pub use only::Only;
pub(crate) use processor::{FUTURE_TOLERANCE, ORIGIN_OFFSET, check_post};
pub use processor::{SentimentProcessor, SentimentSettings, SharedAnalyser};
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig};
use vigie_schemas::{LIVE_RUN, Service, Topic};
use vigie_streams::{StoreSpec, StreamsConfig, Topology, TopologyBuilder, TopologyError};

use crate::service;
use crate::service::record_codec::RecordCodec;

/// Name of the consumer group; changelogs and transactional ids begin with it.
pub const APPLICATION_ID: &str = Service::Sentiment.group();

/// Name of the topology.
pub(crate) const TOPOLOGY: &str = Service::Sentiment.name();

/// The store of post ids.
pub(crate) const SEEN: &str = "seen";

/// The stores' declarations.
pub(crate) fn stores() -> [StoreSpec; 1] {
    [StoreSpec::key_value(SEEN)]
}

/// The topology over any codec. `name` is the stage that dead letters name.
///
/// # Errors
/// If a topic has two parts to play.
pub fn topology<C: RecordCodec>(
    settings: SentimentSettings,
    max_batch: u16,
    analyser: Arc<SharedAnalyser>,
    codec: C,
    metrics: SentimentMetrics,
) -> Result<Topology, TopologyError> {
    let settings = Arc::new(settings);
    let builder = stores().into_iter().fold(Topology::builder(TOPOLOGY), TopologyBuilder::store);
    builder
        .source(&settings.source)
        .sink(&settings.scored)
        .sink(&settings.mentions)
        .accounted()
        .max_batch(usize::from(max_batch))
        .processor(move |_| {
            let (settings, analyser) = (Arc::clone(&settings), Arc::clone(&analyser));
            Box::new(SentimentProcessor::new(settings, analyser, codec.clone(), metrics.clone()))
        })
        .build()
}

/// Runs the topology until the context asks it to stop.
///
/// # Errors
/// See [`ServiceError`].
pub async fn run(checked: Checked, ctx: Context) -> Result<(), ServiceError> {
    let Checked { config, analyser, author_key } = checked;
    let codec = service::connect(&config.registry, &config.kafka).await?;
    if config.spread_market_from.is_some() {
        require_market(config.kafka.clone()).await?;
    }
    let streams = StreamsConfig::new(config.kafka, APPLICATION_ID, &config.streams);
    let settings = SentimentSettings {
        run_id: LIVE_RUN.to_owned(),
        source: Topic::PostsRaw.name().to_owned(),
        scored: Topic::InsightsSentiment.name().to_owned(),
        mentions: Topic::PostsMentions.name().to_owned(),
        dedupe_retention: config.dedupe_retention,
        spread_market_from: config.spread_market_from,
        published: None,
        only: Only::default(),
        dead_letters: true,
        author_key,
    };
    let metrics = SentimentMetrics::new(&ctx.metrics);
    let topology = topology(settings, config.max_batch, Arc::new(analyser), codec.clone(), metrics)
        .map_err(ServiceError::failed)?;
    service::run(TOPOLOGY, streams, topology, codec, &ctx).await
}

/// What is spread goes to a topic that earlier deployments may not have.
async fn require_market(kafka: KafkaConfig) -> Result<(), ServiceError> {
    let topic = Topic::TrendsMarket.name();
    let found = tokio::task::spawn_blocking(move || Admin::new(&kafka)?.partitions(topic));
    match found.await.map_err(ServiceError::failed)?.map_err(service::kafka_error)? {
        Some(_) => Ok(()),
        None => Err(ServiceError::failed(format!(
            "VIGIE_SPREAD_MARKET_FROM needs the topic {topic}: run vigie topics apply, and start trends again if it runs"
        ))),
    }
}
