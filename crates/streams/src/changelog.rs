//! Changelogs: compacted topics that hold the last value of every key of a store, from which a task's state is restored.
//!
//! A changelog has one partition per task.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie_kafka_client::{Admin, KafkaError, TopicSpec};

use crate::topology::Topology;

/// For how long a compacted topic keeps tombstones if it does not say so itself.
const DELETE_RETENTION: Duration = Duration::from_secs(24 * 3600);

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

/// For how long all of `topics` keep tombstones.
pub(crate) fn delete_retention(admin: &Admin, topics: &[String]) -> Result<Duration, KafkaError> {
    let mut shortest = DELETE_RETENTION;
    for topic in topics {
        let Some(found) = admin.describe(topic)? else { continue };
        let millis = found.config.get("delete.retention.ms").and_then(|millis| millis.parse().ok());
        shortest = millis.map_or(shortest, |millis| shortest.min(Duration::from_millis(millis)));
    }
    Ok(shortest)
}
