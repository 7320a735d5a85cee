//! What the history holds.

use serde_json::json;
use vigie_clock::Timestamp;
use vigie_schemas::{Lineage, RunState, RunWish, ScoredPost, Topic, TrendInsight};
use vigie_sinks::{Promotion, RunFinished, RunRow, RunStarted, Runs, migrate, promote, promoted_runs, rollback};

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
    let mut names = vigie_schemas::sql::MIGRATIONS.map(|(name, _)| name);
    names.sort_unstable();
    assert_eq!(applied, names);
    assert!(migrate(&url).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_are_the_sums_of_their_windows_whatever_the_order_of_revisions() {
    const SEED: u64 = 35;
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    // A small generator (Knuth's MMIX): what comes is random, and the same each time.
    let mut state = SEED;
    let mut random = |below: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap() % below
    };
    let assets = ["BTC", "ETH", "*"];
    let mut revisions = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let some = || {
            let (asset, n, revision) = (assets[random(3) as usize], random(40), 1 + random(5) as i32);
            revisions.insert((asset, n, revision));
            // Redelivered, a revision is the same.
            trend(asset, n, revision, (n * 7 + i64::from(revision) * 13) % 30)
        };
        let batch: Vec<_> = std::iter::repeat_with(some).take(150).collect();
        pipeline.publish_all(Topic::InsightsTrends, &keyed(batch, |trend| trend.asset.clone())).await;
        pipeline.until_number("SELECT count(*) FROM trend_window_revisions", revisions.len() as i64).await;
        let apart = "SELECT count(*) FROM (SELECT run_id, asset, date_trunc('hour', window_start, 'UTC') AS hour, sum(posts) AS posts, \
               sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL) AS scored, min(first_offset) AS first, \
               max(last_offset) AS last, sum(mean_score * (negative + neutral + positive)) AS sum, count(*) AS windows, \
               sum(negative) AS negative, sum(neutral) AS neutral, sum(positive) AS positive, sum(unique_posts) AS unique_posts, \
               sum(spam_posts) AS spam_posts, bool_and(final) AS final, max(emitted_at) AS emitted_at, max(anomaly_score) AS anomaly_score \
               FROM stored_windows GROUP BY 1, 2, 3) w FULL JOIN stored_hours h USING (run_id, asset, hour) \
             WHERE (w.posts, w.scored, w.first, w.last, w.sum, w.windows, w.negative, w.neutral, w.positive, w.unique_posts, w.spam_posts, \
               w.final, w.emitted_at, w.anomaly_score) IS DISTINCT FROM (h.posts, h.scored, h.first_offset, h.last_offset, h.score_sum, \
               h.windows, h.negative, h.neutral, h.positive, h.unique_posts, h.spam_posts, h.final, h.emitted_at, h.anomaly_score)";
        assert_eq!(pipeline.number(apart).await, 0, "seed {SEED}");
        let apart = "SELECT count(*) FROM (SELECT run_id, asset, min(window_start) AS first, max(window_start) AS latest FROM stored_windows \
            GROUP BY 1, 2) w FULL JOIN run_assets r USING (run_id, asset) WHERE (first, latest) IS DISTINCT FROM (first_window, latest_window)";
        assert_eq!(pipeline.number(apart).await, 0, "seed {SEED}");
    }
    sink.stop().await;
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
    pipeline.until_number("SELECT count(*) FROM trend_window_revisions WHERE tail_probability = 0.03125", 3).await;
    pipeline.until_number("SELECT count(*) FROM trend_windows WHERE tail_probability = 0.03125", 2).await;
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
    let stored = "SELECT count(*) FROM trend_windows WHERE asset = 'BTC' AND next_window_p90 = 4 AND next_hour_p10 = 8 AND next_hour_p50 = 17.5 \
        AND unique_posts = 5 AND spam_posts = 0 AND doubling_probability = 0.125 AND forecast_model = 'fortune' AND no_forecast_reason IS NULL";
    assert_eq!(pipeline.number(stored).await, 1);
    let without =
        "SELECT count(*) FROM trend_window_revisions WHERE next_hour_p50 IS NULL AND no_forecast_reason = 'settling'";
    assert_eq!(pipeline.number(without).await, 2);
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
    (revised.assets[0].label, revised.assets[0].score) = (Some("negative".to_owned()), Some(-0.75));
    revised.lineage.last_offset = 50;
    let sink = pipeline.start_postgres();
    pipeline.publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), post(1))]).await;
    pipeline.until_number("SELECT count(*) FROM post_assets WHERE asset = 'BTC'", 1).await;
    pipeline.publish_all(Topic::InsightsSentiment, &[("rss:1".to_owned(), revised)]).await;
    pipeline.until_number("SELECT count(*) FROM post_assets WHERE asset = 'ETH'", 1).await;
    assert_eq!(pipeline.number("SELECT count(*) FROM post_assets").await, 1);
    let own_mood = "SELECT count(*) FROM post_assets k JOIN posts p USING (post_key) WHERE k.label = 'negative' AND k.score = -0.75 \
         AND p.label <> 'negative' AND p.assets = '{ETH}'";
    assert_eq!(pipeline.number(own_mood).await, 1);
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
    assert_eq!(
        pipeline.number("SELECT count(*) FROM post_assets WHERE post_key = post_key('rss:1') AND asset = 'BTC'").await,
        0
    );
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

