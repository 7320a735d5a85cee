//! What the history holds.

use vigie_clock::Timestamp;
use vigie_schemas::{Topic, TrendInsight};
use vigie_sinks::{RunFinished, RunStarted, RunState, migrate, record_run_finished, record_run_started};

use crate::harness::{Pipeline, eventually};
use crate::records::{T0, alert, fetch, forecast, post, term, trend};

fn keyed<T>(records: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> Vec<(String, T)> {
    records.into_iter().map(|record| (key(&record), record)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_applied_once_also_by_two_at_once() {
    let pipeline = Pipeline::new().await;
    pipeline.db().await.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    let url = pipeline.stack.postgres_url.parse().unwrap();
    let (one, other) = tokio::join!(migrate(&url), migrate(&url));
    let mut applied = [one.unwrap(), other.unwrap()].concat();
    applied.sort();
    let names: Vec<&str> = vigie_schemas::sql::MIGRATIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(applied, names);
    assert!(migrate(&url).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_insight_reaches_its_table() {
    let pipeline = Pipeline::new().await;
    let mut replayed = post(7);
    replayed.lineage.run_id = "run-1".to_owned();
    replayed.score = None;
    let posts = keyed((0..20).map(post), |post| post.post_id.clone());
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    pipeline.publish_all(Topic::ReplaysSentiment, &[("rss:7".to_owned(), replayed)]).await;
    let foretold = TrendInsight { forecast: Some(forecast()), no_forecast_reason: None, ..trend("BTC", 0, 2, 5) };
    let trends = [trend("BTC", 0, 1, 3), foretold, trend("*", 0, 1, 9)];
    pipeline.publish_all(Topic::InsightsTrends, &keyed(trends, |trend| trend.asset.clone())).await;
    pipeline.publish_all(Topic::InsightsAlerts, &[("BTC".to_owned(), alert("BTC", 0))]).await;
    let terms = [term("depeg", 2, 15), term("depeg", 1, 12), term("ust", 1, 20)];
    pipeline.publish_all(Topic::InsightsTerms, &keyed(terms, |term| term.term.clone())).await;
    let fetches =
        [fetch("a", 0, "fetched"), fetch("a", 1, "failed"), fetch("a", 2, "failed"), fetch("b", 0, "fetched")];
    pipeline.publish_all(Topic::SourcesFetches, &keyed(fetches, |fetch| fetch.source.clone())).await;

    let sink = pipeline.start_postgres();
    pipeline.until_number("SELECT count(*) FROM posts WHERE run_id = 'live'", 20).await;
    pipeline.until_number("SELECT count(*) FROM posts WHERE run_id = 'run-1' AND score IS NULL", 1).await;
    pipeline.until_number("SELECT count(*) FROM trend_window_revisions", 3).await;
    pipeline
        .until_number("SELECT count(*) FROM alerts WHERE asset = 'BTC' AND value = 120 AND expected = 10.5 AND scale_seconds = 3600", 1)
        .await;
    pipeline
        .until_number(
            "SELECT count(*) FROM terms WHERE run_id = 'live' AND window_seconds = 3600 AND authors IN (15, 20) AND significance = 3.5 \
             AND assets = E'LUNC\\nUST' AND asset IS NULL AND examples = '1652100000001 rss:1 '",
            2,
        )
        .await;
    pipeline.until_number("SELECT count(*) FROM fetches", 4).await;
    sink.stop().await;

    let row = pipeline
        .db()
        .await
        .query_one("SELECT * FROM posts WHERE run_id = 'live' AND post_id = 'rss:7'", &[])
        .await
        .unwrap();
    let expected = post(7);
    assert_eq!(row.get::<_, String>("excerpt"), expected.excerpt);
    assert_eq!(row.get::<_, Option<String>>("author_id"), None);
    assert_eq!(row.get::<_, Option<f64>>("p_positive"), Some(0.625));
    assert_eq!(row.get::<_, i64>("input_offset"), 7);
    let millis = "SELECT (extract(epoch FROM published_at) * 1000)::bigint FROM posts WHERE run_id = 'live' AND post_id = 'rss:7'";
    assert_eq!(pipeline.number(millis).await, T0 + 7000);
    let window = "SELECT posts FROM trend_windows WHERE asset = 'BTC' AND revision = 2 AND sources = '{\"sample\": 5}'";
    assert_eq!(pipeline.number(window).await, 5);
    let told = "SELECT count(*) FROM trend_windows WHERE asset = 'BTC' AND next_window_p90 = 4 AND next_hour_p10 = 8 AND next_hour_p50 = 17.5 \
        AND unique_posts = 5 AND spam_posts = 0 AND doubling_probability = 0.125 AND forecast_model = 'fortune' AND no_forecast_reason IS NULL";
    assert_eq!(pipeline.number(told).await, 1);
    let untold =
        "SELECT count(*) FROM trend_window_revisions WHERE next_hour_p50 IS NULL AND no_forecast_reason = 'settling'";
    assert_eq!(pipeline.number(untold).await, 2);
    assert_eq!(pipeline.number("SELECT count(*) FROM post_assets WHERE asset = 'BTC'").await, 21);
    assert_eq!(pipeline.number("SELECT count(*) FROM runs WHERE model = 'words@1' AND state = 'running'").await, 2);
    let source = pipeline
        .db()
        .await
        .query_one("SELECT * FROM fetches WHERE source = 'a' ORDER BY at DESC LIMIT 1", &[])
        .await
        .unwrap();
    assert_eq!(source.get::<_, String>("decision"), "failed");
    assert_eq!(source.get::<_, Option<String>>("reason").as_deref(), Some("connection refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivery_changes_nothing() {
    let pipeline = Pipeline::new().await;
    let posts = keyed((0..500).map(post), |post| post.post_id.clone());
    let trends = keyed((0..300).map(|n| trend("BTC", n % 10, (n / 10 + 1) as i32, n)), |_| "BTC".to_owned());
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    pipeline.publish_all(Topic::InsightsTrends, &trends).await;
    pipeline.publish_all(Topic::InsightsAlerts, &[("BTC".to_owned(), alert("BTC", 0))]).await;
    let sink = pipeline.start_postgres();
    pipeline.until_number("SELECT count(*) FROM posts", 500).await;
    pipeline.until_number("SELECT count(*) FROM trend_window_revisions", 300).await;
    pipeline.until_number("SELECT count(*) FROM alerts", 1).await;
    sink.stop().await;
    let before = pipeline.fingerprint().await;

    // All of it again, under new offsets too, and the sink begins from the start.
    pipeline.publish_all(Topic::InsightsSentiment, &posts).await;
    pipeline.publish_all(Topic::InsightsTrends, &trends).await;
    pipeline.publish_all(Topic::InsightsAlerts, &[("BTC".to_owned(), alert("BTC", 0))]).await;
    pipeline.publish_all(Topic::SourcesFetches, &[("a".to_owned(), fetch("a", 0, "fetched"))]).await;
    pipeline.execute("DELETE FROM sink_offsets", &[]).await;
    let sink = pipeline.start_postgres();
    pipeline.until_number("SELECT count(*) FROM fetches", 1).await;
    eventually("all is read again", async || {
        let read = sink.metric("vigie_sinks_records_total");
        if read >= 1603.0 { Ok(()) } else { Err(read) }
    })
    .await;
    sink.stop().await;
    assert_eq!(pipeline.fingerprint().await, before);
    assert_eq!(pipeline.number("SELECT count(*) FROM fetches").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_revision_never_overwrites() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    for (stored, (revision, posts)) in [(2, 20), (5, 50), (3, 30), (4, 40), (1, 10)].into_iter().enumerate() {
        pipeline.publish_all(Topic::InsightsTrends, &[("ETH".to_owned(), trend("ETH", 0, revision, posts))]).await;
        // Each in a batch of its own.
        pipeline.until_number("SELECT count(*) FROM trend_window_revisions", stored as i64 + 1).await;
    }
    assert_eq!(pipeline.number("SELECT posts FROM trend_windows WHERE asset = 'ETH'").await, 50);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revised_post_replaces_the_older_one_with_its_assets() {
    let pipeline = Pipeline::new().await;
    let mut revised = post(1);
    revised.assets[0].asset = "ETH".to_owned();
    revised.lineage.last_offset = 50;
    let sink = pipeline.start_postgres();
    pipeline.publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), post(1))]).await;
    pipeline.until_number("SELECT count(*) FROM post_assets WHERE asset = 'BTC'", 1).await;
    pipeline.publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), revised)]).await;
    pipeline.until_number("SELECT count(*) FROM post_assets WHERE asset = 'ETH'", 1).await;
    assert_eq!(pipeline.number("SELECT count(*) FROM post_assets").await, 1);
    // The older one comes again: neither it nor its asset returns.
    pipeline
        .publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), post(1)), ("rss:2".to_owned(), post(2))])
        .await;
    pipeline.until_number("SELECT count(*) FROM posts", 2).await;
    eventually("both are read", async || {
        let read = sink.metric("vigie_sinks_records_total");
        if read == 4.0 { Ok(()) } else { Err(read) }
    })
    .await;
    assert_eq!(pipeline.number("SELECT input_offset FROM posts WHERE post_id = 'rss:1'").await, 50);
    assert_eq!(pipeline.number("SELECT count(*) FROM post_assets WHERE post_id = 'rss:1' AND asset = 'BTC'").await, 0);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_replaces_a_post_and_a_deletion_leaves_nothing_of_what_it_said() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    let mut edited = post(1);
    edited.revision = 2;
    edited.lineage.last_offset = 50;
    edited.fingerprint = Some(-7);
    edited.spam_score = Some(0.5);
    edited.spam_reasons = vec!["promotion".to_owned()];
    let mut gone = post(1);
    (gone.url, gone.title, gone.excerpt, gone.score) = (None, None, String::new(), None);
    (gone.revision, gone.deleted_at) = (3, Some(Timestamp::from_millis(T0)));
    gone.assets.clear();
    gone.lineage.last_offset = 60;
    let publish = async |post| pipeline.publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), post)]).await;
    publish(post(1)).await;
    publish(edited).await;
    let sql = "SELECT count(*) FROM posts WHERE revision = 2 AND fingerprint = -7 AND spam_score = 0.5 AND spam_reasons = '[\"promotion\"]'";
    pipeline.until_number(sql, 1).await;
    publish(gone).await;
    let sql = "SELECT count(*) FROM posts WHERE revision = 3 AND deleted_at = '2022-05-09T12:40:00Z' AND title IS NULL AND excerpt = '' AND url IS NULL";
    pipeline.until_number(sql, 1).await;
    assert_eq!(pipeline.number("SELECT count(*) FROM post_assets").await, 0);
    // The first revision comes again, by whatever way.
    publish(post(1)).await;
    pipeline.publish_all(Topic::InsightsSentiment, &[("rss:2".to_owned(), post(2))]).await;
    pipeline.until_number("SELECT count(*) FROM posts WHERE post_id = 'rss:2'", 1).await;
    eventually("all are read", async || {
        let read = sink.metric("vigie_sinks_records_total");
        if read == 5.0 { Ok(()) } else { Err(read) }
    })
    .await;
    assert_eq!(pipeline.number("SELECT count(*) FROM posts WHERE post_id = 'rss:1' AND excerpt = ''").await, 1);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_recorded_from_start_to_end() {
    let pipeline = Pipeline::new().await;
    let url = pipeline.stack.postgres_url.parse().unwrap();
    let started = RunStarted {
        run_id: "run-9".to_owned(),
        topic: "posts.raw.v1".to_owned(),
        from_time: Some(Timestamp::from_millis(T0)),
        to_time: None,
        model: "words@2".to_owned(),
        started_at: Timestamp::from_millis(T0),
        detail: serde_json::json!({"offsets": [1, 2]}),
    };
    let finished = RunFinished {
        run_id: "run-9".to_owned(),
        state: RunState::Finished,
        finished_at: Timestamp::from_millis(T0 + 1000),
        posts: Some(12),
        detail: serde_json::json!({"note": "done"}),
    };
    assert!(record_run_finished(&url, &finished).await.is_err(), "unknown run");
    record_run_started(&url, &started).await.unwrap();
    record_run_finished(&url, &finished).await.unwrap();
    let sql = "SELECT count(*) FROM runs WHERE run_id = 'run-9' AND state = 'finished' AND posts = 12
        AND detail = '{\"offsets\": [1, 2], \"note\": \"done\"}' AND from_time = '2022-05-09T12:40:00Z' AND to_time IS NULL";
    assert_eq!(pipeline.number(sql).await, 1);
}
