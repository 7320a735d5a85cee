//! The walk back in time through a source's pages, and what is remembered of it.
//!
//! ```text
//!   newest page ─▶ older ─▶ older ─▶ … ─▶ met: a post that an earlier walk began with (or listing at its end) ─▶ Done
//!                             └─ page limit or failure ─▶ Pending: the next poll continues here, before it looks for newer posts
//! ```
//!
//! A document that lists others in place of posts, as an index of sitemaps does, puts them into a queue, which is read before anything older.
//!
//! Guarantee: what lies between two completed walks has been read page by page, however many polls, failures and restarts that took.

pub(crate) mod nested;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::kinds::jetstream::StreamPosition;
use crate::kinds::source::{Older, Overlap, Page};
use crate::sources::SourceConfig;
use nested::{Choice, Queue};

use super::revise::remembered;

/// How many of the newest posts are remembered as marks: one of them may be deleted, hardly all.
const MARKS: usize = 10;

/// What a cursor's `position` holds, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Ids of the newest posts, as they are remembered, when the last completed walk began.
    #[serde(default)]
    marks: Vec<String>,
    /// The newest event time then.
    #[serde(default)]
    seen_until: Option<Timestamp>,
    /// A walk that is not at its end.
    #[serde(default)]
    pending: Option<Pending>,
    /// When the newest of the documents changed that the last completed walk found listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nested_until: Option<Timestamp>,
    /// Where a stream stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<StreamPosition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    #[serde(default)]
    older: Option<StoredOlder>,
    #[serde(default)]
    nested: Queue,
    marks: Vec<String>,
    seen_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoredOlder {
    After(String),
    NotAfter(i64),
}

impl From<Older> for StoredOlder {
    fn from(older: Older) -> Self {
        match older {
            Older::After(name) => Self::After(name),
            Older::NotAfter(second) => Self::NotAfter(second),
        }
    }
}

impl From<StoredOlder> for Older {
    fn from(older: StoredOlder) -> Self {
        match older {
            StoredOlder::After(name) => Self::After(name),
            StoredOlder::NotAfter(second) => Self::NotAfter(second),
        }
    }
}

impl Position {
    /// Reads a stored position; an unreadable one counts as none.
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The text to store; `None` if there is nothing to remember.
    pub fn write(&self) -> Option<String> {
        if *self == Self::default() { None } else { serde_json::to_string(self).ok() }
    }

    /// Whether there is more to be read at once: a walk to be continued, or a stream that ran ahead.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some() || self.stream.as_ref().is_some_and(StreamPosition::is_behind)
    }

    /// The newest event time when the last completed walk began.
    pub fn seen_until(&self) -> Option<Timestamp> {
        self.seen_until
    }
}

/// A walk in progress.
#[derive(Debug)]
pub struct Walk<'a> {
    source: &'a SourceConfig,
    position: Position,
    resumed: bool,
    at: Option<Older>,
    nested: Queue,
    marks: Vec<String>,
    seen_until: Option<Timestamp>,
    /// What is before this is not asked for.
    earliest: Option<Timestamp>,
    pages: usize,
    done: bool,
}

impl<'a> Walk<'a> {
    /// Continues the pending walk, or begins a new one at the newest post.
    pub fn begin(source: &'a SourceConfig, mut position: Position) -> Self {
        let pending = position.pending.take();
        let resumed = pending.is_some();
        let (at, nested, marks, seen_until) = match pending {
            Some(Pending { older, nested, marks, seen_until }) => (older.map(Older::from), nested, marks, seen_until),
            None => (None, Queue::default(), Vec::new(), None),
        };
        let done = resumed && at.is_none();
        Self { source, position, resumed, at, nested, marks, seen_until, earliest: None, pages: 0, done }
    }

    /// Asks for nothing from before this time, which the source would refuse.
    pub fn asking_from(self, earliest: Option<Timestamp>) -> Self {
        Self { earliest, ..self }
    }

