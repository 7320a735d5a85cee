//! What is read from the table of hours is what the windows add up to, whatever was written,
//! revised or deleted.

use serde_json::{Value, json};

use crate::world::World;

/// Rows of `served` windows as /v1/assets tells them, from the windows alone. The day ends with the
/// newest window.
const FROM_WINDOWS: &str = "WITH served AS (SELECT * FROM stored_windows WHERE run_id = CASE WHEN window_start >= {from} AND window_start < {to} \
      THEN 'run-9' ELSE 'live' END), \
    reached AS (SELECT max(window_start) + interval '5 minutes' AS at FROM served), \
    day AS (SELECT * FROM served, reached WHERE window_start >= at - interval '1 day'), \
    sums AS (SELECT asset, sum(posts) AS posts_24h, sum(posts) FILTER (WHERE window_start >= at - interval '1 hour') AS posts_1h, \
      sum(mean_score * (negative + neutral + positive)) / nullif(sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL), 0) AS mean, \
      bool_or(sample) AS sample FROM day GROUP BY asset), \
    latest AS (SELECT DISTINCT ON (asset) * FROM served ORDER BY asset, window_start DESC), \
    market AS (SELECT * FROM sums WHERE asset = '*'), \
    inputs AS (SELECT input_topic, input_partition, min(first_offset) AS first, max(last_offset) AS last FROM day \
      JOIN lineages ON id = lineage_id GROUP BY 1, 2) \
    SELECT json_agg(json_build_object('asset', l.asset, 'first', extract(epoch FROM (SELECT min(window_start) FROM served s WHERE s.asset = l.asset))::bigint, \
      'latest', extract(epoch FROM l.window_start)::bigint, 'run', l.run_id, 'revision', l.revision, \
      'posts_1h', coalesce(s.posts_1h, m.posts_1h * 0), 'posts_24h', coalesce(s.posts_24h, m.posts_24h * 0), 'mean', s.mean) ORDER BY l.asset)::text, \
      (bool_or(s.sample) OR bool_or(l.sample))::text, (SELECT json_agg(json_build_array(input_topic, input_partition, first, last)) FROM inputs)::text \
    FROM latest l LEFT JOIN sums s USING (asset) LEFT JOIN market m ON true";

fn seconds(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

async fn compare(world: &World, promoted: (&str, &str), round: usize) {
    let sql = FROM_WINDOWS.replace("{from}", promoted.0).replace("{to}", promoted.1);
    let row = world.db.query_one(&sql, &[]).await.unwrap();
    let parsed = |at: usize| serde_json::from_str::<Value>(row.get(at)).unwrap();
    let answer = world.json("/v1/assets").await;
    let mut expected = parsed(0);
    let listed = answer["assets"].as_array().unwrap();
    let mut rows = Vec::new();
    for (asset, expected) in listed.iter().zip(expected.as_array_mut().unwrap()) {
        // Sums of hours are added in another order.
        let (mean, from_windows) = (&asset["mean_score_24h"], &expected["mean"]);
        if let (Some(mean), Some(other)) = (mean.as_f64(), from_windows.as_f64()) {
            assert!((mean - other).abs() < 1e-12, "round {round}: {mean}, {other}");
            expected["mean"] = mean.into();
        }
        let latest = &asset["latest_window"];
        rows.push(json!({
            "asset": asset["asset"], "first": seconds(&asset["first_window"]), "latest": seconds(&latest["start"]), "run": latest["run_id"],
            "revision": latest["revision"], "posts_1h": asset["posts_1h"], "posts_24h": asset["posts_24h"], "mean": mean
        }));
    }
    assert_eq!(listed.len(), expected.as_array().unwrap().len(), "round {round}");
    assert_eq!(Value::from(rows), expected, "round {round}");
    assert_eq!(answer["sample"], parsed(1), "round {round}");
    let ranges = |list: &Value, pick: fn(&Value) -> Value| {
        let mut all: Vec<String> = list.as_array().unwrap().iter().map(|range| pick(range).to_string()).collect();
        all.sort();
        all
    };
    let inputs = ranges(&answer["lineage"]["inputs"], |range| {
        json!([range["topic"], range["partition"], range["first_offset"], range["last_offset"]])
    });
    assert_eq!(inputs, ranges(&parsed(2), Value::clone), "round {round}");
}

/// Whether both are the same but for the last digits of numbers, as sums of hours are added in
/// another order.
fn is_near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-12 * a.abs().max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_near(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_near(a, b)))
        }
        (a, b) => a == b,
    }
}

