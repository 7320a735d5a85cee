//! Everything that a fault can reach: the servers, the services, and the posts on their way.

pub(crate) mod busy;
pub(crate) mod drain;
pub(crate) mod fleet;
pub(crate) mod proxy;
pub(crate) mod service;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::{Codec, RegistryConfig};
use vigie_stack::testing::Coordinated;
use vigie_stack::{Endpoints, ServerHandle, ServerKind, Stack};

use self::busy::Patience;
use self::fleet::{Fleet, run_job};
use self::proxy::Proxies;
use crate::error::ChaosError;
use crate::evidence::PROGRAM;
use crate::fault::FaultKind;
use crate::options::Options;
use crate::posts::feed::Feed;
use crate::posts::feeder::Writer;
use crate::posts::{GRACE_HOURS, MINUTE, SPAN};

/// The variable that names the folder for a processor's local state.
pub(crate) const STATE_DIR: &str = "VIGIE_STATE_DIR";
/// The variable that names the file by which a service's clock is stepped.
const CLOCK_STEP_FILE: &str = "VIGIE_CLOCK_STEP_FILE";

/// Entries of the feed that the producer reads.
const ENTRIES: usize = 300;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Who is the coordinator, from when, and how a transaction ends: the brokers' packages that log it.
const COORDINATOR_LOGS: [&str; 2] = ["kafka.coordinator.transaction", "org.apache.kafka.coordinator.transaction"];

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) stack: Stack,
    pub(crate) proxies: Proxies,
    pub(crate) fleet: Fleet,
    pub(crate) writer: Writer,
    pub(crate) codec: Codec,
    pub(crate) kafka: KafkaConfig,
    pub(crate) feed: Feed,
    pub(crate) rng: StdRng,
    pub(crate) clock: SystemClock,
    /// Where the event time of counted posts begins.
    pub(crate) from: Timestamp,
    pub(crate) program: PathBuf,
    /// All that the run writes lies in it.
    pub(crate) dir: PathBuf,
}

impl World {
    /// Starts servers and services, all that they write in `dir`. The services are not ready yet.
    pub(crate) async fn start(
        options: Options,
        dir: &Path,
        patience: Patience,
        clock: SystemClock,
    ) -> Result<Self, ChaosError> {
        let logs = options.logs.clone().unwrap_or_else(|| dir.join("logs"));
        for folder in [&logs, &dir.join("clock")] {
            std::fs::create_dir_all(folder).map_err(ChaosError::io(format!("make {}", folder.display())))?;
        }
        let program = program(&options, dir)?;
        let mut proxies = Proxies::bind(options.kafka_nodes).await?;
        let config = vigie_stack::StackConfig {
            kafka_advertised: proxies.ports(),
            kafka_nodes: options.kafka_nodes,
            kafka_log_info: COORDINATOR_LOGS.map(str::to_owned).to_vec(),
            patience: patience.factor,
            leave_data: true,
            ..vigie_stack::testing::own(&dir.join("servers"))
        };
        let stack = Stack::start(config).await?;
        proxies.serve(&stack.endpoints().kafka_brokers);
        let now = clock.now().as_millis() / (5 * MINUTE) * (5 * MINUTE);
        let from = Timestamp::from_millis(now - SPAN - GRACE_HOURS * 60 * MINUTE - 20 * MINUTE);
        let feed = Feed::serve(options.seed, from, ENTRIES).await?;
        let sources = dir.join("sources.toml");
        std::fs::write(&sources, feed.sources()).map_err(ChaosError::io("write sources.toml"))?;

        let env = environment(stack.endpoints(), &options, &sources, dir);
        let replicas = options.kafka_nodes;
        run_job(&program, &format!("topics apply --kafka-replication-factor {replicas}"), &env)?;
        run_job(&program, "schemas register", &env)?;
        run_job(&program, "migrate", &env)?;
        let mut fleet = Fleet::new(&program, &env, &logs, patience.long())?;
        if options.sabotage {
            for service in fleet.services.iter_mut().filter(|service| service.spec.name.starts_with("trends")) {
                service.spec.env.push(("VIGIE_FAILPOINTS".to_owned(), "sabotage".to_owned()));
                // Every commit has outputs to leave out.
                service.spec.env.push(("VIGIE_EMIT_INTERVAL".to_owned(), "0s".to_owned()));
            }
        }
        for service in &mut fleet.services {
            let folder = dir.join("state").join(&service.spec.name);
            service.spec.env.push((STATE_DIR.to_owned(), folder.display().to_string()));
            let step = dir.join("clock").join(&service.spec.name);
            service.spec.env.push((CLOCK_STEP_FILE.to_owned(), step.display().to_string()));
            // By this the proxies distinguish them.
            service.spec.env.push(("VIGIE_KAFKA_CLIENT_ID".to_owned(), service.spec.name.clone()));
        }
        fleet.start_all()?;

        let kafka = KafkaConfig::new(&stack.endpoints().kafka_brokers, "");
        let registry = RegistryConfig::at(stack.endpoints().registry_url.clone());
        let codec = Codec::connect(&registry, "").await?;
        let writer = Writer::new(&kafka, codec.clone(), patience.long());
        let rng = StdRng::seed_from_u64(options.seed);
        let dir = dir.to_owned();
        Ok(Self { options, stack, proxies, fleet, writer, codec, kafka, feed, rng, clock, from, program, dir })
    }

    pub(crate) fn server(&self, kind: ServerKind) -> Result<&ServerHandle, ChaosError> {
        self.stack.server(kind).ok_or_else(|| ChaosError::Other(format!("there is no server {kind}")))
    }

