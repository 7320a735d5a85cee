//! Acting on the passing of time.

use std::time::Duration;

use vigie_clock::Timestamp;

/// How far time has come.
///
/// It is called after each batch, before each commit, and without records at least each commit interval. What should happen less often is
/// held back by an [`Every`], on the wall clock or on event time alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punctuation {
    /// The highest event time seen; `None` before the first.
    pub stream_time: Option<Timestamp>,
    /// Events before this are late; `None` while unknown.
    pub watermark: Option<Timestamp>,
    /// The wall clock.
    pub wall_clock: Timestamp,
    /// Whether a commit follows at once: the moment to emit what should leave once per commit and not once per batch.
    pub before_commit: bool,
}

/// Says when an interval is over, on whatever time it is asked with: the wall clock, stream time or the watermark.
///
/// Intervals are aligned to the epoch, so that a restart in the middle of one does not shift them. It is a processor's own field: after an
/// abort or a restart the first time it is asked counts as the begin of nothing, and it is due at the next boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    interval: Duration,
    current: Option<Timestamp>,
}

impl Every {
    /// Due once in each `interval`.
    ///
    /// # Panics
    /// If it is shorter than a millisecond.
    pub fn new(interval: Duration) -> Self {
        assert!(interval.as_millis() > 0, "an interval is at least 1 ms long");
        Self { interval, current: None }
    }

    /// Whether at least one interval ended since it was last asked. Of several that ended meanwhile nothing is made up for.
    pub fn is_due(&mut self, time: Timestamp) -> bool {
        let interval = time.window_start(self.interval);
        match self.current {
            Some(current) if interval <= current => false,
            before => {
                self.current = Some(interval);
                before.is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_due_once_and_never_goes_back() {
        let mut every = Every::new(Duration::from_secs(60));
        let due =
            [30, 59, 60, 61, 119, 400, 399, 419, 420].map(|second| every.is_due(Timestamp::from_millis(second * 1000)));
        assert_eq!(due, [false, false, true, false, false, true, false, false, true]);
    }
}
