//! What has been polled but not yet handed to the writer, and where each partition is.
//!
//! Pure: no clock, no Kafka. A partition is unknown until its stored offset has been loaded; records that arrive earlier are passed over,
//! as the seek to the stored offset brings them again if they are wanted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use vigie_kafka_client::{Record, TopicPartition};

use crate::config::BatchOptions;
use crate::sink::{Advance, Offsets};

/// Undecoded records and how far they move their partitions.
#[derive(Debug, Default)]
pub(crate) struct RawBatch {
    pub(crate) records: Vec<Record>,
    pub(crate) advances: BTreeMap<TopicPartition, Advance>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    /// What the store holds.
    stored: i64,
    /// Below this, a record has been seen.
    next: i64,
}

/// The records between Kafka and the writer.
#[derive(Debug)]
pub(crate) struct Buffer {
    options: BatchOptions,
    positions: BTreeMap<TopicPartition, Position>,
    records: VecDeque<Record>,
    bytes: u64,
    /// When the oldest record came, by the monotonic clock.
    since: Option<Duration>,
}

impl Buffer {
    pub(crate) fn new(options: BatchOptions) -> Self {
        Self { options, positions: BTreeMap::new(), records: VecDeque::new(), bytes: 0, since: None }
    }

    /// From now on, takes records of these partitions from these offsets on.
    pub(crate) fn activate(&mut self, offsets: &Offsets) {
        for (partition, &next) in offsets {
            self.positions.insert(partition.clone(), Position { stored: next, next });
        }
    }

    /// Forgets partitions and their records.
    pub(crate) fn forget(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.positions.remove(partition);
        }
        let positions = &self.positions;
        self.records.retain(|record| positions.contains_key(&record.topic_partition()));
        self.bytes = self.records.iter().map(size).sum();
        self.since = self.since.filter(|_| !self.records.is_empty());
    }

    /// The stored offsets of all active partitions.
    pub(crate) fn stored(&self) -> Offsets {
        self.positions.iter().map(|(partition, position)| (partition.clone(), position.stored)).collect()
    }

    /// Takes the record in, unless its partition is not active or it has been seen.
    pub(crate) fn accept(&mut self, record: Record, now: Duration) -> bool {
        let Some(position) = self.positions.get_mut(&record.topic_partition()) else { return false };
        if record.offset < position.next {
            return false;
        }
        position.next = record.offset + 1;
        self.bytes += size(&record);
        self.records.push_back(record);
        self.since.get_or_insert(now);
        true
    }

    /// How long until the buffered records should be written; `None` if there are none.
    pub(crate) fn due_in(&self, now: Duration) -> Option<Duration> {
        let since = self.since?;
        if self.records.len() >= self.options.batch_records as usize || self.bytes >= self.options.batch_bytes {
            return Some(Duration::ZERO);
        }
        Some(Duration::from_millis(self.options.linger_ms).saturating_sub(now.saturating_sub(since)))
    }

    /// Whether it holds as much as a few batches: read no more for now.
    pub(crate) fn is_full(&self) -> bool {
        const BATCHES: usize = 4;
        self.records.len() >= BATCHES * self.options.batch_records as usize
            || self.bytes >= BATCHES as u64 * self.options.batch_bytes
    }

    /// Removes one batch, the oldest records first. The caller reports it as settled, or reloads its partitions.
    pub(crate) fn take(&mut self, now: Duration) -> Option<RawBatch> {
        let mut batch = RawBatch::default();
        let mut bytes = 0;
        while let Some(record) = self.records.front() {
            let full = batch.records.len() >= self.options.batch_records as usize
                || bytes + size(record) > self.options.batch_bytes;
            if full && !batch.records.is_empty() {
                break;
            }
            let Some(record) = self.records.pop_front() else { break };
            bytes += size(&record);
            let partition = record.topic_partition();
            let expected = self.positions.get(&partition).map_or(record.offset, |position| position.stored);
            let next = record.offset + 1;
            let advance = batch.advances.entry(partition).or_insert(Advance { expected, next });
            advance.next = next;
            batch.records.push(record);
        }
        self.bytes -= bytes;
        self.since = if self.records.is_empty() { None } else { Some(now) };
        (!batch.records.is_empty()).then_some(batch)
    }

    /// The store holds what the batch said.
    pub(crate) fn settled(&mut self, advances: &BTreeMap<TopicPartition, Advance>) {
        for (partition, advance) in advances {
            if let Some(position) = self.positions.get_mut(partition) {
                position.stored = advance.next;
            }
        }
    }
}

