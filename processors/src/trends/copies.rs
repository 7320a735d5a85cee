//! Which mentions of an asset repeat an earlier one: an index in memory, made from the store `posts` when a task starts.
//!
//! A mention is a copy if a near duplicate of its text was published in the [`COPIED_WITHIN`] before it, about the same asset. That depends on the
//! set of mentions alone: one that arrives late, but was published first, makes a copy of what was counted as new before.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use vigie_clock::Timestamp;

use crate::text::fingerprint::Fingerprint;

/// How long after a post another one with nearly the same text is a copy of it.
pub const COPIED_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// When a post was published, and its id, so that no two are at the same place.
pub(crate) type Spot = (Timestamp, Arc<str>);

/// The mentions of all assets of a task that may still be copied.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    assets: HashMap<String, AssetCopies>,
}

/// By [pair](Fingerprint::pairs): the pair's value, and where the mentions stand that have it. All mentions of one value are near each other, so
/// only the next neighbour of a mention can depend on it, and nothing is ever searched through.
#[derive(Debug, Default)]
struct AssetCopies {
    alike: [BTreeSet<(u32, Spot)>; Fingerprint::PAIRS],
}

impl Copies {
    /// Adds a mention.
    pub(crate) fn insert(&mut self, asset: &str, spot: &Spot, fingerprint: Fingerprint) {
        let own = match self.assets.get_mut(asset) {
            Some(own) => own,
            None => self.assets.entry(asset.to_owned()).or_default(),
        };
        for (alike, value) in own.alike.iter_mut().zip(fingerprint.pairs()) {
            alike.insert((value, spot.clone()));
        }
    }

    /// Forgets a mention.
    pub(crate) fn remove(&mut self, asset: &str, spot: &Spot, fingerprint: Fingerprint) {
        let Some(own) = self.assets.get_mut(asset) else { return };
        for (alike, value) in own.alike.iter_mut().zip(fingerprint.pairs()) {
            alike.remove(&(value, spot.clone()));
        }
        if own.alike.iter().all(BTreeSet::is_empty) {
            self.assets.remove(asset);
        }
    }

    /// Whether what stands, or would stand, at `spot` repeats an earlier mention.
    pub(crate) fn is_copy(&self, asset: &str, spot: &Spot, fingerprint: Fingerprint) -> bool {
        let first = (spot.0.saturating_sub(COPIED_WITHIN), Arc::from(""));
        self.alike(asset, fingerprint).any(|(alike, value)| {
            let earlier = (value, first.clone())..(value, spot.clone());
            alike.range(earlier).next().is_some()
        })
    }

    /// The later mentions whose mark one at `spot` may decide: those that follow on it with nothing alike between. At most one for each pair,
    /// however often a text is copied.
    pub(crate) fn followers(&self, asset: &str, spot: &Spot, fingerprint: Fingerprint) -> BTreeSet<Spot> {
        // One millisecond more, as the bound itself is left out.
        let reach = COPIED_WITHIN.saturating_add(Duration::from_millis(1));
        let last = (spot.0.saturating_add(reach), Arc::from(""));
        let next = |(alike, value): (&BTreeSet<(u32, Spot)>, u32)| {
            let later = (Bound::Excluded((value, spot.clone())), Bound::Excluded((value, last.clone())));
            alike.range(later).next().map(|(_, spot)| spot.clone())
        };
        self.alike(asset, fingerprint).filter_map(next).collect()
    }

    /// The mentions of an asset by pair, each with the value of the fingerprint.
    fn alike(&self, asset: &str, fingerprint: Fingerprint) -> impl Iterator<Item = (&BTreeSet<(u32, Spot)>, u32)> {
        self.assets.get(asset).into_iter().flat_map(move |own| own.alike.iter().zip(fingerprint.pairs()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn spot(seconds: i64, id: &str) -> Spot {
        (Timestamp::from_millis(seconds * 1000), Arc::from(id))
    }

    #[test]
    fn copies_follow_within_a_day_and_are_forgotten_with_their_post() {
        let (text, day) = (Fingerprint::from_long(0x0001_0002_0003_0004), 86_400);
        let near = Fingerprint::from_long(0x0009_0002_0009_0004);
        let other = Fingerprint::from_long(0x0009_0002_0009_0009);
        let mut copies = Copies::default();
        let first = spot(0, "a");
        copies.insert("BTC", &first, text);
        assert!(copies.is_copy("BTC", &spot(day, "b"), near) && copies.is_copy("BTC", &spot(0, "b"), near));
        assert!(!copies.is_copy("BTC", &spot(day + 1, "b"), near), "a day has passed");
        assert!(!copies.is_copy("BTC", &spot(9, "b"), other) && !copies.is_copy("ETH", &spot(9, "b"), text));
        assert!(!copies.is_copy("BTC", &first, text), "it is no copy of itself");
        copies.insert("BTC", &spot(day, "b"), near);
        copies.insert("BTC", &spot(day + 1, "c"), near);
        assert_eq!(copies.followers("BTC", &first, text), BTreeSet::from([spot(day, "b")]));
        copies.remove("BTC", &first, text);
        assert!(!copies.is_copy("BTC", &spot(day, "b"), near));
        copies.remove("BTC", &spot(day, "b"), near);
        copies.remove("BTC", &spot(day + 1, "c"), near);
        assert!(copies.assets.is_empty());
    }

    proptest! {
        /// Marks that are kept by neighbours alone are those that a look at all mentions gives, whatever comes and goes in which order.
        #[test]
        fn marks_kept_by_neighbours_are_those_of_a_look_at_all(
            steps in proptest::collection::vec((0_i64..200_000, 0_u8..12, [0_u64..3, 0..3, 0..3, 0..3], any::<bool>()), 1..60)
        ) {
            let mut copies = Copies::default();
            let mut marks: BTreeMap<Spot, (Fingerprint, bool)> = BTreeMap::new();
            for (seconds, id, values, add) in steps {
                let spot = spot(seconds / 3_600 * 3_600, &id.to_string());
                let there = marks.remove(&spot);
                if let Some((fingerprint, _)) = there {
                    copies.remove("BTC", &spot, fingerprint);
                    for later in copies.followers("BTC", &spot, fingerprint) {
                        let (theirs, mark) = marks.get_mut(&later).expect("a follower is there");
                        *mark = copies.is_copy("BTC", &later, *theirs);
                    }
                }
                if add {
                    let fingerprint = Fingerprint::from_long(values.iter().fold(0, |bits, value| bits << 16 | *value as i64));
                    let mark = copies.is_copy("BTC", &spot, fingerprint);
                    copies.insert("BTC", &spot, fingerprint);
                    for later in copies.followers("BTC", &spot, fingerprint) {
                        marks.get_mut(&later).expect("a follower is there").1 = true;
                    }
                    marks.insert(spot, (fingerprint, mark));
                }
                for (spot, (fingerprint, mark)) in &marks {
                    let earliest = (spot.0.saturating_sub(COPIED_WITHIN), Arc::from(""));
                    let earlier = marks.range(&earliest..spot);
                    prop_assert_eq!(*mark, earlier.into_iter().any(|(_, (other, _))| other.is_near(*fingerprint)));
                }
            }
        }
    }
}