    /// Whether it continues an earlier walk.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The newest event time when the last completed walk began.
    pub(super) fn seen_until(&self) -> Option<Timestamp> {
        self.position.seen_until
    }

    /// Where the stream stands, if this source is one and was heard before.
    pub fn stream(&self) -> Option<&StreamPosition> {
        self.position.stream.as_ref()
    }

    /// Remembers where the stream stands now.
    pub fn heard(&mut self, position: StreamPosition) {
        self.position.stream = Some(position);
    }

    /// Whether the next address is that of a document which another one listed.
    pub fn is_at_nested(&self) -> bool {
        self.nested.front().is_some()
    }

    /// Leaves the next listed document out.
    pub fn skip_nested(&mut self) {
        self.nested.pop();
    }

    /// The next address to ask; `None` at the end of the walk.
    pub fn next(&self) -> Option<Url> {
        if let Some(url) = self.nested.front() {
            return Some(url.clone());
        }
        if self.done {
            return None;
        }
        let from = self.position.seen_until.filter(|seen| self.earliest.is_none_or(|earliest| *seen >= earliest));
        let (kind, listed) = (self.source.kind.source(), &self.source.url);
        match &self.at {
            None => Some(kind.newest(listed, from)),
            Some(older) => kind.older(listed, from, older),
        }
    }

    /// Takes a page in; returns its posts that are not `known`, by their ids as a cursor remembers them, newest first.
    pub fn take(&mut self, page: Page, known: &HashSet<String>) -> Vec<RawPost> {
        if self.pages == 0 && !self.resumed {
            self.marks = page.posts.iter().take(MARKS).map(|post| remembered(&post.post_id)).collect();
            self.seen_until =
                page.posts.iter().filter(|post| !post.published_at_estimated).map(|post| post.published_at).max();
        }
        self.pages += 1;
        let first_look = self.position.seen_until.is_none() && self.position.marks.is_empty();
        let depth = self.nested.pop();
        let choice = match self.position.nested_until {
            Some(time) => Choice::ChangedSince(time),
            None if self.source.backlog || !first_look => Choice::All,
            None => Choice::Newest,
        };
        self.nested.add(page.nested, depth, choice);
        let is_empty = page.posts.is_empty();
        let mut fresh = Vec::new();
        for post in page.posts {
            if self.is_met(&post) {
                self.done = true;
                break;
            }
            if !known.contains(&remembered(&post.post_id)) {
                fresh.push(post);
            }
        }
        let goes_on = page.older.is_some() && page.older != self.at && !is_empty;
        if !goes_on || (first_look && !self.source.backlog) || self.source.overlap() == Overlap::SinglePage {
            self.done = true;
        }
        self.at = page.older;
        fresh
    }

    /// What to remember: the new marks if the walk is done, else where to go on.
    pub fn end(mut self) -> Position {
        if self.next().is_none() {
            if !self.marks.is_empty() {
                self.position.marks = self.marks;
                self.position.seen_until = self.seen_until.max(self.position.seen_until);
            }
            self.position.nested_until = self.nested.newest().max(self.position.nested_until);
        } else if self.at.is_some() || self.is_at_nested() {
            let (older, nested) = (self.at.map(StoredOlder::from), self.nested);
            self.position.pending = Some(Pending { older, nested, marks: self.marks, seen_until: self.seen_until });
        }
        self.position
    }

    fn is_met(&self, post: &RawPost) -> bool {
        let older_than = |time: Timestamp| !post.published_at_estimated && post.published_at < time;
        match (self.source.overlap(), self.position.seen_until) {
            (Overlap::SinglePage, _) => false,
            (Overlap::Anchor, seen) => self.is_mark(&post.post_id) || seen.is_some_and(older_than),
            (Overlap::Late(by), Some(seen)) => older_than(seen.saturating_sub(by)),
            (Overlap::Late(_), None) => false,
        }
    }

