//! Posts that were seen before.
//!
//! A post is known by its id for the retention after it was last seen, by the record timestamps of `posts.raw.v1` (the broker's time of
//! arrival), so that what counts as a duplicate depends on the records alone and not on when they are read. The store is bounded: a sweep
//! that goes round it in small steps deletes what has expired.
//!
//! A post that a source keeps showing stays known: a duplicate renews its entry once half of the retention has passed.

use std::time::Duration;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_streams::{KeyValueStore, Slice};

use super::emitted;

/// Entries that one step of the sweep looks at: more than the posts of a batch, so that the sweep keeps up.
const SWEEP_STEP: usize = 256;

/// Sorts after every post id, which is UTF-8.
const AFTER_ALL_IDS: [u8; 1] = [0xff];

/// What to do with a post, by the entry of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not seen, or so long ago that it is forgotten: process it and write an entry.
    New,
    /// Seen: skip it.
    Duplicate,
    /// Seen some time ago: skip it, but write an entry.
    Renew,
}

/// Judges a post that arrived at `now` by when its id was last seen.
pub(crate) fn judge(last_seen: Option<Timestamp>, now: Timestamp, retention: Duration) -> Verdict {
    let Some(last_seen) = last_seen else { return Verdict::New };
    match now.since(last_seen) {
        age if age > retention => Verdict::New,
        age if age > retention / 2 => Verdict::Renew,
        _ => Verdict::Duplicate,
    }
}

/// Goes round the store and deletes what has expired.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    next: Bytes,
    newest: Option<Timestamp>,
}

impl Sweep {
    /// Takes note of the arrival time of a record.
    pub(crate) fn observe(&mut self, arrived: Timestamp) {
        self.newest = self.newest.max(Some(arrived));
    }

    /// Looks at the next entries.
    pub(crate) fn step(&mut self, store: &mut KeyValueStore, retention: Duration) {
        let Some(newest) = self.newest else { return };
        let mut looked_at = 0;
        let mut last = None;
        let mut expired = Vec::new();
        for (key, value) in store.range(&self.next, &AFTER_ALL_IDS).take(SWEEP_STEP) {
            looked_at += 1;
            if emitted::seen(&value).is_none_or(|seen| newest.since(seen) > retention) {
                expired.push(Bytes::copy_from_slice(&key));
            }
            last = Some(key);
        }
        // The next step begins with the last key of this one: one entry is seen twice, none is skipped.
        self.next = last.filter(|_| looked_at == SWEEP_STEP).map(Slice::into_bytes).unwrap_or_default();
        for key in expired {
            store.delete(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_deletes_what_has_expired_and_keeps_the_rest() {
        let mut store = KeyValueStore::default();
        for i in 0..2000_i64 {
            store.put(format!("post-{i:04}"), emitted::encode(day(i % 20), None));
        }
        let mut sweep = Sweep::default();
        sweep.step(&mut store, WEEK);
        assert_eq!(store.iter().count(), 2000, "nothing is known to be old before a record came");
        sweep.observe(day(19));
        for _ in 0..9 {
            sweep.step(&mut store, WEEK);
        }
        assert_eq!(store.iter().count(), 800);
        assert!(store.iter().all(|(_, value)| emitted::seen(&value).is_some_and(|seen| seen >= day(12))));
    }

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn day(day: i64) -> Timestamp {
        Timestamp::from_millis(day * 86_400_000)
    }

    #[test]
    fn a_post_is_known_for_the_retention_after_it_was_last_seen() {
        assert_eq!(judge(None, day(0), WEEK), Verdict::New);
        assert_eq!(judge(Some(day(0)), day(0), WEEK), Verdict::Duplicate);
        assert_eq!(judge(Some(day(0)), day(3), WEEK), Verdict::Duplicate);
        assert_eq!(judge(Some(day(0)), day(5), WEEK), Verdict::Renew);
        assert_eq!(judge(Some(day(0)), day(7), WEEK), Verdict::Renew);
        assert_eq!(judge(Some(day(0)), day(8), WEEK), Verdict::New);
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        assert_eq!(judge(Some(day(9)), day(1), WEEK), Verdict::Duplicate);
    }
}
