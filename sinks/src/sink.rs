//! What a store has to do for the driver.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use vigie_kafka_client::TopicPartition;

use crate::insight::Insight;

/// A store that takes batches of insights, and with them the offsets to go on from, all or nothing.
pub(crate) trait Sink: Send + Sync + 'static {
    /// "sink-postgres" or "sink-redis": in dead letters, health, metrics.
    fn name(&self) -> &'static str;

    /// Where a partition without a stored offset starts.
    fn start(&self) -> Start;

    /// The stored offsets of those of `partitions` that have one.
    fn load(&self, partitions: &[TopicPartition]) -> impl Future<Output = Result<Offsets, SinkError>> + Send;

    /// Stores `starts` for the partitions that have no offset yet, unless another instance was faster; `replace` overwrites. Returns
    /// what is stored now.
    fn claim(&self, starts: &Offsets, replace: bool) -> impl Future<Output = Result<Offsets, SinkError>> + Send;

    /// Stores a batch with its offsets in one transaction, if the stored offsets are still those that the batch expects.
    fn write(&self, batch: &Batch) -> impl Future<Output = Result<Written, SinkError>> + Send;
}

/// The next offset of each partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, i64>;

/// Where a partition without a stored offset starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At its first record.
    Beginning,
    /// At the first record that the broker took in this long ago or later.
    Since(Duration),
}

/// Decoded records, in the order of their offsets within each partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    /// What the store must hold, and what it holds afterwards. Records that went to the dead letter queue are passed here too.
    pub(crate) advances: BTreeMap<TopicPartition, Advance>,
}

/// A decoded record and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) insight: Insight,
}

/// How far a batch moves a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advance {
    pub(crate) expected: i64,
    pub(crate) next: i64,
}

/// Rows that a batch changed, by table or view.
pub(crate) type Written = Vec<(&'static str, u64)>;

/// Why a store did not take a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// It is not there, or busy: try the same again.
    #[error("{0}")]
    Retry(String),
    /// It holds other offsets: another instance has written, or the store was restored or emptied. Load the offsets and read again.
    #[error("{partition} is stored at {}, expected {expected}", stored.map_or_else(|| "no offset".to_owned(), |o| o.to_string()))]
    Conflict { partition: TopicPartition, expected: i64, stored: Option<i64> },
    /// It will not take one of the rows, whatever happens. Find out which, and put it aside.
    #[error("{0}")]
    Rejected(String),
}

impl Batch {
    /// Two batches that do the same one after the other. Each has at least one row if this one has two or more.
    pub(crate) fn split(mut self) -> (Self, Self) {
        let rest = self.rows.split_off(self.rows.len() / 2);
        let mut first = Self { rows: self.rows, advances: BTreeMap::new() };
        let mut second = Self { rows: rest, advances: self.advances };
        for row in &first.rows {
            if let Some(whole) = second.advances.get(&row.partition) {
                let part = Advance { expected: whole.expected, next: row.offset + 1 };
                first.advances.insert(row.partition.clone(), part);
            }
        }
        for (partition, part) in &first.advances {
            if let Some(rest) = second.advances.get_mut(partition) {
                rest.expected = part.next;
            }
        }
        second.advances.retain(|_, advance| advance.expected != advance.next);
        (first, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trend;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn the_halves_of_a_batch_advance_as_far_as_the_whole() {
        let row = |partition, offset| Row {
            partition: at(partition),
            offset,
            insight: Insight::Trend(Box::new(trend("BTC", 0, 1, 1))),
        };
        let batch = Batch {
            rows: vec![row(0, 5), row(1, 7), row(0, 6), row(0, 8)],
            // Offset 9 of partition 0 and all of partition 2 went to the dead letter queue.
            advances: BTreeMap::from([
                (at(0), Advance { expected: 5, next: 10 }),
                (at(1), Advance { expected: 7, next: 8 }),
                (at(2), Advance { expected: 0, next: 3 }),
            ]),
        };
        let (first, second) = batch.split();
        assert_eq!((first.rows.len(), second.rows.len()), (2, 2));
        assert_eq!(first.advances[&at(0)], Advance { expected: 5, next: 6 });
        assert_eq!(first.advances[&at(1)], Advance { expected: 7, next: 8 });
        assert_eq!(second.advances[&at(0)], Advance { expected: 6, next: 10 });
        assert_eq!(second.advances[&at(2)], Advance { expected: 0, next: 3 });
        assert_eq!((first.advances.len(), second.advances.len()), (2, 2));
    }
}