    fn is_mark(&self, post_id: &str) -> bool {
        let id = remembered(post_id);
        self.position.marks.iter().any(|mark| remembered(mark) == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;

    fn source(backlog: bool) -> SourceConfig {
        let url = Url::parse("https://r.example/new.json").unwrap();
        SourceConfig { backlog, max_pages: 2, ..SourceConfig::new("s", Kind::Reddit, url) }
    }

    fn post(n: i64) -> RawPost {
        RawPost {
            post_id: format!("reddit:t3_{n}"),
            source: "s".into(),
            kind: "reddit".into(),
            published_at: Timestamp::from_millis(n * 1000),
            fetched_at: Timestamp::from_millis(i64::MAX),
            ..RawPost::default()
        }
    }

    /// The listing of posts 1..=top without those in `gone`, four to a page.
    fn page(top: i64, gone: &[i64], url: &Url) -> Page {
        let after = url.query_pairs().find(|(k, _)| k == "after").map(|(_, v)| v[3..].parse::<i64>().unwrap());
        let all: Vec<i64> =
            (1..=top).rev().filter(|n| !gone.contains(n)).filter(|n| after.is_none_or(|a| *n < a)).collect();
        let posts: Vec<RawPost> = all.iter().take(4).map(|n| post(*n)).collect();
        let older = (all.len() > 4).then(|| Older::After(format!("t3_{}", all[3])));
        Page { posts, older, ..Page::default() }
    }

    /// One poll of at most two pages.
    fn poll(source: &SourceConfig, position: Position, top: i64, gone: &[i64]) -> (Vec<i64>, Position) {
        let mut walk = Walk::begin(source, position);
        let mut seen = Vec::new();
        for _ in 0..source.max_pages {
            let Some(url) = walk.next() else { break };
            let fresh = walk.take(page(top, gone, &url), &HashSet::new());
            seen.extend(fresh.iter().map(|post| post.published_at.as_millis() / 1000));
        }
        (seen, Position::read(walk.end().write().as_deref()))
    }

    #[test]
    fn a_long_gap_is_read_over_several_polls_without_loss_or_repetition() {
        let source = source(true);
        let (mut all, mut position) = (Vec::new(), Position::default());
        for top in [3, 3, 30, 31, 45, 45, 45, 45, 45] {
            let (seen, next) = poll(&source, position, top, &[]);
            all.extend(seen);
            position = next;
        }
        assert!(!position.is_pending());
        all.sort_unstable();
        assert_eq!(all, (1..=45).collect::<Vec<_>>());
    }

    #[test]
    fn deleted_marks_do_not_make_the_walk_endless() {
        let source = source(true);
        let (_, position) = poll(&source, Position::default(), 4, &[]);
        let (seen, position) = poll(&source, position, 6, &[1, 2, 3, 4]);
        assert_eq!(seen, [6, 5]);
        let (seen, _) = poll(&source, position, 7, &[5, 6]);
        assert_eq!(seen, [7]);
    }

    #[test]
    fn without_backlog_the_first_poll_takes_one_page() {
        let source = source(false);
        let (seen, position) = poll(&source, Position::default(), 30, &[]);
        assert_eq!(seen, [30, 29, 28, 27]);
        let (seen, _) = poll(&source, position, 32, &[]);
        assert_eq!(seen, [32, 31]);
    }

    #[test]
    fn a_search_that_reaches_back_some_days_is_not_asked_for_what_is_older() {
        let url = Url::parse("https://api.x.com/2/tweets/search/recent?query=btc").unwrap();
        let source = SourceConfig { kind: Kind::X, url, ..source(false) };
        let asks = |earliest: i64| {
            let position = Position { seen_until: Some(Timestamp::from_millis(100_000)), ..Position::default() };
            let walk = Walk::begin(&source, position);
            let walk = walk.asking_from(Some(Timestamp::from_millis(earliest)));
            walk.next().unwrap().query_pairs().any(|(name, _)| name == "start_time")
        };
        assert!(asks(100_000) && !asks(100_001));
    }
}
