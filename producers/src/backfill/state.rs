//! How far a backfill has come: a function of the pages read, kept as JSON in a cursor of its own.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use serde::{Deserialize, Serialize};
use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::kinds::source::{Older, Overlap, Page};
use crate::poll::walk::StoredOlder;
use crate::poll::walk::nested::{Choice, Queue};
use crate::sources::SourceConfig;

/// The posts published already, by the hash of their ids.
#[derive(Debug, Default)]
pub(super) struct Published(HashSet<u64>);

impl Published {
    /// Adds an id; false if it was there.
    pub(super) fn insert(&mut self, id: &[u8]) -> bool {
        self.0.insert(BuildHasherDefault::<DefaultHasher>::default().hash_one(id))
    }
}

/// Where a backfill stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Nothing newer is published: that is for the live source. Set once, at the first run.
    until: Option<Timestamp>,
    begun: bool,
    older: Option<StoredOlder>,
    #[serde(default)]
    nested: Queue,
    /// The first page with posts that are too old: where a run that goes further back begins.
    #[serde(default)]
    edge: Option<Edge>,
    /// What was older than this was left out in the last run.
    #[serde(default, rename = "told_since")]
    published_since: Option<Timestamp>,
    /// How far back it has read.
    pub(super) reached: Option<Timestamp>,
    /// Back to this all has been published; to the beginning of time where the archive ended before.
    done_since: Option<Timestamp>,
    pub(super) pages: u64,
    pub(super) posts: u64,
}

/// The address of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Edge {
    Newest,
    Older(StoredOlder),
}

impl State {
    /// A backfill of what is not newer than `until`.
    pub(super) fn new(until: Option<Timestamp>) -> Self {
        Self { until, ..Self::default() }
    }

    pub(super) fn is_done(&self, since: Timestamp) -> bool {
        self.done_since.is_some_and(|done| done <= since)
    }

    /// Begins a run to this date. Where an earlier one left out what was too old for it, that is read again.
    pub(super) fn reopen(&mut self, since: Timestamp) {
        let before = self.published_since.replace(since);
        if before.is_none_or(|before| before <= since) || self.is_done(since) {
            return;
        }
        self.done_since = None;
        // Listed documents are not read in the order of what they hold: they are gone through again, and what is published is known.
        self.nested = Queue::default();
        match self.edge.take() {
            Some(Edge::Older(older)) => self.older = Some(older),
            Some(Edge::Newest) => (self.older, self.begun) = (None, false),
            None => self.begun = self.older.is_some(),
        }
    }

    /// The address of the next page.
    pub(super) fn next(&self, source: &SourceConfig) -> Option<Url> {
        let handler = source.kind.source();
        if let Some(url) = self.nested.front() {
            return Some(url.clone());
        }
        match (&self.older, self.begun) {
            (Some(older), _) => handler.older(&source.url, None, &Older::from(older.clone())),
            (None, false) => Some(handler.newest(&source.url, None)),
            (None, true) => None,
        }
    }

    /// Whether the next page is one of many that another one listed.
    pub(super) fn is_at_nested(&self) -> bool {
        self.nested.front().is_some()
    }

    /// Leaves such a page out.
    pub(super) fn skip_nested(&mut self, since: Timestamp) {
        self.nested.pop();
        self.end_listing(since);
    }

    /// Takes a page in; returns what of it is to be published, oldest first. Posts without a time of their own are left out: they would count as of today.
    pub(super) fn take(
        &mut self,
        source: &SourceConfig,
        page: Page,
        since: Timestamp,
        published: &mut Published,
    ) -> Vec<RawPost> {
        self.pages += 1;
        self.begun = true;
        let was_nested = self.is_at_nested();
        let depth = self.nested.pop();
        let lists = !page.nested.is_empty();
        self.nested.add(page.nested, depth, Choice::ChangedSince(since));
        let dated = page.posts.iter().filter(|post| !post.published_at_estimated).map(|post| post.published_at);
        let (oldest, newest) = (dated.clone().min(), dated.max());
        self.reached = self.reached.into_iter().chain(newest).min();
        if oldest.is_some_and(|oldest| oldest < since) && self.edge.is_none() {
            self.edge = Some(self.older.clone().map_or(Edge::Newest, Edge::Older));
        }
        if was_nested || lists {
            self.end_listing(since);
        } else {
            self.step(source, page.older, page.posts.is_empty(), newest, since);
        }
        let wanted = |post: &RawPost| {
            !post.published_at_estimated
                && post.published_at >= since
                && self.until.is_none_or(|until| post.published_at <= until)
        };
        let mut fresh: Vec<RawPost> = page.posts.into_iter().filter(wanted).collect();
        fresh.retain(|post| published.insert(post.post_id.as_bytes()));
        fresh.sort_by_key(|post| post.published_at);
        self.posts += fresh.len() as u64;
        fresh
    }

