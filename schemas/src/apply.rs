//! Brings the broker's topics in line with the catalogue, without ever taking anything away.

use std::collections::BTreeMap;

use serde::Serialize;
use vigie_kafka_client::{Admin, KafkaError, TopicDescription, TopicSpec};

use crate::catalogue::{Topic, TopicConfig};

/// Why topics could not be applied or inspected.
#[derive(Debug, thiserror::Error)]
#[error("topic {topic}: {source}")]
pub struct ApplyError {
    /// The topic, without prefix.
    pub topic: String,
    /// What the broker said.
    #[source]
    pub source: KafkaError,
}

/// How a topic compares with the catalogue, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicChange {
    /// The topic, without prefix.
    pub topic: String,
    /// Partitions on the broker, after the change; 0 if it does not exist.
    pub partitions: i32,
    /// What was done: `created` or `unchanged`; `missing` when only inspected.
    pub action: &'static str,
    /// What differs from the catalogue and was left alone.
    pub drift: Vec<String>,
}

/// Creates the topics of the catalogue that are missing. Existing ones are left as they are; what differs is reported as drift, for a
/// change of partitions moves keys to other partitions and a change of retention may delete records: people decide on those.
///
/// # Errors
/// If the broker refuses.
pub fn apply_topics(admin: &Admin, replication_factor: i32) -> Result<Vec<TopicChange>, ApplyError> {
    let wanted: Vec<TopicConfig> = Topic::ALL.into_iter().flat_map(Topic::configs).collect();
    let mut changes = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let mut change = inspect(admin, &topic)?;
        if change.action == "missing" {
            let spec = spec(&topic, replication_factor);
            admin
                .create_topics(std::slice::from_ref(&spec))
                .map_err(|source| ApplyError { topic: topic.name.clone(), source })?;
            change =
                TopicChange { topic: topic.name, partitions: topic.partitions, action: "created", drift: Vec::new() };
        }
        changes.push(change);
    }
    Ok(changes)
}

/// Compares the broker's topics with the catalogue and changes nothing.
///
/// # Errors
/// If the broker refuses.
pub fn inspect_topics(admin: &Admin) -> Result<Vec<TopicChange>, ApplyError> {
    Topic::ALL.into_iter().flat_map(Topic::configs).map(|topic| inspect(admin, &topic)).collect()
}

fn inspect(admin: &Admin, topic: &TopicConfig) -> Result<TopicChange, ApplyError> {
    let found = admin.describe(&topic.name).map_err(|source| ApplyError { topic: topic.name.clone(), source })?;
    let (partitions, action, drift) = match &found {
        None => (0, "missing", Vec::new()),
        Some(found) => (found.partitions, "unchanged", drift(topic, found)),
    };
    Ok(TopicChange { topic: topic.name.clone(), partitions, action, drift })
}

fn drift(wanted: &TopicConfig, found: &TopicDescription) -> Vec<String> {
    let mut drift = Vec::new();
    if found.partitions != wanted.partitions {
        drift.push(format!("partitions: {}, expected {}", found.partitions, wanted.partitions));
    }
    for (name, value) in &wanted.config {
        match found.config.get(name) {
            Some(present) if present == value => {}
            Some(present) => drift.push(format!("{name}: {present}, expected {value}")),
            None => drift.push(format!("{name}: not set, expected {value}")),
        }
    }
    drift
}

fn spec(topic: &TopicConfig, replication: i32) -> TopicSpec {
    let mut config: BTreeMap<String, String> = topic.config.clone();
    if replication >= 3 {
        config.insert("min.insync.replicas".to_owned(), "2".to_owned());
    }
    TopicSpec { name: topic.name.clone(), partitions: topic.partitions, replication, config }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_names_what_was_found_and_what_was_expected() {
        let wanted = Topic::PostsRaw.configs().remove(0);
        let mut config = wanted.config.clone();
        config.insert("retention.ms".to_owned(), "1".to_owned());
        let found = TopicDescription { partitions: 2, replication: 1, config };
        let drift = drift(&wanted, &found);
        assert_eq!(drift, ["partitions: 2, expected 4", "retention.ms: 1, expected 2592000000"]);
    }

    #[test]
    fn a_replicated_topic_needs_two_copies_of_each_write() {
        let topic = Topic::PostsRaw.configs().remove(0);
        assert_eq!(spec(&topic, 3).config.get("min.insync.replicas").map(String::as_str), Some("2"));
        assert_eq!(spec(&topic, 1).config.get("min.insync.replicas"), None);
    }
}
