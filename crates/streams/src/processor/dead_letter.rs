//! Records that cannot be processed: kept beside their topic, with the reason, in the transaction that moves past them.

use std::collections::BTreeMap;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_kafka_client::{Record, TopicSpec};

/// The largest dead letter, in bytes, on topics that are created as [`DeadLetterEncoder::topic`] has them by default.
const MAX_BYTES: u32 = 4 * 1024 * 1024;

/// Where the dead letters of `topic` go.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// A record that could not be processed, and why.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The record as it was read.
    pub record: &'a Record,
    /// The topology that gave up on it.
    pub stage: &'a str,
    /// A short, stable word for the kind of failure.
    pub reason: &'a str,
    /// What exactly was wrong.
    pub detail: &'a str,
    /// When it failed.
    pub failed_at: Timestamp,
}

/// Writes dead letters in the application's format.
pub trait DeadLetterEncoder: Send + Sync {
    /// The value of the record for the dead-letter topic.
    ///
    /// # Errors
    /// If it cannot be encoded for now; the batch is tried again.
    fn encode(&self, letter: &DeadLetter<'_>) -> Result<Bytes, String>;

    /// The dead-letter topic of `topic`, which has `partitions`, as it is created where there is none. Its name is [`dead_letter_topic`].
    fn topic(&self, topic: &str, partitions: i32) -> TopicSpec {
        // A dead letter holds a record that may be as large as its topic allows, and more.
        let config = BTreeMap::from([("max.message.bytes".to_owned(), MAX_BYTES.to_string())]);
        TopicSpec { name: dead_letter_topic(topic), partitions, replication: -1, config }
    }
}

/// Writes the original value as it is. The reason is in the headers, which every dead letter has.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainDeadLetters;

impl DeadLetterEncoder for PlainDeadLetters {
    fn encode(&self, letter: &DeadLetter<'_>) -> Result<Bytes, String> {
        Ok(letter.record.value.clone().unwrap_or_default())
    }
}

/// The headers of a dead letter, so that it can be recognised and re-driven whatever its payload's format.
pub(crate) fn headers(letter: &DeadLetter<'_>) -> Vec<(String, Bytes)> {
    let record = letter.record;
    let text = |value: &str| Bytes::copy_from_slice(value.as_bytes());
    vec![
        ("dlq.topic".to_owned(), text(&record.topic)),
        ("dlq.partition".to_owned(), text(&record.partition.to_string())),
        ("dlq.offset".to_owned(), text(&record.offset.to_string())),
        ("dlq.stage".to_owned(), text(letter.stage)),
        ("dlq.reason".to_owned(), text(letter.reason)),
        ("dlq.detail".to_owned(), text(letter.detail)),
    ]
}
