//! How an application runs.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use vigie_daemon::units::{mebibytes, milliseconds};
use vigie_kafka_client::{KafkaConfig, Reset, TopicPartition};

use crate::failpoint::FailPoint;

/// The options of an application that its operator sets.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct StreamsOptions {
    /// Stream threads; more than there are partitions stay idle
    #[arg(long = "stream-threads", env = "VIGIE_STREAM_THREADS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Time between commits: how long results wait before others see them
    #[arg(long = "commit-interval", alias = "commit-interval-ms", env = "VIGIE_COMMIT_INTERVAL", default_value = "500ms", value_name = "DURATION", value_parser = milliseconds(10..=60_000_u64))]
    pub commit_interval_ms: u64,
    /// Time after which the broker ends the transaction of a dead instance, on which readers wait until then
    #[arg(long = "transaction-timeout", alias = "transaction-timeout-ms", env = "VIGIE_TRANSACTION_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = milliseconds(1_000..=900_000_u64))]
    pub transaction_timeout_ms: u64,
    /// Length of silence after which a partition no longer holds the watermark back
    #[arg(long = "idle-timeout", alias = "idle-timeout-ms", env = "VIGIE_IDLE_TIMEOUT", default_value = "30s", value_name = "DURATION", value_parser = milliseconds(100_u64..))]
    pub idle_timeout_ms: u64,
    /// Time that a batch or a restore may take: an instance that does not poll within this time loses its partitions
    #[arg(long = "max-poll-interval", alias = "max-poll-interval-ms", env = "VIGIE_MAX_POLL_INTERVAL", default_value = "10m", value_name = "DURATION", value_parser = milliseconds(10_000..=86_400_000_u64))]
    pub max_poll_interval_ms: u64,
    /// A name for this instance that it keeps over restarts and shares with no other; random if not given
    ///
    /// A stable name lets a restarted instance end at once the transaction that it died in. Two running instances of one name
    /// would fence each other for ever, so it is for deployments that give stable names, as a Kubernetes StatefulSet does.
    #[arg(long = "instance-id", env = "VIGIE_INSTANCE_ID")]
    pub instance_id: Option<String>,
    /// Folder for local state, so that a restart reads only the end of the changelogs; without one it reads all of them
    ///
    /// What is in it may be deleted while nothing runs. Instances may share the folder.
    #[arg(long = "state-dir", env = "VIGIE_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where state is kept: on disk, in --state-dir, or in memory, with copies in --state-dir if there is one [default: disk where there is a
    /// --state-dir, else memory]
    ///
    /// In memory it is faster, and takes as much as there is state. On disk it takes the memory of --state-cache.
    #[arg(long = "state-backend", env = "VIGIE_STATE_BACKEND", value_enum)]
    pub state_backend: Option<StateBackend>,
    /// Memory for state on disk, of each topology: half caches what is read, half holds what is to be written
    #[arg(long = "state-cache", alias = "state-cache-mb", env = "VIGIE_STATE_CACHE", default_value = "64MiB", value_name = "SIZE", value_parser = mebibytes(8..=65_536_u32))]
    pub state_cache_mb: u32,
    /// Time between two local copies of a task's state in memory, which are made only if it changed
    #[arg(long = "snapshot-interval", alias = "snapshot-interval-ms", env = "VIGIE_SNAPSHOT_INTERVAL", default_value = "1m", value_name = "DURATION", value_parser = milliseconds(100..=86_400_000_u64))]
    pub snapshot_interval_ms: u64,
    /// 1: each instance keeps a copy of the state of all tasks that others run, so that it takes one over within a second; 0: none does
    ///
    /// A copy is where state is, on disk or in memory, and follows the changelog. An instance starts to work when its copies are ready.
    #[arg(long = "num-standby-replicas", env = "VIGIE_NUM_STANDBY_REPLICAS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub num_standby_replicas: u8,
}

/// Where the stores of tasks are.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateBackend {
    /// In memory.
    #[default]
    Memory,
    /// In a database of each task below [`StreamsConfig::state_dir`].
    Disk,
}

impl Default for StreamsOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            commit_interval_ms: 500,
            transaction_timeout_ms: 10_000,
            idle_timeout_ms: 30_000,
            max_poll_interval_ms: 600_000,
            instance_id: None,
            state_dir: None,
            state_backend: None,
            state_cache_mb: 64,
            snapshot_interval_ms: 60_000,
            num_standby_replicas: 0,
        }
    }
}

