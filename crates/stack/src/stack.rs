pub(crate) mod hold;
pub(crate) mod memory;

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::data_dir::{DataDir, Remembered};
use crate::ports::PortAllocator;
use crate::servers::java;
use crate::servers::kafka::{KafkaNode, KafkaTls, Proxy};
use crate::servers::postgres::{self, Postgres};
use crate::servers::program::Program;
use crate::servers::redis::Redis;
use crate::servers::registry::RegistryServer;
use crate::supervisor::Supervisor;
use crate::watchdog::{Removal, Watchdog};
use crate::{Endpoints, ServerHandle, ServerKind, ServerMemory, StackConfig, StackError, TlsPorts};

/// Servers that run, and are kept running, until [`Stack::stop`]. If it is dropped, or if the process dies, they are killed.
#[derive(Debug)]
pub struct Stack {
    endpoints: Endpoints,
    tls: Option<TlsPorts>,
    servers: Vec<ServerHandle>,
    watchdog: Arc<Watchdog>,
    data_dir: DataDir,
    /// Held, so that no other stack takes the port of a server that is down.
    _ports: PortAllocator,
}

/// What must be installed.
struct Binaries {
    java: std::path::PathBuf,
    jars: std::path::PathBuf,
    postgres: std::path::PathBuf,
    redis: std::path::PathBuf,
}

impl Stack {
    /// Starts all servers at once and waits until each answers.
    ///
    /// # Errors
    /// If something is not installed, the data dir or a port is in use, or a server does not come up. Then nothing is left running.
    pub async fn start(config: StackConfig) -> Result<Self, StackError> {
        config.check().map_err(StackError::Config)?;
        let binaries = Binaries {
            jars: KafkaNode::find_jars(config.kafka_jars.as_deref())?,
            postgres: Postgres::find()?,
            redis: Redis::find()?,
            java: tokio::task::spawn_blocking(java::find)
                .await
                .map_err(|error| StackError::Io { action: "look for java".to_owned(), source: error.into() })??,
        };
        let data_dir = DataDir::open(&config.data_dir).await?;
        let remove = config.ephemeral.then(|| Removal::of(data_dir.path(), config.leave_data));
        let watchdog = Arc::new(Watchdog::start(data_dir.share_lock()?, remove)?);
        let (programs, endpoints, tls, ports) = plan(&config, binaries, &data_dir)?;
        let launch = |program: Program| {
            let log = data_dir.log_path(program.kind());
            Supervisor::spawn(program, Arc::clone(&watchdog), log, config.patience)
        };
        let servers = programs.into_iter().map(launch).collect();
        let stack = Self { endpoints, tls, servers, watchdog, data_dir, _ports: ports };
        for server in &stack.servers {
            if let Err(error) = server.wait_ready().await {
                stack.stop().await;
                return Err(error);
            }
        }
        Ok(stack)
    }

    /// Where the servers answer. Stays the same over restarts of servers.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Where they speak TLS, if they do.
    pub fn tls_ports(&self) -> Option<TlsPorts> {
        self.tls
    }

    /// Where everything is stored, as an absolute path.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// One server; `None` for a Kafka node that this stack does not have.
    pub fn server(&self, kind: ServerKind) -> Option<&ServerHandle> {
        self.servers.iter().find(|server| server.kind() == kind)
    }

    /// All servers.
    pub fn servers(&self) -> &[ServerHandle] {
        &self.servers
    }

    /// Memory of each server process.
    ///
    /// # Errors
    /// If `ps` cannot be run.
    pub async fn memory(&self) -> Result<Vec<ServerMemory>, StackError> {
        let pid_of = |server: &ServerHandle| Some((server.kind().to_string(), server.status().pid?));
        let roots = self.servers.iter().filter_map(pid_of).collect();
        memory::of_trees(roots).await.map_err(StackError::io("run ps"))
    }

    /// Stops all servers in order, the registry last, each within 8 s times [`StackConfig::patience`].
    pub async fn stop(self) {
        let (last, first): (Vec<_>, Vec<_>) =
            self.servers.iter().partition(|server| server.kind() == ServerKind::Registry);
        for group in [first, last] {
            let mut stopping = JoinSet::new();
            for server in group {
                let server = server.clone();
                stopping.spawn(async move { server.stop().await });
            }
            while stopping.join_next().await.is_some() {}
        }
        let watchdog = Arc::clone(&self.watchdog);
        let _ = tokio::task::spawn_blocking(move || watchdog.finish()).await;
        tracing::info!("servers stopped");
    }
}

