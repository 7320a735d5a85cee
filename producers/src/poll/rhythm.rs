//! How often a source is worth asking, by what it says and by how often it publishes.
//!
//! ```text
//!   quiet    = max(median gap of the last 20 publication times, time since the last one)
//!   own      = quiet / 4                                between `every` and min(4 x every, every + 1 h)
//!   declared = sy:updatePeriod / sy:updateFrequency     likewise, since generators write "hourly" into every feed
//!   asked    = ttl, max-age, Expires                    at most 1 h
//!   pause    = max(every, own, declared, asked) x 1.0..1.1
//! ```
//!
//! Then `skipHours` and `skipDays` put the time off, by two days at most. A quarter of the quiet time means that a post is seen late by an eighth of
//! it on average, and that a feed that wakes up is asked at its full rate again with its next posts. Never more often than `every`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

use crate::kinds::source::schedule::Schedule;

/// The longest pause that a source asks for with `ttl`, `max-age` or `Expires` that is honoured.
pub const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// How much longer than asked for in the configuration a pause gets for quiet.
const MOST_STRETCH: u32 = 4;
const LONGEST_STRETCH: Duration = Duration::from_secs(3600);

/// Publication times that are remembered.
const TIMES: usize = 20;

/// What is known of a source's rhythm; kept in its cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rhythm {
    /// When its last posts were published, oldest first.
    times: Vec<Timestamp>,
    /// What it says itself.
    schedule: Schedule,
}

impl Rhythm {
    /// From a cursor.
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// For a cursor; `None` if nothing is known.
    pub fn write(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).ok()).flatten()
    }

    /// Takes in an answer: when its posts were published, and what it says of itself.
    pub fn learn(&mut self, published: impl IntoIterator<Item = Timestamp>, schedule: Schedule, now: Timestamp) {
        self.times.extend(published.into_iter().filter(|time| *time <= now));
        self.times.sort_unstable();
        self.times.dedup();
        self.times.drain(..self.times.len().saturating_sub(TIMES));
        self.schedule = schedule;
    }

    /// The pause before the next poll, without jitter, of a source that is asked once in `every` at most.
    pub fn pause(&self, every: Duration, fresh_for: Option<Duration>, now: Timestamp) -> Duration {
        let longest = every.saturating_mul(MOST_STRETCH).min(every.saturating_add(LONGEST_STRETCH));
        let declared = Duration::from_secs(self.schedule.period.unwrap_or_default());
        let ttl = Duration::from_secs(self.schedule.ttl.unwrap_or_default());
        let asked = ttl.max(fresh_for.unwrap_or_default()).min(LONGEST_ASKED);
        (self.quiet(now) / 4).max(declared).clamp(every, longest).max(asked)
    }

    /// When a poll planned for `at` is made.
    pub fn allowed(&self, at: Timestamp) -> Timestamp {
        self.schedule.allowed(at)
    }

    fn quiet(&self, now: Timestamp) -> Duration {
        let Some(last) = self.times.last() else { return Duration::ZERO };
        let mut gaps: Vec<Duration> = self.times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        gaps.sort_unstable();
        let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        median.max(now.since(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// A rhythm of a post each `gap` until `silence` before now.
    fn posts(gap: Duration, silence: Duration, now: Timestamp) -> Rhythm {
        let mut rhythm = Rhythm::default();
        let last = now.saturating_sub(silence);
        rhythm.learn((0..50).map(|n| last.saturating_sub(gap * n)), Schedule::default(), now);
        Rhythm::read(rhythm.write().as_deref())
    }

    #[test]
    fn a_quiet_feed_is_asked_less_within_bounds_and_never_too_often() {
        let now = at("2026-01-05T12:00:00Z");
        let pause = |gap, silence, every| posts(gap, silence, now).pause(every, None, now);
        assert_eq!(pause(Duration::from_secs(5), Duration::ZERO, MINUTE), MINUTE);
        assert_eq!(pause(8 * MINUTE, Duration::ZERO, MINUTE), 2 * MINUTE);
        assert_eq!(pause(Duration::from_secs(5), 12 * MINUTE, MINUTE), 3 * MINUTE);
        assert_eq!(pause(24 * HOUR, 90 * 24 * HOUR, MINUTE), 4 * MINUTE);
        assert_eq!(pause(24 * HOUR, Duration::ZERO, 2 * HOUR), 3 * HOUR);
        assert_eq!(Rhythm::default().pause(MINUTE, None, now), MINUTE);
        assert_eq!(posts(MINUTE, Duration::ZERO, now).times.len(), TIMES);
    }

    #[test]
    fn what_a_source_asks_for_is_honoured_and_capped() {
        let now = at("2026-01-05T12:00:00Z");
        let pause = |ttl, period, fresh: Option<u64>| {
            let mut rhythm = Rhythm::default();
            rhythm.learn([], Schedule { ttl, period, ..Schedule::default() }, now);
            rhythm.pause(MINUTE, fresh.map(Duration::from_secs), now).as_secs()
        };
        assert_eq!(pause(Some(1800), None, None), 1800);
        assert_eq!(pause(Some(1_000_000), None, None), 3600);
        assert_eq!(pause(None, Some(120), None), 120);
        assert_eq!(pause(None, Some(3600), None), 240);
        assert_eq!(pause(None, None, Some(600)), 600);
        assert_eq!(pause(None, None, Some(1_000_000)), 3600);
        assert_eq!(pause(Some(1), Some(1), Some(1)), 60);
    }

    #[test]
    fn skipped_hours_and_days_are_left_out_unless_they_are_all() {
        let mut rhythm = Rhythm::default();
        // Saturday and Sunday, and the nights.
        let nights = 0b1100_0000_0000_0000_0000_0011;
        rhythm.learn(
            [],
            Schedule { skip_hours: nights, skip_days: 0b110_0000, ..Schedule::default() },
            at("2026-01-01T00:00:00Z"),
        );
        assert_eq!(rhythm.allowed(at("2026-01-05T12:34:56Z")), at("2026-01-05T12:34:56Z"));
        assert_eq!(rhythm.allowed(at("2026-01-05T22:34:56Z")), at("2026-01-06T02:00:00Z"));
        assert_eq!(rhythm.allowed(at("2026-01-03T02:34:56Z")), at("2026-01-05T02:00:00Z"));
        rhythm.learn([], Schedule { skip_hours: u32::MAX, ..Schedule::default() }, at("2026-01-01T00:00:00Z"));
        assert_eq!(rhythm.allowed(at("2026-01-05T12:34:56Z")), at("2026-01-05T12:34:56Z"));
    }
}
