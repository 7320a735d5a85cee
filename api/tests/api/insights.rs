use serde_json::{Value, json};

use crate::world::{Post, Window, World};

/// Two windows of BTC and three of the whole market in one hour; the next hour only the market; then nothing.
async fn two_hours() -> World {
    let world = World::new().await;
    world
        .window(Window { labels: [1, 2, 0], authors: 2, ..Window::of("BTC", "2022-05-09T12:00:00Z", 4, Some(-0.5)) })
        .await;
    world
        .window(Window {
            labels: [0, 0, 1],
            r#final: false,
            revision: 3,
            ..Window::of("BTC", "2022-05-09T12:10:00Z", 1, Some(0.3))
        })
        .await;
    world.window(Window::of("*", "2022-05-09T12:00:00Z", 6, Some(0.0))).await;
    world.window(Window::of("*", "2022-05-09T12:05:00Z", 2, None)).await;
    world.window(Window::of("*", "2022-05-09T12:10:00Z", 2, Some(0.1))).await;
    world.window(Window::of("*", "2022-05-09T13:30:00Z", 5, Some(0.1))).await;
    world
}

fn metric(series: &Value, name: &str) -> Vec<Value> {
    series["points"].as_array().unwrap().iter().map(|point| point[name].clone()).collect()
}

#[tokio::test]
async fn a_series_of_windows_tells_zero_from_missing() {
    let world = two_hours().await;
    let series = world.json("/v1/assets/BTC/series?from=2022-05-09T12:00:00Z&to=2022-05-09T12:20:00Z").await;
    assert_eq!(
        metric(&series, "start"),
        ["2022-05-09T12:00:00Z", "2022-05-09T12:05:00Z", "2022-05-09T12:10:00Z", "2022-05-09T12:15:00Z"]
    );
    // At 12:05 others were mentioned; at 12:15 nothing was observed.
    assert_eq!(metric(&series, "posts"), [json!(4), json!(0), json!(1), Value::Null]);
    assert_eq!(metric(&series, "unique_authors"), [json!(2), json!(0), json!(1), Value::Null]);
    assert_eq!(metric(&series, "negative"), [json!(1), json!(0), json!(0), Value::Null]);
    assert_eq!(metric(&series, "mean_score"), [json!(-0.5), Value::Null, json!(0.3), Value::Null]);
    assert_eq!(metric(&series, "dominance"), [json!(4.0 / 6.0), json!(0.0), json!(0.5), Value::Null]);
    assert_eq!(metric(&series, "expected_posts"), [json!(4.5), Value::Null, json!(1.5), Value::Null]);
    assert_eq!(metric(&series, "final"), [true, true, false, true]);
    assert_eq!(metric(&series, "complete"), [true; 4]);
    assert_eq!(metric(&series, "revision"), [json!(1), Value::Null, json!(3), Value::Null]);
    assert_eq!(series["sample"], true);
    let lineage = &series["lineage"];
    assert_eq!(lineage["run_id"], "live");
    assert_eq!(lineage["models"], json!([{"name": "tiny", "version": "1", "sha256": "abc", "assets_version": "a1"}]));
    assert_eq!(
        lineage["inputs"],
        json!([{"topic": "posts.mentions.v1", "partition": 2, "first_offset": 10, "last_offset": 31}])
    );
    assert!(series["points"][0].get("lineage").is_none());
    let detailed =
        world.json("/v1/assets/BTC/series?from=2022-05-09T12:00:00Z&to=2022-05-09T12:20:00Z&lineage=true").await;
    assert_eq!(detailed["points"][2]["lineage"]["inputs"][0]["first_offset"], 30);
    world.sql("INSERT INTO sources VALUES (1, 'hn'), (2, 'blog'); UPDATE stored_windows SET sources = '1:3 2:1' WHERE asset = 'BTC'").await;
    let hour = world.json("/v1/assets/BTC/series?from=2022-05-09T12:00:00Z&interval=1h&lineage=true").await;
    assert_eq!(hour["points"][0]["sources"], json!({"blog": 2, "hn": 6}));
}

