//! Waiting until the pipeline has counted and stored what was read.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, TopicPartition, committed_offsets, last_offset_before};
use vigie_processors::{sentiment, trends};
use vigie_schemas::Topic;

use crate::commands::topics::kafka_error;

/// How often a group is looked at, and how long it may take to answer.
const LOOK: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(10);
/// How long a commit of the trends topology may take to come when it is due.
const COMMIT: Duration = Duration::from_secs(2);
/// How old an answer of the API may be.
const SERVED: Duration = Duration::from_secs(1);

/// Waits until the sentiment topology has read the raw posts up to `raw_ends`, the trends topologies the mentions that came of them and
/// what they send each other, and emitted the windows, which they do `emit_interval` later at most, and the PostgreSQL sink has read those, and the API serves it.
///
/// # Errors
/// [`ServiceError::Unavailable`] if that takes longer than `patience`.
pub(super) fn wait(
    kafka: &KafkaConfig,
    raw_ends: &BTreeMap<i32, i64>,
    emit_interval: Duration,
    patience: Duration,
    clock: &SharedClock,
) -> Result<(), ServiceError> {
    let admin = Admin::new(kafka).map_err(kafka_error)?;
    let deadline = clock.monotonic().saturating_add(patience);
    let stages = [
        (sentiment::APPLICATION_ID, Topic::PostsRaw),
        (trends::APPLICATION_ID, Topic::PostsMentions),
        // What is derived from the posts, and from that in turn.
        (trends::MARKET_APPLICATION_ID, Topic::TrendsMarket),
        (trends::MARKET_APPLICATION_ID, Topic::TrendsMarket),
        (vigie_sinks::POSTGRES_GROUP, Topic::InsightsTrends),
    ];
    for (group, topic) in stages {
        let ends = match topic {
            Topic::PostsRaw => raw_ends.clone(),
            // With what is not committed yet: an offset may be seen committed before the records beside it.
            _ => high_watermarks(&admin, topic).map_err(kafka_error)?,
        };
        let last = last_offsets(&admin, topic, &ends).map_err(kafka_error)?;
        // The whole market is not shared.
        if topic == Topic::TrendsMarket && last.is_empty() {
            continue;
        }
        loop {
            let left = records_left(kafka, group, &last).map_err(kafka_error)?;
            if left == 0 {
                break;
            }
            if clock.monotonic() >= deadline {
                let detail =
                    format!("{group} has some {left} records of {} to read yet after {patience:?}", topic.name());
                return Err(ServiceError::unavailable("an up-to-date pipeline", detail));
            }
            std::thread::sleep(LOOK);
        }
        if matches!(topic, Topic::PostsMentions | Topic::TrendsMarket) {
            std::thread::sleep(emit_interval.saturating_add(COMMIT));
        }
    }
    std::thread::sleep(SERVED);
    Ok(())
}

fn high_watermarks(admin: &Admin, topic: Topic) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let partitions = admin.partitions(topic.name())?.unwrap_or(0);
    let end = |partition| Ok((partition, admin.watermarks(&TopicPartition::new(topic.name(), partition))?.1));
    (0..partitions).map(end).collect()
}

/// The last record of each partition that has one: behind it come only marks of transactions, which nobody commits.
fn last_offsets(
    admin: &Admin,
    topic: Topic,
    ends: &BTreeMap<i32, i64>,
) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
    let mut last = BTreeMap::new();
    for (partition, end) in ends {
        let at = TopicPartition::new(topic.name(), *partition);
        if let Some(offset) = last_offset_before(admin, &at, *end)? {
            last.insert(at, offset);
        }
    }
    Ok(last)
}

fn records_left(kafka: &KafkaConfig, group: &str, last: &BTreeMap<TopicPartition, i64>) -> Result<i64, KafkaError> {
    let partitions: Vec<TopicPartition> = last.keys().cloned().collect();
    let committed = committed_offsets(kafka, group, &partitions, ANSWER)?;
    let next = |partition| committed.get(partition).map_or(0, |committed| committed.offset);
    Ok(last.iter().map(|(partition, last)| (last + 1 - next(partition)).max(0)).sum())
}
