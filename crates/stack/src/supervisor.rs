//! Keeps one server running.
//!
//! ```text
//!   Starting ──▶ Ready ◀──▶ Paused
//!      │  ▲        │ exits
//!      │  │        ▼
//!      │  └── Restarting (after 0.1 s, doubling to 10 s; back to 0.1 s once it has run for a minute)
//!      ▼                                         Stopped: on request, until started again
//!   Failed: the first start did not succeed
//! ```

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use vigie_clock::{Clock, SystemClock};

use crate::data_dir::log_tail;
use crate::servers::program::{Program, Running, signal};
use crate::watchdog::Watchdog;
use crate::{ServerKind, StackError};

const PROBE_INTERVAL: Duration = Duration::from_millis(40);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a server is doing. See the module's diagram in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Launched, and does not answer yet.
    Starting,
    /// Answers.
    Ready,
    /// Held by [`ServerHandle::pause`].
    Paused,
    /// Ended without having been asked to; about to be launched again.
    Restarting(String),
    /// Ended on request.
    Stopped,
    /// Never came up; given up.
    Failed(String),
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Its process; the registry has none of its own.
    pub pid: Option<u32>,
    /// How often it was started again after it had ended by itself.
    pub restarts: u32,
}

/// A server of a running stack. Clones handle the same server.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    kind: ServerKind,
    status: Arc<watch::Sender<Status>>,
    commands: mpsc::Sender<Command>,
    /// Holds the registry's answers back; processes are held by SIGSTOP.
    gate: Option<Arc<watch::Sender<bool>>>,
}

#[derive(Debug)]
enum Command {
    Kill,
    Stop(oneshot::Sender<()>),
    Start,
}

impl ServerHandle {
    /// Which server this is.
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// How it is now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows how it is.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Kills it as a crash would (SIGKILL). It is started again after a moment: see [`Self::wait_ready`].
    pub fn kill(&self) {
        let killed = self.status.send_if_modified(|status| {
            let runs = !matches!(status.phase, Phase::Stopped | Phase::Failed(_));
            if runs {
                // Here and not when it has ended, so that `wait_ready` right after this does not see the killed server's.
                status.phase = Phase::Restarting("killed on request".to_owned());
            }
            runs
        });
        match self.status().pid {
            _ if !killed => {}
            Some(pid) => signal(pid, Signal::SIGKILL),
            None => drop(self.commands.try_send(Command::Kill)),
        }
    }

    /// Freezes it, as a long pause of a garbage collector or of the machine would (SIGSTOP): connections stay open, no answer comes.
    pub fn pause(&self) {
        match (&self.gate, self.status().pid) {
            (Some(gate), _) => drop(gate.send_replace(true)),
            (None, Some(pid)) => signal(pid, Signal::SIGSTOP),
            (None, None) => return,
        }
        self.status.send_if_modified(|status| swap(&mut status.phase, &Phase::Ready, Phase::Paused));
    }

    /// Ends a [`Self::pause`].
    pub fn resume(&self) {
        match (&self.gate, self.status().pid) {
            (Some(gate), _) => drop(gate.send_replace(false)),
            (None, Some(pid)) => signal(pid, Signal::SIGCONT),
            (None, None) => return,
        }
        self.status.send_if_modified(|status| swap(&mut status.phase, &Phase::Paused, Phase::Ready));
    }

    /// Stops it in order, until [`Self::start`].
    ///
    /// # Errors
    /// [`StackError::Stopped`] if the whole stack has been stopped.
    pub async fn stop(&self) -> Result<(), StackError> {
        let (done, stopped) = oneshot::channel();
        self.send(Command::Stop(done)).await?;
        stopped.await.map_err(|_| StackError::Stopped(self.kind))
    }

    /// Starts it after a [`Self::stop`] and waits until it answers.
    ///
    /// # Errors
    /// As [`Self::wait_ready`].
    pub async fn start(&self) -> Result<(), StackError> {
        self.send(Command::Start).await?;
        self.wait_for(|phase| matches!(phase, Phase::Ready)).await
    }

    /// Stops it in order, starts it again, and waits until it answers.
    ///
    /// # Errors
    /// As [`Self::wait_ready`].
    pub async fn restart(&self) -> Result<(), StackError> {
        self.stop().await?;
        self.start().await
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// [`StackError::NotStarted`] if its first start failed, [`StackError::Stopped`] if it was stopped.
    pub async fn wait_ready(&self) -> Result<(), StackError> {
        self.wait_for(|phase| matches!(phase, Phase::Ready | Phase::Stopped)).await
    }

    async fn wait_for(&self, wanted: impl Fn(&Phase) -> bool) -> Result<(), StackError> {
        let mut status = self.status.subscribe();
        let reached = status.wait_for(|status| wanted(&status.phase) || matches!(status.phase, Phase::Failed(_))).await;
        match reached.map(|status| status.phase.clone()) {
            Ok(Phase::Failed(detail)) => Err(StackError::NotStarted { server: self.kind, detail }),
            Ok(Phase::Stopped) | Err(_) => Err(StackError::Stopped(self.kind)),
            Ok(_) => Ok(()),
        }
    }

    async fn send(&self, command: Command) -> Result<(), StackError> {
        self.commands.send(command).await.map_err(|_| StackError::Stopped(self.kind))
    }
}

fn swap(phase: &mut Phase, from: &Phase, to: Phase) -> bool {
    let swapped = phase == from;
    if swapped {
        *phase = to;
    }
    swapped
}

/// How one run of the server ended.
enum End {
    Exited(String),
    Stopped,
}

pub(crate) struct Supervisor {
    program: Program,
    watchdog: Arc<Watchdog>,
    log: std::path::PathBuf,
    patience: u32,
    status: Arc<watch::Sender<Status>>,
    commands: mpsc::Receiver<Command>,
    clock: SystemClock,
}

impl Supervisor {
    /// Starts the server, and keeps it running until asked to stop or until all handles are gone.
    pub(crate) fn spawn(
        program: Program,
        watchdog: Arc<Watchdog>,
        log: std::path::PathBuf,
        patience: u32,
    ) -> ServerHandle {
        let kind = program.kind();
        let gate = match &program {
            Program::Registry(registry) => Some(registry.gate()),
            _ => None,
        };
        let status = Arc::new(watch::Sender::new(Status { phase: Phase::Starting, pid: None, restarts: 0 }));
        let (sender, commands) = mpsc::channel(8);
        let handle = ServerHandle { kind, status: Arc::clone(&status), commands: sender, gate };
        let supervisor = Self { program, watchdog, log, patience, status, commands, clock: SystemClock::default() };
        tokio::spawn(supervisor.run());
        handle
    }

