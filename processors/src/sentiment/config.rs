//! Options of the sentiment topology.

use std::time::Duration;

use vigie_authors::AuthorKey;
use vigie_clock::Timestamp;
use vigie_daemon::{Check, Mistake, SecretArg};
use vigie_schemas::RegistryConfig;
use vigie_streams::{KafkaConfig, StreamsOptions};

use super::SharedAnalyser;
use crate::assets::AssetsConfig;
use crate::inference::ModelConfig;
use crate::service;
use crate::text::analysis::Analyser;
use crate::times::parse_duration;

/// Options of the sentiment topology.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schema registry is.
    #[command(flatten)]
    pub registry: RegistryConfig,
    /// How the stream threads run.
    #[command(flatten)]
    pub streams: StreamsOptions,
    /// The model.
    #[command(flatten)]
    pub model: ModelConfig,
    /// Assets and author pseudonyms.
    #[command(flatten)]
    pub enrichment: EnrichmentConfig,
    /// Most posts that are scored at once
    #[arg(long, value_name = "POSTS", env = "VIGIE_MAX_BATCH", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_batch: u16,
    /// How long a post is known after it was last seen, so that it counts once
    #[arg(long, value_name = "DURATION", env = "VIGIE_DEDUPE_RETENTION", default_value = "7d", value_parser = parse_duration)]
    pub dedupe_retention: Duration,
    /// Spread the counting of the whole market over all tasks, for windows that begin at this time or later (RFC 3339); when it is first set it
    /// must lie more than an hour ahead, and the same for all replicas
    #[arg(long, value_name = "TIME", env = "VIGIE_SPREAD_MARKET_FROM", value_parser = Timestamp::parse_rfc3339)]
    pub spread_market_from: Option<Timestamp>,
}

/// What posts are enriched with, besides the model.
#[derive(clap::Args, Clone, Debug)]
pub struct EnrichmentConfig {
    /// Assets of one's own.
    #[command(flatten)]
    pub assets: AssetsConfig,
    /// Author pseudonyms of posts that come without one.
    #[command(flatten)]
    pub author: SecretArg<AuthorKey>,
}

impl Config {
    /// Checks what clap cannot, and loads the model and the asset table.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<Checked, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        service::check_state(&mut check, &self.streams);
        check.part(self.kafka.check());
        check.part(self.registry.check());
        let loaded = check.part(load(&self.model, &self.enrichment));
        check.finish(loaded).map(|(analyser, author_key)| Checked { config: self, analyser, author_key })
    }

    /// As [`Config::check`], with an analyser in place of the configured model and asset table.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check_with(self, analyser: Analyser) -> Result<Checked, Vec<Mistake>> {
        let author_key = self.enrichment.author.require()?;
        Ok(Checked { config: self, analyser: SharedAnalyser::new(analyser), author_key })
    }
}

/// A configuration without mistakes, for [`crate::run_sentiment`].
pub struct Checked {
    /// Author pseudonyms of posts that come without one.
    pub author_key: AuthorKey,
    pub(super) config: Config,
    pub(super) analyser: SharedAnalyser,
}

impl Checked {
    /// The same on these servers.
    #[must_use]
    pub fn on(self, kafka: KafkaConfig, registry: RegistryConfig) -> Self {
        Self { config: Config { kafka, registry, ..self.config }, ..self }
    }
}

/// Loads the model, the asset table and the author key.
pub(crate) fn load(
    model: &ModelConfig,
    enrichment: &EnrichmentConfig,
) -> Result<(SharedAnalyser, AuthorKey), Vec<Mistake>> {
    let mut check = Check::<ModelConfig>::default();
    let scorer = check.part(model.check());
    let matcher = check.part(enrichment.assets.load());
    let key = check.part(enrichment.author.require());
    let analyser = scorer.zip(matcher).map(|(scorer, matcher)| Analyser::new(Box::new(scorer), matcher));
    check.finish(analyser.map(SharedAnalyser::new).zip(key))
}
