//! One poll of one source: from its cursor to new posts, a new cursor and an entry of the fetch ledger.

pub mod backoff;
pub(crate) mod listen;
pub(crate) mod revise;
pub mod rhythm;
pub mod walk;

use std::collections::HashSet;
use std::time::Duration;

use rand::Rng;
use url::Url;
use vigie_clock::{Clock, Timestamp};
use vigie_schemas::{Cursor, FetchRecord, RawPost};

use crate::content::document::{Document, ParseError};
use crate::content::plain_text;
use crate::fetcher::{Body, FetchError, Fetched, Fetcher, Request};
use crate::kinds::draft::MAX_TEXT;
use crate::kinds::schedule::Schedule;
use crate::kinds::source::{Origin, Overlap};
use crate::poll::revise::{post_of, revisions};
use crate::poll::rhythm::Rhythm;
use crate::poll::walk::{Position, Walk};
use crate::sources::SourceConfig;

/// Entries of one feed that are looked at.
const MAX_ENTRIES: usize = 5000;

/// Failures in a row after which a source is looked for at its first address again.
const MOVED_FAILURES: u32 = 3;

/// A wait as long as this is kept in the cursor, so that a restart does not cut it short.
const WORTH_KEEPING: Duration = Duration::from_secs(60);
/// Ids that are kept of a stream.
const STREAM_IDS: usize = 200;

/// What a poll brought.
#[derive(Clone, Debug)]
pub struct Polled {
    /// New posts, oldest first.
    pub posts: Vec<RawPost>,
    /// Posts that were told before, with another text now.
    pub edited: Vec<RawPost>,
    /// Ids of posts that were told before and are gone.
    pub deleted: Vec<String>,
    /// Where the source stands once they are published.
    pub cursor: Cursor,
    /// What happened.
    pub record: FetchRecord,
    /// Whether the cursor says more than when to ask next.
    pub changed: bool,
}

/// Why a poll ended early.
enum Failure {
    Fetch(FetchError),
    Parse(ParseError),
}

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

/// What has been gathered so far.
#[derive(Default)]
struct Gathered {
    posts: Vec<RawPost>,
    edited: Vec<RawPost>,
    deleted: Vec<String>,
    on_page: Vec<String>,
    seen: usize,
    bytes: usize,
    status: Option<u16>,
    fresh_for: Option<Duration>,
    validators: Validators,
    moved_to: Option<Url>,
    published: Vec<Timestamp>,
    schedule: Schedule,
    not_modified: bool,
    /// How many ids are kept, where that is not a matter of how the source is walked.
    kept: Option<usize>,
    /// Why the last listed document that was left out could not be read.
    left_out: Option<String>,
}

/// What an answer can be recognised by, and the address that knows it.
#[derive(Default)]
struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
    by: Option<Url>,
}

impl Validators {
    fn of(cursor: &Cursor) -> Self {
        Self {
            etag: cursor.etag.clone(),
            last_modified: cursor.last_modified.clone(),
            by: cursor.validated_by.as_deref().and_then(|by| by.parse().ok()),
        }
    }
}

