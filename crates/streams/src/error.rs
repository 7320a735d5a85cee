//! What can go wrong, as what the caller must do.

use std::fmt::Display;

use vigie_kafka_client::KafkaError;

/// Why a topology cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topology {name} is invalid: {problem}")]
pub struct TopologyError {
    pub(crate) name: String,
    pub(crate) problem: String,
}

/// Why a processor cannot go on. A record that makes no sense is not one of these: send it to
/// [`dead_letter`](crate::ProcessorContext::dead_letter) and go on with the next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessorError {
    /// Something the processor needs is away for now. Everything since the last commit is dropped and done again after a pause.
    #[error("processor cannot go on for now: {0}")]
    Retry(String),
    /// Doing it again cannot help. The application stops.
    #[error("processor cannot go on: {0}")]
    Fatal(String),
}

impl ProcessorError {
    /// For something that may be mended by itself.
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry(reason.to_string())
    }

    /// For something that will not.
    pub fn fatal(reason: impl Display) -> Self {
        Self::Fatal(reason.to_string())
    }
}

/// Why an application stopped, or could not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// No broker answered at start-up.
    #[error(transparent)]
    Unavailable(KafkaError),
    /// Topics that the topology reads or writes do not exist.
    #[error("topics {topics:?} do not exist, create them first")]
    MissingTopics {
        /// Their names, without the prefix.
        topics: Vec<String>,
    },
    /// Source or changelog topics do not have the same number of partitions: state would be in the wrong place.
    #[error(
        "topic {topic} has {found} partitions, expected {expected} as {source_topic} has: state would be in other partitions than its keys; \
         have it moved (vigie topics migrate), or delete the state ({state}) and process the sources again"
    )]
    PartitionMismatch {
        /// The topic that does not fit.
        topic: String,
        /// How many it has.
        found: i32,
        /// How many it should have.
        expected: i32,
        /// The topic that says so.
        source_topic: String,
        /// Where the state is, by the brokers' names.
        state: String,
    },
    /// A source has got partitions since the application started: keys have moved, but their state has not.
    #[error(
        "new partition {partition} appeared, expected {expected} partitions of each source as at the start: \
         state by key is in the wrong place now; delete the state ({state}) to start over"
    )]
    SourceGrew {
        /// A partition that is new.
        partition: String,
        /// How many there were.
        expected: i32,
        /// Where the state is, by the brokers' names.
        state: String,
    },
    /// The state was written by another topology, which may have meant something else by it.
    #[error(
        "the state of task {task} was written by another topology: {change}; \
         go back to that one, or delete the state ({state}) to start over"
    )]
    TopologyChanged {
        /// Whose state.
        task: String,
        /// What is different.
        change: String,
        /// Where the state is, by the brokers' names.
        state: String,
    },
    /// There is state, but no committed offsets that it belongs to: records since an unknown offset would count twice, or never.
    #[error(
        "the changelogs of task {task} hold {records} records, but nothing is committed for {sources:?}, expected both or neither: \
         offsets were reset, have expired, or are of other sources; delete the state ({state}) to start over"
    )]
    StateWithoutOffsets {
        /// Whose state.
        task: String,
        /// How many changelog records were found.
        records: u64,
        /// The sources.
        sources: Vec<String>,
        /// Where the state is, by the brokers' names.
        state: String,
    },
    /// The brokers kept only parts of a commit, and the commit before it can no longer be found in the changelogs.
    #[error(
        "the state of task {task} and its committed offsets stand on different commits ({found}), and no commit is left that all of them had: \
         delete the state ({state}) and process the sources again"
    )]
    TornCommit {
        /// Whose state.
        task: String,
        /// The commits found.
        found: String,
        /// Where the state is, by the brokers' names.
        state: String,
    },
    /// Offsets are committed, but the state that belongs to them is gone: going on would count from nothing in the middle of the log.
    #[error(
        "the changelogs {topics:?} are gone, but offsets are committed for this topology, expected both or neither: \
         delete the rest of the state ({state}) to start over"
    )]
    StateLost {
        /// The changelogs that do not exist.
        topics: Vec<String>,
        /// Where the rest of the state is, by the brokers' names.
        state: String,
    },
    /// More partitions were refused, or not all of the state has moved yet; called again it goes on.
    #[error("partitions cannot be added: {reason}")]
    Growth {
        /// What was found, and what was expected.
        reason: String,
    },
    /// State is to be on disk, and no folder is given for it.
    #[error("state on disk needs a folder, none is given")]
    NoStateDir,
    /// The brokers refuse in a way that repeating cannot mend.
    #[error("kafka refuses: {0}")]
    Kafka(KafkaError),
    /// A processor gave up.
    #[error("task {task} stopped: {reason}")]
    Processor {
        /// Which task.
        task: String,
        /// The processor's words.
        reason: String,
    },
    /// A stream thread panicked: a defect in the processor or here.
    #[error("stream thread {thread} panicked")]
    Panicked {
        /// Its number.
        thread: usize,
    },
    /// A fail point of a test ended the application as a crash would.
    #[error("ended by a fail point")]
    Crashed,
    /// A stream thread could not be started.
    #[error("stream thread {thread} not started: {reason}")]
    Spawn {
        /// Its number.
        thread: usize,
        /// The system's words.
        reason: String,
    },
}

impl StreamsError {
    /// Whether a needed service was not reachable: exit with 69.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::MissingTopics { .. })
    }
}

impl From<KafkaError> for StreamsError {
    fn from(error: KafkaError) -> Self {
        match error.is_unavailable() {
            true => Self::Unavailable(error),
            false => Self::Kafka(error),
        }
    }
}
