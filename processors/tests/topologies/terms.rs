use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use vigie_clock::ManualClock;
use vigie_processors::trends::terms::windows::KnownAssets;
use vigie_processors::trends::terms::{TermsMetrics, TermsSettings, topology};
use vigie_schemas::{AssetMention, Lineage, ScoredPost, TermInsight};
use vigie_streams::testing::TopologyTestDriver;

use crate::fixtures::{LocalCodec, at, decode, encode};

const POSTS: &str = "insights.sentiment.v1";
const WORDS: &str = "posts.terms.v1";
const TERMS: &str = "insights.terms.v1";
const HOUR: i64 = 3_600_000;
/// Start of a day.
const T0: i64 = 19_000 * 24 * HOUR;
const GRACE: i64 = 6 * HOUR;
/// The hour in which people talk of something new.
const BURST: i64 = 36;
const TASKS: i32 = 2;

static KNOWN: LazyLock<Arc<KnownAssets>> = LazyLock::new(|| Arc::new(KnownAssets::bundled().unwrap()));

struct Pipeline(TopologyTestDriver);

impl Pipeline {
    fn new() -> Self {
        let settings = TermsSettings {
            run_id: "live".into(),
            source: POSTS.into(),
            words: WORDS.into(),
            insights: TERMS.into(),
            grace: Duration::from_millis(GRACE as u64),
            interval: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(3600),
        };
        let metrics = TermsMetrics::new(&prometheus::Registry::new());
        let topology = topology(settings, LocalCodec, metrics, Arc::clone(&KNOWN)).unwrap();
        Self(TopologyTestDriver::new(topology, ManualClock::new(at(T0 + 400 * HOUR))))
    }

    /// As the sentiment topology sends them, and what comes of it.
    fn pipe(&mut self, posts: impl IntoIterator<Item = ScoredPost>) -> Vec<TermInsight> {
        let mut batches: [Vec<_>; TASKS as usize] = Default::default();
        for post in posts {
            let task = post.lineage.input_partition as usize;
            batches[task].push((Some(Bytes::from(post.post_id.clone())), encode(&post), at(T0)));
        }
        for (task, batch) in (0..).zip(batches) {
            self.0.pipe_batch(POSTS, task, batch).unwrap();
        }
        self.0.commit().unwrap();
        let words = self.0.read(WORDS);
        assert!(words.iter().all(|record| record.partition == Some(0)));
        self.0.pipe_batch(WORDS, 0, words.into_iter().map(|record| (record.key, record.value, at(T0)))).unwrap();
        self.wait(Duration::from_secs(60))
    }

    fn wait(&mut self, by: Duration) -> Vec<TermInsight> {
        self.0.advance(by).unwrap();
        self.0.commit().unwrap();
        decode(&self.0.read(TERMS))
    }

    /// Closes all windows of the posts.
    fn end(&mut self) -> Vec<TermInsight> {
        let later = (0..TASKS).map(|task| ScoredPost {
            published_at: at(T0 + 100 * HOUR),
            ..post(90_000 + i64::from(task), 100, "something else", task)
        });
        self.pipe(later.collect::<Vec<_>>())
    }
}

fn post(number: i64, hour: i64, text: &str, task: i32) -> ScoredPost {
    ScoredPost {
        post_id: format!("p{number}"),
        source: "r-bitcoin".into(),
        author_id: Some(format!("author-{}", number % 200)),
        excerpt: text.into(),
        published_at: at(T0 + hour * HOUR + number % 3600 * 1000),
        lineage: Lineage { input_partition: task, ..Lineage::default() },
        revision: 1,
        ..ScoredPost::default()
    }
}

/// Days of the usual, and an hour in which 20 of 60 authors name a coin that nobody knows.
fn days() -> Vec<ScoredPost> {
    let usual = (0..40 * 60)
        .map(|n| post(n, n / 60, ["bitcoin is fine", "bitcoin falls", "hodl"][n as usize % 3], (n % 2) as i32));
    let new = (0..20).map(|n| ScoredPost {
        assets: vec![AssetMention { asset: "UST".into(), evidence: "ticker".into(), ..AssetMention::default() }],
        ..post(10_000 + n, BURST, "$XYZQ will depeg as UST did", (n % 2) as i32)
    });
    usual.chain(new).collect()
}

fn of<'a>(insights: &'a [TermInsight], term: &str, hours: i64) -> Vec<&'a TermInsight> {
    let is = |insight: &&TermInsight| {
        insight.term == term && insight.window_end.since(insight.window_start).as_millis() as i64 == hours * HOUR
    };
    insights.iter().filter(is).collect()
}

