//! PostgreSQL, Redis and the API against the oracle.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use tokio_postgres::{Client, NoTls};
use vigie_clock::Timestamp;
use vigie_schemas::redis::{OFFSETS, PREFIX};
use vigie_schemas::{Topic, WHOLE_MARKET};

use super::Violations;
use crate::check::oracle::{Counts, Expected, Key, WINDOW_MS};
use crate::error::ChaosError;
use crate::wire::{http, redis};

/// A connection of its own, which ends with the client.
pub(crate) async fn connect(url: &str) -> Result<Client, ChaosError> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// How many windows that begin before `before` are not final.
pub(crate) async fn open_windows(url: &str, before: i64) -> Result<i64, ChaosError> {
    let query =
        "SELECT count(*) FROM trend_windows WHERE NOT final AND extract(epoch FROM window_start) * 1000 < $1::bigint";
    Ok(connect(url).await?.query_one(query, &[&before]).await?.get(0))
}

const WINDOWS: &str = "SELECT asset, (extract(epoch FROM window_start) * 1000)::bigint, posts, unique_authors, negative, neutral, positive,
    mean_score, sources::text FROM trend_windows WHERE run_id = $1 AND extract(epoch FROM window_start) * 1000 >= $2::bigint \
    AND extract(epoch FROM window_start) * 1000 < $3::bigint";

/// Rows of windows, posts and their assets of a run, those in a range of event time; and all revisions, where they are known.
pub(crate) async fn postgres(
    url: &str,
    run: &str,
    range: Range<i64>,
    expected: &Expected,
    revisions: Option<u64>,
) -> Result<Violations, ChaosError> {
    let client = connect(url).await?;
    let mut violations = Violations::default();
    let mut windows: BTreeMap<Key, Counts> = BTreeMap::new();
    for row in client.query(WINDOWS, &[&run, &range.start, &range.end]).await? {
        let sources: String = row.get(8);
        let sources = serde_json::from_str(&sources).map_err(|error| ChaosError::Other(error.to_string()))?;
        let labels = [row.get(4), row.get(5), row.get(6)];
        let counts = Counts { posts: row.get(2), unique_authors: row.get(3), labels, mean_score: row.get(7), sources };
        windows.insert((row.get(0), row.get(1)), counts);
    }
    for key in expected.windows.keys().chain(windows.keys().filter(|key| !expected.windows.contains_key(*key))) {
        let (is, should) = (windows.get(key), expected.windows.get(key));
        if is != should {
            violations.add(format!("postgresql: window {key:?} of {run} is {is:?}, expected {should:?}"));
        }
    }
    let named: usize = expected.posts.values().map(|assets| assets.len() - 1).sum();
    let scored = i64::try_from(expected.scored).unwrap_or(i64::MAX);
    let counts = [
        ("posts", expected.posts.len() as i64),
        ("posts WHERE score IS NOT NULL", scored),
        ("post_assets", named as i64),
    ];
    for (rows, should) in counts {
        let and = if rows.contains("WHERE") { "AND" } else { "WHERE" };
        let query = format!(
            "SELECT count(*) FROM {rows} {and} run_id = $1 AND extract(epoch FROM published_at) * 1000 >= $2::bigint \
             AND extract(epoch FROM published_at) * 1000 < $3::bigint"
        );
        let is: i64 = client.query_one(&query, &[&run, &range.start, &range.end]).await?.get(0);
        if is != should {
            violations.add(format!("postgresql: {is} {rows} of {run}, expected {should}"));
        }
    }
    if let Some(should) = revisions {
        let is: i64 = client.query_one("SELECT count(*) FROM trend_window_revisions", &[]).await?.get(0);
        if is != should as i64 {
            violations.add(format!("postgresql: {is} revisions, expected {should}"));
        }
    }
    Ok(violations)
}

/// The windows of the whole market that the API serves, and how far Redis has announced.
pub(crate) async fn served(
    api: u16,
    (postgres_url, redis_url): (&str, &str),
    expected: &Expected,
    from: Timestamp,
) -> Result<Violations, ChaosError> {
    let mut violations = Violations::default();
    let market = expected.windows.iter().filter(|((asset, _), _)| asset == WHOLE_MARKET);
    let should: BTreeMap<i64, i64> = market.map(|((_, start), counts)| (*start, counts.posts)).collect();
    let end = should.keys().max().copied().unwrap_or_default() + WINDOW_MS;
    let path = format!("/v1/assets/*/series?metrics=posts&interval=5m&from={from}&to={}", Timestamp::from_millis(end));
    let answer: Value =
        http::get(api, &path).await.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let point = |point: &Value| {
        let start = Timestamp::parse_rfc3339(point["start"].as_str()?).ok()?;
        Some((start.as_millis(), point["posts"].as_i64().filter(|posts| *posts > 0)?))
    };
    let is: BTreeMap<i64, i64> = answer["points"].as_array().into_iter().flatten().filter_map(point).collect();
    if is != should {
        violations.add(format!("api: the market's windows are {is:?}, expected {should:?}"));
    }
    violations.extend(announced(postgres_url, redis_url).await?);
    Ok(violations)
}

/// Redis has announced everything that PostgreSQL holds.
pub(crate) async fn announced(postgres_url: &str, redis_url: &str) -> Result<Violations, ChaosError> {
    let mut violations = Violations::default();
    let client = connect(postgres_url).await?;
    for topic in [Topic::InsightsSentiment, Topic::InsightsTrends, Topic::InsightsAlerts] {
        let rows = client
            .query(
                "SELECT partition, next_offset FROM sink_offsets WHERE sink = 'sink-postgres' AND topic = $1",
                &[&topic.name()],
            )
            .await?;
        for row in rows {
            let (partition, stored): (i32, i64) = (row.get(0), row.get(1));
            let field = format!("{}/{partition}", topic.name());
            let announced = redis::ask_text(redis_url, &format!("HGET {PREFIX}{OFFSETS} {field}")).await?;
            if announced.as_deref() != Some(stored.to_string().as_str()) {
                violations.add(format!("redis: {field} is announced up to {announced:?}, and stored up to {stored}"));
            }
        }
    }
    Ok(violations)
}