#[tokio::test]
async fn unique_and_spam_volumes_are_summed_and_unknown_where_a_window_does_not_tell() {
    let world = two_hours().await;
    world.sql("UPDATE stored_windows SET unique_posts = posts - 1, spam_posts = 1 WHERE asset = 'BTC'").await;
    let range = "from=2022-05-09T12:00:00Z&to=2022-05-09T12:20:00Z";
    let windows = world.json(&format!("/v1/assets/BTC/series?{range}")).await;
    assert_eq!(metric(&windows, "unique_posts"), [json!(3), json!(0), json!(0), Value::Null]);
    let hour = world.json(&format!("/v1/assets/BTC/series?interval=1h&{range}")).await;
    assert_eq!((&hour["points"][0]["unique_posts"], &hour["points"][0]["spam_posts"]), (&json!(3), &json!(2)));
    let board = world.json("/v1/trends?at=2022-05-09T13:00:00Z").await;
    assert_eq!((&board["trends"][0]["unique_posts"], &board["trends"][0]["spam_posts"]), (&json!(3), &json!(2)));
    assert_eq!(board["market"]["unique_posts"], Value::Null);
    world.sql("UPDATE stored_windows SET unique_posts = NULL WHERE window_start = '2022-05-09T12:10:00Z'").await;
    let hour = world.json(&format!("/v1/assets/BTC/series?interval=1h&{range}")).await;
    assert_eq!(hour["points"][0]["unique_posts"], Value::Null);
}

#[tokio::test]
async fn an_interval_is_as_improbable_as_its_rarest_window() {
    let world = two_hours().await;
    for (start, probability) in [("12:00", 0.5), ("12:10", 0.03125)] {
        let window = format!("asset = 'BTC' AND window_start = '2022-05-09T{start}:00Z'");
        world.sql(&format!("UPDATE stored_windows SET tail_probability = {probability} WHERE {window}")).await;
    }
    let path = "/v1/assets/BTC/series?from=2022-05-09T12:00:00Z&to=2022-05-09T12:15:00Z";
    let windows = world.json(path).await;
    assert_eq!(metric(&windows, "tail_probability"), [json!(0.5), Value::Null, json!(0.03125)]);
    assert_eq!(metric(&world.json(&format!("{path}&interval=1h")).await, "tail_probability"), [json!(0.03125)]);
}

#[tokio::test]
async fn the_newest_forecast_of_an_interval_is_given_with_its_model() {
    let world = two_hours().await;
    for (start, p10, chance) in [("12:00", 1, 0.25), ("12:10", 3, 0.5)] {
        world
            .sql(&format!(
                "UPDATE stored_windows SET next_hour_p10 = {p10}, next_hour_p50 = {p10} + 4, next_hour_p90 = {p10} + 9.5, \
                 doubling_probability = {chance}, lineage_id = 3 \
                 WHERE asset = 'BTC' AND window_start = '2022-05-09T{start}:00Z'"
            ))
            .await;
    }
    let range = "from=2022-05-09T12:00:00Z&to=2022-05-09T12:15:00Z";
    let windows = world.json(&format!("/v1/assets/BTC/series?{range}")).await;
    assert_eq!(metric(&windows, "next_hour_p50"), [json!(5.0), Value::Null, json!(7.0)]);
    assert_eq!(metric(&windows, "doubling_probability"), [json!(0.25), Value::Null, json!(0.5)]);
    let hour = world.json(&format!("/v1/assets/BTC/series?interval=1h&{range}")).await;
    assert_eq!(metric(&hour, "next_hour_p10"), [json!(3.0)]);
    assert_eq!(metric(&hour, "next_hour_p90"), [json!(12.5)]);
    assert_eq!(hour["lineage"]["forecasters"], json!([{"name": "fortune", "version": "2", "sha256": "ff"}]));
    let csv = world.get(&format!("/v1/assets/BTC/series?format=csv&metrics=posts,next_hour_p90&{range}")).await.text();
    assert!(csv.contains("posts,next_hour_p90,") && csv.contains(",12.5,"), "{csv}");
    let board = world.json("/v1/trends?at=2022-05-09T13:00:00Z&sort=doubling_probability").await;
    let forecast = &board["trends"][0]["next_hour"];
    assert_eq!(forecast["from"], "2022-05-09T12:15:00Z");
    assert_eq!((&forecast["p10"], &forecast["doubling_probability"]), (&json!(3.0), &json!(0.5)));
    assert!(board["market"]["next_hour"].is_null());
}

