//! A replay beside another run.

use serde_json::{Value, json};

use crate::world::{Post, Window, World, at};

fn approx(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap_or_else(|| panic!("{value}, expected {expected}"));
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

/// Twelve posts about BTC that both runs have, one more in each, and alerts: of one event in both runs, of two in one only.
async fn world() -> World {
    let world = World::new().await;
    world
        .sql(&format!(
            "INSERT INTO runs (run_id, topic, model, state, started_at, from_time, to_time, detail) VALUES \
             ('better', 'posts.raw.v1', 'm', 'finished', '2026-11-01', '{}', '{}', '{{\"alerts\": 3}}'), \
             ('live', 'posts.raw.v1', 'm', 'running', '2026-11-01', NULL, NULL, '{{}}')",
            at(0),
            at(60)
        ))
        .await;
    for n in 0..12 {
        let (id, time, late) = (format!("p{n}"), at(n), at(n + 100));
        let post = Post { score: Some(0.25), label: Some("positive"), ..Post::of("BTC", &id, &time) };
        world.post(post).await;
        // One in four is judged the other way round.
        let (label, score) = if n % 4 == 0 { ("negative", -0.75) } else { ("positive", 0.5) };
        world.post(Post { run: "better", label: Some(label), score: Some(score), ..Post::of("BTC", &id, &time) }).await;
        // Outside the range.
        world.post(Post { run: "better", ..Post::of("BTC", &format!("late{n}"), &late) }).await;
    }
    let time = at(30);
    world
        .post(Post { run: "better", label: Some("neutral"), score: Some(0.0), ..Post::of("ETH", "only-better", &time) })
        .await;
    world.post(Post { label: None, score: None, ..Post::of("ETH", "only-live", &time) }).await;
    let (first, second, outside) = (at(0), at(5), at(100));
    for asset in ["*", "BTC"] {
        world.window(Window::of(asset, &first, 12, Some(0.25))).await;
        world.window(Window { run: "better", ..Window::of(asset, &first, 12, Some(0.1875)) }).await;
        world.window(Window { run: "better", ..Window::of(asset, &outside, 500, Some(0.9)) }).await;
    }
    world.window(Window::of("ETH", &second, 40, None)).await;
    world.window(Window { run: "better", ..Window::of("ETH", &second, 1, Some(0.0)) }).await;
    world.sql("UPDATE stored_windows SET anomaly_score = NULL WHERE run_id = 'better' AND asset <> 'ETH'").await;
    // The replay sees the first a window later and over an hour. The drop is on the other side of the range.
    for (run, asset, kind, minute, scale) in [
        ("live", "BTC", "attention_spike", 5, 300),
        ("better", "BTC", "attention_spike", 10, 3600),
        ("live", "ETH", "attention_spike", 5, 300),
        ("better", "ETH", "sentiment_drop", 5, 300),
        ("better", "ETH", "sentiment_drop", 100, 300),
    ] {
        let (start, end) = (at(minute), at(minute + 5));
        world
            .sql(&format!(
                "INSERT INTO alerts VALUES ('{run}/{asset}/{kind}/{start}', '{run}', '{asset}', '{kind}', '{start}', '{end}', \
                 40, 2, 0.75, '{end}', true, {scale})"
            ))
            .await;
    }
    world
}

#[tokio::test]
async fn a_replay_is_compared_with_the_live_run_over_its_range_alone() {
    let world = world().await;
    let diff = world.json("/v1/runs/better/diff").await;
    assert_eq!((&diff["with"], &diff["from"], &diff["to"]), (&json!("live"), &json!(at(0)), &json!(at(60))));
    assert_eq!(diff["posts"], json!({"run": 13, "with": 13, "both": 12, "only_run": 1, "only_with": 1}));

    let assets: Vec<&str> = diff["assets"].as_array().unwrap().iter().map(|of| of["asset"].as_str().unwrap()).collect();
    assert_eq!(assets, ["*", "ETH", "BTC"]);
    let (market, eth, btc) = (&diff["assets"][0], &diff["assets"][1], &diff["assets"][2]);
    assert_eq!((&market["rank"], &market["posts"], &market["scored_in_both"]), (&Value::Null, &json!(12), &json!(12)));
    assert_eq!((&btc["rank"], &btc["rank_with"]), (&json!(1), &json!(2)));
    assert_eq!((&eth["posts"], &eth["posts_with"], &eth["mean_score_with"]), (&json!(1), &json!(40), &Value::Null));
    assert_eq!((&eth["scored_in_both"], &eth["shift"]), (&json!(0), &Value::Null));
    approx(&btc["mean_score"], 0.1875);
    // Nine changes of 0.25 and three of -1: mean -0.0625, deviation 0.5653, t(0.975, 11) = 2.201.
    approx(&btc["shift"], -0.0625);
    let half = btc["shift_high"].as_f64().unwrap() + 0.0625;
    assert!((half / (2.201 * 0.565_334 / 12_f64.sqrt()) - 1.0).abs() < 0.01, "{half}");
    approx(&btc["shift_low"], -0.0625 - half);

    assert_eq!(diff["flips"], json!([{"label_with": "positive", "label": "negative", "posts": 3}]));
    let examples = diff["examples"].as_array().unwrap();
    assert_eq!(
        (examples.len(), &examples[0]["post_id"], &examples[0]["label_with"]),
        (3, &json!("p0"), &json!("positive"))
    );
    assert!(examples[0]["text"].as_str().unwrap().starts_with("a title: "), "{}", examples[0]);
    let mut alerts = diff["alerts"].clone();
    let changes = alerts["changes"].take();
    assert_eq!(
        alerts,
        json!({"run": 2, "with": 2, "both": 1, "same": 0, "only_run": 1, "only_with": 1, "windows_run": 3,
            "windows_with": 3, "judged_run": 1, "judged_with": 3, "changes": null})
    );
    let changed: Vec<_> = changes.as_array().unwrap().iter().map(|of| (&of["kind"], &of["fires_in_run"])).collect();
    let (spike, drop) = (json!("attention_spike"), json!("sentiment_drop"));
    assert_eq!(changed, [(&spike, &json!(false)), (&drop, &json!(true))]);
    assert_eq!((&changes[0]["asset"], &changes[0]["window_start"]), (&json!("ETH"), &json!(at(5))));
    assert_eq!((&changes[0]["scale_seconds"], &changes[0]["value"]), (&json!(300), &json!(40.0)));

    let less = world.json("/v1/runs/better/diff?limit=1").await;
    assert_eq!((less["assets"].as_array().unwrap().len(), less["examples"].as_array().unwrap().len()), (1, 1));
    let itself = world.json("/v1/runs/better/diff?with=better").await;
    assert_eq!(
        (&itself["flips"], &itself["posts"]["only_run"], &itself["assets"][0]["shift"], &itself["alerts"]["same"]),
        (&json!([]), &json!(0), &json!(0.0), &json!(2))
    );
    world.sql("UPDATE runs SET detail = '{}' WHERE run_id = 'better'").await;
    assert_eq!(world.json("/v1/runs/better/diff").await["alerts"], Value::Null, "it says no number of alerts");
}

#[tokio::test]
async fn only_replays_that_are_there_are_compared() {
    let world = world().await;
    for path in ["/v1/runs/nobody/diff", "/v1/runs/better/diff?with=nobody", "/v1/runs/live/diff?with=better"] {
        world.get(path).await.problem(404);
    }
    world.get("/v1/runs/better/diff?limit=0").await.problem(400);
}
