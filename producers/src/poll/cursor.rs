//! What the cursor of a source remembers between two polls.

use std::collections::HashSet;
use std::time::Duration;

use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::Cursor;

use super::reading::{Answer, MAX_ENTRIES, Reading};
use super::revise::{post_of, remembered};
use super::rhythm::Rhythm;
use crate::kinds::source::Overlap;
use crate::sources::SourceConfig;

/// The cursor of a source that was never read.
pub fn fresh_cursor(source: &SourceConfig) -> Cursor {
    Cursor {
        source: source.id.clone(),
        url: source.url.to_string(),
        etag: None,
        last_modified: None,
        position: None,
        recent_ids: Vec::new(),
        next_at: Timestamp::from_millis(0),
        failures: 0,
        updated_at: Timestamp::from_millis(0),
        moved_to: None,
        validated_by: None,
        rhythm: None,
    }
}

/// The cursor to poll with. A source whose address was changed is read from the start, but does not publish its posts again.
pub(super) fn opened(source: &SourceConfig, before: &Cursor) -> Cursor {
    let mut cursor = before.clone();
    if is_elsewhere(source, &before.url) {
        (cursor.moved_to, cursor.rhythm, cursor.position) = (None, None, None);
        forget_validators(&mut cursor);
    }
    cursor
}

/// Takes in what was read; returns what is known of the source's rhythm.
pub(super) fn take_in(cursor: &mut Cursor, source: &SourceConfig, reading: &mut Reading, now: Timestamp) -> Rhythm {
    cursor.url = source.url.to_string();
    cursor.updated_at = now.max(cursor.updated_at.saturating_add(Duration::from_millis(1)));
    if reading.status.is_some() {
        keep_validators(cursor, &mut reading.answer);
    }
    let mut rhythm = Rhythm::read(cursor.rhythm.as_deref());
    if reading.has_pages() {
        cursor.position = reading.position.write();
        rhythm.learn(reading.found.published.drain(..), reading.answer.schedule.clone(), now);
        cursor.rhythm = rhythm.write();
    }
    remember(cursor, reading, source.overlap());
    rhythm
}

/// Whether a cursor says more than when the source was and is to be asked, and in which order it listed its posts.
pub(super) fn differs(before: &Cursor, after: &Cursor) -> bool {
    let ids = |cursor: &Cursor| cursor.recent_ids.iter().map(|entry| remembered(entry)).collect::<HashSet<_>>();
    let rest = Cursor {
        next_at: before.next_at,
        updated_at: before.updated_at,
        recent_ids: before.recent_ids.clone(),
        ..after.clone()
    };
    rest != *before || ids(after) != ids(before)
}

pub(super) fn forget_validators(cursor: &mut Cursor) {
    (cursor.etag, cursor.last_modified, cursor.validated_by) = (None, None, None);
}

/// Keeps what the next request needs: validators with the address that gave them, and where permanent redirects led.
fn keep_validators(cursor: &mut Cursor, answer: &mut Answer) {
    let given = std::mem::take(&mut answer.validators);
    if answer.not_modified {
        // A 304 replaces those that it names (RFC 9111, 3.2).
        cursor.etag = given.etag.or(cursor.etag.take());
        cursor.last_modified = given.last_modified.or(cursor.last_modified.take());
    } else {
        let has_any = given.etag.is_some() || given.last_modified.is_some();
        cursor.validated_by = given.by.filter(|by| has_any && by.as_str() != cursor.url).map(String::from);
        (cursor.etag, cursor.last_modified) = (given.etag, given.last_modified);
    }
    if let Some(moved_to) = answer.moved_to.take() {
        cursor.moved_to = (moved_to.as_str() != cursor.url).then(|| moved_to.into());
    }
}

/// Keeps the ids by which posts seen before are recognised; those that were just listed come last, so that an entry that stays in a feed for ever
/// is never forgotten.
fn remember(cursor: &mut Cursor, reading: &Reading, overlap: Overlap) {
    let listed = &reading.found.listed;
    if listed.is_empty() {
        return;
    }
    let distinct = listed.iter().collect::<HashSet<_>>().len();
    let usual = match overlap {
        // Half of what feeds list are marks.
        Overlap::SinglePage => (2 * distinct).clamp(400, 4 * MAX_ENTRIES),
        Overlap::Anchor => 200,
        Overlap::Late(_) => 1000,
    };
    let kept = reading.kept.unwrap_or(usual);
    let posts: HashSet<&str> = listed.iter().map(|entry| post_of(entry)).collect();
    let before = std::mem::take(&mut cursor.recent_ids);
    let others = before.iter().map(|entry| remembered(entry)).filter(|entry| !posts.contains(post_of(entry)));
    let mut unique = HashSet::new();
    let page = listed.iter().filter(|id| unique.insert(*id)).cloned();
    // What a resumed walk finds is older than what is known already.
    cursor.recent_ids = if reading.is_resumed { page.chain(others).collect() } else { others.chain(page).collect() };
    let excess = cursor.recent_ids.len().saturating_sub(kept);
    cursor.recent_ids.drain(..excess);
}

/// Whether a cursor belongs to another address. Local servers change their port from start to start.
fn is_elsewhere(source: &SourceConfig, before: &str) -> bool {
    let what = |url: &Url| url[url::Position::BeforePath..].to_owned();
    if source.local
        && let Ok(before) = Url::parse(before)
    {
        return what(&before) != what(&source.url);
    }
    before != source.url.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_the_order_and_length_of_ids_are_nothing_new_and_all_else_is() {
        let before = Cursor {
            source: "s".into(),
            url: "https://a.example/feed".into(),
            etag: None,
            last_modified: None,
            position: None,
            recent_ids: vec!["rss:1".into(), "rss:2".into(), "rss:2 deleted".into()],
            next_at: Timestamp::from_millis(1),
            failures: 0,
            updated_at: Timestamp::from_millis(1),
            moved_to: None,
            validated_by: None,
            rhythm: None,
        };
        let (next_at, updated_at) = (Timestamp::from_millis(9), Timestamp::from_millis(8));
        let recent_ids: Vec<String> = before.recent_ids.iter().rev().map(|entry| remembered(entry)).collect();
        let same = Cursor { next_at, updated_at, recent_ids, ..before.clone() };
        assert!(!differs(&before, &same));
        let mut more = same.clone();
        more.recent_ids.push(remembered("rss:3"));
        let mut fewer = same.clone();
        fewer.recent_ids.pop();
        let tagged = Cursor { etag: Some("\"1\"".into()), ..same.clone() };
        for other in [more, fewer, tagged, Cursor { failures: 1, ..same }] {
            assert!(differs(&before, &other), "{other:?}");
        }
    }
}
