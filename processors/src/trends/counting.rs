//! Counting a mention once: a later revision of its post replaces it, a retraction takes it away, and copies are distinguished from what is new.
//!
//! ```text
//! mention ─▶ counted before? ── no ───────────────────────────▶ count ─▶ a copy, or are later ones copies of it?
//!                 ├─ same or higher revision ─▶ nothing             ▲
//!                 └─ lower revision ─▶ take away ── not retracted ──┘
//! ```
//!
//! What a window has counted is the same whatever the order in which the mentions of different posts came; revisions of one post come in their
//! order. What a window read stays in its lineage: offsets and newest mention are not taken away.

use std::collections::BTreeMap;

use vigie_clock::Timestamp;
use vigie_schemas::Mention;
use vigie_streams::{KeyValueStore, Outcome, ProcessorError, TumblingWindows, WindowStore};

use super::copies::{self, Spot};
use super::counted::{Counted, key_parts, post_key};
use super::window::WindowState;
use crate::service::state::{decode, encode};
use crate::text::fingerprint::Fingerprint;

/// Name of the store of counted mentions, for errors.
pub(crate) const POSTS: &str = "posts";

type Result<T> = std::result::Result<T, ProcessorError>;

/// Where counts are kept: the stores of a task, or the memory of a replay.
pub(crate) trait Place {
    /// The window, made if it is not there.
    fn window(&mut self, start: Timestamp, asset: &str) -> Result<&mut WindowState>;
    /// Counted mentions by window, asset and post.
    fn posts(&mut self) -> &mut KeyValueStore;
    /// Posts by window, asset and author.
    fn authors(&mut self) -> &mut KeyValueStore;
}

/// Takes a mention in that was read at `offset`, and says what became of it.
pub(crate) fn take_in(
    place: &mut impl Place,
    spec: &TumblingWindows,
    mention: &Mention,
    offset: i64,
) -> Result<Outcome> {
    let start = spec.window_of(mention.published_at).start;
    let key = post_key(&mention.asset, &mention.post_id);
    if let Some(old) = counted(place, start, &key)? {
        if old.revision >= mention.revision {
            return Ok(Outcome::Duplicate);
        }
        take_away(place, spec, mention, start, &old)?;
    }
    if mention.retracted {
        return Ok(Outcome::Retracted);
    }
    let spot = spot(mention.published_at, &mention.post_id);
    let fingerprint = mention.fingerprint.map(Fingerprint::from_long);
    let copy =
        fingerprint.is_some_and(|fingerprint| copies::is_copy(place.posts(), &mention.asset, &spot, fingerprint));
    let new_author = author_enters(place, start, mention);
    let own = Counted::of(mention, copy);
    put(place, start, &key, &own)?;
    place.window(start, &mention.asset)?.add(mention, new_author, copy, offset);
    let Some(fingerprint) = fingerprint else { return Ok(Outcome::Counted) };
    for later in copies::followers(place.posts(), &mention.asset, &spot, fingerprint) {
        mark(place, spec, &mention.asset, &later, |_, _| true)?;
    }
    Ok(Outcome::Counted)
}

/// Takes away what was counted of the mention's post.
fn take_away(
    place: &mut impl Place,
    spec: &TumblingWindows,
    mention: &Mention,
    start: Timestamp,
    old: &Counted,
) -> Result<()> {
    let author_gone = author_leaves(place, start, &mention.asset, old.author.as_deref());
    place.window(start, &mention.asset)?.take_away(old, author_gone);
    WindowStore::over(place.posts()).delete(start, &post_key(&mention.asset, &mention.post_id));
    let Some(fingerprint) = old.fingerprint.map(Fingerprint::from_long) else { return Ok(()) };
    let spot = spot(old.published_at, &mention.post_id);
    for later in copies::followers(place.posts(), &mention.asset, &spot, fingerprint) {
        let repeats = |posts: &KeyValueStore, theirs| copies::is_copy(posts, &mention.asset, &later, theirs);
        mark(place, spec, &mention.asset, &later, repeats)?;
    }
    Ok(())
}