fn run(run_id: &str) -> RunStarted {
    RunStarted {
        run_id: run_id.to_owned(),
        topic: "posts.raw.v1".to_owned(),
        from_time: Some(Timestamp::from_millis(T0)),
        to_time: None,
        model: "words@2".to_owned(),
        started_at: Timestamp::from_millis(T0),
        detail: serde_json::json!({"offsets": [1, 2]}),
    }
}

fn end(run_id: &str, state: RunState, detail: serde_json::Value) -> RunFinished {
    let finished_at = Timestamp::from_millis(T0 + 1000);
    RunFinished { run_id: run_id.to_owned(), state, finished_at, posts: Some(12), detail }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_recorded_steered_and_continued_by_one_process_at_a_time() {
    let pipeline = Pipeline::new().await;
    let url = pipeline.stack.postgres_url.parse().unwrap();
    let (process, operator) = (Runs::connect(&url).await.unwrap(), Runs::connect(&url).await.unwrap());
    assert!(process.finished(&end("run-9", RunState::Failed, json!({}))).await.is_err(), "unknown run");
    assert!(operator.want("run-9", RunWish::Pause).await.is_err(), "unknown run");
    assert!(process.claim("run-9").await.unwrap());
    assert!(!operator.claim("run-9").await.unwrap() && operator.claim("run-10").await.unwrap());
    process.started(&run("run-9")).await.unwrap();

    assert_eq!(process.beat("run-9", false, &json!({"done": 1})).await.unwrap(), RunWish::Run);
    operator.want("run-9", RunWish::Pause).await.unwrap();
    assert_eq!(process.beat("run-9", true, &json!({"done": 2})).await.unwrap(), RunWish::Pause);
    let seen = operator.get("run-9").await.unwrap().unwrap();
    assert_eq!(
        (seen.alive, seen.state, seen.wanted, &seen.progress),
        (true, RunState::Paused, RunWish::Pause, &Some(json!({"done": 2})))
    );
    assert_eq!((seen.from_time.as_deref(), seen.to_time), (Some("2022-05-09T12:40:00Z"), None));

    // It is killed, and goes on in another process.
    drop(process);
    eventually("the lock of a closed connection is free", async || {
        if operator.claim("run-9").await.unwrap() { Ok(()) } else { Err("held") }
    })
    .await;
    operator.started(&run("run-9")).await.unwrap();
    assert_eq!(operator.beat("run-9", false, &json!({})).await.unwrap(), RunWish::Run, "a former wish is forgotten");
    let work = json!({"model_sha256": "abc", "work": {"posts": 1_000, "seconds": 4.0}});
    operator.finished(&end("run-9", RunState::Finished, work)).await.unwrap();
    let sql = "SELECT count(*) FROM runs WHERE run_id = 'run-9' AND state = 'finished' AND posts = 12
        AND detail -> 'offsets' = '[1, 2]' AND from_time = '2022-05-09T12:40:00Z' AND to_time IS NULL";
    assert_eq!(pipeline.number(sql).await, 1);

    let pace = async |model| operator.pace(model).await.unwrap().map(|pace| (pace.posts_per_second, pace.same_model));
    assert_eq!((pace("abc").await, pace("other").await), (Some((250.0, true)), Some((250.0, false))));
    let ids = |runs: Vec<RunRow>| runs.into_iter().map(|run| run.run_id).collect::<Vec<_>>();
    assert_eq!(ids(operator.list(10).await.unwrap()), ["run-9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_of_a_run_can_be_removed_and_no_others() {
    let pipeline = Pipeline::new().await;
    let sink = pipeline.start_postgres();
    let mut runs = Runs::connect(&pipeline.stack.postgres_url.parse().unwrap()).await.unwrap();
    runs.started(&run("run-1")).await.unwrap();
    let replayed = |n| {
        let post = post(n);
        ScoredPost { lineage: Lineage { run_id: "run-1".to_owned(), ..post.lineage }, ..post }
    };
    let window = trend("BTC", 0, 1, 5);
    let window = TrendInsight { lineage: Lineage { run_id: "run-1".to_owned(), ..window.lineage }, ..window };
    pipeline.publish_all(Topic::InsightsSentiment, &keyed((0..20).map(post), |post| post.post_id.clone())).await;
    pipeline.publish_all(Topic::ReplaysSentiment, &keyed((0..20).map(replayed), |post| post.post_id.clone())).await;
    pipeline.publish_all(Topic::ReplaysTrends, &[("BTC".to_owned(), window)]).await;
    pipeline.until_number("SELECT count(*) FROM posts", 40).await;
    pipeline.until_number("SELECT count(*) FROM trend_windows WHERE run_id = 'run-1'", 1).await;
    assert!(runs.sink_offsets(Topic::ReplaysTrends.name()).await.unwrap().values().sum::<i64>() > 0);
    let live = "SELECT count(*) FROM posts WHERE run_id = 'live'";
    let before = pipeline.number(live).await;
    let removed = runs.remove("run-1").await.unwrap();
    assert!(removed["stored_posts"] > 0 && removed["stored_windows"] > 0 && removed["runs"] == 1, "{removed:?}");
    let tables = [
        "posts",
        "post_assets",
        "trend_windows",
        "trend_window_revisions",
        "stored_hours",
        "run_assets",
        "alerts",
        "runs",
    ];
    for table in tables {
        assert_eq!(
            pipeline.number(&format!("SELECT count(*) FROM {table} WHERE run_id = 'run-1'")).await,
            0,
            "{table}"
        );
    }
    assert_eq!(pipeline.number(live).await, before);
    sink.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_is_finished_and_all_there_is_promoted() {
    let pipeline = Pipeline::new().await;
    let url = pipeline.stack.postgres_url.parse().unwrap();
    migrate(&url).await.unwrap();
    let mut runs = Runs::connect(&url).await.unwrap();
    let attempt = async |run: &str, from: Option<i64>, to: Option<i64>| {
        let time = |minutes: Option<i64>| minutes.map(|minutes| Timestamp::from_millis(T0 + minutes * 60_000));
        let (from, to) = (time(from), time(to));
        let promotion = Promotion { run_id: run.to_owned(), from, to, incomplete: false, reason: Some("why".into()) };
        promote(&url, &promotion).await.map_err(|error| error.to_string())
    };
    assert_eq!(attempt("r1", None, None).await, Err("run r1 is not recorded, see /v1/runs".to_owned()));
    // From 12:42 to 12:58: the whole windows are those from 12:45 to 12:55.
    let mut started = RunStarted {
        run_id: "r1".to_owned(),
        topic: "posts.raw.v1".to_owned(),
        from_time: Some(Timestamp::from_millis(T0 + 120_000)),
        to_time: Some(Timestamp::from_millis(T0 + 1_080_000)),
        model: "words@2".to_owned(),
        started_at: Timestamp::from_millis(T0),
        detail: serde_json::json!({}),
    };
    runs.started(&started).await.unwrap();
    let state = Err("run r1 is running, expected one that is finished".to_owned());
    assert_eq!(attempt("r1", None, None).await, state);
    let finished = |state, posts, detail| RunFinished {
        run_id: "r1".to_owned(),
        state,
        finished_at: Timestamp::from_millis(T0 + 1000),
        posts,
        detail,
    };
    runs.finished(&finished(RunState::Failed, None, serde_json::json!({}))).await.unwrap();
    assert!(attempt("r1", None, None).await.unwrap_err().contains("is failed"));
    runs.finished(&finished(RunState::Finished, Some(0), serde_json::json!({}))).await.unwrap();
    assert!(attempt("r1", None, None).await.unwrap_err().contains("has no range and no counts"));
    let counts = serde_json::json!({"windows": 1});
    runs.finished(&finished(RunState::Finished, Some(0), counts)).await.unwrap();
    assert!(attempt("r1", None, None).await.unwrap_err().contains("0 of 1 windows are in postgresql"));
    let window = "INSERT INTO stored_windows (window_start, emitted_at, first_offset, last_offset, window_seconds, revision, posts, \
        unique_authors, negative, neutral, positive, lineage_id, final, sample, run_id, asset, sources) \
        SELECT now, now, 1, 1, 300, 1, 1, 1, 0, 0, 0, 1, true, false, 'r1', '*', '' FROM (SELECT timestamptz '1999-01-01' AS now) t";
    pipeline.execute(window, &[]).await;
    for (from, to) in [(Some(0), None), (None, Some(16)), (Some(12), Some(8))] {
        let error = attempt("r1", from, to).await.unwrap_err();
        assert!(error.contains("within that of run r1: 2022-05-09T12:45:00Z to 2022-05-09T12:55:00Z"), "{error}");
    }
    assert!(promoted_runs(&url).await.unwrap().is_empty());

    pipeline.execute("UPDATE runs SET detail = detail || '{\"complete\": false}'", &[]).await;
    assert!(attempt("r1", None, None).await.unwrap_err().contains("posts of its range were gone"));
    let reason = Some("why".to_owned());
    let promotion = Promotion { run_id: "r1".to_owned(), from: None, to: None, incomplete: true, reason };
    let promoted = promote(&url, &promotion).await.unwrap();
    pipeline.execute("UPDATE runs SET detail = detail - 'complete'", &[]).await;
    assert_eq!(
        (promoted.switch.from.to_string(), promoted.switch.to.to_string()),
        ("2022-05-09T12:45:00Z".to_owned(), "2022-05-09T12:55:00Z".to_owned())
    );
    assert_eq!(attempt("r1", Some(11), None).await.unwrap_err(), "run r1 is served for this range already");
    assert!(runs.started(&started).await.unwrap_err().to_string().contains("run r1 is served"));
    assert!(runs.remove("r1").await.unwrap_err().to_string().contains("run r1 is served"));
    started.run_id = "r2".to_owned();
    runs.started(&started).await.unwrap();
    assert_eq!(rollback(&url, Some("r2")).await.unwrap_err().to_string(), "run r2 is not promoted");
    let back = rollback(&url, None).await.unwrap();
    assert_eq!(back.switch.id, promoted.switch.id);
    assert!(back.switch.rolled_back_at >= Some(promoted.switch.promoted_at));
    assert_eq!(rollback(&url, None).await.unwrap_err().to_string(), "no run is promoted");
    assert_eq!(promoted_runs(&url).await.unwrap(), [back]);
    let offsets = "UPDATE runs SET detail = detail || jsonb_build_object('offsets', $1::text::jsonb)";
    pipeline.execute(offsets, &[&r#"[{"partition": 0}]"#]).await;
    assert_eq!(
        attempt("r1", None, None).await.unwrap_err(),
        "run r1 is of a part of the posts, by offsets, source or asset; expected one of all"
    );
    pipeline.execute(offsets, &[&"[]"]).await;
    pipeline.execute("UPDATE runs SET detail = detail || '{\"only\": {\"assets\": [\"BTC\"]}}'", &[]).await;
    assert!(attempt("r1", None, None).await.unwrap_err().contains("a part of the posts"));
    pipeline.execute("UPDATE runs SET detail = detail - 'only'", &[]).await;
    // One half of it, widened to a whole window.
    let again = attempt("r1", Some(11), None).await.unwrap();
    assert_eq!(again.switch.from.to_string(), "2022-05-09T12:50:00Z");
}
