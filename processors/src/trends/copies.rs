//! Which mentions of an asset repeat an earlier one: found by an index of the store `posts`.
//!
//! A mention is a copy if a near duplicate of its text was published in the [`COPIED_WITHIN`] before it, about the same asset. That depends on the
//! set of mentions alone: one that arrives late, but was published first, makes a copy of what was counted as new before.
//!
//! Two texts are near duplicates if two of the four values of their fingerprints are equal in the same place. So a mention is in the index
//! six times, under each pair of its values, and what it shares a pair with are its near duplicates and nothing else:
//!
//! ```text
//! asset 0 which pair: u8   both values: u32   published_at: i64, sign flipped   post id
//! ```
//!
//! Whatever the number of copies, a mention takes twelve looks. It is a copy if any of six ranges of the day before it has an entry. And
//! where it comes or goes, only the *next* entry of each range can become a copy, or cease to be one: those further on, within its day,
//! repeat that one in any case.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use vigie_clock::Timestamp;
use vigie_streams::{KeyValueStore, WindowStore};

use super::counted::{Counted, key_parts};
use crate::text::fingerprint::Fingerprint;
use crate::trends::share::{BANDS, OWN};

/// How long after a post another one with nearly the same text is a copy of it.
pub const COPIED_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Changes with what [`index_keys`] gives.
pub(crate) const INDEX_VERSION: u32 = 1;

/// Bytes of a pair's number and its values.
const PAIR: usize = 5;
/// Bytes of a time.
const TIME: usize = 8;

/// When a post was published, and its id, so that no two are at the same place.
pub(crate) type Spot = (Timestamp, String);

/// The keys of a counted mention in the index of the store `posts`.
pub(crate) fn index_keys(key: &[u8], value: &[u8]) -> Vec<Vec<u8>> {
    let found = || {
        let (_, key) = WindowStore::parts(key)?;
        let (asset, post_id) = key_parts(key)?;
        let counted: Counted = serde_json::from_slice(value).ok()?;
        Some(places(asset, counted.published_at, post_id, Fingerprint::from_long(counted.fingerprint?)))
    };
    found().unwrap_or_default()
}

/// Where a mention stands in the index.
pub(crate) fn places(asset: &str, published_at: Timestamp, post_id: &str, fingerprint: Fingerprint) -> Vec<Vec<u8>> {
    prefixes(asset, fingerprint).map(|prefix| at(&prefix, published_at, post_id)).collect()
}

/// Whether what stands, or would stand, at `spot` repeats an earlier mention.
pub(crate) fn is_copy(posts: &KeyValueStore, asset: &str, spot: &Spot, fingerprint: Fingerprint) -> bool {
    let first = spot.0.saturating_sub(COPIED_WITHIN);
    prefixes(asset, fingerprint).any(|prefix| {
        let range = at(&prefix, first, "")..at(&prefix, spot.0, &spot.1);
        next(posts, range).is_some()
    })
}

/// The mentions that may become copies, or cease to be copies, where one comes or goes at `spot`.
pub(crate) fn followers(posts: &KeyValueStore, asset: &str, spot: &Spot, fingerprint: Fingerprint) -> BTreeSet<Spot> {
    // One millisecond more, as the bound itself is left out.
    let last = spot.0.saturating_add(COPIED_WITHIN).saturating_add(Duration::from_millis(1));
    let followers = prefixes(asset, fingerprint).filter_map(|prefix| {
        let mut own = at(&prefix, spot.0, &spot.1);
        own.push(0);
        let found = next(posts, own..at(&prefix, last, ""))?;
        let (time, post_id) = found[prefix.len()..].split_first_chunk::<TIME>()?;
        let millis = (u64::from_be_bytes(*time) ^ 1 << 63).cast_signed();
        Some((Timestamp::from_millis(millis), String::from_utf8(post_id.to_vec()).ok()?))
    });
    followers.collect()
}

fn next(posts: &KeyValueStore, range: Range<Vec<u8>>) -> Option<Vec<u8>> {
    posts.index(&range.start, &range.end).next().map(|key| key.to_vec())
}

/// Which pairs are looked at. For the whole market each band, which is a value of the fingerprint, has the pairs of which it is the first; a share
/// has none.
fn pairs_of(asset: &str) -> Range<usize> {
    const FIRST: [Range<usize>; BANDS.len()] = [0..3, 3..5, 5..Fingerprint::PAIRS];
    match BANDS.iter().position(|band| *band == asset) {
        Some(band) => FIRST[band].clone(),
        None if asset == OWN => 0..0,
        None => 0..Fingerprint::PAIRS,
    }
}

fn prefixes(asset: &str, fingerprint: Fingerprint) -> impl Iterator<Item = Vec<u8>> {
    let Range { start, end } = pairs_of(asset);
    fingerprint.pairs().into_iter().zip(0_u8..).take(end).skip(start).map(move |(values, number)| {
        let mut prefix = Vec::with_capacity(asset.len() + 1 + PAIR);
        prefix.extend_from_slice(asset.as_bytes());
        prefix.extend_from_slice(&[0, number]);
        prefix.extend_from_slice(&values.to_be_bytes());
        prefix
    })
}

