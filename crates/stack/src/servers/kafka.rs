//! Apache Kafka in KRaft mode: each node is broker and controller.

mod class_data;
pub(crate) mod dump;
pub(crate) mod probe;
mod versions;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use vigie_clock::{Clock, SystemClock};

use self::class_data::ClassData;
use crate::environment;
use crate::servers::java::sorted_entries;
use crate::servers::launch::LaunchSpec;
use crate::watchdog::Ending;
use crate::{IssuerConfig, ServerKind, StackError, TlsConfig, TlsPorts};

/// How long the others may take to replace a broker that was killed: its session (9 s by default), that of the active controller if it was
/// this broker, and as much again on a busy machine. Two of three that are killed at once are not replaced: then this is how long they wait.
const TAKE_OVER: Duration = Duration::from_secs(40);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A proxy that the broker sends its clients to. Brokers reach each other at a listener of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy {
    /// The proxy's port.
    pub(crate) advertised: u16,
    /// The port for other brokers.
    pub(crate) internal: u16,
}

/// Listeners of TLS.
#[derive(Clone, Debug)]
pub(crate) struct KafkaTls {
    pub(crate) config: TlsConfig,
    pub(crate) ports: TlsPorts,
}

impl KafkaTls {
    /// `keys` is a file that holds the broker's key and certificate.
    fn settings(&self, keys: &Path) -> String {
        let mut users = format!("user_{user}=\"{password}\"", user = self.config.user, password = self.config.password);
        for user in &self.config.restricted {
            users += &format!(" user_{user}=\"{}\"", self.config.password);
        }
        let (more, tokens) = self.config.issuer.as_ref().map(tokens).unwrap_or_default();
        let authorizer = if self.config.restricted.is_empty() { "" } else { AUTHORIZER };
        format!(
            "ssl.keystore.type=PEM\n\
             ssl.keystore.location={keys}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={authority}\n\
             listener.name.ssl.ssl.client.auth=required\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512{more}\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={JAAS}.plain.PlainLoginModule required {users};\n\
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={JAAS}.scram.ScramLoginModule required;\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={JAAS}.scram.ScramLoginModule required;\n{tokens}{authorizer}",
            keys = keys.display(),
            authority = self.config.authority.display(),
        )
    }
}

/// A further mechanism and its settings. A connection lasts as long as its token, or is
/// authenticated anew.
fn tokens(issuer: &IssuerConfig) -> (&'static str, String) {
    let IssuerConfig { jwks_url, audience } = issuer;
    let settings = format!(
        "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={JAAS}.oauthbearer.OAuthBearerLoginModule required;\n\
         listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class=\
         {JAAS}.oauthbearer.OAuthBearerValidatorCallbackHandler\n\
         listener.name.sasl_ssl.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={jwks_url}\n\
         listener.name.sasl_ssl.oauthbearer.sasl.oauthbearer.expected.audience={audience}\n\
         listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000\n"
    );
    (",OAUTHBEARER", settings)
}

const AUTHORIZER: &str =
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\nsuper.users=User:ANONYMOUS\n";
const JAAS: &str = "org.apache.kafka.common.security";

#[derive(Clone, Debug)]
pub(crate) struct KafkaNode {
    /// Node id, from 1.
    pub(crate) id: u8,
    pub(crate) java: PathBuf,
    /// Folder of jars.
    pub(crate) jars: PathBuf,
    pub(crate) heap_mib: u32,
    pub(crate) cluster_id: String,
    /// The node's folder.
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) controller_port: u16,
    /// Where clients are sent, if not to the broker itself.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) tls: Option<KafkaTls>,
    /// `id@host:port` of each controller.
    pub(crate) voters: String,
    /// Size of the cluster.
    pub(crate) nodes: u8,
    /// Ports of the other brokers.
    pub(crate) peers: Vec<u16>,
    /// See [`crate::StackConfig::patience`].
    pub(crate) patience: u32,
    /// Packages that log at INFO.
    pub(crate) log_info: Vec<String>,
    pub(crate) log: PathBuf,
}

