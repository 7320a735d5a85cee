use std::collections::BTreeMap;

use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_daemon::Context;
use vigie_processors::replay::Control;
use vigie_processors::{sentiment, trends};
use vigie_schemas::{DEFAULT_PARTITIONS, DeadLetter, LIVE_RUN, ScoredPost, Topic, TrendInsight};

use crate::posts::{WINDOW_MS, Windows, counts, oracle, raw_posts};
use crate::services::{Bench, DEADLINE};

/// The latest revision of each window; panics if a revision is missing or comes twice.
fn latest(insights: Vec<TrendInsight>) -> BTreeMap<(String, i64), TrendInsight> {
    let mut windows: BTreeMap<(String, i64), TrendInsight> = BTreeMap::new();
    for insight in insights {
        let key = (insight.asset.clone(), insight.window_start.as_millis());
        let expected = windows.get(&key).map_or(1, |last| last.revision + 1);
        assert_eq!(insight.revision, expected, "revisions of {key:?} go up by one");
        windows.insert(key, insight);
    }
    windows
}

/// Asks the broker until the windows are as expected.
async fn wait_for_windows(bench: &Bench, expected: &Windows) -> BTreeMap<(String, i64), TrendInsight> {
    let clock = SystemClock::default();
    loop {
        let windows = latest(bench.decoded("insights.trends.v1").await);
        let found: Windows = windows.values().map(counts).collect();
        if found == *expected {
            return windows;
        }
        if clock.monotonic() > DEADLINE {
            let differs = |key: &&(String, i64)| found.get(*key) != expected.get(*key);
            let key = expected.keys().chain(found.keys()).find(differs).unwrap();
            panic!("window {key:?} is {:?}, expected {:?}", found.get(key), expected.get(key));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn windows_equal_an_independent_count_over_duplicates_garbage_restarts_and_a_replay_beside() {
    let bench = Bench::new().await;
    let now = SystemClock::default().now();
    let start = Timestamp::from_millis(now.as_millis() / WINDOW_MS * WINDOW_MS - 36 * WINDOW_MS);
    let posts = raw_posts(start, 1_500);
    let (first, second) = posts.split_at(800);

    // The services are stopped while there is work left, and find garbage and duplicates on their way.
    bench.publish(first).await;
    bench.publish_garbage("reddit:garbage").await;
    let services = bench.start();
    bench.publish(&first[..100]).await;
    let clock = SystemClock::default();
    while bench.records("insights.sentiment.v1").len() < 50 {
        assert!(clock.monotonic() < DEADLINE, "no post was scored within {DEADLINE:?}");
    }
    bench.publish(second).await;
    services.stop().await;

    let services = bench.start();
    bench.publish_garbage("reddit:garbage").await;
    bench.publish(&posts[700..900]).await;
    let windows = wait_for_windows(&bench, &oracle(&posts)).await;
    services.wait_until_ready().await;
    services.stop().await;
    // A third start has nothing to do and changes nothing.
    bench.start().stop().await;

    let scored: Vec<ScoredPost> = bench.decoded("insights.sentiment.v1").await;
    let mut ids: Vec<_> = scored.iter().map(|post| post.post_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((scored.len(), ids.len()), (posts.len(), posts.len()), "each post is scored once");
    assert!(scored.iter().all(|post| post.lineage.run_id == LIVE_RUN && post.sample));
    let letters: Vec<DeadLetter> = bench.decoded("posts.raw.v1.dlq").await;
    assert_eq!(letters.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), ["undecodable"; 2]);
    assert_eq!(letters[0].value.as_deref(), Some(&b"no avro at all"[..]));
    assert_eq!(latest(bench.decoded("insights.trends.v1").await), windows);

    replay_of_a_part_agrees_with_the_live_run(&bench, start, &windows).await;
}

async fn replay_of_a_part_agrees_with_the_live_run(
    bench: &Bench,
    start: Timestamp,
    live: &BTreeMap<(String, i64), TrendInsight>,
) {
    let (from, to) = (start.as_millis() + 6 * WINDOW_MS, start.as_millis() + 12 * WINDOW_MS);
    let before = (bench.records("insights.trends.v1").len(), bench.records("insights.sentiment.v1").len());

    // The live run goes on meanwhile.
    let services = bench.start();
    let [first, last] = [from, to].map(|millis| Timestamp::from_millis(millis).to_string());
    let range = ["--from", &*first, "--to", &*last];
    let report = bench.replay("again", &range, Context::system(), Control::default()).await.unwrap().unwrap();
    bench.clean_up("again").await;
    services.stop().await;

    let expected: Windows = live.values().map(counts).filter(|((_, start), _)| (from..to).contains(start)).collect();
    let replayed: Vec<TrendInsight> = bench.decoded("replays.trends.v1").await;
    assert!(replayed.iter().all(|window| window.r#final && window.revision == 1 && window.lineage.run_id == "again"));
    assert_eq!(replayed.iter().map(counts).collect::<Windows>(), expected);
    assert_eq!(replayed.len(), expected.len());
    let posts: i64 = expected.iter().filter(|((asset, _), _)| asset == "*").map(|(_, window)| window.posts).sum();
    let scored: Vec<ScoredPost> = bench.decoded("replays.sentiment.v1").await;
    assert_eq!((report.posts as i64, scored.len() as i64), (posts, posts));
    assert!(scored.iter().all(|post| post.lineage.run_id == "again"));

    let after = (bench.records("insights.trends.v1").len(), bench.records("insights.sentiment.v1").len());
    assert_eq!(before, after, "the live topics are untouched");
}

/// Of an older deployment: the topic of the whole market is missing, then made, the market is shared, and then no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_market_can_be_shared_after_a_start_without_its_topic_and_switched_off_again() {
    let bench = Bench::new().await;
    let market = Topic::TrendsMarket;
    bench.delete(market);
    let start = SystemClock::default().now().as_millis() / WINDOW_MS * WINDOW_MS - 36 * WINDOW_MS;
    let mut posts = raw_posts(Timestamp::from_millis(start), 600);
    posts.sort_by_key(|post| post.published_at);
    let (first, rest) = posts.split_at(posts.partition_point(|p| p.published_at.as_millis() < start + 8 * WINDOW_MS));
    let from = Timestamp::from_millis(start + 8 * WINDOW_MS).to_string();
    let (shared, last) = rest.split_at(rest.partition_point(|p| p.published_at.as_millis() < start + 16 * WINDOW_MS));
    let sharing = ["--spread-market-from", from.as_str()];

    bench.publish(first).await;
    let services = bench.start();
    wait_for_windows(&bench, &oracle(first)).await;
    services.stop().await;
    let of_market = |topic: &String| topic.starts_with(trends::MARKET_APPLICATION_ID) || topic == market.name();
    assert_eq!(bench.topics().into_iter().filter(of_market).count(), 0, "nothing runs that is not needed");
    let refused = bench.sentiment(&sharing, Context::system()).await.unwrap_err().to_string();
    assert!(refused.contains("vigie topics apply"), "{refused}");

    bench.create([market], DEFAULT_PARTITIONS);
    let services = bench.start_with(&sharing, &[]);
    bench.publish(shared).await;
    wait_for_windows(&bench, &oracle(&posts[..first.len() + shared.len()])).await;
    services.stop().await;

    // Switched off: what was shared stays, and the market goes on to be added up.
    let services = bench.start();
    bench.publish(last).await;
    let windows = wait_for_windows(&bench, &oracle(&posts)).await;
    services.wait_until_ready().await;
    let running = services.ctx.health.report().components;
    assert!(running.iter().any(|(name, _)| name == "market"), "{running:?}");
    services.stop().await;
    for window in windows.values().filter(|window| window.asset == "*") {
        let is_shared = (8..16).contains(&((window.window_start.as_millis() - start) / WINDOW_MS));
        assert_eq!(window.lineage.input_topic == market.name(), is_shared, "{window:?}");
    }
}

/// Two clusters that differ in nothing but their partitions, over which the whole market is spread.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn windows_are_the_same_with_4_and_with_16_partitions() {
    let now = SystemClock::default().now();
    let start = Timestamp::from_millis(now.as_millis() / WINDOW_MS * WINDOW_MS - 36 * WINDOW_MS);
    let posts = raw_posts(start, 600);
    for partitions in [4, 16] {
        let bench = Bench::with_partitions(partitions).await;
        bench.publish(&posts).await;
        let services = bench.start_with(&["--spread-market-from", "1970-01-01T00:00:00Z"], &[]);
        let windows = wait_for_windows(&bench, &oracle(&posts)).await;
        services.stop().await;
        let market = windows.values().filter(|window| window.asset == "*");
        assert!(
            market.clone().count() > 0 && market.map(|w| &w.lineage.input_topic).all(|of| of == "trends.market.v1")
        );
        let changelog = format!("{}-windows-changelog", vigie_processors::trends::APPLICATION_ID);
        assert_eq!(bench.partitions(&changelog), Some(partitions), "changelogs follow");
    }
}

/// State that moved goes on: posts that were seen before are known, edited and deleted ones are taken from their windows, and revisions go
/// up by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn windows_go_on_after_partitions_were_added() {
    let mut bench = Bench::new().await;
    let start = SystemClock::default().now().as_millis() / WINDOW_MS * WINDOW_MS - 36 * WINDOW_MS;
    let posts = raw_posts(Timestamp::from_millis(start), 600);
    let (first, rest) = posts.split_at(400);
    bench.publish(first).await;
    let services = bench.start();
    wait_for_windows(&bench, &oracle(first)).await;
    services.stop().await;

    let grown = bench.grow(8).await;
    let moved = |application: &str| {
        let of = grown.iter().find(|grown| grown.application == application).unwrap();
        (of.new_tasks, of.moved_entries > 0)
    };
    assert_eq!([sentiment::APPLICATION_ID, trends::APPLICATION_ID].map(moved), [(4, true); 2]);
    assert_eq!(moved(trends::TERMS_APPLICATION_ID), (0, false), "it does not run here");
    for topic in [Topic::PostsRaw, Topic::PostsMentions, Topic::InsightsTrends, Topic::PostsTerms] {
        assert_eq!(bench.partitions(topic.name()), Some(8), "{topic:?}");
    }

    bench.publish(&first[..200]).await;
    bench.publish_deletion(&first[1].post_id).await;
    bench.publish(rest).await;
    let services = bench.start();
    let left: Vec<_> = posts.iter().filter(|post| post.post_id != first[1].post_id).cloned().collect();
    wait_for_windows(&bench, &oracle(&left)).await;
    services.wait_until_ready().await;
    services.stop().await;
    let scored: Vec<ScoredPost> = bench.decoded("insights.sentiment.v1").await;
    assert_eq!(scored.len(), posts.len() + 1, "each post is scored once, and one is taken back");
}
