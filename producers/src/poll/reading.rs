//! What a poll reads: pages along the walk, and what they hold that is new.

use std::collections::HashSet;
use std::time::Duration;

use url::Url;
use vigie_clock::{Clock, Timestamp};
use vigie_schemas::{Cursor, RawPost};

use super::listen::listen;
use super::namesakes;
use super::page::{self, Failure};
use super::revise::{post_of, remembered, revisions};
use super::walk::{Position, Walk};
use crate::fetcher::{Body, FetchError, Fetched, Fetcher, Request};
use crate::kinds::source::schedule::Schedule;
use crate::kinds::source::{Overlap, Page};
use crate::sources::SourceConfig;

/// Entries of one feed that are looked at.
pub(super) const MAX_ENTRIES: usize = 5000;

/// Ids that are kept of a stream.
const STREAM_IDS: usize = 200;

/// What a poll has read.
pub(super) struct Reading {
    pub(super) found: Found,
    pub(super) answer: Answer,
    /// The last HTTP status.
    pub(super) status: Option<u16>,
    pub(super) bytes: usize,
    /// How many ids are kept, where that is not a matter of how the source is walked.
    pub(super) kept: Option<usize>,
    /// Why the last listed document that was left out could not be read.
    pub(super) left_out: Option<String>,
    /// Where the walk stands.
    pub(super) position: Position,
    pub(super) is_resumed: bool,
}

/// What the pages hold.
#[derive(Default)]
pub(super) struct Found {
    /// New posts, newest first.
    pub(super) posts: Vec<RawPost>,
    pub(super) edited: Vec<RawPost>,
    pub(super) deleted: Vec<String>,
    /// The ids of all posts as they are remembered, newest last, and what marks their revisions.
    pub(super) listed: Vec<String>,
    pub(super) seen: usize,
    /// Of those, how many are not taken, as their answers have more than are taken of one.
    pub(super) left_out: usize,
    /// When the posts were published, where they say.
    pub(super) published: Vec<Timestamp>,
}

/// What the answer from the source's own address says beside its posts.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) not_modified: bool,
    pub(super) validators: Validators,
    pub(super) moved_to: Option<Url>,
    pub(super) fresh_for: Option<Duration>,
    pub(super) schedule: Schedule,
}

/// What an answer can be recognised by, and the address that knows it.
#[derive(Default)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) by: Option<Url>,
}

impl Reading {
    /// Whether pages were read, be it one that was left out.
    pub(super) fn has_pages(&self) -> bool {
        (self.status.is_some() || self.left_out.is_some()) && !self.answer.not_modified
    }
}

