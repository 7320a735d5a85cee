//! The description of the API, and clients that are held to it: in Python, against a server on a port.

use std::path::Path;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::config::Config;
use tokio::process::Command;
use vigie_api::{Scope, issue_token};
use vigie_clock::Clock;

use crate::world::{Post, Window, World, at};

/// A world with something to answer at every endpoint; all of its tokens' scopes are in the second value.
async fn filled() -> (World, String) {
    let ring = format!("--author-keyring=one {}", "02".repeat(32));
    let args =
        ["--api-rate=0", "--api-timeout=60s", "--auth=jwt", "--auth-secret=0123456789abcdef0123456789abcdef", &ring];
    let world = World::with(&args).await;
    world.audited().await;
    for minute in [0, 5, 60, 65] {
        let start = at(minute);
        for (asset, posts) in [("*", 4), ("BTC", 3), ("ETH", 1)] {
            world.window(Window::of(asset, &start, posts, Some(0.25))).await;
        }
    }
    for n in 0..450 {
        let (asset, id, time) = (["BTC", "ETH"][n % 2], format!("reddit:{n:03}"), at(n as i64 / 10));
        let text = ["Terra lost its peg", "to the moon", "stable, they said"][n % 3];
        world.post(Post { text, label: Some("positive"), score: Some(0.5), ..Post::of(asset, &id, &time) }).await;
    }
    for n in 0..60 {
        let (start, end) = (at(n), at(n + 5));
        world
            .sql(&format!(
                "INSERT INTO alerts VALUES ('a{n}', 'live', 'BTC', 'attention_spike', '{start}', '{end}', 9, 2.5, 0.99, '{end}', true)"
            ))
            .await;
    }
    world
        .sql(&format!(
            "SELECT make_partition('terms', '{0}'); \
             INSERT INTO terms VALUES ('{0}', '{0}', '{0}', 5.5, 0.5, 3600, 1, 15, 18, 100, false, true, 'live', 'depeg', 'word', NULL, 'BTC', NULL)",
            at(0)
        ))
        .await;
    world
        .sql(&format!(
            "INSERT INTO runs (run_id, topic, model, state, started_at) VALUES ('better', 'posts.raw.v1', 'm', 'finished', '2026-11-01'); \
             SELECT make_partition('fetches', '{0}'); \
             INSERT INTO fetches VALUES ('sources.fetches.v1', 0, 1, 'r-test', 'reddit', 'https://example.com/r', '{0}', 'fetched', \
               200, 10, 5, 2, 30, '{0}', NULL, false)",
            at(60)
        ))
        .await;
    for (offset, reason) in ["undecodable", "undecodable", "invalid"].into_iter().enumerate() {
        let (failed, appended, redriven) = (at(60 + offset as i64), at(0), if offset == 1 { "now()" } else { "NULL" });
        world
            .sql(&format!(
                "INSERT INTO dead_letters VALUES ('{failed}', '{appended}', {redriven}, 7, {offset}, 0, 3, 'posts.raw.v1', 'sentiment', \
                   '{reason}', 'torn', '0.1.0', 'rss:1', '\\x00ff')"
            ))
            .await;
    }
    // The others are of the record that it was sent as.
    let sent =
        "UPDATE dead_letters SET redriven_partition = 3, redriven_offset = 7, attempt = 2 WHERE letter_offset = 1";
    world.sql(sent).await;
    let token = issue_token(&world.config.auth, "tester", &Scope::ALL, Duration::from_secs(3600), world.clock.now());
    (world, token.unwrap())
}

/// Runs a script of `tests/python` against the API.
async fn check(script: &str) {
    let (world, token) = filled().await;
    let redis = Client::new(Config::from_url(&world.redis_url).unwrap(), None, None, None);
    redis.init().await.unwrap();
    for n in 1..=5 {
        let data = format!("{{\"asset\":\"{}\",\"posts\":{n}}}", ["BTC", "ETH"][n % 2]);
        let event = vec![("type", "trend"), ("data", data.as_str())];
        let key = format!("{}stream", world.redis_prefix);
        let _: String = redis.xadd(key, false, None, format!("{n}-0"), event).await.unwrap();
    }
    let (addr, service) = world.serve().await;
    let python = std::env::var_os("VIGIE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python").join(script);
    let mut command = Command::new(python);
    command.arg("-B").arg(script).env("VIGIE_URL", format!("http://{addr}")).env("VIGIE_TOKEN", token);
    let output = command.kill_on_drop(true).output().await.unwrap();
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{}", said.join("\n"));
}

#[tokio::test]
async fn the_api_does_what_its_description_says() {
    check("openapi_check.py").await;
}

#[tokio::test]
async fn the_python_client_reads_every_endpoint() {
    check("client_check.py").await;
}

#[tokio::test]
async fn the_notebook_runs_from_its_first_cell_to_its_last() {
    check("notebook_check.py").await;
}
