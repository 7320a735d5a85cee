//! How far behind the thread is, as time.
//!
//! *Lag in seconds* is the age of the last processed record (by its timestamp), but never more than the time since the partition was last
//! seen without lag: the first record after a silent hour does not make it an hour. It is 0 where every record is processed.

use std::collections::BTreeMap;

use vigie_clock::Timestamp;
use vigie_kafka_client::{Record, TopicPartition};

/// The times of the partitions of a thread.
#[derive(Debug, Default)]
pub(crate) struct Lags {
    /// Timestamp of the last processed record.
    processed: BTreeMap<TopicPartition, Timestamp>,
    /// By the wall clock: when there was last nothing to process.
    caught_up: BTreeMap<TopicPartition, Timestamp>,
}

impl Lags {
    /// Notes the last record of a batch, all of one partition.
    pub(crate) fn processed(&mut self, batch: &[Record]) {
        if let Some(last) = batch.last() {
            self.processed.insert(last.topic_partition(), last.timestamp);
        }
    }

    /// The lag of a partition that is `lag` records behind at the wall-clock time `now`; `None` while nothing is known.
    pub(crate) fn seconds(&mut self, partition: &TopicPartition, lag: i64, now: Timestamp) -> Option<f64> {
        if lag == 0 {
            self.caught_up.insert(partition.clone(), now);
            return Some(0.0);
        }
        let known = [self.processed.get(partition), self.caught_up.get(partition)];
        let since = known.into_iter().flatten().max()?;
        Some(now.since(*since).as_secs_f64())
    }

    /// The partition is another thread's now.
    pub(crate) fn forget(&mut self, partition: &TopicPartition) {
        self.processed.remove(partition);
        self.caught_up.remove(partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn lag_is_the_age_of_the_last_processed_record_but_not_of_a_silence() {
        let partition = TopicPartition::new("in", 0);
        let record = |seconds| Record {
            topic: "in".into(),
            partition: 0,
            offset: 0,
            timestamp: at(seconds),
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let mut lags = Lags::default();
        assert_eq!(lags.seconds(&partition, 5, at(100)), None, "nothing is known");
        lags.processed(&[record(40)]);
        assert_eq!(lags.seconds(&partition, 5, at(100)), Some(60.0));
        assert_eq!(lags.seconds(&partition, 0, at(110)), Some(0.0));
        assert_eq!(lags.seconds(&partition, 1, at(3_710)), Some(3600.0));
        assert_eq!(lags.seconds(&partition, 0, at(3_711)), Some(0.0));
        assert_eq!(
            lags.seconds(&partition, 1, at(3_713)),
            Some(2.0),
            "not the age of a record from before the silence"
        );
        lags.forget(&partition);
        assert_eq!(lags.seconds(&partition, 1, at(3_713)), None);
    }
}
