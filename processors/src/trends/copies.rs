//! Which mentions of an asset repeat an earlier one: an index in memory, made from the store `posts` when a task starts.
//!
//! A mention is a copy if a near duplicate of its text was published in the [`COPIED_WITHIN`] before it, about the same asset. That depends on the
//! set of mentions alone: one that arrives late, but was published first, makes a copy of what was counted as new before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use vigie_clock::Timestamp;

use crate::text::fingerprint::Fingerprint;

/// How long after a post another one with nearly the same text is a copy of it.
pub const COPIED_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Values of a fingerprint that are indexed: of near duplicates at least two of four are equal, so one of three is.
const BANDS: usize = 3;

/// When a post was published, and its id, so that no two are at the same place.
pub(crate) type Spot = (Timestamp, Arc<str>);

/// The mentions of all assets of a task that may still be copied.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    assets: HashMap<String, AssetCopies>,
}

#[derive(Debug, Default)]
struct AssetCopies {
    posts: BTreeMap<Spot, Mark>,
    bands: [HashMap<u16, BTreeSet<Spot>>; BANDS],
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    fingerprint: Fingerprint,
    is_copy: bool,
}

impl Copies {
    /// Adds a mention.
    pub(crate) fn insert(&mut self, asset: &str, spot: &Spot, fingerprint: Fingerprint, is_copy: bool) {
        let own = match self.assets.get_mut(asset) {
            Some(own) => own,
            None => self.assets.entry(asset.to_owned()).or_default(),
        };
        own.posts.insert(spot.clone(), Mark { fingerprint, is_copy });
        for (band, value) in own.bands.iter_mut().zip(fingerprint.bands()) {
            band.entry(value).or_default().insert(spot.clone());
        }
    }

    /// Forgets a mention.
    pub(crate) fn remove(&mut self, asset: &str, spot: &Spot) {
        let Some(own) = self.assets.get_mut(asset) else { return };
        let Some(mark) = own.posts.remove(spot) else { return };
        for (band, value) in own.bands.iter_mut().zip(mark.fingerprint.bands()) {
            if let Some(spots) = band.get_mut(&value) {
                spots.remove(spot);
                if spots.is_empty() {
                    band.remove(&value);
                }
            }
        }
        if own.posts.is_empty() {
            self.assets.remove(asset);
        }
    }

    /// Notes whether a mention that is there is a copy.
    pub(crate) fn mark(&mut self, asset: &str, spot: &Spot, is_copy: bool) {
        if let Some(mark) = self.assets.get_mut(asset).and_then(|own| own.posts.get_mut(spot)) {
            mark.is_copy = is_copy;
        }
    }

    /// Whether what stands, or would stand, at `spot` repeats an earlier mention.
    pub(crate) fn is_copy(&self, asset: &str, spot: &Spot, fingerprint: Fingerprint) -> bool {
        let Some(own) = self.assets.get(asset) else { return false };
        let first = (spot.0.saturating_sub(COPIED_WITHIN), Arc::from(""));
        own.bands.iter().zip(fingerprint.bands()).any(|(band, value)| {
            let Some(spots) = band.get(&value) else { return false };
            spots.range(&first..spot).any(|earlier| own.is_near(earlier, fingerprint))
        })
    }

    /// The later mentions that repeat, or would repeat, one at `spot`, and whether they are marked as copies.
    pub(crate) fn followers(&self, asset: &str, spot: &Spot, fingerprint: Fingerprint) -> BTreeMap<Spot, bool> {
        let mut found = BTreeMap::new();
        let Some(own) = self.assets.get(asset) else { return found };
        // One millisecond more, as the bound itself is left out.
        let reach = COPIED_WITHIN.saturating_add(Duration::from_millis(1));
        let last = (spot.0.saturating_add(reach), Arc::from(""));
        for (band, value) in own.bands.iter().zip(fingerprint.bands()) {
            for later in band.get(&value).into_iter().flat_map(|spots| spots.range(spot..&last)) {
                if later != spot && own.is_near(later, fingerprint) {
                    let is_copy = own.posts.get(later).is_some_and(|mark| mark.is_copy);
                    found.insert(later.clone(), is_copy);
                }
            }
        }
        found
    }
}

impl AssetCopies {
    fn is_near(&self, spot: &Spot, fingerprint: Fingerprint) -> bool {
        self.posts.get(spot).is_some_and(|mark| mark.fingerprint.is_near(fingerprint))
    }
}

#[cfg(test)]
mod tests {
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
        copies.insert("BTC", &first, text, false);
        assert!(copies.is_copy("BTC", &spot(day, "b"), near) && copies.is_copy("BTC", &spot(0, "b"), near));
        assert!(!copies.is_copy("BTC", &spot(day + 1, "b"), near), "a day has passed");
        assert!(!copies.is_copy("BTC", &spot(9, "b"), other) && !copies.is_copy("ETH", &spot(9, "b"), text));
        assert!(!copies.is_copy("BTC", &first, text), "it is no copy of itself");
        copies.insert("BTC", &spot(day, "b"), near, true);
        copies.insert("BTC", &spot(day + 1, "c"), near, false);
        let followers = copies.followers("BTC", &first, text);
        assert_eq!(followers.into_iter().collect::<Vec<_>>(), [(spot(day, "b"), true)]);
        copies.remove("BTC", &first);
        assert!(!copies.is_copy("BTC", &spot(day, "b"), near));
        copies.remove("BTC", &spot(day, "b"));
        copies.remove("BTC", &spot(day + 1, "c"));
        assert!(copies.assets.is_empty());
    }
}
