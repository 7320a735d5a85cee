//! The part of a task that its processor works on.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use vigie_clock::{SharedClock, Timestamp};
use vigie_kafka_client::Headers;

use super::account::Account;
use super::dead_letter::DeadLetterEncoder;
use super::per_record::ErrorPolicy;
use super::watermark::Watermark;
use crate::error::ProcessorError;
use crate::store::KeyValueStore;

/// Names a task: the topology and the partition number that it processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The topology's name.
    pub topology: Arc<str>,
    /// The partition, of every source topic, that is this task's.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topology, self.partition)
    }
}

/// A record that waits for the commit.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: Headers,
}

/// What happened since the last commit, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) late: u64,
    pub(crate) dead_letters: u64,
    pub(crate) refused_times: u64,
}

/// The part of a task that its processor sees through a [`ProcessorContext`].
pub(crate) struct Core {
    pub(crate) id: TaskId,
    pub(crate) clock: SharedClock,
    pub(crate) encoder: Arc<dyn DeadLetterEncoder>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) watermark: Watermark,
    pub(crate) counts: Counts,
    pub(crate) account: Account,
    /// Set where the context cannot return an error.
    pub(crate) failure: Option<ProcessorError>,
    pub(crate) policy: ErrorPolicy,
    pub(crate) sinks: Vec<Arc<str>>,
    pub(crate) stores: Vec<(String, KeyValueStore)>,
}

impl Core {
    pub(crate) fn sink(&self, name: &str) -> Arc<str> {
        match self.sinks.iter().find(|sink| &***sink == name) {
            Some(sink) => Arc::clone(sink),
            None => panic!("task {}: {name} is not a sink of the topology, expected one of {:?}", self.id, self.sinks),
        }
    }

    pub(crate) fn store(&mut self, name: &str) -> &mut KeyValueStore {
        let Some(index) = self.stores.iter().position(|(store, _)| store == name) else {
            panic!("task {}: {name} is not a store of the topology", self.id)
        };
        &mut self.stores[index].1
    }
}
