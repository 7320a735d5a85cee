//! The watermark of a task: no later mention is expected to be older.
//!
//! Mentions of one partition come from several partitions of raw posts, which may be read at different speeds (after a pause one of them
//! can be hours ahead). The watermark is therefore the lowest of the highest event times of these upstream partitions. A partition that
//! is silent for longer than the idle time-out, by the wall clock, does not hold it back. It is kept in the store, so that a window that
//! was closed stays closed after a restart, and it never goes back. Nor does the bound before which windows are closed: a longer grace does
//! not open again what was counted and dropped under a shorter one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;
use vigie_streams::TumblingWindows;

/// An event time this far ahead of the wall clock is a mistake and does not move the watermark.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(3600);

/// Time by the wall clock from the first mention until the backlogs of a first start are taken to be in.
pub const TRUSTED_AFTER: Duration = Duration::from_secs(60);

/// What is older than this is no backlog of a first start but an archive.
const ARCHIVE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How far event time has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    highest: BTreeMap<i32, Timestamp>,
    watermark: Option<Timestamp>,
    closed_before: Option<Timestamp>,
    /// Windows that start before this were learned as history when they had settled.
    #[serde(default)]
    settled_before: Option<Timestamp>,
    /// Which windows were complete.
    #[serde(default)]
    pub complete: Completeness,
    #[serde(skip)]
    heard: BTreeMap<i32, Timestamp>,
}

/// Which windows had all their posts when they settled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Completeness {
    /// From when on, by the wall clock, the backlogs that a first start reads are taken to be in.
    trusted_from: Option<Timestamp>,
    /// The first window that settled complete.
    complete_from: Option<Timestamp>,
}

impl Completeness {
    /// Takes note that something came.
    pub fn observe(&mut self, now: Timestamp) {
        self.trusted_from.get_or_insert_with(|| now.saturating_add(TRUSTED_AFTER));
    }

    /// Windows that end by this are complete, as far as can be known at `now`: all of them once the backlogs of a first start are in, and before that
    /// an archive's, which has no sources that are still to be asked.
    pub fn before(&self, now: Timestamp) -> Timestamp {
        let trusted = self.trusted_from.is_some_and(|from| now >= from);
        if trusted { Timestamp::from_millis(i64::MAX) } else { now.saturating_sub(ARCHIVE) }
    }

    /// From when on windows were complete when they settled; `settled` is the first of those that settle now, if any does.
    pub fn from(&mut self, settled: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        match settled {
            Some(start) if start > self.before(now) => self.complete_from = None,
            Some(start) => drop(self.complete_from.get_or_insert(start)),
            None => {}
        }
        self.complete_from
    }
}

impl Progress {
    /// The watermark as of the last [`Progress::advance`].
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }

    /// Windows that start before this are closed, as of the last [`Progress::advance`].
    pub fn closed_before(&self) -> Timestamp {
        self.closed_before.unwrap_or(Timestamp::MIN)
    }

    /// Takes note of a mention that stands on a post of the upstream `partition`.
    pub fn observe(&mut self, partition: i32, event_time: Timestamp, now: Timestamp) {
        if event_time > now.saturating_add(FUTURE_TOLERANCE) {
            return;
        }
        self.heard.insert(partition, now);
        self.complete.observe(now);
        let highest = self.highest.entry(partition).or_insert(event_time);
        *highest = event_time.max(*highest);
    }

    /// Takes note that windows which start before `bound` have settled; returns the range of starts that is new. It never goes back.
    pub fn settle(&mut self, bound: Timestamp) -> Range<Timestamp> {
        let before = self.settled_before.unwrap_or(Timestamp::MIN);
        let bound = bound.max(before);
        self.settled_before = Some(bound);
        before..bound
    }

    /// Whether nothing has come from anywhere for the time-out, or ever.
    pub fn is_idle(&self, now: Timestamp, idle_timeout: Duration) -> bool {
        !self.heard.values().any(|at| now.since(*at) < idle_timeout)
    }

    /// Moves the watermark and closes windows; true if it moved.
    pub fn advance(&mut self, now: Timestamp, idle_timeout: Duration, windows: &TumblingWindows) -> bool {
        // After a restart nobody has been heard yet: give everybody the time-out before going on without them.
        for partition in self.highest.keys() {
            self.heard.entry(*partition).or_insert(now);
        }
        let heard = &self.heard;
        let active = |partition: &i32| heard.get(partition).is_some_and(|at| now.since(*at) < idle_timeout);
        let lowest = self.highest.iter().filter(|(partition, _)| active(partition)).map(|(_, time)| *time).min();
        // When all are silent nothing more is known to be missing: the highest stands.
        let candidate = lowest.or_else(|| self.highest.values().copied().max());
        let moved = candidate > self.watermark;
        self.watermark = self.watermark.max(candidate);
        self.closed_before = self.closed_before.max(windows.closed_before(self.watermark));
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const WINDOWS: TumblingWindows = TumblingWindows { size: Duration::from_secs(10), grace: Duration::from_secs(100) };
    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_slowest_partition_holds_the_watermark_until_it_is_idle() {
        let mut progress = Progress::default();
        progress.observe(0, at(100), NOW);
        progress.observe(1, at(500), NOW);
        assert!(progress.advance(NOW, IDLE, &WINDOWS));
        assert_eq!(progress.watermark(), Some(at(100)));
        let later = NOW.saturating_add(IDLE);
        progress.observe(1, at(600), later);
        assert!(progress.advance(later, IDLE, &WINDOWS));
        assert_eq!(progress.watermark(), Some(at(600)));
    }

    #[test]
    fn it_never_goes_back() {
        let mut progress = Progress::default();
        progress.observe(0, at(500), NOW);
        progress.advance(NOW, IDLE, &WINDOWS);
        progress.observe(1, at(100), NOW);
        assert!(!progress.advance(NOW, IDLE, &WINDOWS));
        assert_eq!(progress.watermark(), Some(at(500)));
    }

    #[test]
    fn a_longer_grace_does_not_open_closed_windows_again() {
        let mut progress = Progress::default();
        progress.observe(0, at(500), NOW);
        assert_eq!(progress.closed_before(), Timestamp::MIN);
        progress.advance(NOW, IDLE, &WINDOWS);
        assert_eq!(progress.closed_before(), at(400));
        progress.observe(0, at(510), NOW);
        progress.advance(NOW, IDLE, &TumblingWindows { grace: Duration::from_secs(300), ..WINDOWS });
        assert_eq!(progress.closed_before(), at(400));
    }

    #[test]
    fn an_absurd_future_time_does_not_move_it() {
        let mut progress = Progress::default();
        progress.observe(0, at(4_000_000_000), NOW);
        assert!(!progress.advance(NOW, IDLE, &WINDOWS));
        assert_eq!(progress.watermark(), None);
    }

    #[test]
    fn after_a_restart_everybody_gets_the_idle_timeout_again() {
        let mut progress = Progress::default();
        progress.observe(0, at(100), NOW);
        progress.observe(1, at(500), NOW);
        progress.advance(NOW, IDLE, &WINDOWS);
        let stored = serde_json::to_string(&progress).unwrap();
        let mut restored: Progress = serde_json::from_str(&stored).unwrap();
        let much_later = NOW.saturating_add(Duration::from_secs(3600));
        restored.observe(1, at(900), much_later);
        assert!(!restored.advance(much_later, IDLE, &WINDOWS));
        assert!(restored.advance(much_later.saturating_add(IDLE), IDLE, &WINDOWS));
        assert_eq!(restored.watermark(), Some(at(900)));
    }
}
