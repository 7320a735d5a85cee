//! Which of the mentions of an asset are neither spam nor copies: by looking at all of them in their order, without an index of a store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_schemas::WINDOW;

use super::Said;
use crate::trends::copies::COPIED_WITHIN;

/// The mentions of an asset.
#[derive(Default)]
pub(super) struct Mentions<'a> {
    /// By time and post id, the order in which one copies another.
    sure: BTreeMap<(Timestamp, &'a Bytes), &'a Said>,
    /// Windows of which a post may have been late.
    open: BTreeSet<Timestamp>,
}

/// Unique and spam posts of each bucket that has mentions; nothing where they are not known.
#[derive(Default)]
pub(super) struct Unique {
    counts: BTreeMap<Timestamp, (i64, i64)>,
    unknown: BTreeSet<Timestamp>,
}

impl<'a> Mentions<'a> {
    pub(super) fn add(&mut self, published_at: Timestamp, id: &'a Bytes, said: &'a Said) {
        self.sure.insert((published_at, id), said);
    }

    pub(super) fn leave_open(&mut self, window: Timestamp) {
        self.open.insert(window);
    }

    /// Counts the windows that start in `range`.
    pub(super) fn unique(&self, range: &Range<Timestamp>, bucket: &impl Fn(Timestamp) -> Timestamp) -> Unique {
        let mut unique = Unique::default();
        // Two values of a fingerprint in the same places: when a post last had them.
        let mut latest: HashMap<(usize, u32), Timestamp> = HashMap::new();
        for ((published_at, _), said) in &self.sure {
            let mut is_copy = false;
            for place in said.fingerprint.into_iter().flat_map(|own| own.pairs().into_iter().enumerate()) {
                let before = latest.insert(place, *published_at);
                is_copy |= before.is_some_and(|before| published_at.since(before) <= COPIED_WITHIN);
            }
            let start = published_at.window_start(WINDOW);
            if range.contains(&start) {
                let (unique, spam) = unique.counts.entry(bucket(start)).or_default();
                *unique += i64::from(!is_copy && !said.spam);
                *spam += i64::from(said.spam);
            }
        }
        // What may be late makes its own window uncertain, and those of the day after.
        for open in &self.open {
            let mut start = (*open).max(range.start.window_start(WINDOW));
            while start <= open.saturating_add(COPIED_WITHIN).saturating_add(WINDOW) && start < range.end {
                unique.unknown.insert(bucket(start));
                start = start.saturating_add(WINDOW);
            }
        }
        unique
    }
}

impl Unique {
    /// Unique and spam posts of a bucket.
    pub(super) fn of(&self, bucket: Timestamp) -> (Option<i64>, Option<i64>) {
        if self.unknown.contains(&bucket) {
            return (None, None);
        }
        let (unique, spam) = self.counts.get(&bucket).copied().unwrap_or_default();
        (Some(unique), Some(spam))
    }
}
