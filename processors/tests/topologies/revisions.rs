//! Edits, deletions and copies on their way through the trends topology.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use vigie_clock::ManualClock;
use vigie_processors::trends::batch::Batch;
use vigie_processors::trends::{TrendsMetrics, topology};
use vigie_schemas::{Mention, TrendInsight};
use vigie_streams::TumblingWindows;
use vigie_streams::testing::TopologyTestDriver;

use crate::fixtures::{FINGERPRINTS, LocalCodec, at, decode, encode, mention};
use crate::trends::settings;

const MENTIONS: &str = "posts.mentions.v1";
const INSIGHTS: &str = "insights.trends.v1";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Start of a window.
const T0: i64 = 1_000_000 * 5 * MINUTE;
const WINDOWS: TumblingWindows =
    TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_secs(6 * 3600) };

fn driver() -> TopologyTestDriver {
    let topology = topology(settings(), LocalCodec, TrendsMetrics::new(&prometheus::Registry::new())).unwrap();
    TopologyTestDriver::new(topology, ManualClock::new(at(T0 + 72 * HOUR)))
}

fn pipe(driver: &mut TopologyTestDriver, mentions: impl IntoIterator<Item = Mention>) {
    let records = mentions.into_iter().map(|m| (Some(Bytes::from(m.asset.clone())), encode(&m), at(T0 + 72 * HOUR)));
    driver.pipe_batch(MENTIONS, 0, records).unwrap();
}

fn insights(driver: &mut TopologyTestDriver) -> Vec<TrendInsight> {
    driver.commit().unwrap();
    decode(&driver.read(INSIGHTS))
}

fn btc(post: usize, minute: i64, fingerprint: Option<i64>) -> Mention {
    Mention { fingerprint, spam: false, ..mention("BTC", post, 0, at(T0 + minute * MINUTE)) }
}

/// Minute of the window's start, posts, unique posts, spam.
fn volumes(insights: &[TrendInsight]) -> Vec<(i64, i64, Option<i64>, Option<i64>)> {
    let minute = |insight: &TrendInsight| (insight.window_start.as_millis() - T0) / MINUTE;
    insights.iter().map(|i| (minute(i), i.posts, i.unique_posts, i.spam_posts)).collect()
}

#[test]
fn copies_and_spam_are_counted_and_left_out_of_the_unique_volume() {
    let mut driver = driver();
    let spam = Mention { spam: true, ..btc(3, 3, None) };
    pipe(&mut driver, [btc(1, 1, Some(7)), btc(2, 2, Some(7)), spam, btc(4, 4, None), btc(5, 6, Some(7))]);
    assert_eq!(volumes(&insights(&mut driver)), [(0, 4, Some(2), Some(1)), (5, 1, Some(0), Some(0))]);
    driver.restart().unwrap();
    pipe(&mut driver, [btc(6, 24 * 60 + 1, Some(7)), btc(7, 2 * 24 * 60 + 5, Some(7))]);
    let after_a_restart = volumes(&insights(&mut driver));
    assert!(after_a_restart.contains(&(24 * 60, 1, Some(0), Some(0))), "{after_a_restart:?}");
    assert!(after_a_restart.contains(&(2 * 24 * 60 + 5, 1, Some(1), Some(0))), "{after_a_restart:?}");
}

#[test]
fn what_was_published_first_is_the_original_whenever_it_comes() {
    let mut driver = driver();
    pipe(&mut driver, [btc(2, 6, Some(7))]);
    assert_eq!(volumes(&insights(&mut driver)), [(5, 1, Some(1), Some(0))]);
    pipe(&mut driver, [btc(1, 1, Some(7))]);
    assert_eq!(volumes(&insights(&mut driver)), [(0, 1, Some(1), Some(0)), (5, 1, Some(0), Some(0))]);
}

#[test]
fn an_edited_post_counts_once_with_what_it_says_now() {
    let mut driver = driver();
    let before = Mention { label: Some("positive".into()), score: Some(0.5), ..btc(1, 1, Some(7)) };
    let other = Mention { author_id: before.author_id.clone(), label: None, score: None, ..btc(8, 1, None) };
    pipe(&mut driver, [before.clone(), before.clone(), other]);
    let first = insights(&mut driver);
    assert_eq!(
        (first[0].posts, first[0].positive, first[0].unique_authors),
        (2, 1, 1),
        "the same revision counts once"
    );
    let edited = Mention { revision: 2, label: Some("negative".into()), score: Some(-0.25), ..before.clone() };
    pipe(&mut driver, [edited]);
    let window = insights(&mut driver).remove(0);
    assert_eq!((window.posts, window.positive, window.negative, window.mean_score), (2, 0, 1, Some(-0.25)));
    pipe(&mut driver, [before]);
    assert!(insights(&mut driver).is_empty(), "an older revision changes nothing");
}

