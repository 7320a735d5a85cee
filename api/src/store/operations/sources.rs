use serde::Serialize;
use utoipa::ToSchema;
use vigie_schemas::Decision;

use crate::store::row::columns;
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// How long after its due time a source may be fetched before it counts as forgotten.
const OVERDUE_SECONDS: i64 = 900;
/// How long after its due time a source that nobody fetches has left the list, if others were fetched since: it was removed.
const GONE_SECONDS: i64 = 3600;
/// Failures in a row after which a source counts as failing.
const FAILING_AFTER: i64 = 3;

/// How well a source can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceHealth {
    /// The last fetch worked.
    Ok,
    /// The last fetch failed, those before worked.
    Degraded,
    /// Three fetches in a row failed, or none ever worked.
    Failing,
    /// Its robots.txt or our settings forbid to fetch it.
    Blocked,
    /// Nobody fetches it any more: it is more than 15 minutes overdue.
    Stale,
}

/// A source of posts, and how its fetches went.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Source {
    /// Its id.
    pub source: String,
    /// rss, hackernews, reddit, ...
    pub kind: String,
    /// What was fetched last.
    pub url: String,
    /// How well it can be read.
    pub health: SourceHealth,
    /// When it was last decided about.
    pub at: UtcTime,
    /// fetched, not_modified, waited, blocked, failed or unparsable.
    pub decision: String,
    /// HTTP status of the last fetch.
    pub status: Option<i32>,
    /// Why it failed, was blocked or waits.
    pub reason: Option<String>,
    /// Decompressed bytes of the last fetch.
    pub bytes: i64,
    /// Milliseconds that the last fetch took.
    pub duration_ms: i64,
    /// Posts in the last answer.
    pub posts_seen: i64,
    /// Of them new.
    pub posts_new: i64,
    /// New posts in the last 24 hours.
    pub posts_new_24h: i64,
    /// When it was last read well.
    pub last_success_at: Option<UtcTime>,
    /// When it last had a new post.
    pub last_news_at: Option<UtcTime>,
    /// Failures since it was last read well.
    pub failures_since_success: i64,
    /// When it is due again.
    pub next_at: UtcTime,
    /// Not from the public web.
    pub sample: bool,
}

impl Snapshot {
    /// All sources by id, judged at `now`.
    pub(crate) async fn sources(&self, now: UtcTime) -> Result<Vec<Source>, StoreError> {
        let rows = self.rows(include_str!("sources.sql"), &[&now]).await?;
        let mut sources = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut source = columns!(row => Source {
                source, kind, url, at, decision, status, reason, bytes, duration_ms, posts_seen, posts_new,
                posts_new_24h, last_success_at, last_news_at, failures_since_success, next_at, sample;
                health: SourceHealth::Ok
            });
            source.health = health(&source, now);
            sources.push(source);
        }
        Ok(present(sources))
    }
}

/// Without sources that were removed. Where all are silent the producers are away, and nothing is known to have been removed.
fn present(mut sources: Vec<Source>) -> Vec<Source> {
    let newest = sources.iter().map(|source| source.at).max();
    sources.retain(|source| newest.is_none_or(|newest| source.next_at.plus(GONE_SECONDS) >= newest));
    sources
}

fn health(source: &Source, now: UtcTime) -> SourceHealth {
    if source.next_at.plus(OVERDUE_SECONDS) < now {
        return SourceHealth::Stale;
    }
    match (source.decision.parse().ok(), source.failures_since_success) {
        (Some(Decision::Blocked), _) => SourceHealth::Blocked,
        (_, 0) => SourceHealth::Ok,
        _ if source.last_success_at.is_none() => SourceHealth::Failing,
        (_, failures) if failures >= FAILING_AFTER => SourceHealth::Failing,
        _ => SourceHealth::Degraded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(id: &str, at: i64, next_at: i64) -> Source {
        let (at, next_at) = (UtcTime::from_seconds(at), UtcTime::from_seconds(next_at));
        Source {
            source: id.to_owned(),
            kind: "rss".to_owned(),
            url: String::new(),
            health: SourceHealth::Ok,
            at,
            decision: "fetched".to_owned(),
            status: None,
            reason: None,
            bytes: 0,
            duration_ms: 0,
            posts_seen: 0,
            posts_new: 0,
            posts_new_24h: 0,
            last_success_at: None,
            last_news_at: None,
            failures_since_success: 0,
            next_at,
            sample: false,
        }
    }

    #[test]
    fn a_removed_source_leaves_and_none_leaves_while_the_producers_are_away() {
        let ids = |sources: Vec<Source>| present(sources).into_iter().map(|s| s.source).collect::<Vec<_>>();
        let (old, young) = (source("old", 0, 60), source("young", 3600, 3660));
        assert_eq!(ids(vec![old.clone(), young.clone()]), ["old", "young"], "it may still come");
        assert_eq!(ids(vec![old.clone(), young, source("new", 3661, 9000)]), ["young", "new"]);
        assert_eq!(ids(vec![old]), ["old"]);
    }
}
