//! The walk back in time through a source's pages, and what is remembered of it.
//!
//! ```text
//!   newest page ─▶ older ─▶ older ─▶ … ─▶ met: a post that an earlier walk began with (or listing at its end) ─▶ Done
//!                             └─ page limit or failure ─▶ Pending: the next poll continues here, before it looks for newer posts
//! ```
//!
//! Guarantee: what lies between two completed walks has been read page by page, however many polls, failures and restarts that took.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::source::{Older, Overlap, Page, Source, SourceConfig};

/// How many of the newest posts are remembered as marks: one of them may be deleted, hardly all.
const MARKS: usize = 10;

/// What a cursor's `position` holds, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Ids of the newest posts when the last completed walk began.
    #[serde(default)]
    marks: Vec<String>,
    /// The newest event time then.
    #[serde(default)]
    seen_until: Option<Timestamp>,
    /// A walk that is not at its end.
    #[serde(default)]
    pending: Option<Pending>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    older: StoredOlder,
    marks: Vec<String>,
    seen_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOlder {
    After(String),
    NotAfter(i64),
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

    /// Whether a walk is to be continued.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }
}

/// A walk in progress.
#[derive(Debug)]
pub struct Walk<'a> {
    source: &'a SourceConfig,
    handler: &'static dyn Source,
    position: Position,
    resumed: bool,
    at: Option<Older>,
    marks: Vec<String>,
    seen_until: Option<Timestamp>,
    pages: usize,
    done: bool,
}

impl std::fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.kind())
    }
}

impl<'a> Walk<'a> {
    /// Continues the pending walk, or begins a new one at the newest post.
    pub fn begin(source: &'a SourceConfig, handler: &'static dyn Source, mut position: Position) -> Self {
        let pending = position.pending.take();
        let resumed = pending.is_some();
        let (at, marks, seen_until) = match pending {
            Some(Pending { older, marks, seen_until }) => {
                let at = match older {
                    StoredOlder::After(name) => Older::After(name),
                    StoredOlder::NotAfter(second) => Older::NotAfter(second),
                };
                (Some(at), marks, seen_until)
            }
            None => (None, Vec::new(), None),
        };
        Self { source, handler, position, resumed, at, marks, seen_until, pages: 0, done: false }
    }

    /// Whether it continues an earlier walk.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The next address to ask; `None` at the end of the walk.
    pub fn next(&self) -> Option<Url> {
        if self.done {
            return None;
        }
        match &self.at {
            None => Some(self.handler.newest(self.source, self.position.seen_until)),
            Some(older) => self.handler.older(self.source, self.position.seen_until, older),
        }
    }

    /// Takes a page in; returns its posts that are not `known`, newest first.
    pub fn take(&mut self, page: Page, known: &HashSet<String>) -> Vec<RawPost> {
        if self.pages == 0 && !self.resumed {
            self.marks = page.posts.iter().take(MARKS).map(|post| post.post_id.clone()).collect();
            self.seen_until =
                page.posts.iter().filter(|post| !post.published_at_estimated).map(|post| post.published_at).max();
        }
        self.pages += 1;
        let is_empty = page.posts.is_empty();
        let mut fresh = Vec::new();
        for post in page.posts {
            if self.is_met(&post) {
                self.done = true;
                break;
            }
            if !known.contains(&post.post_id) {
                fresh.push(post);
            }
        }
        let first_look = self.position.seen_until.is_none() && self.position.marks.is_empty();
        let goes_on = page.older.is_some() && page.older != self.at && !is_empty;
        if !goes_on || (first_look && !self.source.backlog) || self.handler.overlap() == Overlap::SinglePage {
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
        } else if let Some(older) = self.at {
            let older = match older {
                Older::After(name) => StoredOlder::After(name),
                Older::NotAfter(second) => StoredOlder::NotAfter(second),
            };
            self.position.pending = Some(Pending { older, marks: self.marks, seen_until: self.seen_until });
        }
        self.position
    }

    fn is_met(&self, post: &RawPost) -> bool {
        let older_than = |time: Timestamp| !post.published_at_estimated && post.published_at < time;
        match (self.handler.overlap(), self.position.seen_until) {
            (Overlap::SinglePage, _) => false,
            (Overlap::Anchor, seen) => self.position.marks.contains(&post.post_id) || seen.is_some_and(older_than),
            (Overlap::Late(by), Some(seen)) => older_than(seen.saturating_sub(by)),
            (Overlap::Late(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;
    use std::time::Duration;

    fn source(backlog: bool) -> SourceConfig {
        SourceConfig {
            id: "s".into(),
            kind: Kind::Reddit,
            url: Url::parse("https://r.example/new.json").unwrap(),
            every: Duration::from_secs(60),
            language: None,
            local: false,
            sample: false,
            backlog,
            max_pages: 2,
            select: None,
        }
    }

    fn post(n: i64) -> RawPost {
        RawPost {
            post_id: format!("reddit:t3_{n}"),
            source: "s".into(),
            kind: "reddit".into(),
            url: None,
            author: None,
            title: None,
            text: String::new(),
            parent_id: None,
            declared_language: None,
            published_at: Timestamp::from_millis(n * 1000),
            published_at_estimated: false,
            fetched_at: Timestamp::from_millis(i64::MAX),
            sample: false,
            author_id: None,
            author_sealed: None,
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
        let mut walk = Walk::begin(source, source.kind.source(), position);
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
}
