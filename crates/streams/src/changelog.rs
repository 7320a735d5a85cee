//! Changelogs: compacted topics that hold the last value of every key of a store, from which a task's state is restored.
//!
//! A changelog has one partition per task. A restore reads it up to the end that the log has when the restore starts, waiting for
//! transactions that are still open below that end: the previous owner's last commit may have reached the offsets before its
//! markers reach the changelog.

use std::collections::BTreeMap;

use tracing::info;
use vigie_kafka_client::{Admin, KafkaError, ReadToEnd, TopicPartition, TopicSpec};

use crate::metrics::StreamsMetrics;
use crate::task::StreamTask;
use crate::topology::Topology;

/// After so many records a restore asks whether it should stop.
const STOP_EVERY: u64 = 10_000;

/// The changelog of a store.
pub(crate) fn topic(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

/// The changelogs of all stores, in the stores' order.
pub(crate) fn topics(application_id: &str, topology: &Topology) -> Vec<String> {
    topology.stores.iter().map(|store| topic(application_id, &store.name)).collect()
}

pub(crate) fn spec(name: String, partitions: i32) -> TopicSpec {
    let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    TopicSpec { name, partitions, replication: -1, config }
}

/// Creates the changelogs that do not exist.
pub(crate) fn create(admin: &Admin, topics: &[String], partitions: i32) -> Result<(), KafkaError> {
    let specs: Vec<TopicSpec> = topics.iter().map(|topic| spec(topic.clone(), partitions)).collect();
    admin.create_topics(&specs)?;
    Ok(())
}

/// Fills the stores of `task` from their changelogs; `false` if it was told to stop before it was done.
pub(crate) fn restore(
    admin: &Admin,
    topics: &[String],
    task: &mut StreamTask,
    metrics: &StreamsMetrics,
    stop: &dyn Fn() -> bool,
) -> Result<bool, KafkaError> {
    for (store, topic) in topics.iter().enumerate() {
        let partition = TopicPartition::new(topic, task.id().partition);
        let mut restored = 0;
        for record in ReadToEnd::of_partition(admin, &partition, None)? {
            let record = record?;
            if let Some(key) = record.key {
                task.restore_record(store, key, record.value);
                restored += 1;
            }
            if restored % STOP_EVERY == 0 && stop() {
                return Ok(false);
            }
        }
        metrics.restored.inc_by(restored);
        info!(task = %task.id(), topic, records = restored, "store restored");
    }
    Ok(true)
}
