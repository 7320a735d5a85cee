use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use vigie_clock::{ManualClock, Timestamp};
use vigie_processors::text::fingerprint::Fingerprint;
use vigie_processors::trends::alerts::AlertPolicy;
use vigie_processors::trends::batch::Batch;
use vigie_processors::trends::history::TRUSTED_AFTER;
use vigie_processors::trends::{MarketTopic, TrendsMetrics, TrendsSettings, topology};
use vigie_schemas::{Alert, Mention, TrendInsight};
use vigie_streams::TumblingWindows;
use vigie_streams::testing::TopologyTestDriver;

use crate::fixtures::{LocalCodec, at, decode, encode, mention};

const MENTIONS: &str = "posts.mentions.v1";
const INSIGHTS: &str = "insights.trends.v1";
const ALERTS: &str = "insights.alerts.v1";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Start of a window.
const T0: i64 = 1_000_000 * 5 * MINUTE;
const ASSETS: [&str; 3] = ["BTC", "ETH", "*"];

pub(crate) fn settings() -> TrendsSettings {
    TrendsSettings {
        run_id: "live".into(),
        source: MENTIONS.into(),
        market: MarketTopic::new(1),
        insights: INSIGHTS.into(),
        alerts: ALERTS.into(),
        windows: TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_secs(6 * 3600) },
        settle: Duration::from_secs(600),
        emit_interval: Duration::ZERO,
        idle_timeout: Duration::from_secs(60),
        policy: AlertPolicy { min_anomaly_score: 0.5, min_posts: 10 },
        forecaster: None,
    }
}

fn driver() -> TopologyTestDriver {
    driver_of(settings())
}

fn driver_of(settings: TrendsSettings) -> TopologyTestDriver {
    let metrics = TrendsMetrics::new(&prometheus::Registry::new());
    let topology = topology(settings, LocalCodec, metrics).unwrap();
    TopologyTestDriver::new(topology, ManualClock::new(at(T0 + 48 * HOUR)))
}

fn pipe(driver: &mut TopologyTestDriver, mentions: impl IntoIterator<Item = Mention>) {
    let records = mentions.into_iter().map(|m| (Some(Bytes::from(m.asset.clone())), encode(&m), at(T0 + 48 * HOUR)));
    driver.pipe_batch(MENTIONS, 0, records).unwrap();
}

fn insights(driver: &mut TopologyTestDriver) -> Vec<TrendInsight> {
    driver.commit().unwrap();
    decode(&driver.read(INSIGHTS))
}

/// What must be the same whatever the order: the counts.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    posts: i64,
    unique_authors: i64,
    labels: [i64; 3],
    mean_score: Option<f64>,
    sources: BTreeMap<String, i64>,
    unique_posts: Option<i64>,
    spam_posts: Option<i64>,
}

type Windows = BTreeMap<(String, i64), Counts>;

fn counts(insight: &TrendInsight) -> ((String, i64), Counts) {
    let counts = Counts {
        posts: insight.posts,
        unique_authors: insight.unique_authors,
        labels: [insight.negative, insight.neutral, insight.positive],
        mean_score: insight.mean_score,
        sources: insight.sources.clone(),
        unique_posts: insight.unique_posts,
        spam_posts: insight.spam_posts,
    };
    ((insight.asset.clone(), insight.window_start.as_millis()), counts)
}

