//! The input: keys in turn over a stretch of event time, and what a count of it must come to.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use vigie_clock::Timestamp;
use vigie_kafka_client::{Admin, KafkaConfig, ProducerOptions, Start, TopicSpec, TransactionalProducer, read_to_end};

use super::WINDOWS;

/// Records of one transaction of the loader.
const BATCH: u64 = 20_000;
/// Apart from each other in the order of keys, so that neighbours in the input are not neighbours in a store.
const STRIDE: u64 = 7919;

/// An input, every record of it known by its number.
#[derive(Clone, Debug)]
pub struct Input {
    /// The topic, without the prefix.
    pub topic: String,
    /// How many records.
    pub records: u64,
    /// How many different keys.
    pub keys: u64,
    /// How many windows the event times lie in.
    pub windows: u64,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// The event time of the first record: the start of a window.
    pub begin: Timestamp,
}

impl Input {
    /// Key and event time of the n-th record.
    fn event(&self, n: u64) -> (Bytes, Timestamp) {
        let span = WINDOWS.size.as_millis() * u128::from(self.windows);
        let after = u128::from(n) * span / u128::from(self.records);
        let after = Duration::from_millis(u64::try_from(after).unwrap_or(u64::MAX));
        let key = n.wrapping_mul(STRIDE) % self.keys;
        (Bytes::from(format!("key-{key:08}")), self.begin.saturating_add(after))
    }

    /// Writes all records to the topic, which it creates. Calls `progress` with how many are there.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn load(&self, kafka: &KafkaConfig, partitions: i32, progress: impl Fn(u64)) -> anyhow::Result<()> {
        create_topic(&Admin::new(kafka)?, &self.topic, partitions)?;
        let options =
            ProducerOptions { transactional_id: self.topic.clone(), transaction_timeout: Duration::from_secs(30) };
        let mut producer = TransactionalProducer::new(kafka, &options)?;
        let mut letters = Letters(1);
        for from in (0..self.records).step_by(usize::try_from(BATCH)?) {
            let to = self.records.min(from + BATCH);
            producer.begin()?;
            for n in from..to {
                let (key, at) = self.event(n);
                let value: Vec<u8> = letters.by_ref().take(self.value_bytes).collect();
                producer.produce(&self.topic, None, Some(&key), Some(&value), Some(at), &[])?;
            }
            producer.commit()?;
            progress(to);
        }
        Ok(())
    }

    /// The count of each window and key, by its key on the wire.
    pub fn expected(&self) -> HashMap<Bytes, u64> {
        let mut counts = HashMap::new();
        for n in 0..self.records {
            let (key, at) = self.event(n);
            *counts.entry(wire_key(WINDOWS.window_of(at).start, &key)).or_default() += 1;
        }
        counts
    }
}

/// Letters that no compression makes much smaller, by a linear congruential generator (Knuth's MMIX).
struct Letters(u64);

impl Iterator for Letters {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(b'a' + ((self.0 >> 33) % 26) as u8)
    }
}

/// A windowed key as Kafka Streams writes it: the key, then the window's start in milliseconds, 8 bytes, big-endian.
pub fn wire_key(start: Timestamp, key: &[u8]) -> Bytes {
    let mut wire = BytesMut::with_capacity(key.len() + 8);
    wire.put_slice(key);
    wire.put_i64(start.as_millis());
    wire.freeze()
}

/// Creates a topic from which nothing is deleted, whatever its records' times.
///
/// # Errors
/// If the broker refuses.
pub fn create_topic(admin: &Admin, name: &str, partitions: i32) -> anyhow::Result<()> {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    admin.create_topics(&[TopicSpec { name: name.to_owned(), partitions, replication: 1, config }])?;
    Ok(())
}

/// Compares the last count of each window and key on `topic` with what is expected.
///
/// # Errors
/// At the first that differs, is missing or is too many.
pub fn verify(kafka: &KafkaConfig, topic: &str, expected: &HashMap<Bytes, u64>) -> anyhow::Result<()> {
    let mut last = HashMap::with_capacity(expected.len());
    for record in read_to_end(kafka, topic, &Start::Beginning)? {
        let record = record?;
        let key = record.key.context("a count without a key")?;
        let value = record.value.as_deref().and_then(|value| value.try_into().ok());
        last.insert(key, u64::from_be_bytes(value.context("a count that is not 8 bytes long")?));
    }
    for (key, count) in expected {
        match last.get(key) {
            Some(found) if found == count => {}
            found => bail!("{topic}: the count of {key:?} is {found:?}, expected {count}"),
        }
    }
    if last.len() != expected.len() {
        bail!("{topic}: counts of {} windows and keys, expected {}", last.len(), expected.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_equally_often_in_every_window() {
        let begin = Timestamp::from_millis(1_652_097_600_000);
        let input = Input { topic: "t".into(), records: 600, keys: 20, windows: 3, value_bytes: 1, begin };
        let counts = input.expected();
        assert_eq!(counts.len(), 60);
        assert!(counts.values().all(|count| *count == 10), "{counts:?}");
        assert_eq!(wire_key(Timestamp::from_millis(258), b"k").as_ref(), [b'k', 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
