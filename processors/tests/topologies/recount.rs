//! The recount of raw posts against the topologies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use vigie_clock::{ManualClock, Timestamp};
use vigie_kafka_client::Record;
use vigie_processors::recount::{Counts, Recount, RecountSettings, Window, without_sentiment};
use vigie_processors::sentiment::{Only, SentimentMetrics, SentimentSettings, SharedAnalyser, topology};
use vigie_processors::trends::batch::Batch;
use vigie_schemas::{Mention, RawPost, TrendInsight, WINDOW};
use vigie_streams::TumblingWindows;
use vigie_streams::testing::TopologyTestDriver;

use crate::fixtures::{Lexicon, LocalCodec, at, decode, encode, raw_post};

const RAW: &str = "posts.raw.v1";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Start of a window.
const T0: i64 = 1_000_000 * 5 * MINUTE;
const WEEK: Duration = Duration::from_secs(7 * 86_400);

type Windows = BTreeMap<(String, Timestamp), Window>;

fn settings() -> RecountSettings {
    RecountSettings {
        windows: at(T0)..at(T0 + HOUR),
        grace: Duration::from_secs(6 * 3600),
        dedupe_retention: WEEK,
        max_lag: Duration::from_secs(3600),
    }
}

fn record(key: &str, post: Option<&RawPost>, offset: i64, arrived: i64) -> Record {
    Record {
        topic: RAW.into(),
        partition: 0,
        offset,
        timestamp: at(arrived),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: post.and_then(encode),
        headers: Vec::new(),
    }
}

/// Each post with the minute of its arrival.
fn recount(posts: &[(RawPost, i64)]) -> (Windows, Recount<LocalCodec>) {
    let mut recount = Recount::new(settings(), LocalCodec, Lexicon::analyser());
    for (offset, (post, minute)) in posts.iter().enumerate() {
        recount.take(&record(&post.post_id, Some(post), offset as i64, T0 + minute * MINUTE)).unwrap();
    }
    (recount.windows().unwrap(), recount)
}

/// A post of a minute, by an author of its own.
fn post(id: &str, minute: i64) -> RawPost {
    let text = "the news about bitcoin is really good and people are happy with it";
    let author = Some(format!("author of {id}"));
    RawPost { author, ..raw_post(id, text, at(T0 + minute * MINUTE)) }
}

fn window<'a>(windows: &'a Windows, asset: &str, minute: i64) -> &'a Window {
    &windows[&(asset.to_owned(), at(T0 + minute * MINUTE))]
}

#[test]
fn posts_before_and_after_the_range_and_copies_are_left_out() {
    let known = post("known", -1500);
    let again = RawPost { published_at: at(T0), fetched_at: at(T0), ..known.clone() };
    let posts = [(known, -1440), (again, 0), (post("early", -1), 0), (post("a", 0), 1), (post("a", 0), 2)];
    let more = [(post("after", 60), 61), (post("of the future", 30), -31)];
    let (windows, recount) = recount(&[&posts[..], &more].concat());
    assert_eq!(windows.keys().map(|(asset, _)| asset.as_str()).collect::<Vec<_>>(), ["*", "BTC"]);
    let counts = &window(&windows, "BTC", 0).counts;
    assert_eq!((counts.posts, counts.unique_authors, counts.labels), (1, 1, [0, 0, 1]));
    assert_eq!(counts.sources, BTreeMap::from([("r-bitcoin".to_owned(), 1)]));
    let read = recount.read();
    assert_eq!((read.records, read.duplicates, read.dead_letters), (7, 2, 1));
}

#[test]
fn a_day_counts_its_authors_once_and_the_records_behind_it_are_known() {
    let by_one = |id: &str, minute| RawPost { author: Some("one".to_owned()), ..post(id, minute) };
    let elsewhere = RawPost { text: "nothing that we would know of at all".to_owned(), ..post("c", 20) };
    let posts =
        [(by_one("a", 1), 1), (by_one("b", 50), 50), (elsewhere, 51), (by_one("a", 1), 52), (post("d", 55), 55)];
    let (windows, mut recount) = recount(&posts);
    assert_eq!(windows.keys().filter(|(asset, _)| asset == "BTC").count(), 3);
    recount.take(&record("d", None, 5, T0 + 56 * MINUTE)).unwrap();
    let day = recount.buckets(Duration::from_secs(86_400)).unwrap();
    let of = |asset: &str| &day[&(asset.to_owned(), at(T0).window_start(Duration::from_secs(86_400)))].counts;
    assert_eq!((of("BTC").posts, of("BTC").unique_authors, of("*").posts, of("*").unique_authors), (2, 1, 3, 2));
    let behind =
        |recount: &mut Recount<LocalCodec>, asset| recount.behind(asset).unwrap().into_iter().collect::<Vec<_>>();
    let named = |offset, id: &str| ((0, offset), id.to_owned());
    assert_eq!(behind(&mut recount, "BTC"), [named(0, "a"), named(1, "b")]);
    assert_eq!(behind(&mut recount, "*"), [named(0, "a"), named(1, "b"), named(2, "c")]);
    assert_eq!(behind(&mut recount, "DOGE"), []);
}

