//! Posts that were seen before.
//!
//! A post is known by its id for the retention after it was last seen, by the record timestamps of `posts.raw.v1` (the broker's time of
//! arrival), so that what counts as a duplicate depends on the records alone and not on when they are read. The store is bounded: a sweep
//! that goes round it in small steps deletes what has expired.
//!
//! A post that a source keeps showing stays known: a duplicate renews its entry once half of the retention has passed.

use std::time::Duration;

use vigie_clock::Timestamp;

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

/// An entry's value.
pub(crate) fn encode(seen: Timestamp) -> [u8; 8] {
    seen.as_millis().to_be_bytes()
}

/// When an entry's post was last seen.
pub(crate) fn decode(value: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_millis(i64::from_be_bytes(value.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn entries_lead_back() {
        assert_eq!(decode(&encode(day(3))), Some(day(3)));
        assert_eq!(decode(b"short"), None);
    }
}