/// The windows by another way: sort the mentions into groups and look at each group as a whole.
fn oracle(mentions: &[Mention]) -> Windows {
    let mut groups: BTreeMap<(String, i64), Vec<&Mention>> = BTreeMap::new();
    for mention in mentions {
        let start = mention.published_at.as_millis() / (5 * MINUTE) * (5 * MINUTE);
        groups.entry((mention.asset.clone(), start)).or_default().push(mention);
    }
    let is_copy = |mention: &Mention| {
        let Some(own) = mention.fingerprint.map(Fingerprint::from_long) else { return false };
        mentions.iter().any(|other| {
            other.asset == mention.asset
                && (other.published_at, &other.post_id) < (mention.published_at, &mention.post_id)
                && mention.published_at.since(other.published_at) <= Duration::from_secs(24 * 3600)
                && other.fingerprint.is_some_and(|theirs| own.is_near(Fingerprint::from_long(theirs)))
        })
    };
    let window = |group: Vec<&Mention>| {
        let authors: BTreeSet<_> = group.iter().filter_map(|m| m.author_id.as_ref()).collect();
        let labelled = |label| group.iter().filter(|m| m.label.as_deref() == Some(label)).count() as i64;
        let scores: Vec<i64> = group.iter().filter_map(|m| m.score).map(|s| (s * 1e6).round() as i64).collect();
        let mut sources = BTreeMap::new();
        group.iter().for_each(|m| *sources.entry(m.source.clone()).or_default() += 1);
        Counts {
            posts: group.len() as i64,
            unique_authors: authors.len() as i64,
            labels: ["negative", "neutral", "positive"].map(labelled),
            mean_score: (!scores.is_empty()).then(|| scores.iter().sum::<i64>() as f64 / scores.len() as f64 / 1e6),
            sources,
            unique_posts: Some(group.iter().filter(|m| !m.spam && !is_copy(m)).count() as i64),
            spam_posts: Some(group.iter().filter(|m| m.spam).count() as i64),
        }
    };
    groups.into_iter().map(|(key, group)| (key, window(group))).collect()
}

/// One mention of each asset, far enough ahead in event time to close everything before.
fn closers() -> Vec<Mention> {
    (0..3).map(|upstream| mention("CLOSER", 9_000 + upstream as usize, upstream, at(T0 + 24 * HOUR))).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Mention(usize),
    Commit,
    Abort,
    Restart,
    Wait(u64),
}

