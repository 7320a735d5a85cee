use std::net::SocketAddr;
use std::time::Duration;

use vigie_audit::AuditConfig;
use vigie_authors::Keyring;
use vigie_daemon::units::{mebibytes, seconds};
use vigie_daemon::{Check, Mistake, SecretArg};
use vigie_stores::{PostgresUrl, RedisUrl};

use crate::auth::{AuthConfig, LoginCheck, LoginConfig, TokenCheck};
use crate::http::proxies::Proxies;
use crate::http::tls::{ServerTls, TlsConfig};
use crate::names::AssetName;

/// Options of the API.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Address of the API and the dashboard; port 0 takes a free one
    #[arg(long = "api-listen", env = "VIGIE_API_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Certificate of that address.
    #[command(flatten)]
    pub tls: TlsConfig,
    /// PostgreSQL to read from.
    #[command(flatten)]
    pub postgres_url: SecretArg<PostgresUrl>,
    /// Connections to PostgreSQL, at most
    #[arg(long = "api-postgres-connections", env = "VIGIE_API_POSTGRES_CONNECTIONS", default_value_t = 8)]
    pub postgres_connections: usize,
    /// Memory for answers that are kept while the data stays as it is; 0MiB keeps none, here and in Redis
    #[arg(long = "api-cache", alias = "api-cache-mib", env = "VIGIE_API_CACHE", default_value = "64MiB", value_name = "SIZE", value_parser = mebibytes(0..=1_048_576_u64))]
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
    /// How people log in to the dashboard
    #[command(flatten)]
    pub login: LoginConfig,
    /// What opens handles of authors
    #[command(flatten)]
    pub keyring: SecretArg<Keyring>,
    /// Authors that one subject may open in a day (UTC), at all replicas together; 0 means without limit
    #[arg(long = "api-author-openings", env = "VIGIE_API_AUTHOR_OPENINGS", default_value_t = 100)]
    pub author_openings: u32,
    /// Where it is written who opened which author.
    #[command(flatten)]
    pub audit: AuditConfig,
    /// Units per second that a client may spend in the long run, at all replicas together; most requests cost 1 (docs/api.md); 0 means without limit
    #[arg(long = "api-rate", env = "VIGIE_API_RATE", default_value_t = 50)]
    pub rate: u32,
    /// Units that one client may spend at once before --api-rate holds
    #[arg(long = "api-burst", env = "VIGIE_API_BURST", default_value_t = 200)]
    pub burst: u32,
    /// Addresses and networks (CIDR) of the proxies before the API; only from them X-Forwarded-For counts, and the client is the last
    /// address in it that is none of them
    #[arg(long = "api-trusted-proxies", env = "VIGIE_API_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// Deprecated, see --api-trusted-proxies: whoever connects is taken for the only proxy, and the last entry of X-Forwarded-For counts
    #[arg(long = "api-behind-proxy", env = "VIGIE_API_BEHIND_PROXY")]
    pub behind_proxy: bool,
    /// Host names that requests may name, beside those of the loopback interface; unset, any (on loopback only its own)
    #[arg(long = "api-host", env = "VIGIE_API_HOST", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// Origins of other sites whose scripts may read, as `https://example.com`; none by default
    #[arg(long = "api-cors-origin", env = "VIGIE_API_CORS_ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Time that an answer may take
    #[arg(long = "api-timeout", alias = "api-timeout-seconds", env = "VIGIE_API_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = seconds(1..=300_u64))]
    pub timeout_seconds: u64,
    /// Rows that one answer may be made of, at most
    #[arg(long = "api-max-rows", env = "VIGIE_API_MAX_ROWS", default_value_t = 500_000)]
    pub max_rows: usize,
    /// Requests that are answered at once, at most; others wait for half a second and are then refused
    #[arg(long = "api-max-requests", env = "VIGIE_API_MAX_REQUESTS", default_value_t = 1024)]
    pub max_requests: usize,
    /// Most connections at once; when full, the one that has been idle longest is closed
    #[arg(long = "api-max-connections", env = "VIGIE_API_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Connections at once of one network address (IPv6: /64), at most; trusted proxies are not counted
    #[arg(
        long = "api-max-connections-per-client",
        env = "VIGIE_API_MAX_CONNECTIONS_PER_CLIENT",
        default_value_t = 1024
    )]
    pub max_connections_per_client: usize,
    /// Subscribers of /v1/stream at once, at most
    #[arg(long = "api-max-streams", env = "VIGIE_API_MAX_STREAMS", default_value_t = 1000)]
    pub max_streams: usize,
    /// Subscribers of /v1/stream at once of one client, at most
    #[arg(long = "api-max-streams-per-client", env = "VIGIE_API_MAX_STREAMS_PER_CLIENT", default_value_t = 100)]
    pub max_streams_per_client: usize,
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
        check.option("api-max-requests", self.max_requests > 0, 0, "at least 1");
        check.option("api-max-connections-per-client", self.max_connections_per_client > 0, 0, "at least 1");
        check.option("api-max-streams-per-client", self.max_streams_per_client > 0, 0, "at least 1");
        check.option("api-max-rows", self.max_rows > 0, 0, "at least 1");
        for origin in &self.cors_origins {
            let parsed = url::Url::parse(origin).map(|url| url.origin().ascii_serialization());
            let expected = "scheme, host and port only, as https://example.com";
            check.option("api-cors-origin", parsed.as_deref() == Ok(origin), format!("{origin:?}"), expected);
        }
        let mut proxies = Proxies { any_peer: self.behind_proxy, ..Proxies::default() };
        check.option(
            "api-behind-proxy",
            !self.behind_proxy || self.trusted_proxies.is_empty(),
            "beside --api-trusted-proxies",
            "only one of them",
        );
        for text in &self.trusted_proxies {
            let network = Proxies::parse(text);
            check.option(
                "api-trusted-proxies",
                network.is_some(),
                format!("{text:?}"),
                "an address or a network, as 10.0.0.0/8",
            );
            proxies.networks.extend(network);
        }
        let postgres = check.part(self.postgres_url.read());
        let redis = check.part(self.redis_url.read());
        let auth = check.part(self.auth.check::<Self>(self.listen));
        let login = check.part(self.login.check(&self.auth, self.auth.mode(self.listen)));
        let keyring = check.part(self.keyring.read());
        check.part(self.audit.check());
        let tls = check.part(self.tls.check());
        let checked = (postgres.zip(redis)).zip(auth.zip(login)).zip(keyring.zip(tls));
        check.finish(checked.map(|(((postgres, redis), (auth, login)), (keyring, tls))| Checked {
            postgres: postgres.unwrap_or_default(),
            redis: redis.unwrap_or_default(),
            auth,
            login,
            keyring,
            tls,
            names: Vec::new(),
            proxies,
            config: self,
        }))
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
    pub(crate) login: Option<LoginCheck>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) proxies: Proxies,
    pub(crate) config: Config,
}

impl Checked {
    /// The same on these servers.
    #[must_use]
    pub fn on(self, audit: AuditConfig, postgres: PostgresUrl, redis: RedisUrl) -> Self {
        Self { postgres, redis, config: Config { audit, ..self.config }, ..self }
    }

    /// Whether the API is spoken to by https.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
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
            "--api-max-connections=10",
            "--api-cors-origin=https://a.example/path",
            "--api-listen=0.0.0.0:8080",
            "--api-trusted-proxies=10.0.0.0/8,10.0.0.0/33,proxy",
            "--api-behind-proxy",
        ]);
        let Err(mistakes) = config.check() else { panic!("accepted") };
        assert_eq!(mistakes.len(), 9, "{mistakes:#?}");
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
