//! The configuration of the producers.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;
use vigie_authors::{AuthorKey, Keyring};
use vigie_daemon::units::{mebibytes, milliseconds, seconds};
use vigie_daemon::{Check, Mistake, SecretArg};
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::RegistryConfig;

use crate::fetcher::FetcherConfig;
use crate::fetcher::render::{self, RenderConfig};
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
    #[arg(
        long = "fetch-concurrency",
        alias = "concurrency",
        env = "VIGIE_FETCH_CONCURRENCY",
        default_value_t = 32,
        value_name = "N"
    )]
    pub concurrency: usize,
    /// Decompressed size of one answer at most; a longer one is cut off and counts as a failure
    #[arg(long = "max-body", alias = "max-body-mib", env = "VIGIE_MAX_BODY", default_value = "16MiB", value_name = "SIZE", value_parser = mebibytes(1..=1024_usize))]
    pub max_body_mib: usize,
    /// Least time between two requests to one host
    #[arg(long = "host-spacing", alias = "host-spacing-ms", env = "VIGIE_HOST_SPACING", default_value = "1s", value_name = "DURATION", value_parser = milliseconds::<u64>(..))]
    pub host_spacing_ms: u64,
    /// How long a stream is listened to before what was heard is published
    #[arg(long = "listen-time", alias = "listen-ms", env = "VIGIE_LISTEN_TIME", default_value = "5s", value_name = "DURATION", value_parser = milliseconds(100..=60_000_u64))]
    pub listen_ms: u64,
    /// Render pages of sources that say so (render = true) with the Chromium of this machine
    #[arg(long, env = "VIGIE_RENDER", num_args = 0..=1, require_equals = true, default_missing_value = "on", default_value = "off", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set, value_name = "on|off")]
    pub render: bool,
    /// The Chromium to render with; by default the one on the PATH
    #[arg(long, env = "VIGIE_CHROMIUM", value_name = "FILE")]
    pub chromium: Option<PathBuf>,
    /// The same for sources that are marked local
    #[arg(long = "local-spacing", alias = "local-spacing-ms", env = "VIGIE_LOCAL_SPACING", default_value = "2ms", value_name = "DURATION", value_parser = milliseconds::<u64>(..))]
    pub local_spacing_ms: u64,
    /// Silence after which the group takes a replica for dead and gives its sources to others
    #[arg(long = "producers-session-timeout", alias = "session-timeout-ms", env = "VIGIE_PRODUCERS_SESSION_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = milliseconds(1_000..=300_000_u64))]
    pub session_timeout_ms: u64,
    /// How often the file of --sources is looked at for changes; 0s: never
    #[arg(long = "sources-reload", alias = "reload-seconds", env = "VIGIE_SOURCES_RELOAD", default_value = "5s", value_name = "DURATION", value_parser = seconds::<u64>(..))]
    pub reload_seconds: u64,
    /// HTTP proxy for the public web; it resolves names, so blocking private addresses is up to it
    #[arg(long, env = "VIGIE_PROXY", hide_env_values = true, value_name = "URL")]
    pub proxy: Option<Url>,
    /// Pseudonyms of authors.
    #[command(flatten)]
    pub author: SecretArg<AuthorKey>,
    /// Seals of handles; without one, handles are not kept.
    #[command(flatten)]
    pub keyring: SecretArg<Keyring>,
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schema registry is.
    #[command(flatten)]
    pub registry: RegistryConfig,
}

impl Config {
    /// Checks what clap cannot, and reads the sources.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<Checked, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.option("fetch-concurrency", (1..=1024).contains(&self.concurrency), self.concurrency, "1 to 1024");
        let contact = self.contact.as_deref().unwrap_or_default();
        check.option("contact", !contact.contains(char::is_control), format!("{contact:?}"), "one line of text");
        if self.render {
            let expected = "a build with the cargo feature render";
            check.option("render", cfg!(feature = "render"), "on in a build that cannot render", expected);
            let chromium = self.chromium.as_deref();
            let place = chromium.map_or_else(|| "on the PATH".to_owned(), |path| format!("at {}", path.display()));
            let found = format!("no Chromium {place}");
            check.option("render", render::find(chromium).is_some(), found, "one to be installed or --chromium FILE");
            let expected = "no --proxy beside it: the address guard cannot see through a proxy";
            check.option("render", self.proxy.is_none(), "on with --proxy", expected);
        }
        let sources = check.part(match (&self.list, &self.sources) {
            (Some(list), _) => Ok(list.clone()),
            (None, Some(path)) => catalogue::load(path),
            (None, None) => catalogue::bundled(),
        });
        check.part(self.kafka.check());
        check.part(self.registry.check());
        let (key, keyring) = (check.part(self.author.require()), check.part(self.keyring.read()));
        let checked = sources.zip(key.zip(keyring));
        check.finish(checked.map(|(sources, (author_key, keyring))| Checked {
            config: self,
            sources,
            author_key,
            keyring,
        }))
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

/// A configuration without mistakes, for [`crate::run`].
#[derive(Clone, Debug)]
pub struct Checked {
    /// Pseudonyms of authors.
    pub author_key: AuthorKey,
    /// Seals of handles; without one, handles are not kept.
    pub keyring: Option<Keyring>,
    pub(crate) sources: Vec<SourceConfig>,
    pub(crate) config: Config,
}

impl Checked {
    /// The sources.
    pub fn sources(&self) -> &[SourceConfig] {
        &self.sources
    }

    /// The same with these sources, whatever the file lists.
    #[must_use]
    pub fn with_sources(self, sources: Vec<SourceConfig>) -> Self {
        Self { config: Config { list: Some(sources.clone()), ..self.config }, sources, ..self }
    }

    /// The same on these servers.
    #[must_use]
    pub fn on(self, kafka: KafkaConfig, registry: RegistryConfig) -> Self {
        Self { config: Config { kafka, registry, ..self.config }, ..self }
    }
}
