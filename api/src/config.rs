use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use vigie_authors::Keyring;
use vigie_daemon::{Check, FromSecret, Mistake, SecretArg};

use crate::auth::{AuthConfig, TokenCheck};
use crate::names::AssetName;

/// Options of the API.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Address of the API and the dashboard; port 0 takes a free one
    #[arg(long = "api-listen", env = "VIGIE_API_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// PostgreSQL to read from.
    #[command(flatten)]
    pub postgres_url: SecretArg<PostgresUrl>,
    /// Connections to PostgreSQL, at most
    #[arg(long = "api-postgres-connections", env = "VIGIE_API_POSTGRES_CONNECTIONS", default_value_t = 8)]
    pub postgres_connections: usize,
    /// Memory for answers that are kept while the data stays as it is, in MiB; 0 keeps none, here and in Redis
    #[arg(long = "api-cache-mib", env = "VIGIE_API_CACHE_MIB", default_value_t = 64)]
    pub cache_mib: u64,
    /// Redis to read live events from, and to share answers in.
    #[command(flatten)]
    pub redis_url: SecretArg<RedisUrl>,
    /// Prefix of every Redis key
    #[arg(long, env = "VIGIE_REDIS_PREFIX", default_value = vigie_schemas::redis::PREFIX)]
    pub redis_prefix: String,
    /// Who may read
    #[command(flatten)]
    pub auth: AuthConfig,
    /// What opens handles of authors
    #[command(flatten)]
    pub keyring: SecretArg<Keyring>,
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
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<Checked, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.option("api-postgres-connections", self.postgres_connections > 0, 0, "at least 1");
        let fewer = format!("fewer than --api-max-connections ({})", self.max_connections);
        check.option("api-max-streams", self.max_streams < self.max_connections, self.max_streams, fewer);
        check.option("api-burst", self.rate == 0 || self.burst > 0, 0, "at least 1");
        check.option(
            "api-timeout-seconds",
            (1..=300).contains(&self.timeout_seconds),
            self.timeout_seconds,
            "1 to 300",
        );
        check.option("api-cache-mib", self.cache_mib <= 1 << 20, self.cache_mib, "at most 1048576, a TiB");
        for origin in &self.cors_origins {
            let parsed = url::Url::parse(origin).map(|url| url.origin().ascii_serialization());
            let expected = "scheme, host and port only, as https://example.com";
            check.option("api-cors-origin", parsed.as_deref() == Ok(origin), format!("{origin:?}"), expected);
        }
        let postgres = check.part(self.postgres_url.read());
        let redis = check.part(self.redis_url.read());
        let auth = check.part(self.auth.check::<Self>(self.listen));
        let keyring = check.part(self.keyring.read());
        let checked =
            (postgres.zip(redis)).zip(auth.zip(keyring)).map(|((postgres, redis), (auth, keyring))| Checked {
                postgres: postgres.unwrap_or_default(),
                redis: redis.unwrap_or_default(),
                auth,
                keyring,
                names: Vec::new(),
                config: self,
            });
        check.finish(checked)
    }
}

/// A configuration without mistakes, for [`crate::run`].
#[derive(Clone)]
pub struct Checked {
    /// What opens handles of authors; `None` if this server opens none.
    pub keyring: Option<Keyring>,
    pub(crate) names: Vec<AssetName>,
    pub(crate) postgres: PostgresUrl,
    pub(crate) redis: RedisUrl,
    pub(crate) auth: Option<TokenCheck>,
    pub(crate) config: Config,
}

impl Checked {
    /// The same on these servers.
    #[must_use]
    pub fn on(self, postgres: PostgresUrl, redis: RedisUrl) -> Self {
        Self { postgres, redis, ..self }
    }

    /// The same, with the names by which assets may be asked for; without, they answer to their ids only.
    #[must_use]
    pub fn naming(self, names: Vec<AssetName>) -> Self {
        Self { names, ..self }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.config.timeout_seconds)
    }
}

/// A PostgreSQL server and database.
#[derive(Clone)]
pub struct PostgresUrl(pub(crate) tokio_postgres::Config);

impl FromSecret for PostgresUrl {
    const LONG: &'static str = "postgres-url";
    const VARIABLE: &'static str = "VIGIE_POSTGRES_URL";
    const HELP: &'static str = "PostgreSQL to read from, as postgres://user:password@host:port/database \
                                [default: postgres://vigie@127.0.0.1:5432/vigie]";
    const EXPECTED: &'static str = "postgres://user:password@host:port/database";

    fn from_secret(text: &str) -> Result<Self, String> {
        tokio_postgres::Config::from_str(text).map(Self).map_err(|_| "not a URL of PostgreSQL".to_owned())
    }
}

impl Default for PostgresUrl {
    fn default() -> Self {
        let mut config = tokio_postgres::Config::new();
        config.user("vigie").host("127.0.0.1").port(5432).dbname("vigie");
        Self(config)
    }
}

/// A Redis server and database.
#[derive(Clone, Default)]
pub struct RedisUrl(pub(crate) fred::types::config::Config);

impl FromSecret for RedisUrl {
    const LONG: &'static str = "redis-url";
    const VARIABLE: &'static str = "VIGIE_REDIS_URL";
    const HELP: &'static str = "Redis to read live events from and to share answers in, as redis://user:password@host:port/database \
                                [default: redis://127.0.0.1:6379]";
    const EXPECTED: &'static str = "redis://user:password@host:port/database";

    fn from_secret(text: &str) -> Result<Self, String> {
        fred::types::config::Config::from_url(text).map(Self).map_err(|_| "not a URL of Redis".to_owned())
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
        let checked = parse(&[]).check().unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert!(checked.auth.is_none());
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
        let Err(mistakes) = config.check() else { panic!("accepted") };
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
