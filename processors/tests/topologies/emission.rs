//! When windows are emitted, apart from when work is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::ManualClock;
use vigie_processors::trends::history::TRUSTED_AFTER;
use vigie_processors::trends::{TrendsMetrics, TrendsSettings, topology};
use vigie_schemas::{Alert, Mention, TrendInsight};
use vigie_streams::testing::TopologyTestDriver;

use crate::fixtures::{LocalCodec, at, decode, encode, mention};

const MENTIONS: &str = "posts.mentions.v1";
const INSIGHTS: &str = "insights.trends.v1";
const ALERTS: &str = "insights.alerts.v1";
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
/// Start of a window.
const T0: i64 = 1_000_000 * 5 * MINUTE;
const INTERVAL: Duration = Duration::from_secs(2);
const COMMIT: Duration = Duration::from_millis(500);

fn driver(emit_interval: Duration) -> TopologyTestDriver {
    driver_at(T0 + 60 * MINUTE, emit_interval)
}

fn driver_at(now: i64, emit_interval: Duration) -> TopologyTestDriver {
    let settings = TrendsSettings { emit_interval, ..crate::trends::settings() };
    let topology = topology(settings, LocalCodec, TrendsMetrics::new(&prometheus::Registry::new())).unwrap();
    TopologyTestDriver::new(topology, ManualClock::new(at(now)))
}

fn pipe(driver: &mut TopologyTestDriver, mentions: impl IntoIterator<Item = Mention>) {
    let records = mentions.into_iter().map(|m| (Some(Bytes::from(m.asset.clone())), encode(&m), at(T0)));
    driver.pipe_batch(MENTIONS, 0, records).unwrap();
}

/// Revision and posts of what a commit emits.
fn emitted(driver: &mut TopologyTestDriver) -> Vec<(i32, i64)> {
    driver.commit().unwrap();
    decode::<TrendInsight>(&driver.read(INSIGHTS)).iter().map(|insight| (insight.revision, insight.posts)).collect()
}

#[test]
fn a_window_that_goes_on_changing_is_emitted_once_in_an_interval() {
    let mut driver = driver(INTERVAL);
    pipe(&mut driver, [mention("BTC", 0, 0, at(T0))]);
    assert_eq!(emitted(&mut driver), [(1, 1)], "nothing was emitted for long, so nothing waits");
    let mut all = Vec::new();
    for post in 1..9 {
        driver.advance(COMMIT).unwrap();
        pipe(&mut driver, [mention("BTC", post, 0, at(T0))]);
        all.push(emitted(&mut driver));
    }
    let none = Vec::new;
    assert_eq!(all, [none(), none(), none(), vec![(2, 4)], none(), none(), none(), vec![(3, 8)]]);
    driver.advance(INTERVAL).unwrap();
    assert_eq!(emitted(&mut driver), [(4, 9)]);
    driver.advance(INTERVAL).unwrap();
    assert!(emitted(&mut driver).is_empty(), "no number changed");
}

#[test]
fn what_was_not_emitted_yet_survives_a_crash_and_an_abort() {
    let mut driver = driver(INTERVAL);
    pipe(&mut driver, [mention("BTC", 0, 0, at(T0)), mention("ETH", 1, 0, at(T0))]);
    assert_eq!(emitted(&mut driver), [(1, 1), (1, 1)]);
    pipe(&mut driver, [mention("BTC", 2, 0, at(T0))]);
    assert!(emitted(&mut driver).is_empty());
    driver.restart().unwrap();
    assert_eq!(emitted(&mut driver), [(2, 2)], "the window of BTC, and not that of ETH");
    pipe(&mut driver, [mention("BTC", 3, 0, at(T0))]);
    assert!(emitted(&mut driver).is_empty());
    driver.abort().unwrap();
    assert_eq!(emitted(&mut driver), [(3, 3)]);
    driver.restart().unwrap();
    assert!(emitted(&mut driver).is_empty(), "all is emitted");
}

#[test]
fn a_change_that_is_taken_back_is_not_emitted() {
    let mut driver = driver(INTERVAL);
    pipe(&mut driver, [mention("BTC", 0, 0, at(T0))]);
    emitted(&mut driver);
    let other = mention("BTC", 1, 0, at(T0));
    pipe(&mut driver, [other.clone()]);
    assert!(emitted(&mut driver).is_empty());
    let deleted = Mention { revision: 2, retracted: true, label: None, score: None, fingerprint: None, ..other };
    pipe(&mut driver, [deleted]);
    driver.advance(INTERVAL).unwrap();
    assert!(emitted(&mut driver).is_empty());
    let edited = Mention { revision: 2, ..mention("BTC", 0, 0, at(T0)) };
    pipe(&mut driver, [edited]);
    driver.advance(INTERVAL).unwrap();
    assert!(emitted(&mut driver).is_empty(), "an edit that changes no number");
}