    async fn run(mut self) {
        let server = self.program.kind();
        let mut backoff = Backoff::default();
        let mut was_ready = false;
        loop {
            let started = self.clock.monotonic();
            let end = self.run_once(&mut was_ready).await;
            match end {
                End::Stopped => {
                    if !self.started_again().await {
                        return;
                    }
                }
                End::Exited(why) if !was_ready => {
                    self.set(Phase::Failed(why), None);
                    return;
                }
                End::Exited(why) => {
                    let delay = backoff.after(self.clock.monotonic().saturating_sub(started));
                    tracing::warn!(%server, why, delay_ms = delay.as_millis(), "server ended, starting it again");
                    self.set(Phase::Restarting(why), None);
                    self.status.send_modify(|status| status.restarts += 1);
                    if !self.waited(delay).await {
                        return;
                    }
                }
            }
        }
    }

    /// Launches the server and stays with it until it ends.
    async fn run_once(&mut self, was_ready: &mut bool) -> End {
        if let Err(error) = self.program.prepare().await {
            return End::Exited(error.to_string());
        }
        let mut running = match self.program.launch(&self.watchdog).await {
            Ok(running) => running,
            Err(error) => return End::Exited(error.to_string()),
        };
        self.set(Phase::Starting, running.pid());
        let mut answers = std::pin::pin!(until_ready(&self.program, self.patience, self.clock));
        let mut ready = false;
        loop {
            tokio::select! {
                how = running.wait() => {
                    let tail = if ready { String::new() } else { format!("; {}", log_tail(&self.log)) };
                    return End::Exited(format!("it ended ({how}){tail}"));
                }
                answer = &mut answers, if !ready => match answer {
                    Ok(()) => {
                        (ready, *was_ready) = (true, true);
                        self.set(Phase::Ready, running.pid());
                    }
                    Err(detail) => {
                        running.kill().await;
                        return End::Exited(format!("{detail}; {}", log_tail(&self.log)));
                    }
                },
                command = self.commands.recv() => match command {
                    Some(Command::Start) => {}
                    Some(Command::Kill) => running.kill().await,
                    Some(Command::Stop(done)) => {
                        self.program.terminate(&mut running, self.patience).await;
                        self.set(Phase::Stopped, None);
                        let _ = done.send(());
                        return End::Stopped;
                    }
                    None => return self.abandon(&mut running).await,
                },
            }
        }
    }

    /// All handles are gone, so nobody can stop the server any more.
    async fn abandon(&self, running: &mut Running) -> End {
        running.kill().await;
        End::Stopped
    }

    /// Waits for a start; false if none can come.
    async fn started_again(&mut self) -> bool {
        loop {
            match self.commands.recv().await {
                Some(Command::Start) => return true,
                Some(Command::Stop(done)) => drop(done.send(())),
                Some(Command::Kill) => {}
                None => return false,
            }
        }
    }

    /// Waits before a restart; false if the supervision is over.
    async fn waited(&mut self, delay: Duration) -> bool {
        let pause = async {
            tokio::time::sleep(delay).await;
            self.program.until_replaceable().await;
        };
        tokio::select! {
            () = pause => true,
            command = self.commands.recv() => match command {
                Some(Command::Start | Command::Kill) => true,
                Some(Command::Stop(done)) => {
                    self.set(Phase::Stopped, None);
                    let _ = done.send(());
                    self.started_again().await
                }
                None => false,
            },
        }
    }

    fn set(&self, phase: Phase, pid: Option<u32>) {
        self.status.send_modify(|status| {
            status.phase = phase;
            status.pid = pid;
        });
    }
}

/// Asks the server again and again until it answers that it serves, or until it has had long enough.
async fn until_ready(program: &Program, patience: u32, clock: SystemClock) -> Result<(), String> {
    let (started, most) = (clock.monotonic(), program.start_timeout() * patience);
    loop {
        let detail = match tokio::time::timeout(PROBE_TIMEOUT, program.probe()).await {
            Ok(Ok(())) => {
                let took_ms = clock.monotonic().saturating_sub(started).as_millis();
                tracing::info!(server = %program.kind(), took_ms, "server ready");
                return Ok(());
            }
            Ok(Err(detail)) => detail,
            Err(_) => format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
        };
        if clock.monotonic().saturating_sub(started) > most {
            return Err(format!("not ready within {} s: {detail}", most.as_secs()));
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

/// Delays between restarts.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after a run that lasted `uptime`.
    fn after(&mut self, uptime: Duration) -> Duration {
        const FIRST: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(10);
        if uptime > Duration::from_secs(60) {
            self.failures = 0;
        }
        let delay = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures += 1;
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_ten_seconds_and_forgets_after_a_minute() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = (0..9).map(|_| backoff.after(Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(backoff.after(Duration::from_secs(61)).as_millis(), 100);
    }
}
