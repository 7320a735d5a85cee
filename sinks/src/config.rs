//! Options of both sinks.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use vigie_daemon::FromSecret;

/// A PostgreSQL connection URL or key-value string that has been parsed. Prints without its password.
#[derive(Clone)]
pub struct PostgresUrl {
    config: tokio_postgres::Config,
}

impl PostgresUrl {
    /// For a connection.
    pub fn to_config(&self) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(Duration::from_secs(20));
        config.keepalives_idle(Duration::from_secs(15));
        config
    }
}

impl FromSecret for PostgresUrl {
    const LONG: &'static str = "postgres-url";
    const VARIABLE: &'static str = "VIGIE_POSTGRES_URL";
    const HELP: &'static str = "PostgreSQL database to write to, as postgres://user:password@host:port/database \
                                [default of the sink: postgres://vigie@127.0.0.1:5432/vigie]";
    const EXPECTED: &'static str = "postgres://user:password@host:port/database";

    fn from_secret(text: &str) -> Result<Self, String> {
        let config: tokio_postgres::Config = text.parse().map_err(|_| "not a URL of PostgreSQL".to_owned())?;
        if config.get_hosts().is_empty() {
            return Err("it names no host".to_owned());
        }
        Ok(Self { config })
    }
}

impl Default for PostgresUrl {
    fn default() -> Self {
        let mut config = tokio_postgres::Config::new();
        config.user("vigie").host("127.0.0.1").port(5432).dbname("vigie");
        Self { config }
    }
}

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_secret(text).map_err(|found| format!("{found}, expected {}", Self::EXPECTED))
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        for (i, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match host {
                tokio_postgres::config::Host::Tcp(name) => write!(f, "{comma}{name}")?,
                tokio_postgres::config::Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = self.config.get_ports().get(i).or(self.config.get_ports().first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A Redis URL that has been parsed. Prints without its password.
#[derive(Clone, Default)]
pub struct RedisUrl {
    config: fred::types::config::Config,
}

impl RedisUrl {
    pub(crate) fn to_config(&self) -> fred::types::config::Config {
        self.config.clone()
    }
}

impl FromSecret for RedisUrl {
    const LONG: &'static str = "redis-url";
    const VARIABLE: &'static str = "VIGIE_REDIS_URL";
    const HELP: &'static str = "Redis database to keep the views in, as redis://user:password@host:port/database \
                                [default: redis://127.0.0.1:6379]";
    const EXPECTED: &'static str = "redis://user:password@host:port/database";

    fn from_secret(text: &str) -> Result<Self, String> {
        let wrong = || "not a URL of Redis".to_owned();
        // fred takes any scheme for this one, and would talk to rediss:// without TLS.
        if !text.starts_with("redis://") {
            return Err(wrong());
        }
        let config = fred::types::config::Config::from_url(text).map_err(|_| wrong())?;
        Ok(Self { config })
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_secret(text).map_err(|found| format!("{found}, expected {}", Self::EXPECTED))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis://")?;
        for (i, server) in self.config.server.hosts().iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}", server.host, server.port)?;
        }
        write!(f, "/{}", self.config.database.unwrap_or_default())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How records are put together into transactions.
#[derive(Args, Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Most records in one transaction.
    #[arg(long = "sink-batch-records", env = "VIGIE_SINK_BATCH_RECORDS", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_records: u32,
    /// Most bytes of undecoded records in one transaction; one record may exceed it.
    #[arg(long = "sink-batch-bytes", env = "VIGIE_SINK_BATCH_BYTES", default_value_t = 8 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch_bytes: u64,
    /// How long the first record of a batch waits for company, in milliseconds. Under load batches fill while the one before is written.
    #[arg(long = "sink-linger-ms", env = "VIGIE_SINK_LINGER_MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub linger_ms: u64,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { batch_records: 5_000, batch_bytes: 8 * 1024 * 1024, linger_ms: 50 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_never_print_their_passwords() {
        let postgres: PostgresUrl = "postgres://vigie:hunter2@db.example:5433/insights".parse().unwrap();
        assert_eq!(
            format!("{postgres:?} {postgres}"),
            "postgres://db.example:5433/insights postgres://db.example:5433/insights"
        );
        let redis: RedisUrl = "redis://vigie:hunter2@cache.example:6380/2".parse().unwrap();
        assert_eq!(format!("{redis:?} {redis}"), "redis://cache.example:6380/2 redis://cache.example:6380/2");
    }

    #[test]
    fn wrong_urls_are_refused_without_repeating_them() {
        let error = "http://user:hunter2@host".parse::<PostgresUrl>().unwrap_err();
        assert!(error.contains("expected postgres://") && !error.contains("hunter2"), "{error}");
        let error = "http://user:hunter2@host".parse::<RedisUrl>().unwrap_err();
        assert!(error.contains("expected redis://") && !error.contains("hunter2"), "{error}");
    }
}
