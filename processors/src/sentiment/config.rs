//! Options of the sentiment topology.

use std::path::PathBuf;
use std::time::Duration;

use vigie_schemas::RegistryConfig;
use vigie_streams::{KafkaConfig, StreamsOptions};

use crate::assets::AssetsConfig;
use crate::author::AuthorKey;
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
    /// Secret of the author pseudonyms, at least 16 characters; prefer the environment, as arguments are visible to others
    #[arg(long, value_name = "SECRET", env = "VIGIE_AUTHOR_KEY", hide_env_values = true)]
    pub author_key: Option<AuthorKey>,
    /// File with the secret of the author pseudonyms, if it is not given directly
    #[arg(long, value_name = "FILE", env = "VIGIE_AUTHOR_KEY_FILE")]
    pub author_key_file: Option<PathBuf>,
}

impl EnrichmentConfig {
    /// The author key, from wherever it was given.
    ///
    /// # Errors
    /// What is wrong, for the list of mistakes.
    pub fn key(&self) -> Result<AuthorKey, String> {
        match (&self.author_key, &self.author_key_file) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(path)) => AuthorKey::read(path).map_err(|error| match std::error::Error::source(&error) {
                Some(cause) => format!("--author-key-file: {error}: {cause}"),
                None => format!("--author-key-file: {error}"),
            }),
            (None, None) => Err("no author key, expected VIGIE_AUTHOR_KEY or --author-key-file: \
                                 at least 16 characters, the same ones for ever"
                .to_owned()),
        }
    }
}
