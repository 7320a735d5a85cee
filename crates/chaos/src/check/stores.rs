//! PostgreSQL, Redis and the API against the oracle.

use std::collections::BTreeMap;

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
    mean_score, sources::text FROM trend_windows WHERE run_id = 'live'";

/// Rows of windows, posts, their assets, and revisions.
pub(crate) async fn postgres(url: &str, expected: &Expected, revisions: u64) -> Result<Violations, ChaosError> {
    let client = connect(url).await?;
    let mut violations = Violations::default();
    let mut windows: BTreeMap<Key, Counts> = BTreeMap::new();
    for row in client.query(WINDOWS, &[]).await? {
        let sources: String = row.get(8);
        let sources = serde_json::from_str(&sources).map_err(|error| ChaosError::Other(error.to_string()))?;
        let labels = [row.get(4), row.get(5), row.get(6)];
        let counts = Counts { posts: row.get(2), unique_authors: row.get(3), labels, mean_score: row.get(7), sources };
        windows.insert((row.get(0), row.get(1)), counts);
    }
    for key in expected.windows.keys().chain(windows.keys().filter(|key| !expected.windows.contains_key(*key))) {
        let (is, should) = (windows.get(key), expected.windows.get(key));
        if is != should {
            violations.add(format!("postgresql: window {key:?} is {is:?}, expected {should:?}"));
        }
    }
    let named: usize = expected.posts.values().map(|assets| assets.len() - 1).sum();
    let scored = i64::try_from(expected.scored).unwrap_or(i64::MAX);
    let counts = [
        ("SELECT count(*) FROM posts", expected.posts.len() as i64),
        ("SELECT count(*) FROM posts WHERE score IS NOT NULL", scored),
        ("SELECT count(*) FROM post_assets", named as i64),
        ("SELECT count(*) FROM trend_window_revisions", revisions as i64),
    ];
    for (query, should) in counts {
        let is: i64 = client.query_one(query, &[]).await?.get(0);
        if is != should {
            violations.add(format!("postgresql: {query} is {is}, expected {should}"));
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
    // Redis has announced everything that PostgreSQL holds.
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