impl StreamsOptions {
    /// Where state is kept.
    pub fn backend(&self) -> StateBackend {
        let placed = if self.state_dir.is_some() { StateBackend::Disk } else { StateBackend::Memory };
        self.state_backend.unwrap_or(placed)
    }
}

/// All that an application needs to know to run.
#[derive(Clone, Debug)]
pub struct StreamsConfig {
    /// Where the brokers are.
    pub kafka: KafkaConfig,
    /// Names the consumer group, the changelogs and the transactional ids: instances of the same application share it.
    pub application_id: String,
    /// This instance; see [`StreamsOptions::instance_id`].
    pub instance_id: String,
    /// How many stream threads.
    pub threads: usize,
    /// The longest time between commits.
    pub commit_interval: Duration,
    /// Commit earlier when this many records wait for it.
    pub max_staged: usize,
    /// Records that all threads of this instance together take in a second, at most.
    pub rate: Option<NonZeroU32>,
    /// After so long the broker ends the transaction of a dead instance.
    pub transaction_timeout: Duration,
    /// A partition silent for so long no longer holds the watermark back.
    pub idle_timeout: Duration,
    /// A thread that does not poll for so long loses its partitions. Must cover a restore and a batch.
    pub max_poll_interval: Duration,
    /// A thread from which the group hears nothing for so long loses its partitions.
    pub session_timeout: Duration,
    /// A thread with work that gets none done for so long starts afresh: after a broker's restart librdkafka now and then fetches
    /// nothing any more (<https://github.com/confluentinc/librdkafka/issues/5153>).
    pub stall_timeout: Duration,
    /// A thread that does not come back from its processor for so long is reported. Must be longer than the longest batch.
    pub stuck_timeout: Duration,
    /// Where local state goes: snapshots, or databases. No snapshots are made without it.
    pub state_dir: Option<PathBuf>,
    /// Where the stores are; [`StateBackend::Disk`] needs a `state_dir`.
    pub state_backend: StateBackend,
    /// Bytes of memory for state on disk.
    pub state_cache: u64,
    /// The shortest time between two snapshots of a task.
    pub snapshot_interval: Duration,
    /// Copies of each task's state; see [`StreamsOptions::num_standby_replicas`]. A bounded run has none.
    pub num_standby_replicas: u8,
    /// Where to begin without a committed offset.
    pub auto_offset_reset: Reset,
    /// Where to begin without a committed offset, for the partitions named; goes before `auto_offset_reset`.
    pub start_at: BTreeMap<TopicPartition, i64>,
    /// Stop when every named partition was processed up to (not including) its offset, and all is committed. Other partitions are
    /// not processed.
    pub stop_at: Option<BTreeMap<TopicPartition, i64>>,
    /// Only for tests: fails a commit on purpose.
    pub fail_point: Option<FailPoint>,
}

impl StreamsConfig {
    /// `application_id` on `kafka` with `options`.
    pub fn new(kafka: KafkaConfig, application_id: impl Into<String>, options: &StreamsOptions) -> Self {
        let random = || format!("{:016x}", rand::random::<u64>());
        Self {
            kafka,
            application_id: application_id.into(),
            instance_id: options.instance_id.clone().unwrap_or_else(random),
            threads: usize::from(options.threads),
            commit_interval: Duration::from_millis(options.commit_interval_ms),
            max_staged: 20_000,
            rate: None,
            transaction_timeout: Duration::from_millis(options.transaction_timeout_ms),
            idle_timeout: Duration::from_millis(options.idle_timeout_ms),
            max_poll_interval: Duration::from_millis(options.max_poll_interval_ms),
            session_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            stuck_timeout: Duration::from_secs(300),
            state_dir: options.state_dir.clone(),
            state_backend: options.backend(),
            state_cache: u64::from(options.state_cache_mb) * 1024 * 1024,
            snapshot_interval: Duration::from_millis(options.snapshot_interval_ms),
            num_standby_replicas: options.num_standby_replicas,
            auto_offset_reset: Reset::Earliest,
            start_at: BTreeMap::new(),
            stop_at: None,
            #[cfg(feature = "failpoints")]
            fail_point: crate::failpoint::from_env::from_env(),
            #[cfg(not(feature = "failpoints"))]
            fail_point: None,
        }
    }

    pub(crate) fn transactional_id(&self, thread: usize) -> String {
        format!("{}-{}-{thread}", self.application_id, self.instance_id)
    }
}