#[test]
fn the_final_revision_waits_for_no_interval() {
    let mut driver = driver_at(T0 + 366 * MINUTE, INTERVAL);
    pipe(&mut driver, [mention("BTC", 0, 0, at(T0))]);
    emitted(&mut driver);
    pipe(&mut driver, [mention("BTC", 1, 0, at(T0)), mention("ETH", 2, 0, at(T0 + 366 * MINUTE))]);
    driver.commit().unwrap();
    let window = decode::<TrendInsight>(&driver.read(INSIGHTS)).remove(0);
    assert_eq!((window.revision, window.posts, window.r#final), (2, 2, true));
}

/// Posts of the windows from `from` to `to`: some of them, and in each of those `posts`.
fn talk(driver: &mut TopologyTestDriver, windows: std::ops::Range<i64>, posts: usize) {
    for window in windows {
        pipe(driver, (0..posts).map(|i| mention("BTC", i, 0, at(T0 + window * 5 * MINUTE + i as i64))));
        driver.commit().unwrap();
    }
}

#[test]
fn a_window_that_settles_before_it_was_emitted_raises_its_alert_all_the_same() {
    let mut driver = driver_at(T0 + 24 * 60 * MINUTE, INTERVAL);
    talk(&mut driver, 0..100, 4);
    driver.advance(TRUSTED_AFTER).unwrap();
    talk(&mut driver, 100..101, 4);
    driver.read(ALERTS);
    // After an outage: in less than an interval the burst comes, and what was published half an hour after it.
    talk(&mut driver, 101..102, 300);
    assert!(driver.read(ALERTS).is_empty(), "not emitted yet");
    talk(&mut driver, 108..109, 4);
    let alerts: Vec<Alert> = decode(&driver.read(ALERTS));
    let raised: Vec<_> = alerts.iter().map(|alert| (alert.kind.as_str(), alert.value)).collect();
    assert_eq!(raised, [("attention_spike", 300.0)]);
}

/// Ten minutes of posts, three a second, and a commit each 500 ms: the last revision of each window, revisions, and bytes of the two topics that
/// are written.
fn run(emit_interval: Duration) -> (BTreeMap<(String, i64), i64>, usize, usize, usize) {
    let mut driver = driver_at(T0, emit_interval);
    let (mut last, mut revisions, mut bytes) = (BTreeMap::new(), 0, 0);
    for half_second in 0..1200 {
        driver.advance(COMMIT).unwrap();
        let now = driver.now();
        // `*`, an asset of every third post, and two of the long tail.
        for post in (half_second * 3 / 2)..((half_second + 1) * 3 / 2) {
            let tail = format!("A{}", post % 40);
            let assets: &[&str] = if post % 3 == 0 { &["*", "BTC"] } else { &["*", &tail] };
            pipe(&mut driver, assets.iter().map(|asset| mention(asset, post, 0, now)));
        }
        driver.commit().unwrap();
        let written = driver.read(INSIGHTS);
        bytes += written.iter().filter_map(|record| record.value.as_ref()).map(Bytes::len).sum::<usize>();
        for insight in decode::<TrendInsight>(&written) {
            revisions += 1;
            last.insert((insight.asset, insight.window_start.as_millis()), insight.posts);
        }
    }
    driver.advance(INTERVAL).unwrap();
    driver.commit().unwrap();
    let rest = decode::<TrendInsight>(&driver.read(INSIGHTS));
    last.extend(rest.into_iter().map(|i| ((i.asset, i.window_start.as_millis()), i.posts)));
    let changelog = driver.changelog("windows", 0);
    let changelog = changelog.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
    (last, revisions, bytes, changelog)
}

/// The figures of docs/adr/0017: `cargo test -p vigie-processors --test topologies a_longer_interval -- --nocapture`.
#[test]
fn a_longer_interval_means_fewer_revisions_and_the_same_numbers() {
    let [(each_commit, before), (each_interval, after)] = [Duration::ZERO, INTERVAL].map(|interval| {
        let (last, revisions, bytes, changelog) = run(interval);
        println!("{interval:?}: {} windows, {revisions} revisions, {bytes} B; {changelog} B of changelog", last.len());
        (last, revisions)
    });
    assert_eq!(each_commit, each_interval);
    assert!(after * 3 < before * 2, "{after} revisions, {before} without an interval");
}
