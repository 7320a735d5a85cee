//! Answers that are kept: until the data changes, no longer than a second after, and for nobody who may not read them.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use vigie_api::{Scope, issue_token};
use vigie_clock::Clock;

use crate::world::{Post, Window, World, commit, send};

const TRENDS: &str = "insights.trends.v1";
const SERIES: &str = "/v1/assets/BTC/series?metrics=posts,dominance&from=2022-05-09T12:00:00Z&to=2022-05-09T12:05:00Z";
const START: &str = "2022-05-09T12:00:00Z";

async fn one_window() -> World {
    let world = World::with(&["--api-rate=0"]).await;
    world.window(Window::of("BTC", START, 1, None)).await;
    world.window(Window::of("*", START, 2, None)).await;
    world.commit(TRENDS).await;
    world
}

async fn posts(world: &World) -> serde_json::Value {
    world.json(SERIES).await["points"][0]["posts"].clone()
}

/// Both windows get this count, in one transaction with the offsets, as the sink does it.
fn recount(posts: i64) -> String {
    format!("BEGIN; UPDATE stored_windows SET posts = {posts}, revision = revision + 1; {}; COMMIT", commit(TRENDS))
}

#[tokio::test]
async fn an_answer_is_kept_until_the_data_changes() {
    let world = one_window().await;
    let first = world.get(SERIES).await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(3600 * 24));
        assert_eq!(posts(&world).await, 1);
        let known = world.get_with(SERIES, &[("if-none-match", first.header("etag"))]).await;
        assert_eq!(known.header("etag"), first.header("etag"));
        assert_eq!(known.status, 304);
    }
    world.sql(&recount(7)).await;
    world.clock.advance(Duration::from_secs(1));
    let next = world.get_with(SERIES, &[("if-none-match", first.header("etag"))]).await;
    assert_eq!((next.status.as_u16(), &next.json()["points"][0]["posts"]), (200, &json!(7)));
    assert_ne!(next.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn a_304_costs_no_answer_even_of_another_process() {
    let world = one_window().await;
    let etag = world.get(SERIES).await.header("etag").to_owned();
    let ctx = vigie_daemon::Context { metrics: Default::default(), ..world.ctx.clone() };
    let other = World { router: vigie_api::router(&world.checked(), &ctx).unwrap(), ctx, ..world };
    assert_eq!(other.get_with(SERIES, &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(other.built().await, 0);
    for (path, status) in [(SERIES, 304), ("/v1/assets/NOPE/series", 404)] {
        assert_eq!(other.get_with(path, &[("if-none-match", "*")]).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn another_process_shares_its_answers() {
    let world = one_window().await;
    let ctx = vigie_daemon::Context { metrics: Default::default(), ..world.ctx.clone() };
    let other = vigie_api::router(&world.checked(), &ctx).unwrap();
    // Connections to Redis are made in the background, and what is shared is written there.
    let shared = async {
        loop {
            let first = world.get(SERIES).await;
            assert_eq!(send(other.clone(), "GET", SERIES, &[]).await.body, first.body);
            let metrics = send(other.clone(), "GET", "/metrics", &[]).await.text();
            if metrics.contains("vigie_api_answers_total{outcome=\"shared\"}") {
                break;
            }
            world.commit(TRENDS).await;
            world.clock.advance(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), shared).await.unwrap();
}

#[tokio::test]
async fn equal_questions_at_once_are_built_once() {
    let world = Arc::new(one_window().await);
    let asked: Vec<_> = (0..32)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { posts(&world).await })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 1);
    }
    assert_eq!(world.built().await, 1);
}

#[tokio::test]
async fn without_a_cache_or_without_the_sink_every_answer_is_built() {
    let world = World::with(&["--api-cache=0MiB"]).await;
    world.window(Window::of("BTC", START, 1, None)).await;
    world.commit(TRENDS).await;
    let unversioned = World::new().await;
    unversioned.window(Window::of("BTC", START, 1, None)).await;
    for world in [world, unversioned] {
        assert_eq!(posts(&world).await, 1);
        world.sql("UPDATE stored_windows SET posts = 2").await;
        assert_eq!(posts(&world).await, 2, "nothing shows that the data is the same");
        assert_eq!(world.built().await, 2);
    }
}

#[tokio::test]
async fn live_and_replays_change_apart() {
    let world = one_window().await;
    let replayed = "/v1/assets/BTC/series?metrics=posts&run=r1";
    world.window(Window { run: "r1", ..Window::of("BTC", START, 5, None) }).await;
    world.commit("replays.trends.v1").await;
    world.json(SERIES).await;
    world.json(replayed).await;
    for (topic, built) in [("replays.sentiment.v1", 3), (TRENDS, 4), ("sources.fetches.v1", 4), ("authors.keys.v1", 6)]
    {
        world.commit(topic).await;
        world.clock.advance(Duration::from_secs(1));
        world.json(SERIES).await;
        world.json(replayed).await;
        assert_eq!(world.built().await, built, "{topic}");
    }
}

/// Whatever order changes, reads and the clock come in.
#[tokio::test]
async fn an_answer_is_never_older_than_a_second() {
    let world = one_window().await;
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    // When each count was committed, by the manual clock.
    let mut counts = vec![(1, world.clock.monotonic())];
    for round in 0..200 {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        match dice % 3 {
            0 => {
                let count = counts.len() as i64 + 1;
                world.sql(&recount(count)).await;
                counts.push((count, world.clock.monotonic()));
            }
            1 => world.clock.advance(Duration::from_millis(dice % 700)),
            _ => {
                let seen = posts(&world).await.as_i64().unwrap();
                let a_second_ago = world.clock.monotonic().saturating_sub(Duration::from_secs(1));
                let known = counts.iter().rev().find(|(_, at)| *at <= a_second_ago).map_or(1, |(count, _)| *count);
                assert!(seen >= known, "round {round}: {seen}, but {known} was there a second ago: {counts:?}");
            }
        }
    }
    assert!(counts.len() > 30);
}

#[tokio::test]
async fn an_answer_never_mixes_two_versions() {
    let world = one_window().await;
    world.sql("UPDATE stored_windows SET posts = 1").await;
    for count in 2..150 {
        let change = recount(count);
        let ((), answer) = tokio::join!(world.sql(&change), world.json(SERIES));
        // The windows of BTC and of the whole market always have the same count.
        let point = &answer["points"][0];
        assert_eq!(point["dominance"], 1.0, "{point}");
        world.clock.advance(Duration::from_millis(200));
    }
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(posts(&world).await, 149);
}

#[tokio::test]
async fn while_the_database_is_away_answers_are_kept_for_a_second_only() {
    let world = one_window().await;
    assert_eq!(posts(&world).await, 1);
    world.sql("ALTER TABLE sink_offsets RENAME TO elsewhere").await;
    world.clock.advance(Duration::from_millis(900));
    assert_eq!(posts(&world).await, 1);
    world.clock.advance(Duration::from_millis(100));
    world.get(SERIES).await.problem(503);
    world.sql("ALTER TABLE elsewhere RENAME TO sink_offsets").await;
    assert_eq!(posts(&world).await, 1);
}

#[tokio::test]
async fn kept_answers_stay_within_their_scopes() {
    let world = World::with(&["--auth=jwt", "--auth-secret", "0123456789abcdef0123456789abcdef"]).await;
    world.window(Window::of("BTC", START, 1, Some(0.5))).await;
    world.post(Post::of("BTC", "one", START)).await;
    world.commit(TRENDS).await;
    let bearer = |scopes: &[Scope]| {
        let hour = Duration::from_secs(3600);
        format!("Bearer {}", issue_token(&world.config.auth, "alice", scopes, hour, world.clock.now()).unwrap())
    };
    let (all, insights) = (bearer(&Scope::ALL), bearer(&[Scope::Insights]));
    let ask = async |path: &str, token: &str| world.get_with(path, &[("authorization", token)]).await;
    for _ in 0..2 {
        let explained = async |token: &str| ask("/v1/trends", token).await.json()["trends"][0]["explained_by"].clone();
        assert_eq!(explained(&all).await[0]["post_id"], "one");
        assert_eq!(explained(&insights).await, json!([]));
        assert_eq!(ask("/v1/trends?posts=3", &insights).await.status, 403);
        assert_eq!(ask("/v1/assets/BTC/posts", &all).await.status, 200);
        let etag = ask("/v1/assets/BTC/posts", &all).await.header("etag").to_owned();
        let refused = [("authorization", insights.as_str()), ("if-none-match", &etag)];
        assert_eq!(world.get_with("/v1/assets/BTC/posts", &refused).await.status, 403);
        assert_eq!(world.get_with("/v1/assets/BTC/posts", &[("if-none-match", &etag)]).await.status, 401);
    }
}

#[tokio::test]
async fn an_erased_author_leaves_the_kept_answers() {
    let world = World::new().await;
    world.post(Post { text: "a secret", ..Post::of("BTC", "one", START) }).await;
    world.commit("insights.sentiment.v1").await;
    let path = "/v1/assets/BTC/posts";
    assert_eq!(world.json(path).await["posts"][0]["excerpt"], "a secret");
    world.sql(&format!("BEGIN; UPDATE stored_posts SET excerpt = ''; {}; COMMIT", commit("authors.keys.v1"))).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.json(path).await["posts"][0]["excerpt"], "");
}

#[tokio::test]
async fn a_kept_answer_is_sent_as_it_is_asked_for() {
    let world = one_window().await;
    let plain = world.get(SERIES).await;
    for _ in 0..2 {
        for coding in ["gzip", "br", "zstd"] {
            let coded = world.get_with(SERIES, &[("accept-encoding", coding)]).await;
            assert_eq!((coded.header("content-encoding"), coded.header("etag")), (coding, plain.header("etag")));
            let (mut body, coded) = (Vec::new(), &coded.body[..]);
            match coding {
                "gzip" => flate2::read::GzDecoder::new(coded).read_to_end(&mut body),
                "br" => brotli::Decompressor::new(coded, 4096).read_to_end(&mut body),
                _ => zstd::Decoder::new(coded).unwrap().read_to_end(&mut body),
            }
            .unwrap();
            assert_eq!(body, plain.body, "{coding}");
        }
        let csv = world.get_with(SERIES, &[("accept", "text/csv")]).await;
        assert!(csv.text().starts_with("start,end,posts,dominance,"), "{}", csv.text());
        assert_ne!(csv.header("etag"), plain.header("etag"));
    }
    world.get_with(SERIES, &[("accept-encoding", "identity;q=0")]).await.problem(406);
    let only_coded = world.get_with(SERIES, &[("accept-encoding", "gzip, identity;q=0")]).await;
    assert_eq!(only_coded.header("content-encoding"), "gzip");
}
