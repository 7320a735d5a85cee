//! Brings the broker's topics in line with the catalogue, without ever taking anything away.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{Admin, Created, KafkaError, TopicDescription, TopicSpec};
use vigie_schemas::{DEFAULT_PARTITIONS, Topic, TopicConfig};

use super::kafka_error;

/// What was done about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Created,
    Unchanged,
    /// It was only inspected.
    Missing,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Unchanged => "unchanged",
            Self::Missing => "missing",
        })
    }
}

/// How a topic compares with the catalogue, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TopicChange {
    /// The topic, without prefix.
    pub(crate) topic: String,
    /// Partitions on the broker, after the change; 0 if it does not exist.
    pub(crate) partitions: i32,
    /// What was done.
    pub(crate) action: Action,
    /// What differs from the catalogue and was left alone.
    pub(crate) drift: Vec<String>,
}

/// Creates the topics of the catalogue that are missing. Existing ones are left as they are; what differs is reported as drift, for a change of
/// retention may delete records: people decide on that. `partitions` is how many the topics of posts and insights are to have; where it is not
/// given, as many as there are.
///
/// # Errors
/// If a topic exists with another number of partitions than was asked for, or the broker refuses.
pub(crate) fn apply_topics(
    admin: &Admin,
    partitions: Option<i32>,
    replication_factor: i32,
) -> Result<Vec<TopicChange>, ServiceError> {
    let wanted = catalogue(admin, partitions)?;
    let mut changes = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let mut change = inspect(admin, &topic)?;
        if change.action == Action::Missing {
            let spec = spec(&topic, replication_factor);
            let created = admin.create_topics(std::slice::from_ref(&spec)).map_err(|error| refused(&topic, error))?;
            // It may have been made a moment ago, and the broker that was asked had not heard of it.
            let existed = created.iter().any(|(_, created)| *created == Created::Existed);
            let action = if existed { Action::Unchanged } else { Action::Created };
            change = TopicChange { topic: topic.name, partitions: topic.partitions, action, drift: Vec::new() };
        }
        changes.push(change);
    }
    Ok(changes)
}

/// Compares the broker's topics with the catalogue and changes nothing.
///
/// # Errors
/// If the broker refuses.
pub(crate) fn inspect_topics(admin: &Admin) -> Result<Vec<TopicChange>, ServiceError> {
    catalogue(admin, None)?.iter().map(|topic| inspect(admin, topic)).collect()
}

/// The topics as they should be with `wanted` partitions, or with those that the cluster has.
fn catalogue(admin: &Admin, wanted: Option<i32>) -> Result<Vec<TopicConfig>, ServiceError> {
    let cursors = admin.partitions(Topic::SourcesCursors.name()).map_err(kafka_error)?;
    let of = |partitions| {
        let wanted = Topic::ALL.into_iter().flat_map(move |topic: Topic| topic.configs_of(partitions));
        // What each source was last asked lies where it is: its topic keeps its partitions.
        wanted.map(move |topic| match cursors.filter(|_| topic.name == Topic::SourcesCursors.name()) {
            Some(partitions) => TopicConfig { partitions, ..topic },
            None => topic,
        })
    };
    let chosen = Topic::ALL
        .into_iter()
        .filter(|topic| *topic != Topic::SourcesCursors && topic.partitions_of(1) != topic.partitions_of(i32::MAX));
    let mut found = Vec::new();
    for topic in chosen {
        let partitions = admin.partitions(topic.name()).map_err(kafka_error)?;
        found.extend(partitions.map(|partitions| (topic, partitions)));
    }
    let Some(wanted) = wanted else {
        // Partitions can be added, which somebody may have done to one of them, and never taken away.
        let own = found.into_iter().map(|(_, partitions)| partitions);
        return Ok(of(own.min().unwrap_or(DEFAULT_PARTITIONS)).collect());
    };
    let others = found.into_iter().filter(|(topic, partitions)| *partitions != topic.partitions_of(wanted));
    let others: Vec<String> = others.map(|(topic, partitions)| format!("{} has {partitions}", topic.name())).collect();
    if others.is_empty() {
        return Ok(of(wanted).collect());
    }
    let way = "keys, and what is known of them, lie by their number: leave --partitions (VIGIE_PARTITIONS) out to go on with them, or \
               have vigie topics migrate --partitions move them to a multiple of that (docs/operations.md)";
    Err(ServiceError::failed(format!(
        "topics exist with other than {wanted} partitions ({}): {way}",
        others.join(", ")
    )))
}

