//! Options of the sentiment topology.

use std::time::Duration;

use vigie_authors::{AuthorKey, AuthorKeyOptions};
use vigie_schemas::RegistryConfig;
use vigie_streams::{KafkaConfig, StreamsOptions};

use crate::assets::AssetsConfig;
use crate::duration::parse_duration;
use crate::inference::ModelConfig;

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
}

/// What posts are enriched with, besides the model.
#[derive(clap::Args, Clone, Debug)]
pub struct EnrichmentConfig {
    /// Assets of one's own.
    #[command(flatten)]
    pub assets: AssetsConfig,
    /// Author pseudonyms of posts that come without one.
    #[command(flatten)]
    pub author: AuthorKeyOptions,
}

impl EnrichmentConfig {
    /// The author key, from wherever it was given.
    ///
    /// # Errors
    /// What is wrong, for the list of mistakes.
    pub fn key(&self) -> Result<AuthorKey, String> {
        self.author.key()
    }
}
