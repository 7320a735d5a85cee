//! Which run answers for which time: the live one, and promoted replays in their ranges.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

use crate::records::LIVE_RUN;

/// What stands for the runs that are served, where a run can be named. No run is called so.
pub const SERVED_RUN: &str = "served";

/// A run that was promoted for a range of event time. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Higher than that of every earlier switch.
    pub id: i64,
    /// The run.
    pub run_id: String,
    /// Start of the range, inclusive.
    pub from: Timestamp,
    /// End of the range, exclusive.
    pub to: Timestamp,
    /// From when on it counts.
    pub promoted_at: Timestamp,
    /// From when on it does not.
    pub rolled_back_at: Option<Timestamp>,
}

impl Switch {
    /// Whether it counted at a time; whether it does now, or will, if none is given.
    pub fn counts(&self, at: Option<Timestamp>) -> bool {
        match at {
            Some(at) => self.promoted_at <= at && self.rolled_back_at.is_none_or(|back| at < back),
            None => self.rolled_back_at.is_none(),
        }
    }
}

/// A range of event time with the run that answers for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// The run.
    pub run_id: String,
    /// Start, inclusive; `None` where all earlier times belong to it.
    pub from: Option<Timestamp>,
    /// End, exclusive; `None` where all later times belong to it.
    pub to: Option<Timestamp>,
}

impl Segment {
    /// Whether a time lies in it.
    pub fn holds(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

/// Which run answers for which time after `switches`, as they stood at a time. Segments come in order and cover all times; neighbours
/// have different runs. Where ranges overlap, the switch with the highest id counts; where there is none, the live run answers.
pub fn segments(switches: &[Switch], at: Option<Timestamp>) -> Vec<Segment> {
    let mut counting: Vec<&Switch> = switches.iter().filter(|switch| switch.counts(at)).collect();
    counting.sort_by_key(|switch| switch.id);
    let borders: BTreeSet<Timestamp> = counting.iter().flat_map(|switch| [switch.from, switch.to]).collect();
    let mut segments: Vec<Segment> = Vec::new();
    for from in std::iter::once(None).chain(borders.into_iter().map(Some)) {
        let covers = |switch: &Switch| from.is_some_and(|from| (switch.from..switch.to).contains(&from));
        let run = counting.iter().rev().find(|switch| covers(switch)).map_or(LIVE_RUN, |switch| &switch.run_id);
        if let Some(last) = segments.last_mut() {
            if last.run_id == run {
                continue;
            }
            last.to = from;
        }
        segments.push(Segment { run_id: run.to_owned(), from, to: None });
    }
    segments
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn switch() -> impl Strategy<Value = Switch> {
        let range = (0..12_i64, 1..6_i64);
        (0..4_u8, range, 0..20_i64, option::of(0..9_i64)).prop_map(|(run, (from, length), at, back)| Switch {
            id: 0,
            run_id: if run == 0 { LIVE_RUN.to_owned() } else { format!("r{run}") },
            from: Timestamp::from_millis(from),
            to: Timestamp::from_millis(from + length),
            promoted_at: Timestamp::from_millis(at),
            rolled_back_at: back.map(|after| Timestamp::from_millis(at + after)),
        })
    }

    /// Said again, naively: of one time, after each switch in turn.
    fn run_at(switches: &[Switch], time: Timestamp, at: Option<Timestamp>) -> &str {
        let mut run = LIVE_RUN;
        for switch in switches {
            let promoted = at.is_none_or(|at| at >= switch.promoted_at);
            let rolled_back = switch.rolled_back_at.is_some_and(|back| at.is_none_or(|at| at >= back));
            if promoted && !rolled_back && switch.from <= time && time < switch.to {
                run = &switch.run_id;
            }
        }
        run
    }

    proptest! {
        #[test]
        fn every_time_has_the_run_of_the_last_switch_that_covers_it(
            mut switches in vec(switch(), 0..8),
            at in option::of(0..30_i64),
            turn in any::<prop::sample::Index>(),
        ) {
            for (id, switch) in (1..).zip(&mut switches) {
                switch.id = id;
            }
            let at = at.map(Timestamp::from_millis);
            let mut read = switches.clone();
            let places = turn.index(read.len() + 1);
            read.rotate_left(places);
            let found = segments(&read, at);
            prop_assert_eq!((found[0].from, found[found.len() - 1].to), (None, None));
            for pair in found.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
                prop_assert!(pair[0].to.is_some() && pair[0].from < pair[0].to);
                prop_assert_ne!(&pair[0].run_id, &pair[1].run_id);
            }
            for time in (-1..20).map(Timestamp::from_millis) {
                let holding: Vec<_> = found.iter().filter(|s| s.holds(time)).map(|s| s.run_id.as_str()).collect();
                prop_assert_eq!(holding, [run_at(&switches, time, at)]);
            }
        }
    }
}
