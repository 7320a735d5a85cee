//! One poll of one source: from its cursor to new posts, a new cursor and an entry of the fetch ledger.
//!
//! ```text
//!   cursor ─▶ walk ─▶ page ─▶ page ─▶ … (reading) ─▶ cursor: position, validators, ids, rhythm ─▶ when to ask next ─▶ Polled
//! ```

pub mod backoff;
mod cursor;
pub(crate) mod listen;
mod namesakes;
pub(crate) mod page;
mod reading;
pub(crate) mod revise;
pub mod rhythm;
pub mod walk;

use std::time::Duration;

use rand::Rng;
use vigie_clock::{Clock, Timestamp};
use vigie_schemas::{Cursor, Decision, FetchRecord, RawPost};

use crate::content::plain_text;
use crate::fetcher::{FetchError, Fetcher};
use crate::sources::SourceConfig;
pub use cursor::fresh_cursor;
use page::Failure;
use reading::{Reader, Reading};
use rhythm::Rhythm;
use walk::{Position, Walk};

/// Failures in a row after which a source is looked for at its first address again.
const MOVED_FAILURES: u32 = 3;

/// A wait as long as this is kept in the cursor, so that a restart does not cut it short.
const WORTH_KEEPING: Duration = Duration::from_secs(60);

/// What a poll brought.
#[derive(Clone, Debug)]
pub struct Polled {
    /// New posts, oldest first.
    pub posts: Vec<RawPost>,
    /// Posts that were published before, with another text now.
    pub edited: Vec<RawPost>,
    /// Ids of posts that were published before and are gone.
    pub deleted: Vec<String>,
    /// Where the source stands once they are published.
    pub cursor: Cursor,
    /// Posts that answers had and that are not taken.
    pub left_out: usize,
    /// What happened.
    pub record: FetchRecord,
    /// Whether the cursor says more than when to ask next.
    pub changed: bool,
}

/// Reads what is new. Never fails: what goes wrong is in the record and in the cursor's pause.
pub async fn poll(source: &SourceConfig, before: &Cursor, fetcher: &Fetcher, clock: &dyn Clock) -> Polled {
    let (at, started) = (clock.now(), clock.monotonic());
    let mut cursor = cursor::opened(source, before);
    let earliest = source.kind.source().reach().map(|reach| at.saturating_sub(reach));
    let position = Position::read(cursor.position.as_deref());
    let walk = Walk::begin(source, position).asking_from(earliest);
    let (mut reading, failure) = Reader::new(source, &cursor, walk, fetcher, clock).read().await;

    let now = clock.now();
    let rhythm = cursor::take_in(&mut cursor, source, &mut reading, now);
    let (decision, reason) = settle(source, &mut cursor, &reading, failure.as_ref(), &rhythm, now);
    let is_long_wait =
        cursor.next_at.since(now) >= WORTH_KEEPING && failure.as_ref().is_some_and(|failure| failure.wait().is_some());
    let changed = is_long_wait || cursor::differs(before, &cursor);
    let status = failure.as_ref().and_then(Failure::status).or(reading.status);
    let mut found = reading.found;
    found.posts.reverse();
    found.posts.sort_by_key(|post| post.published_at);
    let record = FetchRecord {
        decision: decision.to_string(),
        status: status.map(i32::from),
        bytes: to_long(reading.bytes),
        posts_seen: to_long(found.seen),
        posts_new: to_long(found.posts.len()),
        duration_ms: i64::try_from(clock.monotonic().saturating_sub(started).as_millis()).unwrap_or(i64::MAX),
        next_at: cursor.next_at,
        reason: reason.map(|reason| page::hide_key(source, reason)),
        ..page::record(source, at)
    };
    let (posts, edited, deleted, left_out) = (found.posts, found.edited, found.deleted, found.left_out);
    Polled { posts, edited, deleted, left_out, cursor, record, changed }
}

/// Decides when the source is asked next; returns the decision and the reason for the ledger.
fn settle(
    source: &SourceConfig,
    cursor: &mut Cursor,
    reading: &Reading,
    failure: Option<&Failure>,
    rhythm: &Rhythm,
    now: Timestamp,
) -> (Decision, Option<String>) {
    let mut random = backoff::random();
    let wait = failure.and_then(Failure::wait).map(|wait| backoff::after_wait(wait, &mut random));
    if let Some(failure) = failure.filter(|_| !reading.has_pages()) {
        let moved_to = cursor.moved_to.clone();
        let pause = wait.unwrap_or_else(|| fail(cursor, source, failure, &mut random));
        cursor.next_at = now.saturating_add(pause);
        let mut reason = explain(failure);
        if let Some(lost) = moved_to.filter(|_| cursor.moved_to.is_none()) {
            reason = format!("{reason} at {lost}, where it had moved; its first address is next");
        }
        return (failure.decision(), Some(reason));
    }
    // Pages that came before a failure count, and the walk goes on from there.
    cursor.failures = 0;
    let pause = if reading.position.is_pending() && failure.is_none() {
        Duration::ZERO
    } else {
        let wanted = rhythm.pause(source.every, reading.answer.fresh_for, now);
        wait.unwrap_or_else(|| backoff::after_success(source, wanted, &mut random))
    };
    let next = now.saturating_add(pause);
    cursor.next_at = if source.local || pause.is_zero() { next } else { rhythm.allowed(next) };
    let decision = if reading.answer.not_modified { Decision::NotModified } else { Decision::Fetched };
    (
        decision,
        failure.map(explain).or_else(|| reading.left_out.clone()).or_else(|| page::left_out(reading.found.left_out)),
    )
}

/// Takes a failure into the cursor; returns the pause.
fn fail(cursor: &mut Cursor, source: &SourceConfig, failure: &Failure, random: &mut impl Rng) -> Duration {
    cursor.failures = cursor.failures.saturating_add(1);
    let (status, retry_after) = (failure.status(), failure.retry_after());
    let failures = u32::try_from(cursor.failures).unwrap_or(1);
    if cursor.moved_to.is_some() {
        let leads_nowhere =
            matches!(failure, Failure::Fetch(FetchError::Redirect(_) | FetchError::Blocked(_)) | Failure::Parse(_));
        if leads_nowhere || matches!(status, Some(404 | 410)) || failures >= MOVED_FAILURES {
            cursor.moved_to = None;
            cursor::forget_validators(cursor);
        }
    } else if status == Some(410) {
        return backoff::after_gone(source, random).max(retry_after.unwrap_or_default());
    }
    backoff::after_failure(source, failures, retry_after, random)
}

/// The reason in the ledger.
fn explain(failure: &Failure) -> String {
    match failure {
        Failure::Fetch(FetchError::Wait { reason, .. }) => reason.clone(),
        Failure::Fetch(error @ FetchError::Status { status: 410, .. }) => {
            format!("{error}: gone for good, so that the source can be removed")
        }
        Failure::Fetch(error) => error.to_string(),
        Failure::Parse(error) => plain_text::cut(&error.to_string(), 500).to_owned(),
    }
}

fn to_long(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