/// Ports and settings of all servers.
fn plan(
    config: &StackConfig,
    found: Binaries,
    data: &DataDir,
) -> Result<(Vec<Program>, Endpoints, Option<TlsPorts>, PortAllocator), StackError> {
    let Remembered { cluster_id, kafka_nodes, ports: known } = data.remembered();
    if kafka_nodes != 0 && kafka_nodes != config.kafka_nodes {
        let detail = format!(
            "{} was made for {kafka_nodes} nodes, expected {} (use another data dir)",
            data.path().display(),
            config.kafka_nodes
        );
        return Err(StackError::prepare(ServerKind::Kafka(1), detail));
    }
    let mut allocator = PortAllocator::default();
    let mut ports = std::collections::BTreeMap::new();
    let mut port = |name: String, server, wanted| {
        let port = allocator.port(server, wanted, known.get(&name).copied())?;
        ports.insert(name, port);
        Ok::<_, StackError>(port)
    };

    let tls = match &config.tls {
        None => None,
        Some(_) => {
            let mut port = |name: &str, server| port(name.to_owned(), server, None);
            Some(TlsPorts {
                kafka_ssl: port("kafka-ssl", ServerKind::Kafka(1))?,
                kafka_sasl_ssl: port("kafka-sasl-ssl", ServerKind::Kafka(1))?,
                redis: port("redis-tls", ServerKind::Redis)?,
            })
        }
    };
    let mut nodes = Vec::new();
    for id in 1..=config.kafka_nodes {
        let kind = ServerKind::Kafka(id);
        nodes.push(KafkaNode {
            id,
            java: found.java.clone(),
            jars: found.jars.clone(),
            heap_mib: config.kafka_heap_mib,
            cluster_id: cluster_id.clone(),
            dir: data.path().join("kafka").join(format!("node-{id}")),
            port: port(kind.to_string(), kind, config.ports.kafka_port.filter(|_| id == 1))?,
            controller_port: port(format!("{kind}-controller"), kind, None)?,
            proxy: match config.kafka_advertised.get(usize::from(id) - 1) {
                Some(advertised) => {
                    Some(Proxy { advertised: *advertised, internal: port(format!("{kind}-internal"), kind, None)? })
                }
                None => None,
            },
            tls: config.tls.clone().zip(tls).filter(|_| id == 1).map(|(config, ports)| KafkaTls { config, ports }),
            voters: String::new(),
            nodes: config.kafka_nodes,
            peers: Vec::new(),
            patience: config.patience,
            log_info: config.kafka_log_info.clone(),
            log: data.log_path(kind),
        });
    }
    let voters: Vec<String> =
        nodes.iter().map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller_port)).collect();
    let brokers: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let mut programs = Vec::new();
    let ports_of_all: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    for node in nodes {
        let peers = ports_of_all.iter().copied().filter(|port| *port != node.port).collect();
        programs.push(Program::Kafka(KafkaNode { voters: voters.join(","), peers, ..node }));
    }

    let postgres_port = port("postgres".to_owned(), ServerKind::Postgres, config.ports.postgres_port)?;
    programs.push(Program::Postgres(Postgres {
        binaries: found.postgres,
        dir: data.path().join("postgres"),
        port: postgres_port,
        log: data.log_path(ServerKind::Postgres),
        user: Postgres::user()?,
        durable: !config.ephemeral,
        tls: config.tls.clone(),
    }));
    let redis_port = port("redis".to_owned(), ServerKind::Redis, config.ports.redis_port)?;
    programs.push(Program::Redis(Redis {
        binary: found.redis,
        dir: data.path().join("redis"),
        port: redis_port,
        log: data.log_path(ServerKind::Redis),
        tls: config.tls.clone().zip(tls.map(|ports| ports.redis)),
    }));
    let registry_port = port("registry".to_owned(), ServerKind::Registry, config.ports.registry_port)?;
    programs.push(Program::Registry(RegistryServer::new(registry_port, data.path().join("registry.json"))));

    data.remember(&Remembered { cluster_id, kafka_nodes: config.kafka_nodes, ports })?;
    let endpoints = Endpoints {
        kafka_brokers: brokers.join(","),
        postgres_url: format!("postgres://{name}@127.0.0.1:{postgres_port}/{name}", name = postgres::NAME),
        redis_url: format!("redis://127.0.0.1:{redis_port}"),
        registry_url: format!("http://127.0.0.1:{registry_port}"),
    };
    Ok((programs, endpoints, tls, allocator))
}