    /// The broker that coordinates a consumer group or a transactional id.
    pub(crate) async fn coordinator(&self, name: &str, kind: Coordinated) -> Result<&ServerHandle, ChaosError> {
        let brokers = &self.stack.endpoints().kafka_brokers;
        let asked = vigie_stack::testing::coordinator(brokers, name, kind).await;
        let node = asked.map_err(ChaosError::io(format!("find the coordinator of {name}")))?;
        self.server(ServerKind::Kafka(node))
    }

    /// Kills a server as a crash would, and waits until it is back.
    pub(crate) async fn kill_server(&self, kind: ServerKind) -> Result<String, ChaosError> {
        let server = self.server(kind)?;
        let before = server.status();
        server.kill();
        self.back(server).await?;
        let after = server.status();
        if after.pid == before.pid && after.pid.is_some() {
            return Err(ChaosError::DidNotFire(format!("{kind} is still process {:?}", before.pid)));
        }
        Ok(format!("{kind} (process {}) was replaced by {}", text(before.pid), text(after.pid)))
    }

    /// Waits until a server answers.
    pub(crate) async fn back(&self, server: &ServerHandle) -> Result<(), ChaosError> {
        let patience = self.fleet.patience;
        let waited = tokio::time::timeout(patience, server.wait_ready()).await;
        let late = |_| ChaosError::TooLong { what: format!("{} answers again", server.kind()), patience };
        waited.map_err(late)?.map_err(ChaosError::from)
    }

    /// Lets `time` pass, with posts going on.
    pub(crate) async fn pass(&mut self, time: Duration) -> Result<(), ChaosError> {
        let until = self.clock.monotonic() + time;
        while self.clock.monotonic() < until {
            self.fleet.weigh().await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Whether the program has an option.
    pub(crate) fn has_option(&self, command: &str, option: &str) -> Result<bool, ChaosError> {
        let words: Vec<String> = command.split(' ').chain(["--help"]).map(str::to_owned).collect();
        let output = service::command(&self.program, &words, &[]).output();
        let output = output.map_err(ChaosError::io(format!("run vigie {command} --help")))?;
        Ok(String::from_utf8_lossy(&output.stdout).contains(option))
    }

    /// Where a service keeps its local state, if it keeps any.
    pub(crate) fn state_dir(&self, name: &str) -> PathBuf {
        self.dir.join("state").join(name)
    }

    /// By how much a service's wall clock is wrong.
    pub(crate) fn clock_file(&self, name: &str) -> PathBuf {
        self.dir.join("clock").join(name)
    }

    /// The faults that were asked for.
    pub(crate) fn wanted(&self) -> Vec<FaultKind> {
        match self.options.faults.as_slice() {
            [] => FaultKind::all(),
            some => some.to_vec(),
        }
    }
}

fn text(pid: Option<u32>) -> String {
    pid.map_or_else(|| "none".to_owned(), |pid| pid.to_string())
}

/// The program under test, under a name of the run's own: a build beside the run must not change what is started next.
fn program(options: &Options, dir: &Path) -> Result<PathBuf, ChaosError> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("vigie"));
    let program = options.vigie.clone().or_else(beside).filter(|path| path.is_file());
    let program = program
        .ok_or_else(|| ChaosError::Other("no program vigie beside this one, expected one or --vigie".to_owned()))?;
    let own = dir.join(PROGRAM);
    let linked = std::fs::hard_link(&program, &own).or_else(|_| std::fs::copy(&program, &own).map(drop));
    linked.map_err(ChaosError::io(format!("take {}", program.display())))?;
    Ok(own)
}

fn environment(servers: &Endpoints, options: &Options, sources: &Path, dir: &Path) -> Vec<(String, String)> {
    let absolute = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let mut env = vec![
        ("VIGIE_KAFKA_BROKERS", servers.kafka_brokers.clone()),
        ("VIGIE_SCHEMA_REGISTRY_URL", servers.registry_url.clone()),
        ("VIGIE_POSTGRES_URL", servers.postgres_url.clone()),
        ("VIGIE_REDIS_URL", servers.redis_url.clone()),
        ("VIGIE_AUTHOR_KEY", "the key of the chaos run".to_owned()),
        ("VIGIE_AUTHOR_KEYRING", format!("1 {}", "01".repeat(32))),
        ("VIGIE_MODEL", absolute(&options.model.dir)),
        ("VIGIE_SOURCES", sources.display().to_string()),
        // Nobody's endpoints but these.
        ("VIGIE_DATA_DIR", dir.join("none").display().to_string()),
        ("VIGIE_GRACE", format!("{GRACE_HOURS}h")),
        ("VIGIE_API_RATE", "0".to_owned()),
        ("VIGIE_LOG_FORMAT", "json".to_owned()),
        ("VIGIE_STATE_BACKEND", options.state_backend.clone()),
    ];
    // Replays are measured: they run as by default.
    if options.replay.is_none() {
        env.push(("VIGIE_COMMIT_INTERVAL", "100ms".to_owned()));
        // Several commits, so that faults fall between a change and its emission.
        env.push(("VIGIE_EMIT_INTERVAL", "1s".to_owned()));
        env.push(("VIGIE_TRANSACTION_TIMEOUT", "5s".to_owned()));
    }
    if let Some(library) = &options.model.library {
        env.push(("ORT_DYLIB_PATH", absolute(library)));
    }
    if options.spread_market {
        env.push(("VIGIE_SPREAD_MARKET_FROM", "1970-01-01T00:00:00Z".to_owned()));
    }
    env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