impl KafkaNode {
    /// The folder of jars: the one given, else `KAFKA_HOME/libs`, else what `./dev` has fetched.
    pub(crate) fn find_jars(given: Option<&Path>) -> Result<PathBuf, StackError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folders = match (given, variable("KAFKA_HOME")) {
            (Some(given), _) => vec![given.to_owned()],
            (None, Some(home)) => vec![home.join("libs")],
            (None, None) => {
                let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
                let cache = variable("VIGIE_CACHE_DIR").or_else(|| cache.map(|cache| cache.join("vigie")));
                fetched(&cache.unwrap_or_default())
            }
        };
        if let Some(dir) = folders.iter().rev().find(|dir| has_kafka(dir)) {
            if let Some(version) = versions::of_jars(dir).filter(|version| versions::forgets_transactions(version)) {
                let expected = versions::pinned();
                tracing::warn!(version, expected, "this Kafka forgets where transactions must end (KAFKA-20734)");
            }
            return fs::canonicalize(dir).map_err(StackError::io(format!("read {}", dir.display())));
        }
        let searched = match folders.as_slice() {
            [] => "the cache".to_owned(),
            some => some.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" or "),
        };
        Err(StackError::NoKafka { searched })
    }

    /// Writes the settings, and formats the storage if it is new. A crash half-way leaves only a folder that the next start deletes.
    pub(crate) async fn prepare(&self) -> Result<(), StackError> {
        let failed = |error: std::io::Error| StackError::prepare(self.kind(), error);
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let data = self.dir.join("data");
        fs::write(self.dir.join("log4j2.properties"), self.logging()).map_err(failed)?;
        fs::write(self.settings_path(), self.settings(&data)).map_err(failed)?;
        if let Some(KafkaTls { config, .. }) = &self.tls {
            let read = |file| fs::read(file).map_err(failed);
            fs::write(self.keys_path(), [read(&config.key)?, read(&config.certificate)?].concat()).map_err(failed)?;
        }
        if data.join("meta.properties").is_file() {
            let version = versions::of_jars(&self.jars).unwrap_or_default();
            if versions::is_too_old_for(&version, &data) {
                let detail = format!(
                    "{} was made by Kafka 4.3 or later, which {version} does not read: use another data dir, or that Kafka",
                    data.display()
                );
                return Err(StackError::prepare(self.kind(), detail));
            }
            return Ok(());
        }
        let fresh = self.dir.join("data.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(failed)?;
        }
        let settings = self.dir.join("format.properties");
        fs::write(&settings, self.settings(&fresh)).map_err(failed)?;
        self.format(&settings).await?;
        fs::rename(&fresh, &data).map_err(failed)
    }

    pub(crate) fn launch_spec(&self) -> LaunchSpec {
        let mut args = self.java_options();
        args.extend(self.class_data().iter().flat_map(ClassData::options));
        args.extend([OsString::from("kafka.Kafka"), self.settings_path().into()]);
        LaunchSpec {
            program: self.java.clone(),
            args,
            current_dir: self.dir.clone(),
            user: None,
            log: self.log.clone(),
            ending: Ending::Kill,
        }
    }

    /// Waits until the other brokers have taken over from this one, which was killed. A broker that starts earlier takes itself for the leader
    /// of what it led, until it has registered again. As coordinator of transactions it then commits what only its own log says was to be
    /// committed, which its successor rolls back: the transaction is torn (docs/adr/0014-torn-transactions.md).
    ///
    /// Not waited for where nobody else is there to take over.
    pub(crate) async fn until_taken_over(&self) {
        let clock = SystemClock::default();
        let until = clock.monotonic() + TAKE_OVER * self.patience;
        while clock.monotonic() < until && self.is_named_by_a_peer().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn is_named_by_a_peer(&self) -> bool {
        for peer in &self.peers {
            let answer = tokio::time::timeout(LOOK_AGAIN, probe::live_brokers(*peer)).await;
            if answer.is_ok_and(|brokers| brokers.is_ok_and(|brokers| brokers.contains(&i32::from(self.id)))) {
                return true;
            }
        }
        false
    }

    /// Asks the broker for the cluster's metadata: it serves once it lists itself, which a fenced broker does not.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        let brokers = probe::live_brokers(self.port).await.map_err(|error| error.to_string())?;
        if brokers.contains(&i32::from(self.id)) {
            return Ok(());
        }
        Err(format!("it lists brokers {brokers:?}, expected {} among them", self.id))
    }

    fn kind(&self) -> ServerKind {
        ServerKind::Kafka(self.id)
    }

    fn settings_path(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn keys_path(&self) -> PathBuf {
        self.dir.join("keys.pem")
    }

    /// Quick start before peak speed: the C1 compiler alone and the serial collector start the broker in half the time.
    fn java_options(&self) -> Vec<OsString> {
        let mut classes = self.jars.join("*").into_os_string();
        classes.push("");
        let mut logging = OsString::from("-Dlog4j2.configurationFile=");
        logging.push(self.dir.join("log4j2.properties"));
        let heap = format!("-Xmx{}m", self.heap_mib);
        let fixed = ["-Xms64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true"];
        let mut options: Vec<OsString> = fixed.iter().map(OsString::from).collect();
        if let Some(issuer) = self.tls.as_ref().and_then(|tls| tls.config.issuer.as_ref()) {
            options.push(format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}", issuer.jwks_url).into());
        }
        options.extend([heap.into(), logging, "-cp".into(), classes]);
        options
    }

    fn settings(&self, data: &Path) -> String {
        let (replicas, in_sync) = if self.nodes == 1 { (1, 1) } else { (self.nodes, self.nodes - 1) };
        let (mut more, advertised, names) = match self.proxy {
            None => (String::new(), self.port, ""),
            Some(Proxy { advertised, internal }) => {
                (format!(",INTERNAL://127.0.0.1:{internal}"), advertised, "inter.broker.listener.name=INTERNAL\n")
            }
        };
        let tls = self.tls.as_ref().map(|tls| tls.settings(&self.keys_path())).unwrap_or_default();
        if let Some(KafkaTls { ports, .. }) = &self.tls {
            let (ssl, sasl_ssl) = (ports.kafka_ssl, ports.kafka_sasl_ssl);
            more += &format!(",SSL://127.0.0.1:{ssl},SASL_SSL://127.0.0.1:{sasl_ssl}");
        }
        format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port}{more},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}{more}\n\
             listener.security.protocol.map={PROTOCOLS}\n\
             {names}{tls}\
             log.dirs={data}\n\
             auto.create.topics.enable=false\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.num.partitions=4\n\
             offsets.topic.replication.factor={replicas}\n\
             offsets.retention.minutes={OFFSETS_RETENTION_MINUTES}\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={in_sync}\n\
             transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n\
             group.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1000\n\
             broker.heartbeat.interval.ms=500\n\
             log.cleaner.dedupe.buffer.size=33554432\n",
            id = self.id,
            voters = self.voters,
            port = self.port,
            controller_port = self.controller_port,
            data = data.display(),
        )
    }

    fn logging(&self) -> String {
        let at_info = |(number, package)| format!("logger.{number}.name={package}\nlogger.{number}.level=info\n");
        let more: String = self.log_info.iter().enumerate().map(at_info).collect();
        format!("{LOG4J}{more}")
    }

    fn class_data(&self) -> Option<ClassData> {
        ClassData::of(&self.java, &self.jars)
    }

    /// Formats the storage, and has the JVM write its classes down where that was not done before.
    async fn format(&self, settings: &Path) -> Result<(), StackError> {
        let data = self.class_data();
        if let Some(unfinished) = data.as_ref().and_then(ClassData::begin) {
            // A JVM that cannot write them may fail for that alone.
            if self.format_with(settings, unfinished.options()).await.is_ok() {
                unfinished.finish();
                return Ok(());
            }
        }
        self.format_with(settings, data.iter().flat_map(ClassData::options).collect()).await
    }

    async fn format_with(&self, settings: &Path, options: Vec<OsString>) -> Result<(), StackError> {
        let (mut command, mut users) = (Command::new(&self.java), Vec::new());
        command.env_clear().envs(environment::kept());
        command.args(self.java_options()).args(options).args(["kafka.tools.StorageTool", "format"]);
        command.args(["--ignore-formatted", "-t", &self.cluster_id, "-c"]);
        if let Some(KafkaTls { config: TlsConfig { user, password, .. }, .. }) = &self.tls {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let scram = format!("{mechanism}=[name={user},password={password}]");
                users.extend(["--add-scram".to_owned(), scram]);
            }
        }
        command.arg(settings).args(users).current_dir(&self.dir).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(|error| StackError::prepare(self.kind(), error))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        let detail = format!("formatting failed ({}): {}", output.status, String::from_utf8_lossy(&text).trim_end());
        Err(StackError::prepare(self.kind(), detail))
    }
}

