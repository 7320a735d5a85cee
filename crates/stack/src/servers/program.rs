//! What the supervisor supervises: how each server is prepared, launched, asked and asked to stop.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::data_dir::open_log;
use crate::environment;
use crate::servers::kafka::KafkaNode;
use crate::servers::launch::LaunchSpec;
use crate::servers::postgres::Postgres;
use crate::servers::redis::Redis;
use crate::servers::registry::{RegistryServer, Serving};
use crate::watchdog::Watchdog;
use crate::{ServerKind, StackError};

/// A server that can be run again and again.
#[derive(Debug)]
pub(crate) enum Program {
    Kafka(KafkaNode),
    Postgres(Postgres),
    Redis(Redis),
    Registry(RegistryServer),
}

/// A server that has been launched.
#[derive(Debug)]
pub(crate) enum Running {
    Process { child: Child, pid: u32, watchdog: Arc<Watchdog> },
    Registry(Serving),
}

impl Program {
    pub(crate) fn kind(&self) -> ServerKind {
        match self {
            Self::Kafka(node) => ServerKind::Kafka(node.id),
            Self::Postgres(_) => ServerKind::Postgres,
            Self::Redis(_) => ServerKind::Redis,
            Self::Registry(_) => ServerKind::Registry,
        }
    }

    /// Puts the files in place that the server needs; repeated before every launch.
    pub(crate) async fn prepare(&self) -> Result<(), StackError> {
        match self {
            Self::Kafka(node) => node.prepare().await,
            Self::Postgres(postgres) => postgres.prepare().await,
            Self::Redis(redis) => redis.prepare(),
            Self::Registry(_) => Ok(()),
        }
    }

    /// Waits until the server may be launched again after it ended on its own.
    pub(crate) async fn until_replaceable(&self) {
        if let Self::Kafka(node) = self {
            node.until_taken_over().await;
        }
    }

    pub(crate) async fn launch(&self, watchdog: &Arc<Watchdog>) -> Result<Running, StackError> {
        let spec = match self {
            Self::Kafka(node) => node.launch_spec(),
            Self::Postgres(postgres) => postgres.launch_spec(),
            Self::Redis(redis) => redis.launch_spec(),
            Self::Registry(registry) => return registry.launch().await.map(Running::Registry),
        };
        spawn(&spec, watchdog).await.map_err(StackError::io(format!("start {}", spec.program.display())))
    }

    /// Asks the server whether it serves.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        match self {
            Self::Kafka(node) => node.probe().await,
            Self::Postgres(postgres) => postgres.probe().await,
            Self::Redis(redis) => redis.probe().await,
            Self::Registry(registry) => registry.probe().await,
        }
    }

    pub(crate) fn start_timeout(&self) -> Duration {
        match self {
            Self::Kafka(_) => Duration::from_secs(120),
            _ => Duration::from_secs(60),
        }
    }

    /// The signal of an orderly and quick stop.
    fn stop_signal(&self) -> Signal {
        match self {
            Self::Postgres(_) => Signal::SIGINT,
            _ => Signal::SIGTERM,
        }
    }

    /// Stops the server in order; one that takes longer than 8 s times `patience` is killed.
    pub(crate) async fn terminate(&self, running: &mut Running, patience: u32) {
        const GRACE: Duration = Duration::from_secs(8);
        match running {
            Running::Registry(serving) => serving.stop(),
            Running::Process { pid, .. } => {
                signal(*pid, self.stop_signal());
                signal(*pid, Signal::SIGCONT);
            }
        }
        if tokio::time::timeout(GRACE * patience, running.wait()).await.is_err() {
            tracing::warn!(server = %self.kind(), patience, "server did not stop in time, killing it");
            running.kill().await;
        }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process { pid, .. } => Some(*pid),
            Self::Registry(_) => None,
        }
    }

    /// Waits for the end and says how it came.
    pub(crate) async fn wait(&mut self) -> String {
        match self {
            Self::Process { child, pid, watchdog } => {
                let status = child.wait().await;
                watchdog.forget(*pid);
                status.map_or_else(|error| error.to_string(), |status| status.to_string())
            }
            Self::Registry(serving) => serving.wait().await,
        }
    }

    pub(crate) async fn kill(&mut self) {
        match self {
            Self::Process { pid, .. } => signal(*pid, Signal::SIGKILL),
            Self::Registry(serving) => serving.kill(),
        }
        self.wait().await;
    }
}

/// Sends a signal; a process that is gone does not mind.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Starts a process in its own process group, so that Ctrl-C in the terminal reaches only the parent, which then stops it in order.
async fn spawn(spec: &LaunchSpec, watchdog: &Arc<Watchdog>) -> std::io::Result<Running> {
    let log = open_log(&spec.log)?;
    let mut command = Command::new("/bin/sh");
    // See `watchdog`: wait for the go, then become the server.
    command.args(["-c", r#"read -r go && exec "$@" </dev/null"#, "vigie-launch"]).arg(&spec.program).args(&spec.args);
    command.env_clear().envs(environment::kept()).env("LC_ALL", "C");
    command.current_dir(&spec.current_dir).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    if let Some((uid, gid)) = spec.user {
        command.uid(uid).gid(gid);
    }
    let mut child = command.spawn()?;
    let (Some(pid), Some(mut stdin)) = (child.id(), child.stdin.take()) else {
        return Err(std::io::Error::other("the process ended at once"));
    };
    watchdog.watch(pid, spec.ending)?;
    stdin.write_all(b"go\n").await?;
    Ok(Running::Process { child, pid, watchdog: Arc::clone(watchdog) })
}
