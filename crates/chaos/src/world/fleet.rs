//! The services of a run.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;
use vigie_clock::{Clock, SystemClock};

use crate::error::ChaosError;
use crate::wire::http;
use crate::world::service::{Service, Spec, command, signal_of};

const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A needed server was away at the start: a supervisor starts the service again, and so does the harness.
const UNAVAILABLE: i32 = 69;

pub(crate) struct Fleet {
    pub(crate) services: Vec<Service>,
    program: PathBuf,
    env: Vec<(String, String)>,
    logs: PathBuf,
    clock: SystemClock,
    /// How long anything may take that must come.
    pub(crate) patience: Duration,
    /// How often a service ended with 69 and was started again.
    pub(crate) unavailable: u32,
}

impl Fleet {
    /// All services of the pipeline, two instances of each processor. None is started.
    pub(crate) fn new(
        program: &Path,
        env: &[(String, String)],
        logs: &Path,
        patience: Duration,
    ) -> Result<Self, ChaosError> {
        let mut services = Vec::new();
        let mut add = |name: &str, args: &str, env_of: &[(&str, &str)]| {
            let spec = Spec {
                name: name.to_owned(),
                args: args.split(' ').map(str::to_owned).collect(),
                env: env_of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                listen: if args == "api" { "VIGIE_API_LISTEN" } else { "VIGIE_OPS_LISTEN" },
            };
            services.push(Service::new(spec, program, env, logs)?);
            Ok::<_, ChaosError>(())
        };
        // One instance has a name that it keeps, one has a new name at each start: dead transactions end in two ways.
        add("sentiment-a", "process sentiment", &[("VIGIE_INSTANCE_ID", "a")])?;
        add("sentiment-b", "process sentiment", &[])?;
        add("trends-a", "process trends", &[("VIGIE_INSTANCE_ID", "a")])?;
        add("trends-b", "process trends", &[])?;
        add("sink-postgres", "sink postgres", &[])?;
        add("sink-redis", "sink redis", &[])?;
        add("api", "api", &[])?;
        add("produce", "produce", &[])?;
        let (program, env, logs) = (program.to_owned(), env.to_vec(), logs.to_owned());
        Ok(Self { services, program, env, logs, clock: SystemClock::default(), patience, unavailable: 0 })
    }

    /// A service beside the others, which ends when it is dropped.
    pub(crate) fn extra(&self, name: &str, args: &str) -> Result<Service, ChaosError> {
        let args = args.split_whitespace().map(str::to_owned).collect();
        let spec = Spec { name: name.to_owned(), args, env: Vec::new(), listen: "VIGIE_OPS_LISTEN" };
        Service::new(spec, &self.program, &self.env, &self.logs)
    }

    /// Runs a command of the program to its end, beside everything else. What it says.
    pub(crate) async fn job(&self, args: &str) -> Result<String, ChaosError> {
        let (program, args, env) = (self.program.clone(), args.to_owned(), self.env.clone());
        let ran = tokio::task::spawn_blocking(move || run_job(&program, &args, &env)).await;
        ran.unwrap_or_else(|error| Err(ChaosError::Other(format!("a command panicked: {error}"))))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.services.iter().map(|service| service.spec.name.clone()).collect()
    }

    pub(crate) fn get(&mut self, name: &str) -> Result<&mut Service, ChaosError> {
        let found = self.services.iter_mut().find(|service| service.spec.name == name);
        found.ok_or_else(|| ChaosError::Other(format!("there is no service {name}")))
    }

    pub(crate) fn start_all(&mut self) -> Result<(), ChaosError> {
        self.services.iter_mut().try_for_each(|service| service.start(&[]))
    }

