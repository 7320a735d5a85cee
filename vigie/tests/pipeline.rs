//! The whole pipeline as a user runs it: `vigie up` as a process over its own servers, looked at from outside.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs is missing")]

#[path = "pipeline/authors.rs"]
mod authors;
#[path = "pipeline/redrive.rs"]
mod redrive;
#[path = "pipeline/replay.rs"]
mod replay;
#[path = "pipeline/up.rs"]
mod up;
#[path = "pipeline/verify.rs"]
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use up::Up;

const WINDOW_MS: i64 = 300_000;

/// Reads a topic to its end with Confluent's Python client: what any subscriber sees.
fn subscribe(up: &Up, topic: &str) -> Vec<Value> {
    let output = up::python(&["tests/python/subscriber.py", topic, "--timeout", "60"])
        .args(["--brokers", up.endpoint("kafka_brokers"), "--registry", up.endpoint("schema_registry_url")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The record itself, whatever the subscriber puts around it.
fn value(record: &Value) -> &Value {
    record.get("value").unwrap_or(record)
}

fn millis(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Posts by window, counted from the raw posts themselves.
fn count_raw(posts: &[Value]) -> BTreeMap<i64, i64> {
    let mut windows = BTreeMap::new();
    for post in posts {
        *windows.entry(millis(&value(post)["published_at"]).div_euclid(WINDOW_MS) * WINDOW_MS).or_insert(0) += 1;
    }
    windows
}

/// Posts by window of the whole market, from the last revisions on the insight topic.
fn count_insights(insights: &[Value]) -> BTreeMap<i64, i64> {
    let mut windows: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for insight in insights.iter().map(value).filter(|i| i["asset"] == "*") {
        let (revision, posts) = (insight["revision"].as_i64().unwrap(), insight["posts"].as_i64().unwrap());
        let window = windows.entry(millis(&insight["window_start"])).or_default();
        *window = (*window).max((revision, posts));
    }
    windows.into_iter().map(|(start, (_, posts))| (start, posts)).collect()
}

/// Posts by window of one asset, from the API.
fn count_api(series: &Value) -> BTreeMap<i64, i64> {
    let points = series["points"].as_array().unwrap_or_else(|| panic!("no points in {series}"));
    points.iter().filter_map(|p| Some((millis(&p["start"]), p["posts"].as_i64()?))).collect()
}

#[test]
fn sample_posts_become_insights_and_a_restart_loses_or_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), &up::SAMPLE);

    // Insights arrive in the API, with the posts that explain them.
    let assets = up.wait_for("/v1/assets", |v| v.to_string().contains("\"BTC\""));
    assert!(assets.to_string().contains("\"sample\":true"), "sample data must be marked: {assets}");
    up.wait_for("/v1/trends", |v| v.to_string().contains("post_id"));
    let market = up.wait_for("/v1/market-trends", |v| v.to_string().contains("\"BTC\""));
    assert!(["bullish", "bearish", "neutral", "unknown"].iter().any(|m| market.to_string().contains(m)), "{market}");
    assert!(up.text("/").contains("<html"), "the dashboard is served");
    assert!(up.text("/metrics").contains("vigie_sentiment_"), "metrics are served");
    assert!(up.first_event("/v1/stream").contains("data:"), "the live stream has events");

    // Stop: drained within 10 s, nothing left behind.
    let before = up.stop(Duration::from_secs(30));
    assert!(before < Duration::from_secs(20), "services drain in 10 s and servers stop after them: {before:?}");
    assert_eq!(up::processes_naming(dir.path()), Vec::<String>::new());

    // Start again in the same folder, let it catch up with posts that appeared meanwhile, and count everything twice.
    up = Up::start(dir.path(), &up::SAMPLE);
    up.wait_for("/readyz", |_| true);
    let metrics = up.text("/metrics");
    let mut kept = metrics.lines().filter(|line| line.starts_with("vigie_streams_disk_stores_kept_total"));
    assert!(kept.any(|line| !line.ends_with(" 0")), "state comes from the stores of the clean stop");
    let raw = up.settled(
        |up| subscribe(up, "posts.raw.v1"),
        |raw, up| {
            let counted: i64 = count_insights(&subscribe(up, "insights.trends.v1")).values().sum();
            counted >= i64::try_from(raw.len()).unwrap()
        },
    );
    let ids: BTreeSet<String> = raw.iter().map(|p| value(p)["post_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), raw.len(), "a post was published twice");
    assert!(raw.len() > 100, "only {} posts", raw.len());

    // Windows that are older than what still trickles in: raw posts, insight topic and API agree exactly.
    let newest = count_raw(&raw).into_keys().max().unwrap();
    let old = |windows: BTreeMap<i64, i64>| -> BTreeMap<i64, i64> {
        windows.into_iter().filter(|(start, _)| *start < newest - 2 * WINDOW_MS).collect()
    };
    let expected = old(count_raw(&raw));
    assert!(!expected.is_empty());
    assert_eq!(old(count_insights(&subscribe(&up, "insights.trends.v1"))), expected);
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap();
    let path = format!(
        "/v1/assets/*/series?metrics=posts&interval=5m&from={}&to={}",
        time(*expected.first_key_value().unwrap().0),
        time(newest)
    );
    let series = up.wait_for(&path, |v| {
        let counts: BTreeMap<i64, i64> = old(count_api(v)).into_iter().filter(|(_, posts)| *posts > 0).collect();
        counts == expected
    });
    assert!(!series.is_null());
    up.stop(Duration::from_secs(30));
}

/// The archives, or `None` with a printed reason.
fn archives() -> Option<PathBuf> {
    let data = std::env::var_os("VIGIE_TEST_DATA").map_or_else(|| up::root().join("../shared/data"), PathBuf::from);
    let posts = data.join("recorded/posts");
    if posts.is_dir() {
        return Some(posts);
    }
    eprintln!("skipped: no Reddit archives in {} (set VIGIE_TEST_DATA)", posts.display());
    None
}

#[test]
fn archived_posts_agree_with_an_independent_count() {
    let Some(archives) = archives() else { return };
    // One archive of the seven keeps the run short; CONTRIBUTING.md says how to run them all.
    let name = "reddit_CryptoMarkets_2022-05_part1.tar.gz";
    let dir = tempfile::tempdir().unwrap();
    let chosen = dir.path().join("archive");
    std::fs::create_dir(&chosen).unwrap();
    std::fs::copy(archives.join(name), chosen.join(name)).unwrap();
    let counts = dir.path().join("counts.json");
    let counted = up::python(&["tests/python/archive_count.py"]).arg(&chosen).output().unwrap();
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    std::fs::write(&counts, &counted.stdout).unwrap();
    let expected: Value = serde_json::from_slice(&counted.stdout).unwrap();
    let total = window_total(&expected["assets"]["*"]);
    assert!(total > 9_000, "{total} posts in the archive");

    let mut up = Up::start(dir.path(), &["--sample", "--archive", path(&chosen), "--archive-rate", "2000"]);
    up.patience = Duration::from_secs(600);
    // Each asset's windows are emitted by a task of its own, at its own time.
    for (asset, counts) in expected["assets"].as_object().unwrap() {
        let total = window_total(counts);
        let series = format!("/v1/assets/{asset}/series?metrics=posts&interval=1d");
        up.wait_for(&format!("{series}&from=2010-01-01T00:00:00Z&to=2023-01-01T00:00:00Z"), |v| {
            count_api(v).values().sum::<i64>() >= total
        });
    }
    let compared = up::python(&["tests/python/archive_compare.py", path(&counts)])
        .args(["--postgres-url", up.endpoint("postgres_url"), "--api", up.url()])
        .args(["--brokers", up.endpoint("kafka_brokers"), "--registry", up.endpoint("schema_registry_url")])
        .output()
        .unwrap();
    let report = format!("{}{}", String::from_utf8_lossy(&compared.stdout), String::from_utf8_lossy(&compared.stderr));
    assert!(compared.status.success(), "{report}");
    up.stop(Duration::from_secs(30));
}

fn window_total(counts: &Value) -> i64 {
    let windows = counts["windows"].as_object().unwrap();
    windows.values().map(|w| w["posts"].as_i64().unwrap()).sum()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