/// What was known at a time is answered from windows alone.
async fn compare_boards(world: &World, round: usize) {
    for question in ["trends?window=24h", "trends?window=7d", "trends?window=6h", "market-trends?", "trends?"] {
        let now = world.json(&format!("/v1/{question}")).await;
        let mut known = world.json(&format!("/v1/{question}&as_of=2022-05-03")).await;
        assert_eq!(known["as_of"], "2022-05-03T00:00:00Z");
        known["as_of"] = Value::Null;
        assert!(is_near(&now, &known), "round {round}, {question}: {now}, {known}");
        let list = ["trends", "market_trends"].into_iter().find_map(|name| now[name].as_array()).unwrap();
        assert!(!list.is_empty(), "round {round}, {question}");
    }
}

#[tokio::test]
async fn a_day_from_hours_is_that_from_windows_after_any_revisions() {
    let world = World::with(&["--api-rate=0"]).await;
    let (never, partitions) = (("'infinity'", "'infinity'"), "'2022-04-30', '2022-05-01'");
    world
        .sql(&format!(
            "SELECT make_partition('stored_windows', at::timestamptz) FROM unnest(ARRAY[{partitions}]) at; SELECT setseed(0.35)"
        ))
        .await;
    // Windows of some of the last 30 hours, revised where they are there already.
    let write = |run: &str, newest: usize, chance: f64| {
        format!(
            "INSERT INTO stored_windows AS w (run_id, asset, window_start, window_seconds, revision, final, posts, unique_authors, negative, neutral, \
               positive, mean_score, unique_posts, spam_posts, anomaly_score, expected_posts, next_hour_p10, next_hour_p50, next_hour_p90, \
               doubling_probability, sources, emitted_at, sample, lineage_id, first_offset, last_offset) \
             SELECT '{run}', asset, timestamptz '2022-05-01T09:35Z' + (n + {newest}) * interval '5 minutes', 300, 1, r < 0.95, p, p, p / 3, p - p / 3, 0, \
               CASE WHEN random() < 0.8 THEN random() * 2 - 1 END, nullif(p, 7), p / 2, r, CASE WHEN r < 0.99 THEN p + 0.5 END, p, CASE WHEN r < 0.5 THEN p + 1 END, p + 2, \
               r, '', timestamptz '2022-05-02' + p * interval '1 second', random() < 0.01, 1 + (random() * 1.1)::integer, p, p * 2 \
             FROM generate_series(-360, 0) n, unnest(ARRAY['*', 'BTC', 'ETH', 'XRP']) asset, \
               LATERAL (SELECT (random() * 30)::integer + n * 0 AS p, random() + n * 0 AS r) x \
             WHERE random() < {chance} OR n = 0 AND asset = '*' \
             ON CONFLICT (run_id, asset, window_start) DO UPDATE SET revision = w.revision + 1, final = excluded.final, posts = excluded.posts, \
               negative = excluded.negative, neutral = excluded.neutral, mean_score = excluded.mean_score, unique_posts = excluded.unique_posts, \
               expected_posts = excluded.expected_posts, next_hour_p50 = excluded.next_hour_p50, emitted_at = excluded.emitted_at, \
               sample = excluded.sample, lineage_id = excluded.lineage_id, first_offset = excluded.first_offset, last_offset = excluded.last_offset"
        )
    };
    for round in 0..8 {
        // The newest window moves through the hour; what is dense at first is revised here and
        // there.
        world.sql(&write("live", round * 7, if round == 0 { 0.9 } else { 0.1 })).await;
        compare(&world, never, round).await;
        compare_boards(&world, round).await;
        world.sql("DELETE FROM stored_windows WHERE random() < 0.02 AND asset <> '*'").await;
        compare(&world, never, round).await;
    }
    // A run is served for some hours, from the middle of one to the middle of another.
    let promoted = ("'2022-05-01T02:25Z'", "'2022-05-01T07:50Z'");
    world.sql(&write("run-9", 0, 0.5)).await;
    world
        .sql(&format!(
            "INSERT INTO served_runs (run_id, from_time, to_time, promoted_at) VALUES ('run-9', {}, {}, now())",
            promoted.0, promoted.1
        ))
        .await;
    compare(&world, promoted, 8).await;
    world.sql("DELETE FROM stored_windows WHERE asset = 'XRP' OR run_id = 'run-9'").await;
    world.sql("UPDATE served_runs SET rolled_back_at = now()").await;
    compare(&world, never, 9).await;
    let left = "SELECT count(*) FROM (SELECT run_id, asset FROM stored_hours UNION ALL SELECT run_id, asset FROM run_assets) r \
        WHERE asset = 'XRP' OR run_id = 'run-9'";
    assert_eq!(world.db.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}
