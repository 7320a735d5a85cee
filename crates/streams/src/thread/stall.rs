//! Noticing that nothing moves although there is work.
//!
//! A thread that polls but gets no records, although the log has some, is mended by a new session: new clients, new tasks. A thread that
//! does not come back from its processor cannot be ended from outside, only reported: the application is degraded until it does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use vigie_clock::SharedClock;
use vigie_kafka_client::{Admin, KafkaError, TopicPartition, last_offset_before};

/// When a thread last got something done.
#[derive(Debug)]
pub(crate) struct StallWatch {
    patience: Duration,
    moved_at: Duration,
    /// Positions and ends between which there were found to be no records, only transaction markers.
    empty: BTreeMap<TopicPartition, (i64, i64)>,
}

impl StallWatch {
    pub(crate) fn new(patience: Duration, now: Duration) -> Self {
        Self { patience, moved_at: now, empty: BTreeMap::new() }
    }

    /// Records were processed, a commit succeeded, or there was nothing to do.
    pub(crate) fn moved(&mut self, now: Duration) {
        self.moved_at = now;
    }

    /// The first of the partitions, given with its position, that has records which wait.
    pub(crate) fn waiting(
        &mut self,
        admin: &Admin,
        positions: BTreeMap<TopicPartition, i64>,
        stop_of: impl Fn(&TopicPartition) -> i64,
    ) -> Result<Option<(TopicPartition, i64, i64)>, KafkaError> {
        for (partition, position) in positions {
            // What the consumer knows stands on the fetches that may have stopped: the broker is asked.
            let end = admin.stable_watermarks(&partition)?.1.min(stop_of(&partition));
            if end <= position || self.empty.get(&partition) == Some(&(position, end)) {
                continue;
            }
            if last_offset_before(admin, &partition, end)?.is_some_and(|last| last >= position) {
                return Ok(Some((partition, position, end)));
            }
            self.empty.insert(partition, (position, end));
        }
        Ok(None)
    }

    /// Whether nothing moved for so long that it is worth asking whether there is work.
    pub(crate) fn is_overdue(&self, now: Duration) -> bool {
        now.saturating_sub(self.moved_at) >= self.patience
    }
}

/// Sign of life of one thread, which another watches.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    millis: AtomicU64,
    /// The thread has ended, or was reported already.
    silent: AtomicBool,
}

impl Heartbeat {
    /// The thread is alive at the monotonic time of `clock`.
    pub(crate) fn beat(&self, clock: &SharedClock) {
        self.millis.store(u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.silent.store(false, Ordering::Relaxed);
    }

    /// Says once for each silence that the thread has been silent for longer than `patience`: for how long.
    pub(crate) fn stuck_for(&self, now: Duration, patience: Duration) -> Option<Duration> {
        let silence = now.saturating_sub(Duration::from_millis(self.millis.load(Ordering::Relaxed)));
        (silence >= patience && !self.silent.swap(true, Ordering::Relaxed)).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vigie_clock::{ManualClock, Timestamp};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(300);

    #[test]
    fn stall_is_suspected_only_after_the_whole_patience_without_progress() {
        let mut watch = StallWatch::new(PATIENCE, Duration::ZERO);
        assert!(!watch.is_overdue(Duration::from_secs(299)));
        watch.moved(Duration::from_secs(299));
        assert!(!watch.is_overdue(Duration::from_secs(598)));
        assert!(watch.is_overdue(Duration::from_secs(599)));
    }

    #[test]
    fn stuck_thread_is_reported_once_per_silence() {
        let manual = ManualClock::new(Timestamp::from_millis(0));
        let clock: SharedClock = Arc::new(manual.clone());
        let heart = Heartbeat::default();
        heart.beat(&clock);
        manual.advance(Duration::from_secs(299));
        assert_eq!(heart.stuck_for(clock.monotonic(), PATIENCE), None);
        manual.advance(Duration::from_secs(2));
        assert_eq!(heart.stuck_for(clock.monotonic(), PATIENCE), Some(Duration::from_secs(301)));
        assert_eq!(heart.stuck_for(clock.monotonic(), PATIENCE), None, "said already");
        heart.beat(&clock);
        manual.advance(PATIENCE);
        assert_eq!(heart.stuck_for(clock.monotonic(), PATIENCE), Some(PATIENCE), "a new silence");
    }
}
