//! The configuration of the producers.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;
use vigie_authors::{AuthorKeyOptions, KeyringOptions};
use vigie_daemon::ServiceError;
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::RegistryConfig;

use crate::fetcher::FetcherConfig;
use crate::fetcher::render::{self, RenderConfig};
use crate::publish::authors::Authors;
use crate::sources::SourceConfig;
use crate::sources::catalogue;

/// Configures [`crate::run`].
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// File that lists the sources, in TOML; without it, the bundled list of public sources
    #[arg(long, env = "VIGIE_SOURCES", value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// Sources given by the program, in place of a file.
    #[arg(skip)]
    pub list: Option<Vec<SourceConfig>>,
    /// Who runs this instance, an address or mail, sent to sites in the User-Agent
    #[arg(long, env = "VIGIE_CONTACT")]
    pub contact: Option<String>,
    /// Polls under way at once, at most
    #[arg(long, env = "VIGIE_FETCH_CONCURRENCY", default_value_t = 32, value_name = "N")]
    pub concurrency: usize,
    /// Decompressed size of one answer at most, in MiB; a longer one is cut off and counts as a failure
    #[arg(long, env = "VIGIE_MAX_BODY_MIB", default_value_t = 16, value_name = "MIB")]
    pub max_body_mib: usize,
    /// Least time between two requests to one host, in milliseconds
    #[arg(long, env = "VIGIE_HOST_SPACING_MS", default_value_t = 1000, value_name = "MS")]
    pub host_spacing_ms: u64,
    /// How long a stream is listened to before what was heard is published, in milliseconds
    #[arg(long, env = "VIGIE_LISTEN_MS", default_value_t = 5000, value_name = "MS")]
    pub listen_ms: u64,
    /// Render pages of sources that say so (render = true) with the Chromium of this machine
    #[arg(long, env = "VIGIE_RENDER", num_args = 0..=1, require_equals = true, default_missing_value = "on", default_value = "off", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set, value_name = "on|off")]
    pub render: bool,
    /// The Chromium to render with; by default the one on the PATH
    #[arg(long, env = "CHROMIUM", value_name = "FILE")]
    pub chromium: Option<PathBuf>,
    /// The same for sources that are marked local, in milliseconds
    #[arg(long, env = "VIGIE_LOCAL_SPACING_MS", default_value_t = 2, value_name = "MS")]
    pub local_spacing_ms: u64,
    /// Silence after which the group takes a replica for dead and gives its sources to others, in milliseconds
    #[arg(long, env = "VIGIE_PRODUCERS_SESSION_MS", default_value_t = 10_000, value_name = "MS")]
    pub session_timeout_ms: u64,
    /// How often the file of --sources is looked at for changes, in seconds; 0: never
    #[arg(long, env = "VIGIE_SOURCES_RELOAD_SECONDS", default_value_t = 5, value_name = "SECONDS")]
    pub reload_seconds: u64,
    /// HTTP proxy for the public web; it resolves names, so private addresses are its matter
    #[arg(long, env = "VIGIE_PROXY", value_name = "URL")]
    pub proxy: Option<Url>,
    /// Pseudonyms of authors.
    #[command(flatten)]
    pub author: AuthorKeyOptions,
    /// Seals of handles; without one, handles are not kept.
    #[command(flatten)]
    pub keyring: KeyringOptions,
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schema registry is.
    #[command(flatten)]
    pub registry: RegistryConfig,
}

impl Config {
    /// The sources, everything checked.
    ///
    /// # Errors
    /// [`ServiceError::Config`] with every mistake.
    pub fn resolve(&self) -> Result<Vec<SourceConfig>, ServiceError> {
        let mut mistakes = Vec::new();
        if !(1..=1024).contains(&self.concurrency) {
            mistakes.push(format!("--concurrency {}, expected 1 to 1024", self.concurrency));
        }
        if !(1..=1024).contains(&self.max_body_mib) {
            mistakes.push(format!("--max-body-mib {}, expected 1 to 1024", self.max_body_mib));
        }
        if !(100..=60_000).contains(&self.listen_ms) {
            mistakes.push(format!("--listen-ms {}, expected 100 to 60000", self.listen_ms));
        }
        if self.render && !cfg!(feature = "render") {
            mistakes.push("--render: this build cannot render, expected one with the cargo feature render".into());
        } else if self.render && render::find(self.chromium.as_deref()).is_none() {
            let place = self
                .chromium
                .as_ref()
                .map_or_else(|| "on the PATH".to_owned(), |path| format!("at {}", path.display()));
            mistakes.push(format!("--render: no Chromium {place}, expected one to be installed or --chromium FILE"));
        }
        if self.render && self.proxy.is_some() {
            mistakes.push(
                "--render with --proxy, expected one of them: the address guard cannot see through a proxy".into(),
            );
        }
        if !(1000..=300_000).contains(&self.session_timeout_ms) {
            mistakes.push(format!("--session-timeout-ms {}, expected 1000 to 300000", self.session_timeout_ms));
        }
        let found = match (&self.list, &self.sources) {
            (Some(list), _) => Ok(list.clone()),
            (None, Some(path)) => catalogue::load(path),
            (None, None) => catalogue::bundled(),
        };
        match found {
            Ok(sources) if mistakes.is_empty() => Ok(sources),
            Ok(_) => Err(ServiceError::Config(mistakes)),
            Err(more) => {
                mistakes.extend(more);
                Err(ServiceError::Config(mistakes))
            }
        }
    }

    /// As [`Config::resolve`], and what hides the authors.
    ///
    /// # Errors
    /// [`ServiceError::Config`] with every mistake.
    pub(crate) fn resolve_with_authors(&self) -> Result<(Vec<SourceConfig>, Authors), ServiceError> {
        let (key, keyring) = (self.author.key(), self.keyring.keyring());
        match (self.resolve(), key, keyring) {
            (Ok(sources), Ok(key), Ok(keyring)) => Ok((sources, Authors::new(key, keyring))),
            (Err(error), Ok(_), Ok(_)) => Err(error),
            (sources, key, keyring) => {
                let mut mistakes = match sources {
                    Err(ServiceError::Config(mistakes)) => mistakes,
                    _ => Vec::new(),
                };
                mistakes.extend([key.err(), keyring.err()].into_iter().flatten());
                Err(ServiceError::Config(mistakes))
            }
        }
    }

    /// How to fetch.
    pub fn fetcher(&self) -> FetcherConfig {
        FetcherConfig {
            contact: self.contact.clone(),
            max_body: self.max_body_mib * 1024 * 1024,
            listen: Duration::from_millis(self.listen_ms),
            spacing: Duration::from_millis(self.host_spacing_ms),
            render: self.render.then(|| render::find(self.chromium.as_deref())).flatten().map(RenderConfig::new),
            local_spacing: Duration::from_millis(self.local_spacing_ms),
            proxy: self.proxy.clone(),
            ..FetcherConfig::default()
        }
    }
}
