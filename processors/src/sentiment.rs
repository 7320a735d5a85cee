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
mod enrich;
mod metrics;
mod processor;
pub(crate) mod scoring;
mod told;

use std::sync::Arc;

pub use config::{Config, EnrichmentConfig};
pub use enrich::enrich;
pub use metrics::SentimentMetrics;
pub(crate) use processor::{FUTURE_TOLERANCE, check_post};
pub use processor::{SentimentProcessor, SentimentSettings, SharedAnalyser};
use vigie_authors::AuthorKey;
use vigie_daemon::{Context, ServiceError};
use vigie_schemas::{LIVE_RUN, Topic};
use vigie_streams::{StoreSpec, StreamsConfig, Topology, TopologyError};

use crate::analysis::Analyser;
use crate::inference::ModelConfig;
use crate::record_codec::RecordCodec;
use crate::service;

/// Name of the consumer group; changelogs and transactional ids begin with it.
pub const APPLICATION_ID: &str = "vigie-sentiment";

/// The store of post ids.
const SEEN: &str = "seen";

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
    Topology::builder("sentiment")
        .source(&settings.source)
        .sink(&settings.scored)
        .sink(&settings.mentions)
        .store(StoreSpec::key_value(SEEN))
        .accounted()
        .max_batch(usize::from(max_batch))
        .processor(move |_| {
            let (settings, analyser) = (Arc::clone(&settings), Arc::clone(&analyser));
            Box::new(SentimentProcessor::new(settings, analyser, codec.clone(), metrics.clone()))
        })
        .build()
}

/// Runs the topology with the configured model until the context asks it to stop.
///
/// # Errors
/// See [`ServiceError`].
pub async fn run(config: Config, ctx: Context) -> Result<(), ServiceError> {
    // Shown while the model loads.
    ctx.health.component("sentiment");
    let (analyser, author_key) = load(&config.model, &config.enrichment).await?;
    serve(config, analyser, author_key, ctx).await
}

/// As [`run`], with an analyser in place of the configured model and asset table.
///
/// # Errors
/// See [`ServiceError`].
pub async fn run_with(config: Config, analyser: Analyser, ctx: Context) -> Result<(), ServiceError> {
    let author_key = config.enrichment.key().map_err(|mistake| ServiceError::Config(vec![mistake]))?;
    serve(config, SharedAnalyser::new(analyser), author_key, ctx).await
}

async fn serve(
    config: Config,
    analyser: SharedAnalyser,
    author_key: AuthorKey,
    ctx: Context,
) -> Result<(), ServiceError> {
    let codec = service::connect(&config.registry, &config.kafka).await?;
    let streams = StreamsConfig::new(config.kafka, APPLICATION_ID, &config.streams);
    let settings = SentimentSettings {
        run_id: LIVE_RUN.to_owned(),
        source: Topic::PostsRaw.name().to_owned(),
        scored: Topic::InsightsSentiment.name().to_owned(),
        mentions: Topic::PostsMentions.name().to_owned(),
        dedupe_retention: config.dedupe_retention,
        published: None,
        dead_letters: true,
        author_key,
    };
    let metrics = SentimentMetrics::new(&ctx.metrics);
    let topology = topology(settings, config.max_batch, Arc::new(analyser), codec.clone(), metrics)
        .map_err(ServiceError::failed)?;
    service::run("sentiment", streams, topology, codec, &ctx).await
}

/// Loads the model, the asset table and the author key.
///
/// # Errors
/// [`ServiceError::Config`] with everything that is wrong with them.
pub(crate) async fn load(
    model: &ModelConfig,
    enrichment: &EnrichmentConfig,
) -> Result<(SharedAnalyser, AuthorKey), ServiceError> {
    let (model, enrichment) = (model.clone(), enrichment.clone());
    let loading = tokio::task::spawn_blocking(move || {
        let scorer = model.load().map_err(|error| format!("--model: {}", service::chain(&error)));
        let matcher = enrichment.assets.load();
        let key = enrichment.key();
        match (scorer, matcher, key) {
            (Ok(scorer), Ok(matcher), Ok(key)) => {
                Ok((SharedAnalyser::new(Analyser::new(Box::new(scorer), matcher)), key))
            }
            (scorer, matcher, key) => Err([scorer.err(), matcher.err(), key.err()].into_iter().flatten().collect()),
        }
    });
    loading.await.map_err(ServiceError::failed)?.map_err(ServiceError::Config)
}