fn has_kafka(dir: &Path) -> bool {
    versions::of_jars(dir).is_some()
}

/// The folders `kafka-VERSION-...` of a cache: by version, but last the one that is meant for this build.
fn fetched(cache: &Path) -> Vec<PathBuf> {
    let is_kafka = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kafka-"));
    let mut folders: Vec<PathBuf> = sorted_entries(cache).into_iter().filter(is_kafka).collect();
    folders.sort_by_key(|dir| versions::of_jars(dir).as_deref() == Some(versions::pinned()));
    folders
}

const PROTOCOLS: &str = "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL";

/// Ten years: who starts again after a holiday goes on where it stopped. Kafka's default is a week.
const OFFSETS_RETENTION_MINUTES: u32 = 5_256_000;

const LOG4J: &str = "\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_jars_say_how_to_get_them() {
        let dir = tempfile::tempdir().unwrap();
        let error = KafkaNode::find_jars(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("expected kafka_2.13-*.jar: run ./dev"), "{error}");
    }

    #[test]
    fn of_a_cache_the_pinned_version_is_taken_even_if_a_later_one_is_there() {
        let cache = tempfile::tempdir().unwrap();
        for version in ["3.9.0", versions::pinned(), "9.0.0"] {
            let dir = cache.path().join(format!("kafka-{version}-0123"));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join(format!("kafka_2.13-{version}.jar")), "").unwrap();
        }
        let last = fetched(cache.path()).pop().unwrap();
        assert!(last.ends_with(format!("kafka-{}-0123", versions::pinned())), "{}", last.display());
    }
}