#[test]
fn a_post_that_may_have_been_late_leaves_bounds_and_one_in_time_leaves_none() {
    let grace = 6 * 60;
    let mut posts: Vec<_> = vec![(post("in-time", 1), 1), (post("newer", 5 + grace), 5 + grace)];
    posts.push((post("late", 2), 5 + grace));
    let (windows, _) = recount(&posts);
    let found = window(&windows, "*", 0);
    assert_eq!((found.counts.posts, found.counts.unique_authors), (2, 2));
    let (least, most) = found.bounds.clone().unwrap();
    assert_eq!((least.posts, least.unique_authors, least.labels), (1, 1, [0, 0, 1]));
    assert_eq!((most.posts, most.unique_authors, most.labels), (2, 2, [0, 0, 2]));
    // A minute of event time less, and the window was open for sure.
    posts[1] = (post("newer", grace - 1), 5 + grace);
    assert_eq!(window(&recount(&posts).0, "*", 0).bounds, None);
}

#[test]
fn copies_are_found_a_day_back_and_are_unknown_where_an_original_may_have_been_late() {
    let unique = |posts: &[(RawPost, i64)], minute| {
        let (windows, _) = recount(posts);
        let counts = &window(&windows, "BTC", minute).counts;
        (counts.posts, counts.unique_posts, counts.spam_posts)
    };
    let day = 24 * 60;
    let before = [(post("original", 2 - day), 2 - day), (post("copy", 2), 2), (post("a day later", 3), 3)];
    assert_eq!(unique(&before, 0), (2, Some(0), Some(0)), "a copy makes copies in its turn");
    assert_eq!(unique(&before[1..], 0), (2, Some(1), Some(0)));
    let spam = RawPost {
        text: "FREE airdrop of BTC!!! send 0.1 BTC and receive 1 BTC back, https://x.example".into(),
        ..post("spam", 4)
    };
    let (posts, unique_posts, spam_posts) = unique(&[(post("a", 1), 1), (spam, 4)], 0);
    assert_eq!((posts, unique_posts, spam_posts), (2, Some(1), Some(1)));
    // Something that was published a grace after the end of the original's window, before the original came.
    let grace = 6 * 60;
    let late = [(post("newer", grace - 25), grace - 25), (post("original", -30), grace), (post("copy", 20), grace + 1)];
    assert_eq!(unique(&late, 20), (1, None, None));
}

#[test]
fn a_deletion_that_may_have_been_late_leaves_the_post_open() {
    let grace = 6 * 60;
    let (_, mut recount) = recount(&[(post("p", 1), 1), (post("newer", 5 + grace), 5 + grace)]);
    recount.take(&record("p", None, 2, T0 + (5 + grace) * MINUTE)).unwrap();
    recount.take(&record("never-sent", None, 3, T0 + (5 + grace) * MINUTE)).unwrap();
    let windows = recount.windows().unwrap();
    let found = window(&windows, "BTC", 0);
    assert_eq!(found.counts, Counts::default());
    let bounds = found.bounds.as_ref().map(|(least, most)| (least.posts, most.posts));
    assert_eq!(bounds, Some((0, 1)));
}

#[test]
fn without_the_model_posts_authors_and_sources_are_the_same() {
    let matcher = Lexicon::matcher();
    let mut recount = Recount::new(settings(), LocalCodec, without_sentiment(matcher));
    recount.take(&record("p", Some(&post("p", 1)), 0, T0 + MINUTE)).unwrap();
    recount.take(&record("q", Some(&post("q", 1)), 1, T0 + MINUTE)).unwrap();
    let counts = window(&recount.windows().unwrap(), "BTC", 0).counts.clone();
    assert_eq!((counts.posts, counts.unique_authors, counts.labels, counts.mean_score), (2, 2, [0, 0, 0], None));
}

