use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vigie_daemon::{Check, Mistake};

/// What to start, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct StackConfig {
    /// Folder that holds everything the local servers store
    #[arg(long, env = "VIGIE_DATA_DIR", default_value = ".vigie")]
    pub data_dir: PathBuf,
    /// How many Kafka brokers to run: 1 or 3
    #[arg(long, env = "VIGIE_KAFKA_NODES", default_value_t = 1)]
    pub kafka_nodes: u8,
    /// Folder with Kafka's jars; if not given, KAFKA_HOME/libs or what ./dev has fetched
    #[arg(long, env = "VIGIE_KAFKA_JARS")]
    pub kafka_jars: Option<PathBuf>,
    /// Largest heap of one Kafka broker
    #[arg(long = "kafka-heap", alias = "kafka-heap-mib", env = "VIGIE_KAFKA_HEAP", default_value = "512MiB", value_name = "SIZE", value_parser = vigie_daemon::units::mebibytes::<u32>(1..))]
    pub kafka_heap_mib: u32,
    /// Fixed ports, in place of free ones.
    #[command(flatten)]
    pub ports: Ports,
    /// Whether the data dir goes away with the stack, so that nothing need reach the disk. For tests.
    #[arg(skip)]
    pub ephemeral: bool,
    /// Of an ephemeral data dir only PostgreSQL's part goes; who reads the rest deletes it. For tests.
    #[arg(skip)]
    pub leave_data: bool,
    /// Ports that the brokers advertise in place of their own, in the nodes' order: those of proxies. For tests.
    #[arg(skip)]
    pub kafka_advertised: Vec<u16>,
    /// Packages of the brokers that log at INFO, and not from WARN on. For tests.
    #[arg(skip)]
    pub kafka_log_info: Vec<String>,
    /// Ports besides the others, where the servers speak TLS. For tests.
    #[arg(skip)]
    pub tls: Option<TlsConfig>,
    /// How many times as long as usual a server may take to start, to stop and to be replaced. For tests that slow the machine down.
    #[arg(skip = 1_u32)]
    pub patience: u32,
}

impl StackConfig {
    /// One Kafka node on free ports, everything stored in `data_dir`; the jars are where `VIGIE_KAFKA_JARS` or `KAFKA_HOME` says, or in the cache of `./dev`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            kafka_nodes: 1,
            kafka_jars: std::env::var_os("VIGIE_KAFKA_JARS").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            kafka_heap_mib: 512,
            ports: Ports::default(),
            ephemeral: false,
            leave_data: false,
            kafka_advertised: Vec::new(),
            kafka_log_info: Vec::new(),
            tls: None,
            patience: 1,
        }
    }

    /// Checks what clap cannot. [`crate::Stack::start`] does so too, before it touches anything.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(&self) -> Result<(), Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.option("kafka-nodes", matches!(self.kafka_nodes, 1 | 3), self.kafka_nodes, "1 or 3");
        let is_folder = !self.data_dir.exists() || self.data_dir.is_dir();
        check.option("data-dir", is_folder, format!("{} is a file", self.data_dir.display()), "a folder");
        let Ports { kafka_port, postgres_port, redis_port, registry_port } = self.ports;
        let options = ["kafka-port", "postgres-port", "redis-port", "schema-registry-port"];
        let ports = [kafka_port, postgres_port, redis_port, registry_port];
        for (n, (option, port)) in options.into_iter().zip(ports).enumerate() {
            if let Some((port, at)) =
                port.and_then(|port| Some((port, ports[..n].iter().position(|p| *p == Some(port))?)))
            {
                check.option(option, false, format!("{port} as --{}", options[at]), "a port of its own");
            }
        }
        check.finish(Some(()))
    }
}

/// Ports on 127.0.0.1. Those not given are chosen among the free ones and kept over restarts while they stay free.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Ports {
    /// Port of the first Kafka broker [default: a free one]
    #[arg(long, env = "VIGIE_KAFKA_PORT")]
    pub kafka_port: Option<u16>,
    /// Port of PostgreSQL [default: a free one]
    #[arg(long, env = "VIGIE_POSTGRES_PORT")]
    pub postgres_port: Option<u16>,
    /// Port of Redis [default: a free one]
    #[arg(long, env = "VIGIE_REDIS_PORT")]
    pub redis_port: Option<u16>,
    /// Port of the schema registry [default: a free one]
    #[arg(long = "schema-registry-port", alias = "registry-port", env = "VIGIE_SCHEMA_REGISTRY_PORT")]
    pub registry_port: Option<u16>,
}

/// How the servers speak TLS: whom they trust, and who they are. There is one user, who has a password: at PostgreSQL only by TLS, and only once
/// the role has been made.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// PEM file of the authority that signs clients' certificates. Kafka's `ssl` asks for one, and PostgreSQL of the role `certified`.
    pub authority: PathBuf,
    /// PEM file of the servers' certificate.
    pub certificate: PathBuf,
    /// PEM file of its key, in PKCS #8.
    pub key: PathBuf,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// More users of Kafka, with the same password, by PLAIN. If there are any, whoever comes by TLS has the rights that were given to it and
    /// no others; whoever comes without has all.
    pub restricted: Vec<String>,
    /// Whose tokens Kafka takes, by OAUTHBEARER.
    pub issuer: Option<IssuerConfig>,
}

/// An issuer of tokens.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// URL of its keys.
    pub jwks_url: String,
    /// The `aud` that a token must have.
    pub audience: String,
}

/// Where the servers of a stack speak TLS; PostgreSQL does so at its only port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsPorts {
    /// Kafka with certificates on both sides.
    pub kafka_ssl: u16,
    /// Kafka with a password, by PLAIN or SCRAM, or with a token.
    pub kafka_sasl_ssl: u16,
    /// Redis.
    pub redis: u16,
}

/// One server of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerKind {
    /// The Kafka broker with this node id, counted from 1.
    Kafka(u8),
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// The embedded schema registry.
    Registry,
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka(node) => write!(f, "kafka-{node}"),
            Self::Postgres => f.write_str("postgres"),
            Self::Redis => f.write_str("redis"),
            Self::Registry => f.write_str("registry"),
        }
    }
}

/// Where the servers of a running stack answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Bootstrap servers: `host:port`, separated by commas.
    pub kafka_brokers: String,
    /// URL of the database `vigie`, with its user.
    pub postgres_url: String,
    /// `redis://host:port`.
    pub redis_url: String,
    /// `http://host:port`.
    pub registry_url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_listed() {
        assert_eq!(StackConfig::new("/no/such/folder").check(), Ok(()));
        let ports = Ports { kafka_port: Some(1), redis_port: Some(1), ..Ports::default() };
        let wrong = StackConfig { kafka_nodes: 2, ports, ..StackConfig::new("Cargo.toml") };
        let lines: Vec<String> = wrong.check().unwrap_err().iter().map(Mistake::to_string).collect();
        let expected = [
            "--kafka-nodes (VIGIE_KAFKA_NODES): 2, expected 1 or 3",
            "--data-dir (VIGIE_DATA_DIR): Cargo.toml is a file, expected a folder",
            "--redis-port (VIGIE_REDIS_PORT): 1 as --kafka-port, expected a port of its own",
        ];
        assert_eq!(lines, expected);
    }
}