fn at(prefix: &[u8], time: Timestamp, post_id: &str) -> Vec<u8> {
    let time = (time.as_millis().cast_unsigned() ^ 1 << 63).to_be_bytes();
    [prefix, &time, post_id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    fn spot(seconds: i64, id: &str) -> Spot {
        (Timestamp::from_millis(seconds * 1000), id.to_owned())
    }

    fn put(posts: &mut KeyValueStore, asset: &str, spot: &Spot, fingerprint: Fingerprint) {
        let counted = Counted {
            revision: 1,
            published_at: spot.0,
            source: "r-bitcoin".to_owned(),
            author: None,
            label: None,
            fingerprint: Some(fingerprint.to_long()),
            spam: false,
            copy: false,
        };
        let key = [asset, &spot.1].join("\0");
        WindowStore::over(posts).put(spot.0, key.as_bytes(), serde_json::to_vec(&counted).unwrap());
    }

    #[test]
    fn copies_follow_within_a_day_and_are_forgotten_with_their_post() {
        let text = Fingerprint::from_long(0x0001_0002_0003_0004);
        let near = Fingerprint::from_long(0x0009_0002_0009_0004);
        let other = Fingerprint::from_long(0x0009_0002_0009_0009);
        let mut posts = KeyValueStore::indexed(index_keys);
        let first = spot(0, "a");
        put(&mut posts, "BTC", &first, text);
        let is = |posts: &KeyValueStore, asset, seconds, id, of| is_copy(posts, asset, &spot(seconds, id), of);
        assert!(is(&posts, "BTC", DAY, "b", near) && is(&posts, "BTC", 0, "b", near));
        assert!(!is(&posts, "BTC", DAY + 1, "b", near), "a day has passed");
        assert!(!is(&posts, "BTC", 9, "b", other) && !is(&posts, "ETH", 9, "b", text));
        assert!(!is(&posts, "BTC", 0, "a", text), "it is no copy of itself");
        put(&mut posts, "BTC", &spot(DAY, "b"), near);
        put(&mut posts, "BTC", &spot(DAY + 1, "c"), near);
        assert_eq!(followers(&posts, "BTC", &first, text), [spot(DAY, "b")].into());
        assert_eq!(
            followers(&posts, "BTC", &spot(2, "z"), near),
            [spot(DAY, "b")].into(),
            "the next one stands for all"
        );
        WindowStore::over(&mut posts).delete(first.0, b"BTC\0a");
        assert!(!is(&posts, "BTC", DAY, "b", near));
        WindowStore::over(&mut posts).expire(spot(DAY + 2, "").0);
        assert_eq!(posts.index(&[], &[0xff]).count(), 0);
    }

    proptest! {
        /// Marks that are kept by neighbours alone are those that a look at all mentions gives, whatever comes and goes in which order.
        #[test]
        fn marks_kept_by_neighbours_are_those_of_a_look_at_all(
            steps in vec((0_i64..55, 0_u8..12, [0_u64..3, 0..3, 0..3, 0..3], any::<bool>()), 1..60)
        ) {
            let mut posts = KeyValueStore::indexed(index_keys);
            let mut marks: BTreeMap<Spot, (Fingerprint, bool)> = BTreeMap::new();
            for (hour, id, values, comes) in steps {
                let spot = spot(hour * 3_600, &id.to_string());
                let mark = |posts: &KeyValueStore, marks: &mut BTreeMap<Spot, (Fingerprint, bool)>, near: Fingerprint| {
                    for later in followers(posts, "BTC", &spot, near) {
                        let (theirs, mark) = marks.get_mut(&later).expect("a follower is there");
                        *mark = is_copy(posts, "BTC", &later, *theirs);
                    }
                };
                if let Some((fingerprint, _)) = marks.remove(&spot) {
                    WindowStore::over(&mut posts).delete(spot.0, ["BTC", &spot.1].join("\0").as_bytes());
                    mark(&posts, &mut marks, fingerprint);
                }
                if comes {
                    let long = values.into_iter().fold(0, |bits, value| bits << 16 | value);
                    let fingerprint = Fingerprint::from_long(long.cast_signed());
                    put(&mut posts, "BTC", &spot, fingerprint);
                    marks.insert(spot.clone(), (fingerprint, is_copy(&posts, "BTC", &spot, fingerprint)));
                    mark(&posts, &mut marks, fingerprint);
                }
                for (spot, (fingerprint, mark)) in &marks {
                    let earliest = (spot.0.saturating_sub(COPIED_WITHIN), String::new());
                    let near = marks.range(&earliest..spot).any(|(_, (other, _))| other.is_near(*fingerprint));
                    prop_assert_eq!(*mark, near);
                }
            }
        }
    }
}
