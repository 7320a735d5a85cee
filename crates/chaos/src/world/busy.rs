//! A slow machine: processes that use up the processors, and what that means for everybody's patience.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::ChaosError;

/// How long anything may take that must come, on an idle machine: a dead member's session, a transaction's time-out, a restart, a
/// restore.
const PATIENCE: Duration = Duration::from_secs(120);
/// Who waits longer than this many times as long waits for something that does not come.
const MOST: u32 = 8;
/// Ends by itself when process `$1` is gone, so that a harness that was killed leaves nothing behind that keeps the machine busy.
const SPIN: &str = "while kill -0 $1 2>/dev/null; do n=0; while [ $n -lt 50000 ]; do n=$((n + 1)); done; done";

/// Processes that do nothing but spin, until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Vec<Child>);

impl Busy {
    pub(crate) fn start(processes: u32) -> Result<Self, ChaosError> {
        let own = std::process::id().to_string();
        let mut busy = Self(Vec::new());
        for _ in 0..processes {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", SPIN, "vigie-chaos-busy", &own]).stdin(Stdio::null()).stdout(Stdio::null());
            busy.0.push(command.spawn().map_err(ChaosError::io("start a busy process"))?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How much longer than on an idle machine everything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) factor: u32,
}

impl Patience {
    /// For a run beside `busy` processes, and beside whatever else keeps the machine busy now.
    pub(crate) fn of(busy: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        Self::of_load(f64::from(busy) + load_average().unwrap_or(0.0), processors)
    }

    fn of_load(load: f64, processors: f64) -> Self {
        let share = (1.0 + load / processors).round().clamp(1.0, f64::from(MOST));
        Self { factor: share as u32 }
    }

    /// How long anything may take that must come.
    pub(crate) fn long(self) -> Duration {
        PATIENCE * self.factor
    }
}

/// How many processes ran or waited for a processor in the last minute, where the system says (Linux).
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_the_load_for_each_processor() {
        let factor = |load, processors| Patience::of_load(load, processors).factor;
        assert_eq!([factor(0.0, 2.0), factor(4.0, 2.0), factor(4.0, 8.0), factor(500.0, 2.0)], [1, 3, 2, MOST]);
    }

    #[test]
    fn busy_processes_end_with_their_owner() {
        let busy = Busy::start(2).unwrap();
        let pids: Vec<u32> = busy.0.iter().map(Child::id).collect();
        drop(busy);
        let runs = |pid: &u32| {
            let mut ps = Command::new("ps");
            ps.args(["-p", &pid.to_string()]).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        assert!(!pids.iter().any(runs), "{pids:?}");
    }
}
