//! Tables by time: partitions for rows of any date, and what leaves with them.

use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_schemas::{AssetMention, ScoredPost, Topic};
use vigie_sinks::{PostgresSinkConfig, Retention, run_postgres};

use crate::harness::{Pipeline, Service};
use crate::records::{fetch, post, trend};

const POSTS: &str = "SELECT count(*) FROM posts";
const OLD: &str = "SELECT count(*) FROM posts WHERE published_at < now() - interval '100 days'";
const ALL: &str =
    "SELECT (SELECT count(*) FROM posts) + (SELECT count(*) FROM post_assets) + (SELECT count(*) FROM trend_windows)
    + (SELECT count(*) FROM trend_window_revisions) + (SELECT count(*) FROM fetches)";
const ADDED_UP: &str = "SELECT (SELECT count(*) FROM stored_hours) + (SELECT count(*) FROM run_assets)";

fn published(n: i64, at: &str) -> (String, ScoredPost) {
    let dated = ScoredPost { published_at: Timestamp::parse_rfc3339(at).unwrap(), ..post(n) };
    (dated.post_id.clone(), dated)
}

fn now() -> String {
    SystemClock::default().now().to_string()
}

fn keeping(pipeline: &Pipeline, days: i32) -> Service {
    let keep = Retention {
        keep_posts_days: Some(days),
        keep_windows_days: Some(days),
        keep_revisions_days: Some(days),
        keep_fetches_days: Some(days),
    };
    let config = PostgresSinkConfig { keep, ..pipeline.postgres_config() };
    Service::start(|ctx| tokio::spawn(run_postgres(config.check().unwrap(), ctx)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_any_date_is_stored_once() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    let dates = [
        "0001-01-01T00:00:00Z",
        "2008-12-31T23:59:59.999Z",
        "2009-01-03T18:15:05Z",
        "2031-03-31T23:59:59.999Z",
        "9998-12-31T00:00:00Z",
    ];
    let mut posts: Vec<_> = (1..).zip(dates).map(|(n, at)| published(n, at)).collect();
    posts.push(published(6, &now()));
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    pipeline.until_number(POSTS, 6).await;
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    pipeline.publish_all(Topic::InsightsSentiment, &[published(7, &now())]).await;
    pipeline.until_number(POSTS, 7).await;
    assert_eq!(pipeline.number("SELECT count(*) FROM post_assets").await, 7);
    let month = "SELECT count(*) FROM stored_posts_2009_01 WHERE post_id = 'rss:3'";
    assert_eq!(pipeline.number(month).await, 1);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_revision_takes_the_place_of_the_earlier_one_and_of_its_assets() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    let (key, first) = published(1, "2022-05-31T23:59:59.999Z");
    let eth = AssetMention { asset: "ETH".to_owned(), evidence: "name".to_owned(), ..AssetMention::default() };
    let mut edited = ScoredPost { revision: 2, assets: vec![eth], ..first.clone() };
    edited.lineage.last_offset = 2;
    // From another partition of another topic: the later score counts, not the offset.
    let mut moved = ScoredPost {
        revision: 3,
        scored_at: first.scored_at.saturating_add(std::time::Duration::from_secs(1)),
        ..first.clone()
    };
    (moved.lineage.input_topic, moved.lineage.last_offset) = ("posts.raw.v2".to_owned(), 0);
    let what = "SELECT coalesce(max(revision), 0)::bigint FROM posts";
    for (record, asset) in [(&first, "BTC"), (&edited, "ETH"), (&moved, "BTC")] {
        pipeline.publish_all(Topic::InsightsSentiment, &[(key.clone(), record.clone())]).await;
        pipeline.until_number(what, i64::from(record.revision)).await;
        pipeline
            .until_number(
                &format!("SELECT count(*) FILTER (WHERE asset = '{asset}') * 10 + count(*) FROM post_assets"),
                11,
            )
            .await;
    }
    pipeline.publish_all(Topic::InsightsSentiment, &[(key, first), published(2, "2022-05-31T23:59:59.999Z")]).await;
    pipeline.until_number(POSTS, 2).await;
    assert_eq!(pipeline.number("SELECT max(revision)::bigint FROM posts").await, 3, "an earlier one changes nothing");
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_kept_for_ever_by_default_and_goes_by_month_where_a_retention_is_set() {
    let pipeline = Pipeline::new().await;
    let mut posts = [published(1, "1999-01-01T00:00:00Z"), published(2, "2022-05-09T12:40:00Z"), published(3, &now())];
    posts[1].1.author_id = Some("of then".to_owned());
    (posts[2].1.author_id, posts[2].1.fetched_at) = (Some("of today".to_owned()), posts[2].1.published_at);
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    pipeline.publish_all(Topic::InsightsTrends, &[("BTC".to_owned(), trend("BTC", 0, 1, 3))]).await;
    pipeline.publish_all(Topic::SourcesFetches, &[("s".to_owned(), fetch("s", 0, "fetched"))]).await;
    let sink = pipeline.start_postgres();
    pipeline.until_number(ALL, 9).await;
    assert_eq!(pipeline.number("SELECT count(*) FROM authors").await, 2);
    assert_eq!(pipeline.number(ADDED_UP).await, 2);
    sink.stop().await;
    let sink = keeping(&pipeline, 100);
    pipeline.until_number(ALL, 2).await;
    assert_eq!(
        pipeline.number("SELECT count(*) FROM posts WHERE post_id = 'rss:3' AND author_id = 'of today'").await,
        1
    );
    pipeline.until_number("SELECT count(*) FROM authors", 1).await;
    // What has come is known to the planner before autovacuum has its turn.
    let month = format!("post_assets_{}", now()[..7].replace('-', "_"));
    pipeline
        .until_number(
            &format!("SELECT sum(analyze_count)::bigint FROM pg_stat_user_tables WHERE relname = '{month}'"),
            1,
        )
        .await;
    let ahead = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'stored_windows'::regclass";
    pipeline.until_number(ahead, 2 + 3).await;
    assert_eq!(pipeline.number(ADDED_UP).await, 0);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_upkeep_is_locked_out_goes_on_writing() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    pipeline.publish_all(Topic::InsightsSentiment, &[published(1, "2022-05-09T12:40:00Z")]).await;
    pipeline.until_number(POSTS, 1).await;
    sink.stop().await;
    // A reader that takes its time, and another sink at it.
    pipeline.db().await.batch_execute("BEGIN; SELECT FROM post_assets").await.unwrap();
    let sink = keeping(&pipeline, 100);
    pipeline.publish_all(Topic::InsightsSentiment, &[published(2, &now())]).await;
    pipeline.until_number(POSTS, 2).await;
    pipeline.db().await.batch_execute("COMMIT; SELECT pg_advisory_lock(1885434484)").await.unwrap();
    let other = keeping(&pipeline, 100);
    pipeline.publish_all(Topic::InsightsSentiment, &[published(3, &now())]).await;
    pipeline.until_number(POSTS, 3).await;
    assert_eq!(pipeline.number(OLD).await, 1);
    sink.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_dropped_under_a_sink_is_made_again() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    pipeline.publish_all(Topic::InsightsSentiment, &[published(1, "2022-05-09T12:40:00Z")]).await;
    pipeline.until_number(POSTS, 1).await;
    pipeline.db().await.batch_execute("DROP TABLE post_assets_2022_05; DROP TABLE stored_posts_2022_05").await.unwrap();
    pipeline.publish_all(Topic::InsightsSentiment, &[published(2, "2022-05-09T12:40:00Z")]).await;
    pipeline.until_number("SELECT count(*) FROM post_assets WHERE post_key = post_key('rss:2')", 1).await;
    assert_eq!(pipeline.number(POSTS).await, 1);
    assert!(pipeline.dead_letters(Topic::InsightsSentiment).await.is_empty());
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_of_a_closed_month_are_rebuilt_once_and_still_know_what_is_there() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    pipeline.publish_all(Topic::InsightsSentiment, &[published(1, "2022-05-09T12:40:00Z"), published(2, &now())]).await;
    pipeline.until_number(POSTS, 2).await;
    sink.stop().await;
    // What a rebuild that was broken off leaves.
    let left = "CREATE INDEX left_ccnew ON stored_posts_2022_05 (fetched_at); \
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'left_ccnew'::regclass";
    pipeline.db().await.batch_execute(left).await.unwrap();
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'stored_posts_2022_05'::regclass";
    let (whole, key) = (
        pipeline.number(indexes).await,
        "SELECT max(indexrelid)::bigint FROM pg_index WHERE indrelid = 'stored_posts_2022_05'::regclass AND indisunique",
    );
    let before = pipeline.number(key).await;
    let sink = pipeline.start_postgres();
    let rebuilt = "SELECT count(*) FROM pg_class WHERE obj_description(oid, 'pg_class') = 'indexes rebuilt'";
    pipeline.until_number(rebuilt, 2).await;
    assert_eq!(pipeline.number(indexes).await, whole - 1);
    let after = pipeline.number(key).await;
    assert_ne!(after, before);
    sink.stop().await;
    let sink = pipeline.start_postgres();
    // The first comes again, another is new.
    pipeline
        .publish_all(
            Topic::InsightsSentiment,
            &[published(1, "2022-05-09T12:40:00Z"), published(3, "2022-05-09T12:41:00Z")],
        )
        .await;
    pipeline.until_number(POSTS, 3).await;
    assert_eq!(pipeline.number("SELECT count(*) FROM post_assets").await, 3);
    assert_eq!(pipeline.number(key).await, after);
    sink.stop().await;
}