/// Reads what is new. Never fails: what goes wrong is in the record and in the cursor's pause.
pub async fn poll(source: &SourceConfig, before: &Cursor, fetcher: &Fetcher, clock: &dyn Clock) -> Polled {
    let at = clock.now();
    let started = clock.monotonic();
    let mut cursor = before.clone();
    // A source that moved to another address starts anew, but does not tell its posts again.
    let moved = is_elsewhere(source, &before.url);
    if moved {
        (cursor.moved_to, cursor.rhythm) = (None, None);
        forget_validators(&mut cursor);
    }
    let position = if moved { Position::default() } else { Position::read(before.position.as_deref()) };
    let earliest = source.kind.source().reach().map(|reach| at.saturating_sub(reach));
    let mut walk = Walk::begin(source, source.kind.source(), position).asking_from(earliest);
    let resumed = walk.is_resumed();
    let mut gathered = Gathered::default();
    let failure = follow(source, &cursor, &mut walk, fetcher, clock, &mut gathered).await.err();

    let pages_read = (gathered.status.is_some() || gathered.left_out.is_some()) && !gathered.not_modified;
    let position = walk.end();
    cursor.url = source.url.to_string();
    cursor.updated_at = clock.now().max(before.updated_at.saturating_add(Duration::from_millis(1)));
    if pages_read {
        cursor.position = position.write();
    }
    if gathered.status.is_some() {
        keep_validators(&mut cursor, &mut gathered);
    }
    let mut rhythm = Rhythm::read(cursor.rhythm.as_deref());
    if pages_read {
        rhythm.learn(gathered.published.drain(..), gathered.schedule.clone(), clock.now());
        cursor.rhythm = rhythm.write();
    }
    gathered.posts.reverse();
    gathered.posts.sort_by_key(|post| post.published_at);
    remember(&mut cursor, &gathered, source.overlap(), resumed);

    let now = clock.now();
    let mut random = backoff::random();
    let waits = match &failure {
        Some(Failure::Fetch(FetchError::Wait { wait, .. })) => Some(backoff::after_wait(*wait, &mut random)),
        _ => None,
    };
    let (decision, reason) = match &failure {
        // Pages that came before the failure count, and the walk goes on from there.
        Some(failure) if !pages_read => {
            let (decision, reason) = explain(failure);
            // It is not the source that failed where its host has to be waited for.
            let pause = waits.unwrap_or_else(|| fail(&mut cursor, source, failure, &mut random));
            cursor.next_at = now.saturating_add(pause);
            match before.moved_to.as_ref().filter(|_| cursor.moved_to.is_none() && !moved) {
                Some(lost) => {
                    (decision, Some(format!("{reason} at {lost}, where it had moved; its first address is next")))
                }
                None => (decision, Some(reason)),
            }
        }
        other => {
            cursor.failures = 0;
            let pause = if position.is_pending() && other.is_none() {
                Duration::ZERO
            } else {
                let wanted = rhythm.pause(source.every, gathered.fresh_for, now);
                waits.unwrap_or_else(|| backoff::after_success(source, wanted, &mut random))
            };
            let next = now.saturating_add(pause);
            cursor.next_at = if source.local || pause.is_zero() { next } else { rhythm.allowed(next) };
            let decision = if gathered.not_modified { "not_modified" } else { "fetched" };
            (decision, other.as_ref().map(|failure| explain(failure).1).or_else(|| gathered.left_out.take()))
        }
    };
    let status = match &failure {
        Some(Failure::Fetch(FetchError::Status { status, .. })) => Some(*status),
        _ => gathered.status,
    };
    let record = FetchRecord {
        source: source.id.clone(),
        kind: source.kind.name().to_owned(),
        url: source.url.to_string(),
        at,
        decision: decision.to_owned(),
        status: status.map(i32::from),
        bytes: to_long(gathered.bytes),
        posts_seen: to_long(gathered.seen),
        posts_new: to_long(gathered.posts.len()),
        duration_ms: i64::try_from(clock.monotonic().saturating_sub(started).as_millis()).unwrap_or(i64::MAX),
        next_at: cursor.next_at,
        reason: reason.map(|reason| hide_key(source, reason)),
        sample: source.sample,
    };
    // A post may stand in the same answer twice, and pages may overlap.
    let is_long = cursor.next_at.since(now) >= WORTH_KEEPING && waits.is_some();
    let changed = pages_read || is_long || !gathered.posts.is_empty() || differs(before, &cursor);
    let Gathered { posts, edited, deleted, .. } = gathered;
    Polled { posts, edited, deleted, cursor, record, changed }
}

/// A server may repeat what it was sent.
fn hide_key(source: &SourceConfig, reason: String) -> String {
    match &source.key {
        Some(key) => key.hide(reason),
        None => reason,
    }
}

/// Whether a cursor says more than when the source was and is to be asked.
fn differs(before: &Cursor, after: &Cursor) -> bool {
    let (next_at, updated_at) = (before.next_at, before.updated_at);
    Cursor { next_at, updated_at, ..after.clone() } != *before
}

/// Takes a failure into the cursor; returns the pause.
fn fail(cursor: &mut Cursor, source: &SourceConfig, failure: &Failure, random: &mut impl Rng) -> Duration {
    cursor.failures = cursor.failures.saturating_add(1);
    let (status, retry_after) = match failure {
        Failure::Fetch(FetchError::Status { status, retry_after }) => (Some(*status), *retry_after),
        _ => (None, None),
    };
    let failures = u32::try_from(cursor.failures).unwrap_or(1);
    if cursor.moved_to.is_some() {
        let leads_nowhere =
            matches!(failure, Failure::Fetch(FetchError::Redirect(_) | FetchError::Blocked(_)) | Failure::Parse(_));
        if leads_nowhere || matches!(status, Some(404 | 410)) || failures >= MOVED_FAILURES {
            cursor.moved_to = None;
            forget_validators(cursor);
        }
    } else if status == Some(410) {
        return backoff::after_gone(source, random).max(retry_after.unwrap_or_default());
    }
    backoff::after_failure(source, failures, retry_after, random)
}

