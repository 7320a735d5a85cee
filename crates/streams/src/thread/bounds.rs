//! A bounded run: where it stops, and what is left to do.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use vigie_kafka_client::{Admin, KafkaError, TopicPartition, last_offset_before};

/// The offsets at which a run stops.
pub(crate) struct Bounds {
    stops: BTreeMap<TopicPartition, i64>,
    /// The last record before each stop. The stop itself may point at a transaction marker that no consumer will ever see.
    last: BTreeMap<TopicPartition, i64>,
    left: Mutex<BTreeSet<TopicPartition>>,
}

impl Bounds {
    /// Finds the last record before each stop.
    pub(crate) fn find(admin: &Admin, stops: &BTreeMap<TopicPartition, i64>) -> Result<Self, KafkaError> {
        let mut last = BTreeMap::new();
        for (partition, stop) in stops {
            if let Some(offset) = last_offset_before(admin, partition, *stop)? {
                last.insert(partition.clone(), offset);
            }
        }
        let left = Mutex::new(last.keys().cloned().collect());
        Ok(Self { stops: stops.clone(), last, left })
    }

    /// Records of the partition from this offset on do not belong to the run.
    pub(crate) fn stop_of(&self, partition: &TopicPartition) -> i64 {
        self.stops.get(partition).copied().unwrap_or(0)
    }

    /// Notes that everything before `position` is processed and committed; `true` if the partition is done.
    pub(crate) fn committed(&self, partition: &TopicPartition, position: i64) -> bool {
        let done = self.last.get(partition).is_none_or(|last| position > *last);
        if done {
            self.left.lock().remove(partition);
        }
        done
    }

    /// Whether all partitions are done.
    pub(crate) fn reached(&self) -> bool {
        self.left.lock().is_empty()
    }
}
