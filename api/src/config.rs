use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use vigie_authors::KeyringOptions;
use vigie_daemon::ServiceError;

use crate::auth::AuthConfig;

/// Options of the API.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Address of the API and the dashboard; port 0 takes a free one
    #[arg(long = "api-listen", env = "VIGIE_API_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// PostgreSQL to read from, as postgres://user:password@host:port/database
    #[arg(
        long,
        env = "VIGIE_POSTGRES_URL",
        hide_env_values = true,
        default_value = "postgres://vigie@127.0.0.1:5432/vigie"
    )]
    pub postgres_url: Secret,
    /// Connections to PostgreSQL, at most
    #[arg(long = "api-postgres-connections", env = "VIGIE_API_POSTGRES_CONNECTIONS", default_value_t = 8)]
    pub postgres_connections: usize,
    /// Redis to read live events from, as redis://user:password@host:port/database
    #[arg(long, env = "VIGIE_REDIS_URL", hide_env_values = true, default_value = "redis://127.0.0.1:6379")]
    pub redis_url: Secret,
    /// Prefix of every Redis key
    #[arg(long, env = "VIGIE_REDIS_PREFIX", default_value = vigie_schemas::redis::PREFIX)]
    pub redis_prefix: String,
    /// Who may read
    #[command(flatten)]
    pub auth: AuthConfig,
    /// What opens handles of authors
    #[command(flatten)]
    pub keyring: KeyringOptions,
    /// Requests per second and client that are answered in the long run; 0 means without limit
    #[arg(long = "api-rate", env = "VIGIE_API_RATE", default_value_t = 50)]
    pub rate: u32,
    /// Requests that one client may make at once before --api-rate holds
    #[arg(long = "api-burst", env = "VIGIE_API_BURST", default_value_t = 200)]
    pub burst: u32,
    /// Take the client's address from the last entry of X-Forwarded-For: set this behind exactly one proxy, never without one
    #[arg(long = "api-behind-proxy", env = "VIGIE_API_BEHIND_PROXY")]
    pub behind_proxy: bool,
    /// Origins of other sites whose scripts may read, as `https://example.com`; none by default
    #[arg(long = "api-cors-origin", env = "VIGIE_API_CORS_ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Seconds that an answer may take
    #[arg(long = "api-timeout-seconds", env = "VIGIE_API_TIMEOUT_SECONDS", default_value_t = 10)]
    pub timeout_seconds: u64,
    /// Connections at once, at most; further ones wait
    #[arg(long = "api-max-connections", env = "VIGIE_API_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Subscribers of /v1/stream at once, at most
    #[arg(long = "api-max-streams", env = "VIGIE_API_MAX_STREAMS", default_value_t = 1000)]
    pub max_streams: usize,
}

impl Config {
    /// Checks what clap cannot. Lists every mistake.
    ///
    /// # Errors
    /// [`ServiceError::Config`]
    pub fn check(&self) -> Result<(), ServiceError> {
        let mut mistakes = Vec::new();
        if tokio_postgres::Config::from_str(self.postgres_url.reveal()).is_err() {
            mistakes.push("--postgres-url: expected postgres://user:password@host:port/database".to_owned());
        }
        if fred::types::config::Config::from_url(self.redis_url.reveal()).is_err() {
            mistakes.push("--redis-url: expected redis://user:password@host:port/database".to_owned());
        }
        if self.postgres_connections == 0 {
            mistakes.push("--api-postgres-connections: 0, expected at least 1".to_owned());
        }
        if self.max_streams >= self.max_connections {
            mistakes.push(format!(
                "--api-max-streams: {}, expected fewer than --api-max-connections ({})",
                self.max_streams, self.max_connections
            ));
        }
        if self.rate > 0 && self.burst == 0 {
            mistakes.push("--api-burst: 0, expected at least 1".to_owned());
        }
        if !(1..=300).contains(&self.timeout_seconds) {
            mistakes.push(format!("--api-timeout-seconds: {}, expected 1 to 300", self.timeout_seconds));
        }
        for origin in &self.cors_origins {
            let parsed = url::Url::parse(origin).map(|url| url.origin().ascii_serialization());
            if parsed.as_deref() != Ok(origin) {
                mistakes.push(format!(
                    "--api-cors-origin: {origin:?}, expected scheme, host and port only, as https://example.com"
                ));
            }
        }
        mistakes.extend(self.auth.mistakes(self.listen));
        mistakes.extend(self.keyring.keyring().err());
        if mistakes.is_empty() { Ok(()) } else { Err(ServiceError::Config(mistakes)) }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn parse(args: &[&str]) -> Config {
        Cli::parse_from(std::iter::once("api").chain(args.iter().copied())).config
    }

    #[test]
    fn defaults_are_valid_and_open_on_loopback() {
        parse(&[]).check().unwrap();
    }

    #[test]
    fn every_mistake_is_listed() {
        let config = parse(&[
            "--postgres-url=mysql://x",
            "--redis-url=:",
            "--api-burst=0",
            "--api-timeout-seconds=0",
            "--api-max-connections=10",
            "--api-cors-origin=https://a.example/path",
            "--api-listen=0.0.0.0:8080",
        ]);
        let Err(ServiceError::Config(mistakes)) = config.check() else { panic!("accepted") };
        assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = parse(&[
            "--postgres-url=postgres://vigie:hunter2@db/vigie",
            "--auth-secret=hunter2hunter2hunter2hunter2hunter2",
        ]);
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