#[test]
fn an_unknown_coin_is_reported_with_its_posts_and_again_until_its_window_is_closed() {
    let mut pipeline = Pipeline::new();
    let reported = pipeline.pipe(days());
    let [new] = of(&reported, "$xyzq", 1)[..] else { panic!("{reported:?}") };
    assert_eq!(
        (of(&reported, "will depeg", 1).len(), of(&reported, "depeg", 1).len()),
        (1, 0),
        "a word stands in its phrase"
    );
    assert_eq!((new.revision, new.r#final, new.authors, new.posts, new.kind.as_str()), (1, false, 20, 20, "cashtag"));
    assert_eq!(new.window_start, at(T0 + BURST * HOUR));
    assert!(new.significance >= 3.0 && new.expected_authors < 0.1, "{new:?}");
    assert_eq!((new.asset.as_deref(), new.assets.as_slice()), (None, &["UST".to_owned()][..]));
    assert_eq!((new.examples.len(), new.examples[0].post_id.as_str()), (10, "p10000"));
    assert_eq!(new.first_seen, new.examples[0].published_at);
    assert!(reported.iter().all(|insight| !insight.term.contains("bitcoin")), "what is usual is not reported");
    assert_eq!(pipeline.wait(Duration::from_secs(120)).len(), 0, "nothing changed");
    // Its posts go: it is reported once more, as it stands then.
    let gone = days().into_iter().filter(|post| post.excerpt.contains("XYZQ"));
    let gone = gone.map(|post| ScoredPost { revision: 2, deleted_at: Some(at(T0)), ..post });
    let reported = pipeline.pipe(gone.collect::<Vec<_>>());
    let [left] = of(&reported, "$xyzq", 1)[..] else { panic!("{reported:?}") };
    assert_eq!((left.revision, left.authors, left.posts, left.examples.len()), (2, 0, 0, 0));
    assert!(left.significance < 0.0);
    let last = pipeline.end();
    assert!(last.iter().filter(|insight| insight.window_start < at(T0 + 48 * HOUR)).all(|insight| insight.r#final));
    assert_eq!(of(&last, "$xyzq", 1)[0].revision, 3);
}

#[test]
fn spam_copies_and_one_loud_author_make_no_term() {
    let loud = |n: i64, text: &str| post(10_000 + n, BURST, text, 0);
    let one = (0..40).map(|n| ScoredPost { author_id: Some("loud".into()), ..loud(n, "moonshotcoin") });
    let spam = (40..80).map(|n| ScoredPost { spam_score: Some(0.5), ..loud(n, "spamcoin") });
    let copies = (80..120).map(|n| ScoredPost { fingerprint: Some(0x0001_0002_0003_0004), ..loud(n, "shillcoin") });
    let mut pipeline = Pipeline::new();
    let usual = days().into_iter().filter(|post| !post.excerpt.contains("XYZQ"));
    let reported = pipeline.pipe(usual.chain(one).chain(spam).chain(copies).collect::<Vec<_>>());
    assert!(reported.is_empty(), "{reported:?}");
}

#[test]
fn a_late_post_is_counted_as_late_and_what_cannot_be_read_is_set_aside() {
    let mut pipeline = Pipeline::new();
    pipeline.pipe(days());
    pipeline.end();
    pipeline.pipe([post(80_000, 1, "late", 0)]);
    assert_eq!(pipeline.0.late(), 1);
    pipeline.0.pipe(WORDS, 0, None, Some(Bytes::from_static(b"x")), at(T0)).unwrap();
    pipeline.0.pipe(WORDS, 1, None, encode(&vigie_schemas::TermPost::default()), at(T0)).unwrap();
    pipeline.0.commit().unwrap();
    assert_eq!(pipeline.0.read("posts.terms.v1.dlq").len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]
    /// Whatever the order of the posts, commits and crashes, the last that is reported of a window is the same.
    #[test]
    fn any_order_and_any_restarts_give_the_same_final_terms(seed in any::<u64>(), batches in 1_usize..5) {
        let last = |insights: Vec<TermInsight>| {
            let last = insights.into_iter().filter(|insight| insight.r#final && insight.significance >= 3.0);
            let plain = |insight| TermInsight { revision: 0, emitted_at: at(0), ..insight };
            last.map(plain).map(|insight| ((insight.window_start, insight.window_end, insight.term.clone()), insight)).collect::<BTreeMap<_, _>>()
        };
        let mut whole = Pipeline::new();
        whole.pipe([post(70_000, 0, "hodl", 1)]);
        whole.pipe(days());
        let expected = last(whole.end());
        prop_assert!(!expected.is_empty());
        let mut shuffled = days();
        shuffled.sort_by_key(|post| post.post_id.bytes().fold(seed | 1, |h, b| h.wrapping_mul(0x0100_0000_01b3) ^ u64::from(b)));
        // Nothing may close before all of it is there.
        shuffled.iter_mut().for_each(|post| post.lineage.input_partition = 0);
        let mut pipeline = Pipeline::new();
        pipeline.pipe([post(70_000, 0, "hodl", 1)]);
        for batch in shuffled.chunks(shuffled.len().div_ceil(batches)) {
            pipeline.pipe(batch.to_vec());
            pipeline.0.restart().unwrap();
        }
        let found = last(pipeline.end());
        let differs = expected.iter().find(|(key, insight)| found.get(*key) != Some(*insight));
        prop_assert!(differs.is_none(), "{differs:?} is {:?}", differs.map(|(key, _)| found.get(key)));
    }
}