#[tokio::test]
async fn hours_are_put_together_exactly_and_count_each_author_once() {
    let world = two_hours().await;
    for (id, at, author) in [
        ("1", "2022-05-09T12:00:10Z", Some("a")),
        ("2", "2022-05-09T12:01:00Z", Some("b")),
        ("3", "2022-05-09T12:02:00Z", Some("a")),
        ("4", "2022-05-09T12:03:00Z", None),
        ("5", "2022-05-09T12:11:00Z", Some("a")),
    ] {
        world.post(Post { author, ..Post::of("BTC", id, at) }).await;
    }
    world.post(Post { author: Some("z"), ..Post::of("ETH", "6", "2022-05-09T12:11:00Z") }).await;
    let series =
        world.json("/v1/assets/BTC/series?interval=1h&from=2022-05-09T12:20:00Z&to=2022-05-09T14:30:00Z").await;
    assert_eq!(metric(&series, "start"), ["2022-05-09T12:00:00Z", "2022-05-09T13:00:00Z", "2022-05-09T14:00:00Z"]);
    assert_eq!(metric(&series, "posts"), [json!(5), json!(0), Value::Null]);
    let means = metric(&series, "mean_score");
    // Three scored posts at -0.5 and one at 0.3.
    assert!((means[0].as_f64().unwrap() - (-1.5 + 0.3) / 4.0).abs() < 1e-12, "{means:?}");
    assert_eq!(means[1], Value::Null);
    assert_eq!(metric(&series, "unique_authors"), [json!(2), json!(0), Value::Null]);
    assert_eq!(metric(&series, "dominance"), [json!(0.5), json!(0.0), Value::Null]);
    assert_eq!(metric(&series, "windows"), [2, 0, 0]);
    assert_eq!(metric(&series, "final"), [false; 3], "windows may come in the rest of the second hour");
    assert_eq!(metric(&series, "complete"), [true, false, false]);
    let market = world
        .json("/v1/assets/*/series?interval=1d&metrics=posts,unique_authors,dominance&from=2022-05-09&to=2022-05-10")
        .await;
    assert_eq!(market["points"][0]["posts"], 15);
    assert_eq!(market["points"][0]["unique_authors"], 3);
    assert_eq!(market["points"][0]["dominance"], 1.0);
    assert!(market["points"][0].get("mean_score").is_none());
}