    /// One page further back.
    fn step(
        &mut self,
        source: &SourceConfig,
        older: Option<Older>,
        is_empty: bool,
        newest: Option<Timestamp>,
        since: Timestamp,
    ) {
        let late = match source.overlap() {
            Overlap::Late(by) => by,
            Overlap::Anchor | Overlap::SinglePage => std::time::Duration::ZERO,
        };
        let next = match older.map(StoredOlder::from) {
            // A page full of one second: the next begins before it.
            Some(StoredOlder::NotAfter(second)) if self.older == Some(StoredOlder::NotAfter(second)) => {
                Some(StoredOlder::NotAfter(second - 1))
            }
            same if same == self.older => None,
            other => other,
        };
        if next.is_none() || is_empty {
            // What was too old for this run is still there for another.
            self.done_since = Some(if self.edge.is_some() { since } else { Timestamp::MIN });
        } else if newest.is_some_and(|newest| newest < since.saturating_sub(late)) {
            self.done_since = Some(since);
        }
        if next.is_some() {
            self.older = next;
        }
    }

    fn end_listing(&mut self, since: Timestamp) {
        if !self.is_at_nested() {
            self.done_since = Some(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;

    fn source() -> SourceConfig {
        SourceConfig::new("hn", Kind::HackerNews, Url::parse("https://hn.example/").unwrap())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    /// Two items a second, ten to a page, none newer than asked for.
    fn page(url: &Url) -> Page {
        let until: i64 = url
            .query_pairs()
            .find(|(name, _)| name == "numericFilters")
            .map_or(1000, |(_, filter)| filter.rsplit('=').next().unwrap().parse().unwrap());
        let items: Vec<String> = (0..2000_i64)
            .rev()
            .filter(|n| n / 2 <= until)
            .take(10)
            .map(|n| format!(r#"{{"objectID":"{n}","created_at_i":{},"comment_text":"x"}}"#, n / 2))
            .collect();
        let text = format!(r#"{{"hits":[{}],"hitsPerPage":10}}"#, items.join(","));
        let origin = crate::kinds::source::Origin {
            source: "hn",
            language: None,
            sample: false,
            select: None,
            fetched_at: at(10_000),
        };
        let document = crate::content::document::Document { bytes: text.as_bytes(), charset: None, base: None };
        Kind::HackerNews.source().parse(document, origin).unwrap()
    }

    fn run(state: &mut State, since: i64, published: &mut Published) -> Vec<i64> {
        let source = source();
        let mut read = Vec::new();
        state.reopen(at(since));
        while !state.is_done(at(since)) {
            let url = state.next(&source).unwrap();
            let posts = state.take(&source, page(&url), at(since), published);
            read.extend(posts.iter().map(|post| post.post_id.rsplit(':').next().unwrap().parse::<i64>().unwrap()));
            // As a restart would.
            *state = serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
        }
        read.sort_unstable();
        read
    }

    #[test]
    fn all_between_the_live_source_and_the_date_is_published_once() {
        let mut published = Published::default();
        published.insert(b"hackernews:1700");
        let mut state = State::new(Some(at(899)));
        let read = run(&mut state, 500, &mut published);
        assert_eq!(read, (1000..1800).filter(|n| *n != 1700).collect::<Vec<_>>());
        assert!(run(&mut state, 500, &mut published).is_empty() && run(&mut state, 600, &mut published).is_empty());
        let pages = state.pages;
        // Further back: from where it ended, not from the top.
        assert_eq!(run(&mut state, 450, &mut published), (900..1000).collect::<Vec<_>>());
        assert!(state.pages - pages < 130, "{} of 200 pages", state.pages - pages);
        // The first second of 1970 is no time of a post.
        assert_eq!(run(&mut state, -5, &mut published), (2..900).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_to_another_date_after_an_interrupted_one_leaves_nothing_out() {
        let source = source();
        for dates in [[900, 700, 800, 300], [300, 900, 800, 300], [850, 300, 900, 300]] {
            let (mut published, mut state, mut read) = (Published::default(), State::new(None), 0);
            for (run, since) in dates.into_iter().enumerate() {
                state.reopen(at(since));
                // All but the last are interrupted somewhere.
                let pages = if run == 3 { usize::MAX } else { 17 + 19 * run };
                for _ in 0..pages {
                    if state.is_done(at(since)) {
                        break;
                    }
                    let url = state.next(&source).unwrap();
                    read += state.take(&source, page(&url), at(since), &mut published).len();
                }
            }
            assert_eq!(read, 2 * 700, "{dates:?}");
        }
    }

    #[test]
    fn a_second_with_more_than_a_page_of_posts_does_not_end_it() {
        let source = source();
        let mut state = State::new(None);
        state.older = Some(StoredOlder::NotAfter(7));
        let full = Page { older: Some(Older::NotAfter(7)), posts: page(&source.url).posts, ..Page::default() };
        state.take(&source, full, at(0), &mut Published::default());
        assert_eq!(state.older, Some(StoredOlder::NotAfter(6)));
        assert!(!state.is_done(at(0)));
    }
}
