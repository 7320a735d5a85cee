//! Looking for copies among the posts that have a value of their fingerprint in common.

use std::collections::BTreeMap;

use vigie_clock::Timestamp;
use vigie_schemas::{MarketCopy, MarketPost};
use vigie_streams::{KeyValueStore, Outcome, TumblingWindows, WindowStore};

use crate::text::fingerprint::Fingerprint;
use crate::trends::copies::{Spot, followers, is_copy, places};
use crate::trends::counted::{key_parts, post_key};

/// What is kept of a post: as bytes, for there are three of each post.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kept {
    revision: i32,
    published_at: Timestamp,
    fingerprint: Fingerprint,
    spam: bool,
    copy: bool,
}

impl Kept {
    fn to_bytes(self) -> Vec<u8> {
        let flags = u8::from(self.spam) | u8::from(self.copy) << 1;
        let (time, fingerprint) =
            (self.published_at.as_millis().to_be_bytes(), self.fingerprint.to_long().to_be_bytes());
        [&[flags][..], &self.revision.to_be_bytes(), &time, &fingerprint].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (time, fingerprint) = rest.split_first_chunk()?;
        Some(Self {
            revision: i32::from_be_bytes(*revision),
            published_at: Timestamp::from_millis(i64::from_be_bytes(*time)),
            fingerprint: Fingerprint::from_long(i64::from_be_bytes(fingerprint.try_into().ok()?)),
            spam: flags & 1 != 0,
            copy: flags & 2 != 0,
        })
    }
}

/// The keys of a post in the index.
pub(crate) fn index_keys(key: &[u8], value: &[u8]) -> Vec<Vec<u8>> {
    let found = || {
        let (asset, post_id) = key_parts(WindowStore::parts(key)?.1)?;
        let kept = Kept::from_bytes(value)?;
        Some(places(asset, kept.published_at, post_id, kept.fingerprint))
    };
    found().unwrap_or_default()
}

/// What is found out, with the window of the post that it is about.
pub(crate) type Found = (Timestamp, MarketCopy);

/// The posts of one band.
struct Band<'a> {
    posts: &'a mut KeyValueStore,
    windows: &'a TumblingWindows,
    band: i32,
    asset: &'static str,
    found: Vec<Found>,
}

/// Takes a post in that is kept under `asset`, or takes it away, and finds out which posts are copies now, or are not any more. Of a post that is
/// spam nobody asks.
pub(crate) fn take_in(
    posts: &mut KeyValueStore,
    windows: &TumblingWindows,
    asset: &'static str,
    post: &MarketPost,
) -> (Outcome, Vec<Found>) {
    let mut band = Band { posts, windows, band: post.band, asset, found: Vec::new() };
    let outcome = band.take_in(post);
    (outcome, band.found)
}

impl Band<'_> {
    fn take_in(&mut self, post: &MarketPost) -> Outcome {
        let spot = (post.published_at, post.post_id.clone());
        let before = self.get(&spot);
        // Of another task, which counted a revision with another author, a record may come before or after: each takes away its own.
        match before {
            Some(before) if post.gone && before.revision != post.revision => return Outcome::Duplicate,
            Some(before) if !post.gone && before.revision >= post.revision => return Outcome::Duplicate,
            None if post.gone => return Outcome::Duplicate,
            Some(before) => self.take_away(&spot, before),
            None => (),
        }
        if post.gone {
            return Outcome::Retracted;
        }
        let fingerprint = Fingerprint::from_long(post.fingerprint);
        let new = Kept {
            revision: post.revision,
            published_at: post.published_at,
            fingerprint,
            spam: post.spam,
            copy: is_copy(self.posts, self.asset, &spot, fingerprint),
        };
        self.put(&spot, new);
        self.send(&spot, new, new.copy);
        self.look_at_followers(&spot, fingerprint);
        Outcome::Counted
    }

    fn take_away(&mut self, spot: &Spot, before: Kept) {
        let start = self.start(spot.0);
        WindowStore::over(self.posts).delete(start, &post_key(self.asset, &spot.1));
        self.send(spot, Kept { copy: false, ..before }, before.copy);
        self.look_at_followers(spot, before.fingerprint);
    }

    fn look_at_followers(&mut self, spot: &Spot, near: Fingerprint) {
        for later in followers(self.posts, self.asset, spot, near) {
            let Some(theirs) = self.get(&later) else { continue };
            let copy = is_copy(self.posts, self.asset, &later, theirs.fingerprint);
            if copy != theirs.copy {
                let now = Kept { copy, ..theirs };
                self.put(&later, now);
                self.send(&later, now, true);
            }
        }
    }

    /// Tells whether the post is a copy, if that is `news`.
    fn send(&mut self, spot: &Spot, of: Kept, news: bool) {
        if !news || of.spam {
            return;
        }
        let copy = MarketCopy { post_id: spot.1.clone(), revision: of.revision, band: self.band, is_copy: of.copy };
        self.found.push((self.start(spot.0), copy));
    }

    fn start(&self, published_at: Timestamp) -> Timestamp {
        self.windows.window_of(published_at).start
    }

    fn get(&mut self, spot: &Spot) -> Option<Kept> {
        let (start, key) = (self.start(spot.0), post_key(self.asset, &spot.1));
        Kept::from_bytes(&WindowStore::over(self.posts).get(start, &key)?)
    }

    fn put(&mut self, spot: &Spot, kept: Kept) {
        let start = self.start(spot.0);
        WindowStore::over(self.posts).put(start, &post_key(self.asset, &spot.1), kept.to_bytes());
    }
}

/// Revisions and bands that say of a post that it is a copy. Bands of different revisions may be sent in any order.
pub(crate) type Marks = BTreeMap<i32, Vec<i32>>;

/// Notes what was found out; `Some` if the post became a copy by it, or ceased to be one.
pub(crate) fn mark(marks: &mut Marks, copy: &MarketCopy) -> Option<bool> {
    let was = !marks.is_empty();
    if copy.is_copy {
        let bands = marks.entry(copy.revision).or_default();
        if !bands.contains(&copy.band) {
            bands.push(copy.band);
        }
    } else if let Some(bands) = marks.get_mut(&copy.revision) {
        bands.retain(|band| *band != copy.band);
        if bands.is_empty() {
            marks.remove(&copy.revision);
        }
    }
    let is = !marks.is_empty();
    (is != was).then_some(is)
}