#[tokio::test]
async fn as_of_shows_only_what_was_known_then() {
    let world = World::new().await;
    for (revision, posts, emitted) in
        [(1, 2, "2022-05-09T12:05:00Z"), (2, 7, "2022-05-09T12:30:00Z"), (3, 9, "2022-05-09T18:00:00Z")]
    {
        let window = Window::of("BTC", "2022-05-09T12:00:00Z", posts, Some(0.1));
        world.window(Window { revision, emitted, r#final: revision == 3, ..window }).await;
        world.window(Window { asset: "*", revision, emitted, r#final: revision == 3, ..window }).await;
    }
    let at = async |as_of: &str| {
        let series = world
            .json(&format!(
                "/v1/assets/BTC/series?from=2022-05-09T12:00:00Z&to=2022-05-09T12:05:00Z&metrics=posts{as_of}"
            ))
            .await;
        let point = &series["points"][0];
        (point["posts"].as_i64(), point["revision"].as_i64(), point["final"].as_bool())
    };
    assert_eq!(at("").await, (Some(9), Some(3), Some(true)));
    assert_eq!(at("&as_of=2022-05-09T12:04:59Z").await, (None, None, Some(false)));
    assert_eq!(at("&as_of=2022-05-09T12:05:00Z").await, (Some(2), Some(1), Some(false)));
    assert_eq!(at("&as_of=2022-05-09T17:59:59Z").await, (Some(7), Some(2), Some(false)));
    assert_eq!(at("&as_of=2022-05-10").await, (Some(9), Some(3), Some(true)));
}

#[tokio::test]
async fn a_series_comes_as_csv_with_empty_fields_for_null() {
    let world = two_hours().await;
    let path = "/v1/assets/BTC/series?from=2022-05-09T12:10:00Z&to=2022-05-09T12:20:00Z&metrics=posts,mean_score";
    let expected = "start,end,posts,mean_score,windows,revision,final,complete,computed_at,runs\r\n\
        2022-05-09T12:10:00Z,2022-05-09T12:15:00Z,1,0.3,1,3,false,true,2022-05-09T12:10:00Z,live\r\n\
        2022-05-09T12:15:00Z,2022-05-09T12:20:00Z,,,0,,true,true,,live\r\n";
    for answer in
        [world.get_with(path, &[("accept", "text/csv")]).await, world.get(&format!("{path}&format=csv")).await]
    {
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
        assert_eq!(answer.text(), expected);
    }
}

#[tokio::test]
async fn the_board_ranks_surges_and_shows_the_posts_that_explain_them() {
    let world = World::new().await;
    for (start, luna, mood, btc) in [
        ("2022-05-09T11:00:00Z", 5, 0.2, 500),
        ("2022-05-09T12:30:00Z", 80, -0.7, 510),
        ("2022-05-09T12:55:00Z", 20, -0.9, 1),
    ] {
        world.window(Window::of("LUNA", start, luna, Some(mood))).await;
        world.window(Window::of("BTC", start, btc, Some(0.1))).await;
        world.window(Window::of("*", start, luna + btc, Some(0.0))).await;
    }
    for (id, score, text, at) in [
        ("glad", 0.9, "to the moon", "2022-05-09T12:31:00Z"),
        ("sad", -0.8, "all is lost", "2022-05-09T12:32:00Z"),
        ("repost", -0.8, "all is lost", "2022-05-09T12:33:00Z"),
        ("worse", -0.9, "ruined", "2022-05-09T12:34:00Z"),
        ("old", -1.0, "long ago", "2022-05-09T11:01:00Z"),
    ] {
        world.post(Post { score: Some(score), text, ..Post::of("LUNA", id, at) }).await;
    }
    let board = world.json("/v1/trends?posts=2").await;
    assert_eq!((&board["at"], &board["from"]), (&json!("2022-05-09T13:00:00Z"), &json!("2022-05-09T12:00:00Z")));
    let first = &board["trends"][0];
    assert_eq!((&first["asset"], &first["rank"], &first["posts"]), (&json!("LUNA"), &json!(1), &json!(100)));
    assert_eq!(first["previous"]["posts"], 5);
    assert_eq!(first["growth"], 19.0);
    assert!((first["mean_score"].as_f64().unwrap() + 0.74).abs() < 1e-9);
    assert!((first["mean_score_change"].as_f64().unwrap() + 0.94).abs() < 1e-9);
    let explained: Vec<&str> =
        first["explained_by"].as_array().unwrap().iter().map(|post| post["post_id"].as_str().unwrap()).collect();
    assert_eq!(
        explained,
        ["worse", "repost"],
        "the clearest posts of the period in the direction of the change, no text twice"
    );
    assert_eq!(board["market"]["posts"], 611);
    assert_eq!(board["trends"][1]["asset"], "BTC");
    assert_eq!(board["lineage"]["models"][0]["name"], "tiny");

    let past = world.json("/v1/trends?at=2022-05-09T12:02:00Z&posts=0").await;
    assert_eq!(past["at"], "2022-05-09T12:00:00Z");
    assert_eq!((&past["trends"][0]["asset"], &past["trends"][0]["posts"]), (&json!("BTC"), &json!(500)));
    assert_eq!(past["trends"][0]["previous"]["posts"], Value::Null, "nothing was observed then");
    let by_posts = world.json("/v1/trends?sort=posts&limit=1&posts=0").await;
    assert_eq!(by_posts["trends"][0]["asset"], "BTC");
    assert_eq!(by_posts["trends"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn market_trends_are_unknown_for_few_voices() {
    let world = World::new().await;
    for (asset, posts) in [("BTC", 40), ("SPAM", 40), ("*", 80)] {
        world
            .window(Window { labels: [0, 0, posts], ..Window::of(asset, "2022-05-09T12:00:00Z", posts, Some(0.5)) })
            .await;
    }
    for n in 0..40 {
        let (id, spam_id, author) = (format!("b{n}"), format!("s{n}"), format!("author {n}"));
        let glad = Post { label: Some("positive"), score: Some(0.8), ..Post::of("BTC", &id, "2022-05-09T12:01:00Z") };
        world.post(Post { author: Some(&author), ..glad }).await;
        world.post(Post { id: &spam_id, asset: "SPAM", author: Some("one"), ..glad }).await;
    }
    let answer = world.json("/v1/market-trends").await;
    let of =
        |asset: &str| answer["market_trends"].as_array().unwrap().iter().find(|t| t["asset"] == asset).unwrap().clone();
    assert_eq!((&of("BTC")["direction"], &of("BTC")["voices"]), (&json!("bullish"), &json!(40)));
    assert!(of("BTC")["confidence"].as_f64().unwrap() > 0.99);
    assert_eq!(
        (&of("SPAM")["direction"], &of("SPAM")["confidence"], &of("SPAM")["voices"]),
        (&json!("unknown"), &Value::Null, &json!(1))
    );
    assert_eq!(of("SPAM")["scored_posts"], 40);
    let bullish = world.json("/v1/market-trends?direction=bullish&min_voices=41").await;
    assert_eq!(bullish["market_trends"].as_array().unwrap().len(), 1, "{bullish}");
}

#[tokio::test]
async fn assets_tell_their_latest_window_and_recent_posts() {
    let world = two_hours().await;
    let answer = world.json("/v1/assets").await;
    assert_eq!(
        (&answer["oldest"], &answer["newest"]),
        (&json!("2022-05-09T12:00:00Z"), &json!("2022-05-09T13:35:00Z"))
    );
    let assets = answer["assets"].as_array().unwrap();
    assert_eq!(assets.len(), 2);
    let btc = &assets[1];
    assert_eq!((&btc["asset"], &btc["posts_24h"]), (&json!("BTC"), &json!(5)));
    assert_eq!(btc["posts_1h"], 0, "others were mentioned in the last hour, BTC was not");
    assert_eq!(
        (&btc["latest_window"]["start"], &btc["latest_window"]["final"]),
        (&json!("2022-05-09T12:10:00Z"), &json!(false))
    );
    assert!((btc["mean_score_24h"].as_f64().unwrap() + 0.3).abs() < 1e-12);
}

#[tokio::test]
async fn an_empty_pipeline_answers_without_errors() {
    let world = World::new().await;
    for path in ["/v1/assets", "/v1/trends", "/v1/market-trends", "/v1/alerts", "/v1/terms", "/v1/sources", "/v1/runs"]
    {
        world.json(path).await;
    }
    assert_eq!(world.json("/v1/trends").await["at"], Value::Null);
}

#[tokio::test]
async fn a_run_is_read_beside_the_live_one() {
    let world = two_hours().await;
    world.window(Window { run: "better", ..Window::of("BTC", "2022-05-09T12:00:00Z", 3, Some(0.9)) }).await;
    world
        .sql("INSERT INTO runs (run_id, topic, model, state, started_at) VALUES ('better', 'posts.raw.v1', 'm2', 'finished', '2026-11-01'), \
              ('empty', 'posts.raw.v1', 'm2', 'running', '2026-11-02')")
        .await;
    let path = "/v1/assets/BTC/series?from=2022-05-09T12:00:00Z&to=2022-05-09T12:05:00Z&metrics=posts";
    assert_eq!(world.json(path).await["points"][0]["posts"], 4);
    assert_eq!(world.json(&format!("{path}&run=better")).await["points"][0]["posts"], 3);
    let runs = world.json("/v1/runs").await;
    assert_eq!((&runs["runs"][0]["run_id"], &runs["runs"][1]["run_id"]), (&json!("empty"), &json!("better")));
    assert_eq!(world.json("/v1/trends?run=empty").await["trends"], json!([]));
    world.get("/v1/trends?run=unheard-of").await.problem(404);
}

#[tokio::test]
async fn sources_tell_their_health() {
    let world = World::new().await;
    // Seconds before the wall clock at which each was fetched, with what came of it.
    let fetches = [
        ("fine", 60, "fetched"),
        ("shaky", 120, "fetched"),
        ("shaky", 60, "failed"),
        ("broken", 60, "failed"),
        ("walled", 60, "blocked"),
        ("forgotten", 2700, "fetched"),
        // Nobody has asked it since it was due two hours ago, and others were asked: it was removed from the list.
        ("removed", 7500, "fetched"),
    ];
    for (offset, (source, ago, decision)) in fetches.iter().enumerate() {
        let at = format!("timestamptz '{}' - interval '{ago} seconds'", crate::world::WALL);
        world
            .sql(&format!(
                "SELECT make_partition('fetches', {at}); INSERT INTO fetches VALUES ('sources.fetches.v1', 0, {offset}, '{source}', 'rss', 'https://example.com/feed', {at}, '{decision}', \
                 200, 10, 5, 2, 30, {at} + interval '5 minutes', NULL, false)"
            ))
            .await;
    }
    let answer = world.json("/v1/sources").await;
    let health: Vec<_> = answer["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["source"].as_str().unwrap(), s["health"].as_str().unwrap()))
        .collect();
    assert_eq!(
        health,
        [("broken", "failing"), ("fine", "ok"), ("forgotten", "stale"), ("shaky", "degraded"), ("walled", "blocked")]
    );
    assert_eq!((&answer["total"], &answer["healthy"], &answer["sample"]), (&json!(5), &json!(1), &json!(false)));
}