/// Mentions, what happens to them, and seconds between two emissions.
fn steps() -> impl Strategy<Value = (Vec<Mention>, Vec<Step>, u64)> {
    let posts = prop::collection::vec((0_i64..90 * MINUTE, 0_usize..3, 0_i32..3), 1..70);
    posts.prop_flat_map(|posts| {
        let mentions: Vec<Mention> = posts
            .iter()
            .enumerate()
            .map(|(i, (offset, asset, upstream))| mention(ASSETS[*asset], i, *upstream, at(T0 + offset)))
            .collect();
        let mut steps: Vec<Step> = (0..mentions.len()).map(Step::Mention).collect();
        steps.extend([Step::Commit, Step::Commit, Step::Commit, Step::Commit, Step::Commit]);
        steps.extend([Step::Abort, Step::Restart, Step::Restart, Step::Wait(61), Step::Wait(1), Step::Wait(1)]);
        (Just(mentions), Just(steps).prop_shuffle(), 0_u64..3)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_order_and_any_commits_and_restarts_give_the_same_final_windows(
        (mentions, steps, interval) in steps(),
        on_disk in prop::bool::weighted(0.25),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let driver = driver_of(TrendsSettings { emit_interval: Duration::from_secs(interval), ..settings() });
        let mut driver = if on_disk { driver.on_disk(folder.path(), 8 * 1024 * 1024) } else { driver };
        let mut revisions: BTreeMap<(String, i64), TrendInsight> = BTreeMap::new();
        let mut emitted = Vec::new();
        for step in steps {
            match step {
                Step::Mention(i) => pipe(&mut driver, [mentions[i].clone()]),
                Step::Commit => emitted.extend(insights(&mut driver)),
                Step::Abort => driver.abort().unwrap(),
                Step::Restart => driver.restart().unwrap(),
                Step::Wait(seconds) => driver.advance(Duration::from_secs(seconds)).unwrap(),
            }
        }
        pipe(&mut driver, closers());
        emitted.extend(insights(&mut driver));
        for insight in emitted {
            let key = (insight.asset.clone(), insight.window_start.as_millis());
            let expected = revisions.get(&key).map_or(1, |last| last.revision + 1);
            prop_assert_eq!(insight.revision, expected, "revisions go up by one");
            prop_assert!(!revisions.get(&key).is_some_and(|last| last.r#final), "nothing follows the final revision");
            let same = revisions.get(&key).is_some_and(|last| counts(last) == counts(&insight));
            prop_assert!(!same || insight.r#final, "a revision has other numbers than the one before");
            revisions.insert(key, insight);
        }
        revisions.retain(|(asset, _), _| asset != "CLOSER");
        prop_assert!(revisions.values().all(|insight| insight.r#final));
        let found: Windows = revisions.values().map(counts).collect();
        prop_assert_eq!(found, oracle(&mentions));
        prop_assert_eq!(driver.late(), 0);
        for store in ["windows", "authors"] {
            let mut left = BTreeMap::new();
            for (key, value) in driver.changelog(store, 0) {
                left.insert(key, value);
            }
            left.retain(|key, value| value.is_some() && !key.windows(6).any(|part| part == b"CLOSER"));
            prop_assert!(left.is_empty(), "{} keeps {:?}", store, left);
        }
    }
}

#[test]
fn a_window_has_one_revision_per_commit_at_most() {
    let mut driver = driver();
    (0..5).for_each(|i| pipe(&mut driver, [mention("BTC", i, 0, at(T0 + i as i64))]));
    let first = insights(&mut driver);
    assert_eq!(first.iter().map(|i| (i.revision, i.posts, i.r#final)).collect::<Vec<_>>(), [(1, 5, false)]);
    assert_eq!((first[0].lineage.first_offset, first[0].lineage.last_offset), (0, 4));
    assert_eq!((first[0].lineage.input_topic.as_str(), first[0].emitted_at), (MENTIONS, driver.now()));
    assert!(insights(&mut driver).is_empty(), "nothing changed");
    pipe(&mut driver, [mention("BTC", 5, 0, at(T0))]);
    assert_eq!(insights(&mut driver).iter().map(|i| (i.revision, i.posts)).collect::<Vec<_>>(), [(2, 6)]);
}

#[test]
fn a_late_mention_is_counted_and_changes_nothing() {
    let mut driver = driver();
    pipe(&mut driver, [mention("BTC", 1, 0, at(T0)), mention("BTC", 2, 0, at(T0 + 6 * HOUR + 5 * MINUTE - 1))]);
    assert!(insights(&mut driver).iter().all(|insight| !insight.r#final), "a millisecond before the end of grace");
    pipe(&mut driver, [mention("BTC", 3, 0, at(T0)), mention("BTC", 4, 0, at(T0 + 6 * HOUR + 5 * MINUTE))]);
    let closed = insights(&mut driver);
    assert_eq!(closed.iter().filter(|i| i.r#final).map(|i| (i.posts, i.revision)).collect::<Vec<_>>(), [(2, 2)]);
    assert_eq!(driver.late(), 0);
    driver.restart().unwrap();
    pipe(&mut driver, [mention("BTC", 5, 0, at(T0))]);
    assert!(insights(&mut driver).is_empty());
    assert_eq!(driver.late(), 1);
}

#[test]
fn a_slow_upstream_partition_keeps_windows_open() {
    let mut driver = driver();
    pipe(&mut driver, [mention("BTC", 1, 0, at(T0)), mention("BTC", 2, 1, at(T0 + 20 * HOUR))]);
    insights(&mut driver);
    pipe(&mut driver, [mention("BTC", 3, 0, at(T0 + MINUTE))]);
    assert_eq!(insights(&mut driver)[0].posts, 2);
    assert_eq!(driver.late(), 0);
    driver.advance(Duration::from_secs(61)).unwrap();
    assert!(insights(&mut driver)[0].r#final, "it is idle and holds nothing back any more");
}

#[test]
fn one_absurd_future_time_closes_nothing() {
    let mut driver = driver();
    pipe(&mut driver, [mention("BTC", 1, 0, at(T0)), mention("BTC", 2, 0, at(T0 + 1000 * HOUR))]);
    insights(&mut driver);
    pipe(&mut driver, [mention("BTC", 3, 0, at(T0))]);
    assert_eq!(insights(&mut driver)[0].posts, 2);
}

#[test]
fn bad_records_go_to_the_dead_letters() {
    let mut driver = driver();
    let good = mention("BTC", 0, 0, at(T0));
    let key = || Some(Bytes::from("BTC"));
    let contradictory = Mention { label: None, ..good.clone() };
    let records = [
        (key(), Some(Bytes::from_static(b"?")), at(T0)),
        (Some(Bytes::from("ETH")), encode(&good), at(T0)),
        (key(), encode(&contradictory), at(T0)),
        (key(), encode(&good), at(T0)),
    ];
    driver.pipe_batch(MENTIONS, 0, records).unwrap();
    assert_eq!(insights(&mut driver)[0].posts, 1);
    assert_eq!(driver.read("posts.mentions.v1.dlq").len(), 3);
}

fn quiet_day(driver: &mut TopologyTestDriver, windows: i64) {
    for window in 0..windows {
        let start = T0 + window * 5 * MINUTE;
        pipe(
            driver,
            (0..4).map(|i| Mention {
                score: Some(0.2),
                label: Some("positive".into()),
                ..mention("BTC", i, 0, at(start + i as i64))
            }),
        );
        driver.commit().unwrap();
    }
    driver.read(INSIGHTS);
    driver.advance(TRUSTED_AFTER).unwrap();
}

#[test]
fn a_burst_raises_one_alert_per_window_and_kind() {
    let mut driver = driver();
    quiet_day(&mut driver, 100);
    assert!(driver.read(ALERTS).is_empty());
    let burst = |score: f64, label: &str, posts: std::ops::Range<usize>| -> Vec<Mention> {
        let base = |i| mention("BTC", 100 + i, 0, at(T0 + 500 * MINUTE));
        posts.map(|i| Mention { score: Some(score), label: Some(label.into()), ..base(i) }).collect()
    };
    pipe(&mut driver, burst(-0.8, "negative", 0..300));
    let latest = |insight: &TrendInsight| insight.window_start == at(T0 + 500 * MINUTE);
    let window = insights(&mut driver).into_iter().find(latest).unwrap();
    assert!(window.anomaly_score.unwrap() > 0.9, "{window:?}");
    assert!((window.expected_posts.unwrap() - 4.0).abs() < 1.0, "{window:?}");
    driver.restart().unwrap();
    pipe(&mut driver, burst(-0.8, "negative", 300..310));
    driver.commit().unwrap();
    let alerts: Vec<Alert> = decode(&driver.read(ALERTS));
    let raised: Vec<_> = alerts.iter().map(|a| (a.kind.as_str(), a.value)).collect();
    assert_eq!(raised, [("attention_spike", 300.0), ("sentiment_drop", -0.8)]);
    assert_eq!(alerts[0].alert_id, format!("live/BTC/attention_spike/{}", Timestamp::from_millis(T0 + 500 * MINUTE)));
}

#[test]
fn empty_windows_are_history_too() {
    let mut driver = driver();
    quiet_day(&mut driver, 20);
    // Eight silent hours, then a little talk again: with the silence learned, four posts are more than expected.
    pipe(&mut driver, (0..4).map(|i| mention("BTC", i, 0, at(T0 + 9 * HOUR))));
    driver.commit().unwrap();
    driver.read(INSIGHTS);
    pipe(&mut driver, (0..4).map(|i| mention("BTC", i, 0, at(T0 + 9 * HOUR + 15 * MINUTE))));
    let window = insights(&mut driver).into_iter().find(|i| !i.r#final).unwrap();
    assert!(window.expected_posts.unwrap() < 0.5, "{window:?}");
}

/// Five days of a post about BTC every two hours; then one about LUNA every 20 minutes for two days, which no window has two of. `crash` is called
/// before each commit.
fn thin_event(crash: impl Fn(&mut TopologyTestDriver)) -> Vec<(String, f64, Option<i64>)> {
    let metrics = TrendsMetrics::new(&prometheus::Registry::new());
    let topology = topology(settings(), LocalCodec, metrics).unwrap();
    // So long ago that it is an archive, judged from its first post on.
    let mut driver = TopologyTestDriver::new(topology, ManualClock::new(at(T0 + 30 * 24 * HOUR)));
    let before = (0..60).map(|n| ("BTC", n * 2 * HOUR));
    let event = (0..144).map(|n| ("LUNA", 5 * 24 * HOUR + n * HOUR / 3));
    for (n, (asset, time)) in before.chain(event).enumerate() {
        let post = Mention { fingerprint: None, ..mention(asset, n, 0, at(T0 + time)) };
        pipe(&mut driver, [post]);
        crash(&mut driver);
        driver.commit().unwrap();
    }
    let alerts: Vec<Alert> = decode(&driver.read(ALERTS));
    let ids: BTreeSet<&str> = alerts.iter().map(|alert| alert.alert_id.as_str()).collect();
    assert_eq!(ids.len(), alerts.len());
    alerts.iter().map(|alert| (format!("{} {}", alert.asset, alert.kind), alert.value, alert.scale_seconds)).collect()
}

#[test]
fn an_event_too_thin_for_a_window_is_raised_once_whatever_crashes() {
    let alerts = thin_event(|_| {});
    assert_eq!(alerts, [("LUNA attention_spike".to_owned(), 10.0, Some(6 * 3600))]);
    assert_eq!(alerts, thin_event(|driver| driver.restart().unwrap()));
    assert_eq!(alerts, thin_event(|driver| driver.abort().unwrap()));
}

/// Five days of three posts a window about BTC, with a burst of bad mood on the second and some worse hours on the fourth, and LUNA from the
/// third day on.
fn eventful(window: i64) -> Vec<Mention> {
    let (start, day) = (T0 + window * 5 * MINUTE, 24 * 12);
    let (posts, score) = match window {
        w if w == day + 100 => (300, -0.8),
        w if (3 * day..3 * day + 72).contains(&w) => (3, -0.5),
        _ => (3, 0.2),
    };
    let post = |asset, n: i64, score: f64| Mention {
        score: Some(score),
        label: Some(if score > 0.0 { "positive" } else { "negative" }.into()),
        fingerprint: None,
        ..mention(asset, (window * 1000 + n) as usize, 0, at(start + n))
    };
    let mut posts: Vec<_> = (0..posts).map(|n| post("BTC", n, score)).collect();
    posts.extend((window >= 2 * day && window % 4 == 0).then(|| post("LUNA", 500, 0.1)));
    posts
}

#[test]
fn a_replay_raises_the_alerts_that_a_live_run_raises_of_posts_in_time() {
    let metrics = TrendsMetrics::new(&prometheus::Registry::new());
    let live = settings();
    let (windows, policy) = (live.windows, live.policy);
    let topology = topology(live, LocalCodec, metrics).unwrap();
    let mut driver = TopologyTestDriver::new(topology, ManualClock::new(at(T0 + 60 * 24 * HOUR)));
    let mut batch = Batch::default();
    for mentions in (0..5 * 24 * 12).map(eventful) {
        mentions.iter().for_each(|mention| batch.add(&windows, mention, 0).unwrap());
        pipe(&mut driver, mentions);
        driver.commit().unwrap();
    }
    // All windows settle.
    pipe(&mut driver, ["BTC", "LUNA"].map(|asset| mention(asset, 0, 0, at(T0 + 6 * 24 * HOUR))));
    driver.commit().unwrap();
    let raised = |alert: Alert| {
        let scores = [Some(alert.value), alert.expected, alert.anomaly_score].map(|n| n.map(|n| format!("{n:.6}")));
        (alert.asset, alert.kind, alert.window_start, alert.scale_seconds, scores)
    };
    let mut live: Vec<_> = decode::<Alert>(&driver.read(ALERTS)).into_iter().map(raised).collect();
    let (_, replayed) = batch.insights(&windows, "replay", (MENTIONS, 0), at(0), policy, None).unwrap();
    let mut replayed: Vec<_> = replayed.into_iter().map(|(_, alert)| raised(alert)).collect();
    live.sort();
    replayed.sort();
    assert_eq!(live, replayed);
    let kinds: BTreeSet<_> = replayed.iter().map(|raised| (raised.0.as_str(), raised.1.as_str(), raised.3)).collect();
    let (window, hours) = (Some(300), Some(6 * 3600));
    assert!(kinds.contains(&("BTC", "attention_spike", window)), "{kinds:?}");
    assert!(kinds.contains(&("LUNA", "attention_spike", hours)) && kinds.len() > 3, "{kinds:?}");
}
