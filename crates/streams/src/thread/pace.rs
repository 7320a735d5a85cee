//! A limit to the records that all threads together take in a second.

use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;

pub(crate) struct Pace {
    per_record: Duration,
    /// When the next records may be taken.
    due: Mutex<Duration>,
}

impl Pace {
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self { per_record: Duration::from_secs(1) / rate.get(), due: Mutex::default() }
    }

    /// How long to wait until the next records may be taken; `None` if they may be now.
    pub(crate) fn pause(&self, now: Duration) -> Option<Duration> {
        self.due.lock().checked_sub(now).filter(|pause| !pause.is_zero())
    }

    /// Notes that records were taken. Time that was not used is not made up for.
    pub(crate) fn took(&self, records: usize, now: Duration) {
        let mut due = self.due.lock();
        *due = (*due).max(now) + self.per_record * u32::try_from(records).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_took_is_waited_for_and_idle_time_is_not_made_up_for() {
        let pace = Pace::new(NonZeroU32::new(100).unwrap());
        let at = Duration::from_secs;
        assert_eq!(pace.pause(at(5)), None);
        pace.took(100, at(5));
        pace.took(100, at(5));
        assert_eq!(pace.pause(at(6)), Some(at(1)));
        assert_eq!(pace.pause(at(7)), None);
        pace.took(50, at(100));
        assert_eq!(pace.pause(at(100)), Some(Duration::from_millis(500)));
    }
}
