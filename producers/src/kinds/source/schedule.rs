//! When a source wants to be asked, as it says itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

/// The furthest that `skipHours` and `skipDays` put a poll off.
const LONGEST_SKIP: Duration = Duration::from_secs(48 * 3600);

const HOUR: Duration = Duration::from_secs(3600);

/// What a feed says about when to ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// RSS's `ttl`, seconds.
    pub ttl: Option<u64>,
    /// The syndication module's period over its frequency, seconds.
    pub period: Option<u64>,
    /// Hours of the day (UTC) at which nobody should ask, bit 0 for midnight.
    pub skip_hours: u32,
    /// Days of the week likewise, bit 0 for Monday.
    pub skip_days: u8,
}

impl Schedule {
    fn skips(&self, at: Timestamp) -> bool {
        let hours = at.as_millis().div_euclid(3_600_000);
        let (hour, day) = (hours.rem_euclid(24), hours.div_euclid(24));
        // The epoch was a Thursday.
        let weekday = (day + 3).rem_euclid(7);
        self.skip_hours >> hour & 1 == 1 || self.skip_days >> weekday & 1 == 1
    }

    /// The first time from `at` on that is not skipped; `at` itself if that is too far away.
    pub(crate) fn allowed(&self, at: Timestamp) -> Timestamp {
        let mut next = at;
        while self.skips(next) {
            next = next.window_start(HOUR).saturating_add(HOUR);
            if next.since(at) > LONGEST_SKIP {
                return at;
            }
        }
        next
    }
}