/// What becomes of a post id in a step: published, edited, deleted, or repeated.
#[derive(Clone, Debug)]
struct Step {
    id: usize,
    minute: i64,
    text: usize,
    what: u8,
}

const TEXTS: [&str; 3] = [
    "the news about bitcoin is really good and people are happy with it",
    "I think that BTC and $ETH are bad for the future of us all",
    "this is about nothing that we would know of at all",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_usize..12, -10_i64..70, 0_usize..TEXTS.len(), 0_u8..8);
    prop::collection::vec(step.prop_map(|(id, minute, text, what)| Step { id, minute, text, what }), 0..60)
}

fn raw(step: &Step, now: i64) -> (String, Option<RawPost>) {
    let id = format!("p{}", step.id);
    let post = RawPost {
        author: (!step.id.is_multiple_of(4)).then(|| format!("author-{}", step.id % 3)),
        source: format!("source-{}", step.id % 2),
        // Edits and copies may claim any time.
        published_at: at(T0 + step.minute * MINUTE),
        fetched_at: at(now),
        edited_at: (step.what < 2).then(|| at(now)),
        ..raw_post(&id, TEXTS[step.text], at(0))
    };
    (id, (step.what != 7).then_some(post))
}

/// The windows that the sentiment topology's mentions make.
fn by_the_topologies(records: &[Record]) -> BTreeMap<(String, Timestamp), Counts> {
    let sentiment = SentimentSettings {
        run_id: "live".into(),
        source: RAW.into(),
        scored: "insights.sentiment.v1".into(),
        mentions: "posts.mentions.v1".into(),
        dedupe_retention: WEEK,
        spread_market_from: None,
        published: None,
        only: Only::default(),
        dead_letters: false,
        author_key: "0123456789abcdef".parse().unwrap(),
    };
    let analyser = Arc::new(SharedAnalyser::new(Lexicon::analyser()));
    let metrics = SentimentMetrics::new(&prometheus::Registry::new());
    let topology = topology(sentiment, 64, analyser, LocalCodec, metrics).unwrap();
    let mut driver = TopologyTestDriver::new(topology, ManualClock::new(at(T0 + HOUR)));
    let inputs = records.iter().map(|record| (record.key.clone(), record.value.clone(), record.timestamp));
    driver.pipe_batch(RAW, 0, inputs).unwrap();
    driver.commit().unwrap();
    let spec = TumblingWindows { size: WINDOW, grace: Duration::ZERO };
    let mut batch = Batch::default();
    for mention in decode::<Mention>(&driver.read("posts.mentions.v1")) {
        batch.add(&spec, &mention, 0).unwrap();
    }
    let policy = crate::trends::settings().policy;
    let (insights, _) = batch.insights(&spec, "live", ("posts.mentions.v1", 0), at(0), policy, None).unwrap();
    let counts = |insight: TrendInsight| Counts {
        posts: insight.posts,
        unique_authors: insight.unique_authors,
        labels: [insight.negative, insight.neutral, insight.positive],
        mean_score: insight.mean_score,
        sources: insight.sources,
        unique_posts: insight.unique_posts,
        spam_posts: insight.spam_posts,
    };
    let keyed = insights.into_iter().map(|insight| ((insight.asset.clone(), insight.window_start), counts(insight)));
    keyed.filter(|((_, start), _)| settings().windows.contains(start)).collect()
}

proptest! {
    // Each case compiles the table of assets twice.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_recount_agrees_with_the_topologies_over_edits_deletions_and_copies(steps in steps()) {
        let arrival = |place: usize| T0 + HOUR + place as i64 * 1000;
        let mut recount = Recount::new(settings(), LocalCodec, Lexicon::analyser());
        let mut records = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            let (key, post) = raw(step, arrival(place));
            records.push(record(&key, post.as_ref(), place as i64, arrival(place)));
        }
        for record in &records {
            recount.take(record).unwrap();
        }
        let windows = recount.windows().unwrap();
        prop_assert!(windows.values().all(|window| window.bounds.is_none()));
        // A window that lost its last post is there and empty, or not there.
        let filled = |(_, counts): &(_, Counts)| counts.posts > 0;
        let counts: BTreeMap<_, _> = windows.into_iter().map(|(key, window)| (key, window.counts)).filter(filled).collect();
        let expected: BTreeMap<_, _> = by_the_topologies(&records).into_iter().filter(filled).collect();
        prop_assert_eq!(counts, expected);
    }
}