/// Reads along a walk.
pub(super) struct Reader<'a> {
    source: &'a SourceConfig,
    before: &'a Cursor,
    walk: Walk<'a>,
    fetcher: &'a Fetcher,
    clock: &'a dyn Clock,
    /// Ids and marks that were published, as they are remembered.
    known: HashSet<String>,
    reading: Reading,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        source: &'a SourceConfig,
        before: &'a Cursor,
        walk: Walk<'a>,
        fetcher: &'a Fetcher,
        clock: &'a dyn Clock,
    ) -> Self {
        let reading = Reading {
            found: Found::default(),
            answer: Answer::default(),
            status: None,
            bytes: 0,
            kept: None,
            left_out: None,
            position: Position::default(),
            is_resumed: walk.is_resumed(),
        };
        let known = before.recent_ids.iter().map(|entry| remembered(entry)).collect();
        Self { source, before, walk, fetcher, clock, known, reading }
    }

    /// Reads until the walk or the poll's share of pages is at its end, or a page fails.
    pub(super) async fn read(mut self) -> (Reading, Option<Failure>) {
        let mut failure = None;
        for page in 0..self.source.max_pages {
            let Some(url) = self.walk.next() else { break };
            match self.step(url, page == 0).await {
                Ok(()) if self.reading.answer.not_modified => break,
                Ok(()) => {}
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        self.reading.position = self.walk.end();
        (self.reading, failure)
    }

    /// Reads one page.
    async fn step(&mut self, url: Url, is_first: bool) -> Result<(), Failure> {
        let is_first = is_first && !self.reading.is_resumed;
        let is_nested = self.walk.is_at_nested();
        let (request, can_move) = self.request(url, is_first);
        let (mut page, body) = match self.ask(&request).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.reading.answer.moved_to = self.reading.answer.moved_to.take().filter(|_| can_move);
                return Ok(());
            }
            // One of many documents that is gone does not hold up the others.
            Err(failure) if is_nested && failure.is_lasting() => {
                self.reading.left_out = Some(failure.to_string());
                self.walk.skip_nested();
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        self.reading.status = Some(body.status);
        if is_nested {
            // Which of the listed documents is read again is not known.
            self.reading.kept = Some(2 * MAX_ENTRIES);
        }
        // The validators of a document in the middle are not those of the source's own address.
        if is_first {
            self.reading.answer = Answer {
                not_modified: false,
                validators: Validators { etag: body.etag, last_modified: body.last_modified, by: Some(body.url) },
                moved_to: body.moved_to.filter(|_| can_move),
                fresh_for: body.fresh_for,
                schedule: std::mem::take(&mut page.schedule),
            };
        }
        self.take(page);
        Ok(())
    }

    /// The request for a page, and whether a permanent redirect of it is remembered.
    fn request(&self, url: Url, is_first: bool) -> (Request, bool) {
        let (source, before) = (self.source, self.before);
        let is_own = url == source.url;
        let mut request = page::request(source, url);
        // Only the source's own address is remembered to have moved, not the searches below it. Local servers come and go.
        let can_move = is_first && is_own && !source.local && request.access.is_none();
        if can_move && let Some(moved_to) = before.moved_to.as_deref().and_then(|moved_to| moved_to.parse().ok()) {
            request.url = moved_to;
        }
        // A searched address names a time, so that its validators are of no use for the next one.
        if is_first && !matches!(source.overlap(), Overlap::Late(_)) {
            request.etag = before.etag.clone();
            request.last_modified = before.last_modified.clone();
            request.validated_by = before.validated_by.as_deref().and_then(|by| by.parse().ok());
        }
        request.validated_by = request.validated_by.or_else(|| can_move.then(|| source.url.clone()));
        (request, can_move)
    }

    /// Asks for a page, or listens to a stream for one; `None` if what was read before is current.
    async fn ask(&mut self, request: &Request) -> Result<Option<(Page, Body)>, Failure> {
        let fetched = match self.source.is_stream() {
            true => Fetched::Body(self.listen().await?),
            false if self.source.render => self.fetcher.render(request).await?,
            false => self.fetcher.fetch(request).await?,
        };
        match fetched {
            Fetched::Body(body) => {
                self.reading.bytes += body.bytes.len();
                let page = page::parse(self.source, &body, self.clock.now())?;
                Ok(Some((page, body)))
            }
            Fetched::NotModified { fresh_for, etag, last_modified, moved_to } => {
                self.reading.status = Some(304);
                let validators = Validators { etag, last_modified, by: None };
                let schedule = Schedule::default();
                self.reading.answer = Answer { not_modified: true, validators, moved_to, fresh_for, schedule };
                Ok(None)
            }
        }
    }

    async fn listen(&mut self) -> Result<Body, FetchError> {
        let heard = listen(self.source, self.walk.stream(), self.fetcher, self.clock).await?;
        self.walk.heard(heard.position);
        // Its position says what was heard.
        self.reading.kept = Some(STREAM_IDS);
        self.reading.found.seen += heard.passed_over;
        Ok(Body::bare(101, self.source.url.clone(), heard.lines))
    }

    /// Takes in what a page holds.
    fn take(&mut self, mut page: Page) {
        let found = &mut self.reading.found;
        // An entry may be there in name only.
        page.posts.retain(|post| post.title.is_some() || post.url.is_some() || !post.text.is_empty());
        if page.posts.len() > MAX_ENTRIES {
            page.posts.sort_by_key(|post| std::cmp::Reverse(post.published_at));
            page.left_out += page.posts.len() - MAX_ENTRIES;
            page.posts.truncate(MAX_ENTRIES);
        }
        let dated = page.posts.iter().filter(|post| !post.published_at_estimated);
        found.published.extend(dated.map(|post| post.published_at));
        found.seen += page.posts.len() + page.left_out;
        found.left_out += page.left_out;
        // Newest last, over all pages: each page is older than the one before.
        found.listed.splice(..0, page.posts.iter().rev().map(|post| remembered(&post.post_id)));
        for mark in namesakes::recognise(&page, self.walk.seen_until(), &mut self.known) {
            found.listed.extend([post_of(&mark).to_owned(), mark]);
        }
        let revisions = revisions(&mut page, &self.known);
        for mark in &revisions.marks {
            found.listed.extend([post_of(mark).to_owned(), mark.clone()]);
        }
        found.edited.extend(revisions.edited);
        found.deleted.extend(revisions.deleted);
        self.known.extend(revisions.marks);
        // A post may stand in the same answer twice, and pages may overlap.
        let fresh = self.walk.take(page, &self.known).into_iter();
        found.posts.extend(fresh.filter(|post| self.known.insert(remembered(&post.post_id))));
    }
}