#[test]
fn a_deleted_post_is_taken_away_and_its_copy_becomes_the_original() {
    let mut driver = driver();
    let first = btc(1, 1, Some(7));
    pipe(&mut driver, [first.clone(), btc(2, 6, Some(7))]);
    assert_eq!(volumes(&insights(&mut driver)), [(0, 1, Some(1), Some(0)), (5, 1, Some(0), Some(0))]);
    driver.restart().unwrap();
    let gone = Mention { revision: 2, retracted: true, label: None, score: None, fingerprint: None, ..first };
    pipe(&mut driver, [gone]);
    let windows = insights(&mut driver);
    assert_eq!(volumes(&windows), [(0, 0, Some(0), Some(0)), (5, 1, Some(1), Some(0))]);
    let empty = &windows[0];
    assert_eq!((empty.unique_authors, empty.mean_score, empty.sources.len()), (0, None, 0));
}

#[test]
fn what_is_kept_of_posts_goes_a_day_after_their_windows() {
    let mut driver = driver();
    pipe(&mut driver, [btc(1, 1, Some(7))]);
    pipe(&mut driver, [btc(2, 31 * 60, Some(8))]);
    driver.commit().unwrap();
    let mut left = std::collections::BTreeMap::new();
    for (key, value) in driver.changelog("posts", 0) {
        left.insert(key, value);
    }
    left.retain(|_, value| value.is_some());
    assert_eq!(left.len(), 1, "{left:?}");
}

fn revisions() -> impl Strategy<Value = Vec<Mention>> {
    // Post, minute, fingerprint, what happens to the post: nothing, an edit, a deletion.
    prop::collection::vec((0_i64..320, 0_usize..6, 0_u8..4), 1..50).prop_map(|posts| {
        let mut mentions = Vec::new();
        for (post, (minute, text, fate)) in posts.into_iter().enumerate() {
            let first = btc(post, minute, Some(FINGERPRINTS[text]));
            mentions.push(first.clone());
            match fate {
                0 => mentions.push(Mention { revision: 2, fingerprint: Some(FINGERPRINTS[(text + 1) % 6]), ..first }),
                1 => mentions.push(Mention { revision: 2, retracted: true, fingerprint: None, ..first }),
                _ => {}
            }
        }
        mentions
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// A replay reads the mentions in whatever order the partitions gave them; the revisions of one post stay in theirs.
    #[test]
    fn a_replay_counts_what_the_live_run_counts(mentions in revisions(), seed in any::<u64>()) {
        let settings = TumblingWindows { grace: Duration::from_secs(72 * 3600), ..WINDOWS };
        let mut driver = driver();
        let mut live = std::collections::BTreeMap::new();
        // All windows stay open: the posts lie within the grace.
        for part in mentions.chunks(7) {
            pipe(&mut driver, part.to_vec());
            if seed.count_ones() % 2 == 0 {
                driver.restart().unwrap();
            }
            live.extend(insights(&mut driver).into_iter().map(|insight| (insight.window_start, insight)));
        }
        let mut order: Vec<usize> = (0..mentions.len()).collect();
        order.sort_by_key(|i| {
            let hash = mentions[*i].post_id.bytes().fold(seed | 1, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
            (hash, *i)
        });
        let mut batch = Batch::default();
        for i in order {
            batch.add(&settings, &mentions[i], i as i64).unwrap();
        }
        let policy = crate::trends::settings().policy;
        let (replayed, _) =
            batch.insights(&settings, "replay", (MENTIONS, 0), at(T0 + 72 * HOUR), policy, None).unwrap();
        let live: Vec<TrendInsight> = live.into_values().collect();
        prop_assert_eq!(volumes(&live), volumes(&replayed));
        let rest = |all: &[TrendInsight]| all.iter().map(|i| (i.unique_authors, i.negative, i.neutral, i.positive, i.sources.clone(), i.mean_score)).collect::<Vec<_>>();
        prop_assert_eq!(rest(&live), rest(&replayed));
    }
}
