//! A service as a process of its own, with its log, its probes and its memory.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::ChaosError;
use crate::wire::http;

/// Lines of a log that an error shows.
const TAIL: usize = 15;

/// How to start a service.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Unique among the services of a run.
    pub(crate) name: String,
    /// Subcommand and options.
    pub(crate) args: Vec<String>,
    /// Its own environment, beside what all services get.
    pub(crate) env: Vec<(String, String)>,
    /// The variable of the address with `/readyz` and `/metrics`.
    pub(crate) listen: &'static str,
}

pub(crate) struct Service {
    pub(crate) spec: Spec,
    program: PathBuf,
    env: Vec<(String, String)>,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
    child: Option<Child>,
    /// Bytes, the most that was ever seen.
    pub(crate) peak_memory: u64,
    pub(crate) starts: u32,
}

impl Service {
    /// Does not start it yet.
    pub(crate) fn new(spec: Spec, program: &Path, env: &[(String, String)], logs: &Path) -> Result<Self, ChaosError> {
        let log = logs.join(format!("{}.log", spec.name));
        let (program, port) = (program.to_owned(), free_port()?);
        Ok(Self { spec, program, env: env.to_vec(), port, log, child: None, peak_memory: 0, starts: 0 })
    }

    /// Starts it, with `extra` in its environment.
    pub(crate) fn start(&mut self, extra: &[(&str, &str)]) -> Result<(), ChaosError> {
        let failed = |source| ChaosError::Io { action: format!("start {}", self.spec.name), source };
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed)?;
        let _ = writeln!(log, "--- start {} {extra:?}", self.starts + 1);
        let mut command = command(&self.program, &self.spec.args, &self.env);
        command.envs(self.spec.env.iter().map(|(name, value)| (name, value)));
        command.env(self.spec.listen, format!("127.0.0.1:{}", self.port)).envs(extra.iter().copied());
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().map_err(failed)?);
        self.starts += 1;
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal; no effect if it does not run.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// How it ended; `None` while it runs, or if it was never started.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.as_mut()?.try_wait().ok().flatten();
        if ended.is_some() {
            self.child = None;
        }
        ended
    }

    pub(crate) async fn is_ready(&self) -> bool {
        self.child.is_some() && http::get(self.port, "/readyz").await.is_some()
    }

    /// The sum of a metric's samples with these labels; `None` if it says nothing of it now.
    pub(crate) async fn metric(&self, metric: &str, labels: &[&str]) -> Option<f64> {
        self.child.as_ref()?;
        http::sum(&http::get(self.port, "/metrics").await?, metric, labels)
    }

    /// Whether it is stopped by SIGSTOP.
    pub(crate) fn is_stopped(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
        state.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().starts_with('T'))
    }

    /// The log from byte `from` on.
    pub(crate) fn log_from(&self, from: u64) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or(0).min(text.len());
        String::from_utf8_lossy(&text[from..]).into_owned()
    }

    pub(crate) fn log_length(&self) -> u64 {
        File::open(&self.log).and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len())
    }

    pub(crate) fn died(&self, status: ExitStatus) -> ChaosError {
        let text = self.log_from(0);
        let lines: Vec<&str> = text.lines().collect();
        let log = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        ChaosError::Died { service: self.spec.name.clone(), status: status.to_string(), log }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A command of the program under test that sees nothing of the harness's own settings.
pub(crate) fn command(program: &Path, args: &[String], env: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VIGIE_")) {
        command.env_remove(name);
    }
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
}

/// Whether a signal ended it, and which.
pub(crate) fn signal_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// A free port, below the range from which the kernel takes those of outgoing connections, for it is bound only later, and again and
/// again; and below the range of the stack's servers. None is given twice.
fn free_port() -> Result<u16, ChaosError> {
    const FIRST: u32 = 5_000;
    const COUNT: u32 = 10_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Runs beside each other begin at different ports.
    let begin = std::process::id().wrapping_mul(37);
    for _ in 0..COUNT {
        let step = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + step % COUNT).unwrap_or_default();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ChaosError::Other(format!("no port from {FIRST} on is free")))
}
