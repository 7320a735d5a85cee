//! Full text, and posts as one long answer.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::{Post, Window, World, at, points};

/// Posts with these texts, one a minute; even ones about BTC.
async fn texts(texts: &[&str]) -> World {
    let world = World::new().await;
    world.window(Window::of("BTC", &at(0), 1, None)).await;
    world.window(Window::of("*", &at(55), 1, None)).await;
    for (n, text) in texts.iter().enumerate() {
        let (id, time) = (format!("p{n}"), at(n as i64));
        world.post(Post { text, ..Post::of(["BTC", "ETH"][n % 2], &id, &time) }).await;
    }
    world
}

fn ids(answer: &Value) -> Vec<String> {
    answer["posts"].as_array().unwrap().iter().map(|post| post["post_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn words_phrases_and_what_must_not_occur_are_found_newest_first() {
    let world = texts(&[
        "Terra lost its peg",
        "BTC/USD: the peg.The end",
        "its peg lost",
        "Été à Paris, peg or not",
        "nothing",
    ])
    .await;
    for (q, found) in [
        ("PEG", &["p3", "p2", "p1", "p0"][..]),
        ("lost+peg", &["p2", "p0"]),
        ("%22lost+its%22", &["p0"]),
        ("terra+or+usd", &["p1", "p0"]),
        ("peg+-lost", &["p3", "p1"]),
        ("peg+-%22its+peg%22", &["p3", "p1"]),
        ("btc-usd", &["p1"]),
        ("%C3%89t%C3%A9", &["p3"]),
        ("peg&asset=BTC", &["p2", "p0"]),
        ("peg&asset=ETH&label=neutral", &["p3", "p1"]),
        (&format!("peg&to={}", at(1)), &["p0"]),
        (&format!("peg&from={}", at(3)), &["p3"]),
        ("peg&language=fr", &[]),
    ] {
        assert_eq!(ids(&world.json(&format!("/v1/search?q={q}")).await), found, "{q}");
    }
    for bad in ["", "?q=-peg", "?q=peg+or+-lost", "?q=%2B%2B", "?q=peg&from=2021-01-01", "?q=peg&asset=A,B"] {
        world.get(&format!("/v1/search{bad}")).await.problem(400);
    }
    let first = world.json("/v1/search?q=peg&limit=3").await;
    let next = first["next"].as_str().unwrap();
    assert_eq!(ids(&world.json(&format!("/v1/search?q=peg&limit=3&cursor={next}")).await), ["p0"]);
    world.get(&format!("/v1/search?q=lost&limit=3&cursor={next}")).await.problem(400);
}

#[tokio::test]
async fn the_volume_of_a_phrase_is_that_of_the_posts_with_it() {
    let texts: Vec<&str> = (0..50).map(|n| if n % 3 == 0 { "lost its peg" } else { "peg its lost" }).collect();
    let world = self::texts(&texts).await;
    for (query, counts) in [
        ("q=%22lost+its%22&interval=15m", [5, 5, 5, 2]),
        ("q=peg&interval=15m", [15, 15, 15, 5]),
        ("q=%22lost+its%22&interval=15m&asset=btc", [3, 2, 3, 1]),
    ] {
        let volume = world.json(&format!("/v1/search/volume?{query}&from={}&to={}", at(0), at(60))).await;
        let counted: Vec<_> = points(&volume).iter().map(|point| point["posts"].as_i64().unwrap()).collect();
        assert_eq!(counted, counts, "{query}");
    }
    world.get("/v1/search/volume?q=peg&from=2021-01-01&interval=1d").await.problem(400);
    world.get("/v1/search/volume?q=-peg").await.problem(400);
}

#[tokio::test]
async fn what_was_erased_or_deleted_is_never_found() {
    let world = texts(&["secret words", "secret words", "other words"]).await;
    assert_eq!(ids(&world.json("/v1/search?q=secret").await), ["p1", "p0"]);
    world
        .sql(
            "UPDATE stored_posts SET url = NULL, title = NULL, excerpt = '' WHERE post_id = 'p0'; \
             UPDATE stored_posts SET deleted_at = now() WHERE post_id = 'p1'",
        )
        .await;
    for (q, found) in [("secret", &[][..]), ("words", &["p2"]), ("title+or+words", &["p2"])] {
        assert_eq!(ids(&world.json(&format!("/v1/search?q={q}")).await), found, "{q}");
    }
    let volume = world.json(&format!("/v1/search/volume?q=secret&interval=1h&from={}&to={}", at(0), at(60))).await;
    assert_eq!(points(&volume)[0]["posts"], 0);
}

#[tokio::test]
async fn ndjson_is_every_post_once() {
    let world = World::new().await;
    world.window(Window::of("BTC", &at(0), 1, None)).await;
    world.post(Post::of("BTC", "p", &at(0))).await;
    // More than two of the pages that are read, many at the same time.
    let copied = |table: &str, columns: &str, id: &str, values: &str| {
        format!(
            "INSERT INTO {table} (run_id, published_at, score, label, {id}, {columns}) SELECT run_id, \
             published_at + n / 100 * interval '1 minute', score, label, {values}, {columns} FROM {table} t, generate_series(1, 2500) n"
        )
    };
    let posts = "source_id, kind, title, excerpt, fetched_at, scored_at, sample, lineage_id, input_offset";
    let posts = copied("stored_posts", posts, "post_id", "'p' || n");
    let assets = copied("post_assets", "asset, evidence", "post_key", "post_key('p' || n)");
    world.sql(&format!("{posts}; {assets}")).await;
    for path in
        ["/v1/assets/BTC/posts?format=ndjson", "/v1/assets/*/posts?limit=1", "/v1/search?q=words&from=2022-05-09"]
    {
        let answer = world.get_with(path, &[("accept", "application/x-ndjson")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"));
        let text = answer.text();
        let posts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: BTreeSet<&str> = posts.iter().map(|post| post["post_id"].as_str().unwrap()).collect();
        assert_eq!((posts.len(), ids.len()), (2501, 2501), "{path}");
        assert!(posts.is_sorted_by(|a, b| a["published_at"].as_str() >= b["published_at"].as_str()));
    }
    for (path, status) in
        [("/v1/assets/NOPE/posts?format=ndjson", 404), ("/v1/assets/BTC/posts?format=ndjson&cursor=00", 400)]
    {
        world.get(path).await.problem(status);
    }
    world.get_with("/v1/alerts", &[("accept", "application/x-ndjson")]).await.problem(406);
}