fn forget_validators(cursor: &mut Cursor) {
    (cursor.etag, cursor.last_modified, cursor.validated_by) = (None, None, None);
}

/// Keeps what the next request needs: validators with the address that gave them, and where permanent redirects led.
fn keep_validators(cursor: &mut Cursor, gathered: &mut Gathered) {
    let given = std::mem::take(&mut gathered.validators);
    if gathered.not_modified {
        // A 304 replaces those that it names (RFC 9111, 3.2).
        cursor.etag = given.etag.or(cursor.etag.take());
        cursor.last_modified = given.last_modified.or(cursor.last_modified.take());
    } else {
        let has_any = given.etag.is_some() || given.last_modified.is_some();
        cursor.validated_by = given.by.filter(|by| has_any && by.as_str() != cursor.url).map(String::from);
        (cursor.etag, cursor.last_modified) = (given.etag, given.last_modified);
    }
    if let Some(moved_to) = gathered.moved_to.take() {
        cursor.moved_to = (moved_to.as_str() != cursor.url).then(|| moved_to.into());
    }
}

async fn follow(
    source: &SourceConfig,
    before: &Cursor,
    walk: &mut Walk<'_>,
    fetcher: &Fetcher,
    clock: &dyn Clock,
    gathered: &mut Gathered,
) -> Result<(), Failure> {
    let handler = source.kind.source();
    let access = source.access();
    let mut known: HashSet<String> = before.recent_ids.iter().cloned().collect();
    let mut validators = (!walk.is_resumed()).then(|| Validators::of(before));
    for page in 0..source.max_pages {
        let Some(mut url) = walk.next() else { break };
        // Only the source's own address is remembered to have moved, not the searches below it. Local servers come and go.
        let can_move = page == 0 && url == source.url && !source.local && access.is_none();
        if can_move && let Some(moved_to) = before.moved_to.as_deref().and_then(|moved_to| moved_to.parse().ok()) {
            url = moved_to;
        }
        if let Some(access) = &access {
            url = access.address(url);
        }
        // A searched address names a time, so that its validators are of no use for the next one.
        let conditional = if matches!(source.overlap(), Overlap::Late(_)) { None } else { validators.take() };
        let Validators { etag, last_modified, by } = conditional.unwrap_or_default();
        let validated_by = by.or_else(|| Some(source.url.clone()).filter(|_| can_move));
        let (local, access) = (source.local, access.clone());
        let request = Request { url, accept: handler.accept(), etag, last_modified, validated_by, local, access };
        let is_nested = walk.is_at_nested();
        let answer = if source.is_stream() {
            let heard = listen::listen(source, walk.stream(), fetcher, clock).await.map_err(Failure::Fetch)?;
            walk.heard(heard.position);
            // Its position tells what was heard.
            gathered.kept = Some(STREAM_IDS);
            gathered.seen += heard.passed_over;
            Fetched::Body(Body::bare(101, source.url.clone(), heard.lines))
        } else {
            let answer = if source.render { fetcher.render(&request).await } else { fetcher.fetch(&request).await };
            match answer {
                // One of many documents that is gone shall not hold up the others.
                Err(error) if is_nested && error.is_lasting() => {
                    gathered.left_out = Some(error.to_string());
                    walk.skip_nested();
                    continue;
                }
                other => other.map_err(Failure::Fetch)?,
            }
        };
        let body = match answer {
            Fetched::Body(body) => body,
            Fetched::NotModified { fresh_for, etag, last_modified, moved_to } => {
                gathered.status = Some(304);
                gathered.not_modified = true;
                gathered.fresh_for = fresh_for;
                gathered.validators = Validators { etag, last_modified, by: None };
                gathered.moved_to = moved_to.filter(|_| can_move);
                return Ok(());
            }
        };
        gathered.bytes += body.bytes.len();
        let document = Document { bytes: &body.bytes, charset: body.charset.as_deref(), base: Some(&body.url) };
        let origin = Origin {
            source: &source.id,
            language: source.language.as_deref(),
            sample: source.sample,
            select: source.select.as_ref(),
            fetched_at: clock.now(),
        };
        let mut parsed = match handler.parse(document, origin) {
            Err(error) if is_nested => {
                gathered.left_out = Some(error.to_string());
                walk.skip_nested();
                continue;
            }
            other => other.map_err(Failure::Parse)?,
        };
        gathered.status = Some(body.status);
        if is_nested {
            // Which of the listed documents is read again is not known.
            gathered.kept = Some(2 * MAX_ENTRIES);
        }
        // The validators of a document in the middle are not those of the source's own address.
        if page == 0 && !walk.is_resumed() {
            gathered.validators =
                Validators { etag: body.etag, last_modified: body.last_modified, by: Some(body.url.clone()) };
            gathered.moved_to = body.moved_to.filter(|_| can_move);
            gathered.fresh_for = body.fresh_for;
            gathered.schedule = std::mem::take(&mut parsed.schedule);
        }
        // An entry may be there in name only.
        parsed.posts.retain(|post| post.title.is_some() || post.url.is_some() || !post.text.is_empty());
        if parsed.posts.len() > MAX_ENTRIES {
            parsed.posts.sort_by_key(|post| std::cmp::Reverse(post.published_at));
            parsed.posts.truncate(MAX_ENTRIES);
        }
        let dated = parsed.posts.iter().filter(|post| !post.published_at_estimated);
        gathered.published.extend(dated.map(|post| post.published_at));
        gathered.seen += parsed.posts.len();
        // Newest last, over all pages: each page is older than the one before.
        gathered.on_page.splice(..0, parsed.posts.iter().rev().map(|post| post.post_id.clone()));
        let revisions = revisions(&mut parsed, &known);
        for mark in &revisions.marks {
            gathered.on_page.extend([post_of(mark).to_owned(), mark.clone()]);
        }
        gathered.edited.extend(revisions.edited);
        gathered.deleted.extend(revisions.deleted);
        known.extend(revisions.marks);
        for mut post in walk.take(parsed, &known) {
            if known.insert(post.post_id.clone()) {
                let kept = plain_text::cut(&post.text, MAX_TEXT).len();
                post.text.truncate(kept);
                gathered.posts.push(post);
            }
        }
    }
    Ok(())
}

