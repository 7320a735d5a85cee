//! vigie-streams and Kafka Streams side by side: the same windowed count, exactly once, on the same broker, each in a process of its own.

pub mod input;
pub mod kafka_streams;
pub mod ours;
pub mod process;
pub mod report;

use serde::{Deserialize, Serialize};
use vigie_streams::TumblingWindows;

/// What both count by. Grace is longer than any input lasts, so that neither drops a window.
pub const WINDOWS: TumblingWindows =
    TumblingWindows { size: std::time::Duration::from_secs(5 * 60), grace: std::time::Duration::from_secs(60 * 60) };

/// One run of one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Bootstrap servers.
    pub brokers: String,
    /// Begins the names of topics and groups.
    pub prefix: String,
    /// The application, without the prefix.
    pub application: String,
    /// The topic to count, without the prefix.
    pub input: String,
    /// Where counts go, without the prefix.
    pub output: String,
    /// How many records to process before it stops; 0 stops as soon as the state is restored.
    pub records: u64,
    /// The longest time between commits.
    pub commit_ms: u64,
    /// Where local state may be kept.
    pub state_dir: String,
}

/// What a run of [`Job::records`] records measured. Times run from the first record to the end of the program's own shutdown, the last
/// commit included; processor time is that of the whole process, its client's threads too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// Records processed.
    pub records: u64,
    /// Seconds of the wall clock.
    pub seconds: f64,
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// Seconds of the wall clock for the second half of the records: past the warm-up of a just-in-time compiler.
    pub half_seconds: f64,
    /// Seconds of processor time for the second half.
    pub half_cpu_seconds: f64,
    /// Seconds of processor time since the process began.
    pub process_cpu_seconds: f64,
    /// The most memory that the process held at once, in MiB.
    pub peak_rss_mib: f64,
    /// How many commits there were.
    pub commits: f64,
    /// Their mean duration.
    pub commit_mean_ms: Option<f64>,
    /// The duration of the longest, or a bound of it.
    pub commit_max_ms: Option<f64>,
}

/// What a start measured that stopped once its state was there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restored {
    /// Records read back.
    pub restored: u64,
    /// Seconds from the first store's begin to the last one's end.
    pub restore_seconds: f64,
    /// Seconds of processor time meanwhile.
    pub restore_cpu_seconds: f64,
    /// Seconds from the start of the application until it runs.
    pub start_seconds: f64,
    /// Seconds of processor time meanwhile.
    pub start_cpu_seconds: f64,
    /// The most memory that the process held at once, in MiB.
    pub peak_rss_mib: f64,
}