    /// Asks `met` until it is so.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut met: impl AsyncFnMut(&mut Self) -> Result<bool, ChaosError>,
    ) -> Result<Duration, ChaosError> {
        let since = self.clock.monotonic();
        let mut looks: u32 = 0;
        loop {
            let took = self.clock.monotonic().saturating_sub(since);
            if looks.is_multiple_of(20) {
                self.weigh().await;
            }
            looks += 1;
            if met(self).await? {
                return Ok(took);
            }
            if took > self.patience {
                return Err(ChaosError::TooLong { what: what.to_owned(), patience: self.patience });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the process of `name` has ended.
    pub(crate) async fn until_ended(&mut self, name: &str) -> Result<ExitStatus, ChaosError> {
        let mut status = None;
        let what = format!("{name} ends");
        self.until(&what, async |fleet| {
            status = fleet.get(name)?.ended();
            Ok(status.is_some())
        })
        .await?;
        status.ok_or_else(|| ChaosError::Other(format!("{name} ended without a status")))
    }

    /// Kills `name` as a crash would and starts it again. What the system says of its end.
    pub(crate) async fn kill(&mut self, name: &str) -> Result<String, ChaosError> {
        let service = self.get(name)?;
        let pid = service.pid();
        service.signal(Signal::SIGKILL);
        let status = self.until_ended(name).await?;
        if signal_of(status) != Some(Signal::SIGKILL as i32) {
            return Err(ChaosError::DidNotFire(format!("{name} ended with {status}, expected signal 9")));
        }
        self.get(name)?.start(&[])?;
        Ok(format!("{name} (process {}) ended by signal 9", pid.unwrap_or_default()))
    }

    /// Asks `name` to stop in order, and waits.
    pub(crate) async fn terminate(&mut self, name: &str) -> Result<ExitStatus, ChaosError> {
        self.get(name)?.signal(Signal::SIGTERM);
        self.until_ended(name).await
    }

    /// Waits until `name` is ready. Starts it again if it found a server away.
    pub(crate) async fn until_ready(&mut self, name: &str) -> Result<Duration, ChaosError> {
        self.until(&format!("{name} is ready"), async |fleet| {
            fleet.revive(name)?;
            Ok(fleet.get(name)?.is_ready().await)
        })
        .await
    }

    pub(crate) async fn until_all_ready(&mut self) -> Result<(), ChaosError> {
        for name in self.names() {
            self.until_ready(&name).await?;
        }
        Ok(())
    }

    /// Starts a service again that ended as its server was away.
    ///
    /// # Errors
    /// If it ended in any other way: nobody asked it to.
    pub(crate) fn revive(&mut self, name: &str) -> Result<(), ChaosError> {
        let service = self.get(name)?;
        match service.ended() {
            None => Ok(()),
            Some(status) if status.code() == Some(UNAVAILABLE) => {
                service.start(&[])?;
                self.unavailable += 1;
                Ok(())
            }
            Some(status) => Err(service.died(status)),
        }
    }

    /// The sum of a metric over the services whose names begin with `prefix`.
    pub(crate) async fn metric(&self, prefix: &str, metric: &str, labels: &[&str]) -> f64 {
        let mut sum = 0.0;
        for service in self.services.iter().filter(|service| service.spec.name.starts_with(prefix)) {
            sum += service.metric(metric, labels).await.unwrap_or(0.0);
        }
        sum
    }

    /// How many samples a metric has over the services whose names begin with `prefix`.
    pub(crate) async fn count(&self, prefix: &str, metric: &str) -> f64 {
        let mut count = 0;
        for service in self.services.iter().filter(|service| service.spec.name.starts_with(prefix)) {
            let Some(metrics) = http::get(service.port, "/metrics").await else { return 0.0 };
            count += http::count(&metrics, metric);
        }
        f64::from(count)
    }

    /// Notes how much memory each service has now.
    pub(crate) async fn weigh(&mut self) {
        let pids: Vec<String> = self.services.iter().filter_map(Service::pid).map(|pid| pid.to_string()).collect();
        let Ok(output) = Command::new("ps").args(["-o", "pid=,rss=", "-p", &pids.join(",")]).output().await else {
            return;
        };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [pid, kib] = numbers[..] else { continue };
            let of = |service: &&mut Service| service.pid().map(u64::from) == Some(pid);
            if let Some(service) = self.services.iter_mut().find(of) {
                service.peak_memory = service.peak_memory.max(kib * 1024);
            }
        }
    }

    /// Stops all services in order, each asked at once; names those that did not end with 0.
    pub(crate) async fn stop(&mut self) -> Result<Vec<String>, ChaosError> {
        let running: Vec<String> =
            self.services.iter().filter(|s| s.pid().is_some()).map(|s| s.spec.name.clone()).collect();
        self.services.iter().for_each(|service| service.signal(Signal::SIGTERM));
        let mut wrong = Vec::new();
        for name in running {
            let status = self.until_ended(&name).await?;
            if !status.success() {
                wrong.push(format!("{name} ended with {status} after SIGTERM"));
            }
        }
        Ok(wrong)
    }
}

/// Runs a command of the program to its end. What it says.
pub(crate) fn run_job(program: &Path, args: &str, env: &[(String, String)]) -> Result<String, ChaosError> {
    let words: Vec<String> = args.split(' ').map(str::to_owned).collect();
    let output = command(program, &words, env).output().map_err(ChaosError::io(format!("run {args}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ChaosError::Other(format!("vigie {args} ended with {}: {said}", output.status)))
}
