//! Options of what recounts.

use std::ops::Range;
use std::time::Duration;

use clap::Args;
use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::{FromSecret, Mistake, Secret, SecretArg, ServiceError};
use vigie_kafka_client::KafkaConfig;
use vigie_processors::assets::AssetsConfig;
use vigie_processors::inference::ModelConfig;
use vigie_processors::recount::RecountSettings;
use vigie_processors::times::parse_duration;
use vigie_schemas::RegistryConfig;

/// What opens the API.
#[derive(Debug)]
pub(crate) struct ApiToken(Secret);

impl FromSecret for ApiToken {
    const LONG: &'static str = "api-token";
    const FORMER: Option<&'static str> = Some("token");
    const VARIABLE: &'static str = "VIGIE_API_TOKEN";
    const HELP: &'static str = "Bearer token for the API, with read:insights";
    const EXPECTED: &'static str = "a token";

    fn from_secret(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("empty".to_owned()) } else { Ok(Self(text.to_owned().into())) }
    }
}

impl ApiToken {
    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Windows that start at this time or later: RFC 3339, a day (UTC), or how long ago, for example 6h
    #[arg(long, value_name = "TIME", value_parser = vigie_processors::times::since)]
    pub(super) from: Timestamp,
    /// Windows that start before this time; a day means its end
    #[arg(long, value_name = "TIME", value_parser = vigie_processors::times::until)]
    pub(super) to: Timestamp,
    #[command(flatten)]
    pub(super) recount: RecountArgs,
}

/// How posts are recounted, and where the other side is.
#[derive(Args, Debug)]
pub(crate) struct RecountArgs {
    /// Where the API is
    #[arg(long, env = "VIGIE_API_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) api_url: Url,
    #[command(flatten)]
    pub(super) token: SecretArg<ApiToken>,
    /// Compare posts, authors and sources only: without the model it goes much faster
    #[arg(long)]
    pub(super) counts_only: bool,
    /// How long windows waited for late posts, at least: --grace of the trends topology, or less
    #[arg(long, value_name = "DURATION", env = "VIGIE_GRACE", default_value = "6h", value_parser = parse_duration)]
    pub(super) grace: Duration,
    /// Maximum delay between a post's arrival and its being counted; raise it to the length of any longer outage
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(super) max_lag: Duration,
    /// How long a post id is remembered for de-duplication; must match the sentiment topology
    #[arg(long, value_name = "DURATION", env = "VIGIE_DEDUPE_RETENTION", default_value = "7d", value_parser = parse_duration)]
    pub(super) dedupe_retention: Duration,
    /// How long windows that changed wait before they are emitted: that of the trends topology, or more
    #[arg(long = "emit-interval", alias = "emit-interval-ms", value_name = "DURATION", env = "VIGIE_EMIT_INTERVAL", default_value = "2s", value_parser = vigie_daemon::units::milliseconds::<u64>(..))]
    pub(super) emit_interval_ms: u64,
    /// How long to wait until the pipeline has counted what is there
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(super) wait: Duration,
    #[command(flatten)]
    pub(super) kafka: KafkaConfig,
    #[command(flatten)]
    pub(super) registry: RegistryConfig,
    #[command(flatten)]
    pub(super) model: ModelConfig,
    #[command(flatten)]
    pub(super) assets: AssetsConfig,
}

impl RecountArgs {
    /// For windows that start in `from..to`.
    pub(super) fn settings(
        &self,
        Range { start: from, end: to }: Range<Timestamp>,
    ) -> Result<RecountSettings, ServiceError> {
        if from >= to {
            let found = format!("{from} is not before --to");
            return Err(Mistake::new("--from", found, format!("a time before {to}")).into());
        }
        Ok(RecountSettings {
            windows: from..to,
            grace: self.grace,
            dedupe_retention: self.dedupe_retention,
            max_lag: self.max_lag,
        })
    }
}
