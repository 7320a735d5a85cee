//! Changelogs: compacted topics that hold the last value of every key of a store, from which a task's state is restored.
//!
//! A changelog has one partition per task.

use std::time::Duration;

use vigie_kafka_client::{Admin, KafkaError, TopicPartition, TopicSpec, committed_offsets};

use crate::config::StreamsConfig;
use crate::error::StreamsError;
use crate::task::metadata::Metadata;
use crate::topology::Topology;

/// For how long a compacted topic keeps tombstones if it does not say so itself.
const DELETE_RETENTION: Duration = Duration::from_secs(24 * 3600);
/// How long the group coordinator may take, with pending transactions that it waits for.
const WAIT: Duration = Duration::from_secs(30);

/// Only closed segments are compacted, and of the broker's own size, 1 GiB, a partition may never close one. What a torn commit replaced has to be
/// there when the task is restored, so that it can be rolled back: that is what the lag is for.
const SETTINGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.2"),
    ("min.compaction.lag.ms", "600000"),
    ("max.compaction.lag.ms", "86400000"),
];

pub(crate) fn spec(name: String, partitions: i32) -> TopicSpec {
    let config = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
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

/// What an operator has to delete to start over under the same application id.
pub(crate) fn place_of_state(config: &StreamsConfig, changelogs: &[String]) -> String {
    let topics: Vec<String> = changelogs.iter().map(|topic| config.kafka.wire_name(topic)).collect();
    format!("consumer group {} and topics {}", config.kafka.wire_name(&config.application_id), topics.join(", "))
}

/// Refuses to recreate a changelog if this topology has committed offsets, which then had one.
pub(crate) fn refuse_loss(
    admin: &Admin,
    config: &StreamsConfig,
    topology: &Topology,
    changelogs: &[String],
    partitions: i32,
) -> Result<(), StreamsError> {
    let mut missing = Vec::new();
    for topic in changelogs {
        if admin.partitions(topic)?.is_none() {
            missing.push(topic.clone());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let inputs: Vec<TopicPartition> = topology
        .sources()
        .flat_map(|source| (0..partitions).map(move |partition| TopicPartition::new(source, partition)))
        .collect();
    let committed = committed_offsets(&config.kafka, &config.application_id, &inputs, WAIT)?;
    let now = topology.fingerprint();
    // What another topology committed is refused later, with what is different.
    match committed.values().any(|found| Metadata::parse(&found.metadata).fingerprint == Some(&*now)) {
        true => Err(StreamsError::StateLost { topics: missing, state: place_of_state(config, changelogs) }),
        false => Ok(()),
    }
}

/// The topic that exists while partitions are added.
pub(crate) fn growing(application_id: &str) -> String {
    format!("{application_id}-growth")
}

/// Refuses a start between the beginning and the end of a growth.
pub(crate) fn refuse_half_grown(admin: &Admin, application_id: &str) -> Result<(), StreamsError> {
    match admin.partitions(&growing(application_id))? {
        None => Ok(()),
        Some(_) => Err(StreamsError::Growth {
            reason: "not all of the state has moved yet: add them again, to the end".to_owned(),
        }),
    }
}
