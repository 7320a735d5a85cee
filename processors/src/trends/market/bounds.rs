//! How far all tasks of a stage have come.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

use crate::trends::progress::Completeness;

/// How far one task, or all of them, have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    pub(crate) watermark: Timestamp,
    /// Windows that begin before this are closed.
    pub(crate) closed_before: Timestamp,
    /// Nothing comes to it.
    pub(crate) idle: bool,
}

/// How far *all* tasks have come that are not idle; nowhere before each was heard. It never goes back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    heard: BTreeMap<i32, Reached>,
    reached: Option<Reached>,
    #[serde(default)]
    settled_before: Option<Timestamp>,
    /// Which windows were complete.
    #[serde(default)]
    pub(crate) complete: Completeness,
}

impl Bounds {
    /// How far all have come.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.reached
    }

    /// Before when windows are closed for all.
    pub(crate) fn closed_before(&self) -> Timestamp {
        self.reached.map_or(Timestamp::MIN, |reached| reached.closed_before)
    }

    /// Before when `task` has closed windows.
    pub(crate) fn closed_by(&self, task: i32) -> Timestamp {
        self.heard.get(&task).map_or(Timestamp::MIN, |reached| reached.closed_before)
    }

    /// Takes in how far one of `tasks` has come; true if all together have come further.
    pub(crate) fn hear(&mut self, task: i32, reached: Reached, tasks: i32) -> bool {
        self.heard.insert(task, reached);
        if (0..tasks).any(|task| !self.heard.contains_key(&task)) {
            return false;
        }
        let active = || self.heard.values().filter(|reached| !reached.idle);
        // When all are idle nothing more is known to be missing: the highest stands, as for a task's own watermark.
        let found = |of: fn(&Reached) -> Timestamp| {
            active().map(of).min().or_else(|| self.heard.values().map(of).max()).unwrap_or(Timestamp::MIN)
        };
        let (watermark, closed_before) = (found(|r| r.watermark), found(|r| r.closed_before));
        let before = self.reached;
        let at_least = |now: Timestamp, of: fn(Reached) -> Timestamp| before.map_or(now, |before| of(before).max(now));
        self.reached = Some(Reached {
            watermark: at_least(watermark, |r| r.watermark),
            closed_before: at_least(closed_before, |r| r.closed_before),
            idle: false,
        });
        self.reached != before
    }

    /// Takes note that windows which start before `bound` have settled; returns the range of starts that is new.
    pub(crate) fn settle(&mut self, bound: Timestamp) -> Range<Timestamp> {
        let before = self.settled_before.unwrap_or(Timestamp::MIN);
        let bound = bound.max(before);
        self.settled_before = Some(bound);
        before..bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, idle: bool) -> Reached {
        let time = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        Reached { watermark: time(seconds), closed_before: time(seconds - 100), idle }
    }

    #[test]
    fn nobody_is_left_behind_but_who_is_idle() {
        let mut bounds = Bounds::default();
        assert!(!bounds.hear(0, at(500, false), 3) && !bounds.hear(2, at(700, false), 3));
        assert_eq!((bounds.reached(), bounds.closed_before()), (None, Timestamp::MIN), "task 1 was not heard yet");
        assert!(bounds.hear(1, at(300, false), 3));
        assert_eq!(bounds.reached(), Some(at(300, false)));
        assert!(bounds.hear(1, at(300, true), 3));
        assert_eq!(bounds.reached(), Some(at(500, false)));
        assert!(!bounds.hear(1, at(310, false), 3), "it does not go back");
        assert!(!bounds.hear(0, at(900, true), 3) && bounds.hear(1, at(600, true), 3));
        assert_eq!(bounds.reached(), Some(at(700, false)));
        assert!(bounds.hear(2, at(700, true), 3));
        assert_eq!(bounds.reached(), Some(at(900, false)), "all are idle");
        assert_eq!(bounds.closed_by(1), at(600, false).closed_before);
    }
}
