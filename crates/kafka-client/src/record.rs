//! Records as they are read and written.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use vigie_clock::Timestamp;

/// Header names and values, in order.
pub type Headers = Vec<(String, Bytes)>;

/// One partition of a topic. Displays as `topic-partition`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic, without the configured prefix.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic, without the configured prefix. Records of one topic share it.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The record's place in the partition.
    pub offset: i64,
    /// When the producer says that it was made.
    pub timestamp: Timestamp,
    /// The key, if it has one.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Headers,
}

impl Record {
    /// The partition that the record was read from.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }

    /// The last header of this name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// The partition, of `partitions`, that the producer chooses for `key`: murmur2 of Kafka's `Utils.java`, without the sign.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^= hash >> 15;
    i32::try_from(hash & 0x7fff_ffff).unwrap_or(0) % partitions.max(1)
}

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The topic, without the configured prefix.
    pub topic: String,
    /// The partition; `None` lets the key's hash (murmur2, as Java's) choose it.
    pub partition: Option<i32>,
    /// The key, if it has one.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The record's time; `None`, and a time in the future, mean now.
    pub timestamp: Option<Timestamp>,
    /// The headers, in order.
    pub headers: Headers,
}

impl OutgoingRecord {
    /// A record of `topic` with a key and a value.
    pub fn new(topic: impl Into<String>, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }
}