fn size(record: &Record) -> u64 {
    let bytes = record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |value| value.len());
    bytes as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vigie_clock::Timestamp;

    use super::*;

    fn record(partition: i32, offset: i64) -> Record {
        Record {
            topic: "t".into(),
            partition,
            offset,
            timestamp: Timestamp::from_millis(0),
            key: None,
            value: Some(Bytes::from_static(b"0123456789")),
            headers: Vec::new(),
        }
    }

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn buffer(batch_records: u32, batch_bytes: u64) -> Buffer {
        let mut buffer = Buffer::new(BatchOptions { batch_records, batch_bytes, linger_ms: 50 });
        buffer.activate(&Offsets::from([(at(0), 10), (at(1), 0)]));
        buffer
    }

    const T0: Duration = Duration::from_secs(100);

    #[test]
    fn records_before_the_stored_offset_and_of_unknown_partitions_are_passed_over() {
        let mut buffer = buffer(10, 1000);
        assert!(!buffer.accept(record(0, 9), T0));
        assert!(!buffer.accept(record(2, 9), T0));
        assert!(buffer.accept(record(0, 10), T0));
        assert!(!buffer.accept(record(0, 10), T0), "the same record twice");
        assert_eq!(buffer.take(T0).unwrap().records.len(), 1);
        assert!(buffer.take(T0).is_none());
    }

    #[test]
    fn a_batch_says_what_the_store_must_hold_and_what_it_holds_afterwards() {
        let mut buffer = buffer(10, 1000);
        for (partition, offset) in [(0, 10), (1, 3), (0, 14)] {
            buffer.accept(record(partition, offset), T0); // gaps are transaction markers
        }
        let batch = buffer.take(T0).unwrap();
        assert_eq!(batch.advances[&at(0)], Advance { expected: 10, next: 15 });
        assert_eq!(batch.advances[&at(1)], Advance { expected: 0, next: 4 });
        buffer.settled(&batch.advances);
        assert_eq!(buffer.stored(), Offsets::from([(at(0), 15), (at(1), 4)]));
        buffer.accept(record(0, 15), T0);
        assert_eq!(buffer.take(T0).unwrap().advances[&at(0)], Advance { expected: 15, next: 16 });
    }

    #[test]
    fn batches_end_by_count_by_bytes_and_by_time() {
        let mut by_count = buffer(2, 1000);
        by_count.accept(record(0, 10), T0);
        assert_eq!(by_count.due_in(T0 + Duration::from_millis(20)), Some(Duration::from_millis(30)));
        assert_eq!(by_count.due_in(T0 + Duration::from_millis(50)), Some(Duration::ZERO));
        by_count.accept(record(0, 11), T0);
        assert_eq!(by_count.due_in(T0), Some(Duration::ZERO));
        by_count.accept(record(0, 12), T0);
        assert_eq!(by_count.take(T0).unwrap().records.len(), 2);
        assert_eq!(by_count.take(T0).unwrap().records.len(), 1);
        assert_eq!(by_count.due_in(T0), None);

        let mut by_bytes = buffer(100, 25);
        for offset in 10..14 {
            by_bytes.accept(record(0, offset), T0);
        }
        assert_eq!(by_bytes.due_in(T0), Some(Duration::ZERO));
        assert_eq!(by_bytes.take(T0).unwrap().records.len(), 2);

        let mut oversized = buffer(100, 5);
        oversized.accept(record(0, 10), T0);
        assert_eq!(oversized.take(T0).unwrap().records.len(), 1, "one record may exceed the limit");
    }

    #[test]
    fn a_forgotten_partition_leaves_no_record_behind() {
        let mut buffer = buffer(10, 1000);
        buffer.accept(record(0, 10), T0);
        buffer.accept(record(1, 0), T0);
        buffer.forget(&[at(0)]);
        let batch = buffer.take(T0).unwrap();
        assert_eq!(batch.advances.keys().collect::<Vec<_>>(), [&at(1)]);
        buffer.activate(&Offsets::from([(at(0), 10)]));
        assert!(buffer.accept(record(0, 10), T0), "assigned again, it is read again");
    }
}