/// Keeps the ids by which posts seen before are told, those that were just listed last, so that an entry that stays in a feed for ever is never forgotten.
fn remember(cursor: &mut Cursor, gathered: &Gathered, overlap: Overlap, resumed: bool) {
    if gathered.on_page.is_empty() {
        return;
    }
    let usual = match overlap {
        Overlap::SinglePage => (2 * gathered.on_page.len()).clamp(200, 2 * MAX_ENTRIES),
        Overlap::Anchor => 200,
        Overlap::Late(_) => 1000,
    };
    let kept = gathered.kept.unwrap_or(usual);
    let listed: HashSet<&str> = gathered.on_page.iter().map(|entry| post_of(entry)).collect();
    let others = std::mem::take(&mut cursor.recent_ids).into_iter().filter(|entry| !listed.contains(post_of(entry)));
    let mut unique = HashSet::new();
    let page = gathered.on_page.iter().filter(|id| unique.insert(*id)).cloned();
    // What a resumed walk finds is older than what is known already.
    cursor.recent_ids = if resumed { page.chain(others).collect() } else { others.chain(page).collect() };
    let excess = cursor.recent_ids.len().saturating_sub(kept);
    cursor.recent_ids.drain(..excess);
}

/// Whether a cursor belongs to another address. Local servers change their port from start to start.
fn is_elsewhere(source: &SourceConfig, before: &str) -> bool {
    let what = |url: &url::Url| url[url::Position::BeforePath..].to_owned();
    if source.local
        && let Ok(before) = url::Url::parse(before)
    {
        return what(&before) != what(&source.url);
    }
    before != source.url.as_str()
}

fn explain(failure: &Failure) -> (&'static str, String) {
    match failure {
        Failure::Fetch(error @ FetchError::Blocked(_)) => ("blocked", error.to_string()),
        Failure::Fetch(FetchError::Wait { reason, .. }) => ("waited", reason.clone()),
        Failure::Fetch(error @ FetchError::Status { status: 410, .. }) => {
            ("failed", format!("{error}: gone for good, so that the source can be removed"))
        }
        Failure::Fetch(error) => ("failed", error.to_string()),
        Failure::Parse(error) => ("unparsable", plain_text::cut(&error.to_string(), 500).to_owned()),
    }
}

fn to_long(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