fn inspect(admin: &Admin, topic: &TopicConfig) -> Result<TopicChange, ServiceError> {
    let found = admin.describe(&topic.name).map_err(|error| refused(topic, error))?;
    let (partitions, action, drift) = match &found {
        None => (0, Action::Missing, Vec::new()),
        Some(found) => (found.partitions, Action::Unchanged, drift(topic, found)),
    };
    Ok(TopicChange { topic: topic.name.clone(), partitions, action, drift })
}

fn refused(topic: &TopicConfig, error: KafkaError) -> ServiceError {
    match error.is_unavailable() {
        true => kafka_error(error),
        false => ServiceError::failed(format!("topic {}: {error}", topic.name)),
    }
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
    use std::time::Duration;

    use vigie_clock::{Clock, SystemClock};
    use vigie_kafka_client::KafkaConfig;

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

    #[test]
    fn applying_topics_twice_changes_nothing_and_drift_is_reported_not_repaired() {
        let stack = vigie_stack::testing::shared();
        let admin = Admin::new(&KafkaConfig::new(stack.brokers.clone(), stack.prefix.clone())).unwrap();
        let first = apply_topics(&admin, None, 1).unwrap();
        assert!(first.iter().all(|change| change.action == Action::Created && change.drift.is_empty()), "{first:?}");
        let second = apply_topics(&admin, None, 1).unwrap();
        assert!(
            second.iter().all(|change| change.action == Action::Unchanged && change.drift.is_empty()),
            "{second:?}"
        );

        // Somebody keeps posts for longer and adds partitions: neither is taken back.
        let name = Topic::PostsRaw.name();
        admin.add_partitions(name, 8).unwrap();
        admin.alter_config(name, &BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())])).unwrap();
        // The broker answers before its own view of the change is new: ask until it is.
        let (clock, patience) = (SystemClock::default(), Duration::from_secs(30));
        let third = loop {
            let changes = apply_topics(&admin, None, 1).unwrap();
            let raw = changes.iter().find(|change| change.topic == name).unwrap();
            assert_eq!(raw.action, Action::Unchanged);
            if raw.partitions == 8 && raw.drift.iter().any(|d| d.starts_with("retention.ms: -1")) {
                assert!(raw.drift.iter().any(|d| d == "partitions: 8, expected 4"), "{raw:?}");
                break changes;
            }
            assert!(clock.monotonic() < patience, "{raw:?}");
        };
        assert_eq!(inspect_topics(&admin).unwrap(), third);

        let refusal = apply_topics(&admin, Some(16), 1).unwrap_err().chain();
        for word in ["posts.raw.v1 has 8", "posts.mentions.v1 has 4", "vigie topics migrate"] {
            assert!(refusal.contains(word), "{word:?} is missing in {refusal}");
        }
    }

    #[test]
    fn topics_have_the_partitions_that_were_chosen_when_they_were_created() {
        let stack = vigie_stack::testing::shared();
        let admin = Admin::new(&KafkaConfig::new(stack.brokers.clone(), stack.prefix.clone())).unwrap();
        for given in [Some(16), Some(16), None] {
            let changes = apply_topics(&admin, given, 1).unwrap();
            assert!(changes.iter().all(|change| change.drift.is_empty()), "{changes:?}");
            let of = |topic: Topic| {
                changes.iter().find(|change| change.topic == topic.name()).map(|change| change.partitions)
            };
            assert_eq!([of(Topic::PostsRaw), of(Topic::InsightsAlerts)], [Some(16), Some(1)]);
        }
    }
}
