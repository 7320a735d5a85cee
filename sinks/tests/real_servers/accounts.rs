//! Final windows against the posts that are stored.

use std::time::Duration;

use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_schemas::{ScoredPost, Topic, TrendInsight};

use crate::harness::{Pipeline, Service, eventually};
use crate::records::{WINDOW, post, trend};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const CHECKED: &str = "vigie_sinks_windows_checked_total";
const MISMATCHES: &str = "vigie_sinks_window_mismatches_total";

/// The start of a window that was closed some minutes ago, after a grace of six hours.
fn start() -> i64 {
    (SystemClock::default().now().as_millis() - 6 * HOUR - 30 * MINUTE).div_euclid(WINDOW) * WINDOW
}

/// Post number `n`, published in the first minutes of `window` and scored `after` so long.
fn scored(n: i64, window: i64, after: i64) -> (String, ScoredPost) {
    let mut post = post(n);
    post.published_at = Timestamp::from_millis(window + n * 1000);
    post.scored_at = Timestamp::from_millis(window + n * 1000 + after);
    (post.post_id.clone(), post)
}

/// A revision of the whole market.
fn market(window: i64, emitted_at: i64, posts: i64, last: bool) -> (String, TrendInsight) {
    let at = Timestamp::from_millis;
    let (window_start, window_end) = (at(window), at(window + WINDOW));
    let revision = if last { 2 } else { 1 };
    let insight = TrendInsight {
        window_start,
        window_end,
        r#final: last,
        emitted_at: at(emitted_at),
        ..trend("*", 0, revision, posts)
    };
    ("*".to_owned(), insight)
}

/// Publishes windows that are final: each with its posts as counted. A later window says how far the topology had come.
async fn close(pipeline: &Pipeline, windows: &[(i64, i64)]) {
    let closed_at = windows.iter().map(|(window, _)| window + 6 * HOUR + WINDOW).max().unwrap();
    let newer = market(closed_at.div_euclid(WINDOW) * WINDOW, closed_at - 1, 1, false);
    let finals = windows.iter().map(|(window, posts)| market(*window, closed_at, *posts, true));
    let all: Vec<_> = std::iter::once(newer).chain(finals).collect();
    pipeline.publish_all(Topic::InsightsTrends, &all).await;
}

async fn until_checked(sink: &Service, windows: f64) {
    eventually("the windows are checked", async || {
        let checked = sink.metric(CHECKED);
        if checked == windows { Ok(()) } else { Err(checked) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_window_that_lost_posts_is_reported_and_the_sink_is_not_ready() {
    let pipeline = Pipeline::new().await;
    let window = start();
    let posts: Vec<_> = (0..19).map(|n| scored(n, window, 2000)).collect();
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    close(&pipeline, &[(window - WINDOW, 0), (window, 12)]).await;
    let sink = pipeline.start_postgres();
    until_checked(&sink, 2.0).await;
    assert_eq!(sink.metric(MISMATCHES), 1.0);
    let report = sink.ctx.health.report();
    let why = format!("{:?}", report.components);
    assert!(!report.ready && why.contains("counts 12 posts, and 19 to 19 are stored"), "{why}");
    sink.stop().await;

    // A restart looks again, and finds that somebody has put it right.
    pipeline.execute("UPDATE stored_windows SET posts = 19 WHERE posts = 12", &[]).await;
    let sink = pipeline.start_postgres();
    until_checked(&sink, 2.0).await;
    assert!(sink.ready() && sink.metric(MISMATCHES) == 0.0);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_counts_more_than_is_stored_is_reported_unless_a_dead_letter_may_be_why() {
    let pipeline = Pipeline::new().await;
    let window = start();
    let mut odd = scored(7, window, 2000);
    odd.1.score = Some(f64::NAN);
    let posts = [scored(1, window, 2000), odd];
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    // One is a dead letter, and leaves room for a post and the mark of its transaction. The other window lacks three.
    close(&pipeline, &[(window, 2), (window + WINDOW, 3)]).await;
    let sink = pipeline.start_postgres();
    until_checked(&sink, 2.0).await;
    assert_eq!(sink.metric(MISMATCHES), 1.0);
    assert!(!sink.ready());
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_edited_and_deleted_posts_raise_no_alarm() {
    let pipeline = Pipeline::new().await;
    let window = start();
    let late = scored(100, window, 7 * HOUR);
    let mut edited_late = scored(101, window, 8 * HOUR);
    edited_late.1.revision = 2;
    let (mut deleted, mut deleted_late) = (scored(102, window, 2000), scored(103, window, 8 * HOUR));
    deleted.1.deleted_at = Some(deleted.1.scored_at);
    deleted_late.1.deleted_at = Some(deleted_late.1.scored_at);
    let odd_ones = [late, edited_late, deleted, deleted_late];
    let in_time = (0..10).map(|n| scored(n, window, 2000));
    pipeline.publish_all(Topic::InsightsSentiment, &in_time.chain(odd_ones).collect::<Vec<_>>()).await;
    // Ten in time, the edited one and the one that was deleted later were counted.
    close(&pipeline, &[(window, 12)]).await;
    let sink = pipeline.start_postgres();
    until_checked(&sink, 1.0).await;
    assert!(sink.ready() && sink.metric(MISMATCHES) == 0.0);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_became_final_long_ago_are_left_alone() {
    let pipeline = Pipeline::new().await;
    let (old, window) = (start() - 48 * HOUR, start());
    close(&pipeline, &[(old, 5)]).await;
    close(&pipeline, &[(window, 0)]).await;
    let sink = pipeline.start_postgres();
    until_checked(&sink, 1.0).await;
    assert!(sink.ready() && sink.metric(MISMATCHES) == 0.0);
    tokio::time::timeout(Duration::from_secs(10), sink.stop()).await.unwrap();
}
