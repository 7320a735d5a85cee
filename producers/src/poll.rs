//! One poll of one source: from its cursor to new posts, a new cursor and an entry of the fetch ledger.

use std::collections::HashSet;
use std::time::Duration;

use vigie_clock::{Clock, Timestamp};
use vigie_schemas::{Cursor, FetchRecord, RawPost};

use crate::backoff;
use crate::draft::MAX_TEXT;
use crate::fetcher::{FetchError, Fetched, Fetcher, Request};
use crate::plain_text;
use crate::revise::{post_of, revisions};
use crate::source::{Document, Origin, Overlap, ParseError, SourceConfig};
use crate::walk::{Position, Walk};

/// Entries of one feed that are looked at.
const MAX_ENTRIES: usize = 5000;

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
    etag: Option<String>,
    last_modified: Option<String>,
    not_modified: bool,
}

/// Reads what is new. Never fails: what goes wrong is in the record and in the cursor's pause.
pub async fn poll(source: &SourceConfig, before: &Cursor, fetcher: &Fetcher, clock: &dyn Clock) -> Polled {
    let at = clock.now();
    let started = clock.monotonic();
    // A source that moved to another address starts anew, but does not tell its posts again.
    let moved = is_elsewhere(source, &before.url);
    let position = if moved { Position::default() } else { Position::read(before.position.as_deref()) };
    let mut walk = Walk::begin(source, source.kind.source(), position);
    let resumed = walk.is_resumed();
    let validators = (!moved && !resumed).then(|| (before.etag.clone(), before.last_modified.clone()));
    let mut gathered = Gathered::default();
    let failure = follow(source, before, &mut walk, validators, fetcher, clock, &mut gathered).await.err();

    let pages_read = gathered.status.is_some() && !gathered.not_modified;
    let position = walk.end();
    let mut cursor = before.clone();
    cursor.url = source.url.to_string();
    cursor.updated_at = clock.now().max(before.updated_at.saturating_add(Duration::from_millis(1)));
    let mut changed = moved || pages_read;
    if pages_read {
        cursor.position = position.write();
        cursor.etag = gathered.etag.take();
        cursor.last_modified = gathered.last_modified.take();
    }
    gathered.posts.reverse();
    gathered.posts.sort_by_key(|post| post.published_at);
    remember(&mut cursor, &gathered, source.kind.source().overlap(), resumed);

    let now = clock.now();
    let mut random = backoff::random();
    let (decision, reason) = match &failure {
        // Pages that came before the failure count, and the walk goes on from there.
        Some(failure) if !pages_read => {
            cursor.failures = before.failures.saturating_add(1);
            changed = true;
            let retry_after = match failure {
                Failure::Fetch(FetchError::Status { retry_after, .. }) => *retry_after,
                _ => None,
            };
            let failures = u32::try_from(cursor.failures).unwrap_or(1);
            cursor.next_at = now.saturating_add(backoff::after_failure(source, failures, retry_after, &mut random));
            explain(failure)
        }
        other => {
            changed |= before.failures != 0;
            cursor.failures = 0;
            let pause = if position.is_pending() && other.is_none() {
                Duration::ZERO
            } else {
                backoff::after_success(source, gathered.fresh_for, &mut random)
            };
            cursor.next_at = now.saturating_add(pause);
            let decision = if gathered.not_modified { "not_modified" } else { "fetched" };
            (decision, other.as_ref().and_then(|failure| explain(failure).1))
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
        reason,
        sample: source.sample,
    };
    // A post may stand in the same answer twice, and pages may overlap.
    changed |= !gathered.posts.is_empty();
    let Gathered { posts, edited, deleted, .. } = gathered;
    Polled { posts, edited, deleted, cursor, record, changed }
}

async fn follow(
    source: &SourceConfig,
    before: &Cursor,
    walk: &mut Walk<'_>,
    mut validators: Option<(Option<String>, Option<String>)>,
    fetcher: &Fetcher,
    clock: &dyn Clock,
    gathered: &mut Gathered,
) -> Result<(), Failure> {
    let handler = source.kind.source();
    let mut known: HashSet<String> = before.recent_ids.iter().cloned().collect();
    for page in 0..source.max_pages {
        let Some(url) = walk.next() else { break };
        // A searched address names a time, so that its validators are of no use for the next one.
        let conditional = if matches!(handler.overlap(), Overlap::Late(_)) { None } else { validators.take() };
        let (etag, last_modified) = conditional.unwrap_or_default();
        let request = Request { url, accept: handler.accept(), etag, last_modified, local: source.local };
        let body = match fetcher.fetch(&request).await.map_err(Failure::Fetch)? {
            Fetched::Body(body) => body,
            Fetched::NotModified { fresh_for } => {
                gathered.status = Some(304);
                gathered.not_modified = true;
                gathered.fresh_for = fresh_for;
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
        let mut parsed = handler.parse(document, origin).map_err(Failure::Parse)?;
        gathered.status = Some(body.status);
        if page == 0 {
            gathered.etag = body.etag;
            gathered.last_modified = body.last_modified;
            gathered.fresh_for = body.fresh_for;
        }
        // An entry may be there in name only.
        parsed.posts.retain(|post| post.title.is_some() || post.url.is_some() || !post.text.is_empty());
        parsed.posts.truncate(MAX_ENTRIES);
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
    let kept = match overlap {
        Overlap::SinglePage => (2 * gathered.on_page.len()).clamp(200, 2 * MAX_ENTRIES),
        Overlap::Anchor => 200,
        Overlap::Late(_) => 1000,
    };
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

fn explain(failure: &Failure) -> (&'static str, Option<String>) {
    match failure {
        Failure::Fetch(error @ FetchError::Blocked(_)) => ("blocked", Some(error.to_string())),
        Failure::Fetch(error) => ("failed", Some(error.to_string())),
        Failure::Parse(error) => ("unparsable", Some(plain_text::cut(&error.to_string(), 500).to_owned())),
    }
}

fn to_long(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
