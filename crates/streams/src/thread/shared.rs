//! What the parts of a stream thread share.

use std::sync::Arc;

use vigie_clock::SharedClock;
use vigie_kafka_client::{Admin, KafkaError};

use super::bounds::Bounds;
use super::pace::Pace;
use super::stall::Heartbeat;
use crate::app_state::StateBoard;
use crate::config::StreamsConfig;
use crate::error::StreamsError;
use crate::metrics::StreamsMetrics;
use crate::processor::dead_letter::DeadLetterEncoder;
use crate::snapshot::StateDir;
use crate::standby::Standbys;
use crate::topology::Topology;

/// What all threads of an application share.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a StreamsConfig,
    pub(crate) admin: &'a Admin,
    pub(crate) topology: &'a Topology,
    pub(crate) encoder: &'a Arc<dyn DeadLetterEncoder>,
    pub(crate) clock: &'a SharedClock,
    pub(crate) metrics: &'a StreamsMetrics,
    pub(crate) changelogs: Vec<String>,
    /// Of each source, when the application started.
    pub(crate) partitions: i32,
    pub(crate) state_dir: Option<StateDir>,
    /// By thread.
    pub(crate) hearts: Vec<Heartbeat>,
    pub(crate) board: StateBoard,
    pub(crate) bounds: Option<Bounds>,
    pub(crate) pace: Option<Pace>,
    /// Copies of what other instances run, if they are wanted.
    pub(crate) standbys: Option<Standbys>,
}

/// Why a session ended early.
pub(crate) enum Interrupted {
    /// Recreate everything and go on.
    Restart(String),
    /// Stop the application.
    Fatal(StreamsError),
}

impl From<KafkaError> for Interrupted {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Fatal { .. } => Self::Fatal(StreamsError::Kafka(error)),
            other => Self::Restart(other.to_string()),
        }
    }
}