/// Notes of a mention that is counted, and has a fingerprint, whether it is a copy.
fn mark(
    place: &mut impl Place,
    spec: &TumblingWindows,
    asset: &str,
    spot: &Spot,
    is_copy: impl Fn(&KeyValueStore, Fingerprint) -> bool,
) -> Result<()> {
    let start = spec.window_of(spot.0).start;
    let key = post_key(asset, &spot.1);
    let found = counted(place, start, &key)?;
    let Some((before, fingerprint)) = found.and_then(|found| found.fingerprint.map(|fingerprint| (found, fingerprint)))
    else {
        return Err(ProcessorError::fatal(format!(
            "a mention of {asset} in window {start} is in the index of store {POSTS} but not in the store"
        )));
    };
    let copy = is_copy(place.posts(), Fingerprint::from_long(fingerprint));
    if copy == before.copy {
        return Ok(());
    }
    let after = Counted { copy, ..before.clone() };
    put(place, start, &key, &after)?;
    place.window(start, asset)?.unique += i64::from(after.is_unique()) - i64::from(before.is_unique());
    Ok(())
}

/// A window by start and asset, with its posts and authors.
pub(crate) type Tally = ((Timestamp, String), (i64, i64));

/// The first of `windows`, in the order of time, whose posts and authors are not as many as the stores list, in words.
pub(crate) fn disagreement(place: &mut impl Place, windows: &[Tally]) -> Result<Option<String>> {
    let Some(((first, _), _)) = windows.first() else { return Ok(None) };
    let mut listed: BTreeMap<(Timestamp, String), (i64, i64)> = BTreeMap::new();
    let mut list = |store: &mut KeyValueStore, add: fn(&mut (i64, i64))| {
        for (start, key, _) in WindowStore::over(store).between(*first, Timestamp::from_millis(i64::MAX)) {
            let Some((asset, _)) = key_parts(&key) else {
                return Err(ProcessorError::fatal("a store of posts or authors holds a key that names no asset"));
            };
            add(listed.entry((start, asset.to_owned())).or_default());
        }
        Ok(())
    };
    list(place.posts(), |(posts, _)| *posts += 1)?;
    list(place.authors(), |(_, authors)| *authors += 1)?;
    let listed_of = |window| listed.get(window).copied().unwrap_or_default();
    let wrong = windows.iter().find(|(window, counted)| *counted != listed_of(window));
    Ok(wrong.map(|(window, (posts, authors))| {
        let (start, asset) = window;
        let (listed_posts, listed_authors) = listed_of(window);
        format!(
            "window {start} of {asset} counts {posts} posts and {authors} authors, listed are {listed_posts} and {listed_authors}"
        )
    }))
}

fn spot(published_at: Timestamp, post_id: &str) -> Spot {
    (published_at, post_id.to_owned())
}

pub(crate) fn counted(place: &mut impl Place, start: Timestamp, key: &[u8]) -> Result<Option<Counted>> {
    decode(POSTS, WindowStore::over(place.posts()).get(start, key))
}

fn put(place: &mut impl Place, start: Timestamp, key: &[u8], counted: &Counted) -> Result<()> {
    let value = encode(POSTS, counted)?;
    WindowStore::over(place.posts()).put(start, key, value);
    Ok(())
}

/// Notes the mention's author in its window; true if the window had not seen them.
fn author_enters(place: &mut impl Place, start: Timestamp, mention: &Mention) -> bool {
    let Some(author) = &mention.author_id else { return false };
    let key = [mention.asset.as_bytes(), author.as_bytes()].join(&0);
    let mut authors = WindowStore::over(place.authors());
    let posts = posts_of(&authors, start, &key);
    authors.put(start, &key, (posts + 1).to_be_bytes().to_vec());
    posts == 0
}

/// True if that was the last post of the author in the window.
fn author_leaves(place: &mut impl Place, start: Timestamp, asset: &str, author: Option<&str>) -> bool {
    let Some(author) = author else { return false };
    let key = [asset.as_bytes(), author.as_bytes()].join(&0);
    let mut authors = WindowStore::over(place.authors());
    let posts = posts_of(&authors, start, &key);
    if posts > 1 {
        authors.put(start, &key, (posts - 1).to_be_bytes().to_vec());
    } else {
        authors.delete(start, &key);
    }
    posts == 1
}

fn posts_of(authors: &WindowStore<'_>, start: Timestamp, key: &[u8]) -> u32 {
    authors.peek(start, key).and_then(|bytes| (*bytes).try_into().ok()).map_or(0, u32::from_be_bytes)
}
