use std::time::Duration;

use tokio::time::{Instant, interval};
use vigie_api::{AuthConfig, Scope, issue_token};
use vigie_clock::Clock;
use vigie_daemon::Context;

use crate::world::{Window, World, checked, send};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn guarded() -> World {
    let world = World::with(&["--auth=jwt", "--auth-secret", SECRET]).await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, Some(0.5))).await;
    world
}

fn bearer(world: &World, scopes: &[Scope]) -> String {
    let auth: &AuthConfig = &world.config.auth;
    let token = issue_token(auth, "alice", scopes, Duration::from_secs(3600), world.clock.now()).unwrap();
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_name() {
    let world = guarded().await;
    let paths = [
        "/v1/trends?posts=0",
        "/v1/assets/BTC/posts",
        "/v1/sources",
        "/metrics",
        "/v1/trends?posts=1",
        "/v1/dead-letters",
    ];
    let statuses = async |token: &str| {
        let mut all = Vec::new();
        for path in paths {
            all.push(world.get_with(path, &[("authorization", token)]).await.status.as_u16());
        }
        all
    };
    assert_eq!(statuses(&bearer(&world, &[Scope::Insights])).await, [200, 403, 403, 403, 403, 403]);
    assert_eq!(statuses(&bearer(&world, &[Scope::Posts])).await, [403, 200, 403, 403, 403, 403]);
    assert_eq!(statuses(&bearer(&world, &[Scope::Operations])).await, [403, 403, 200, 200, 403, 403]);
    assert_eq!(statuses(&bearer(&world, &[Scope::DeadLetters])).await, [403, 403, 403, 403, 403, 200]);
    assert_eq!(statuses(&bearer(&world, &Scope::ALL)).await, [200; 6]);
    assert_eq!(statuses("Bearer forged").await, [401; 6]);
    let insights = bearer(&world, &[Scope::Insights]);
    let board = world.get_with("/v1/trends", &[("authorization", &insights)]).await;
    assert_eq!(
        board.json()["trends"][0]["explained_by"],
        serde_json::json!([]),
        "no posts without the scope, not even by default"
    );
    let refused = world.get_with("/v1/stream?type=post", &[("authorization", &insights)]).await;
    refused.problem(403);
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));
}

#[tokio::test]
async fn without_a_token_only_pages_and_probes_are_open() {
    let world = guarded().await;
    for path in ["/v1/assets", "/v1/trends", "/v1/assets/BTC/posts", "/v1/runs", "/v1/stream", "/metrics"] {
        let answer = world.get(path).await;
        answer.problem(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    for path in ["/", "/docs", "/openapi.json", "/assets/app.js", "/livez"] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
    let token = bearer(&world, &Scope::ALL);
    world.clock.advance(Duration::from_secs(3600 + 31));
    world.get_with("/v1/assets", &[("authorization", &token)]).await.problem(401);
}

#[tokio::test]
async fn a_client_that_asks_too_much_waits_and_others_do_not() {
    for proxy in ["--api-behind-proxy", "--api-trusted-proxies=0.0.0.0"] {
        let world = World::with(&["--api-rate=1", "--api-burst=3", proxy]).await;
        let mine = [("x-forwarded-for", "203.0.113.9, 192.0.2.1")];
        for remaining in [2, 1, 0] {
            let answer = world.get_with("/v1/assets", &mine).await;
            assert_eq!(answer.status, 200);
            assert!(answer.header("ratelimit").contains(&format!("r={remaining}")));
        }
        let refused = world.get_with("/v1/assets", &mine).await;
        refused.problem(429);
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(world.get_with("/v1/assets", &[("x-forwarded-for", "203.0.113.9, 192.0.2.2")]).await.status, 200);
        assert_eq!(world.get_with("/livez", &mine).await.status, 200, "probes are not limited");
        // The clock of Redis goes on by itself.
        while world.get_with("/v1/assets", &mine).await.status != 200 {
            world.clock.advance(Duration::from_millis(100));
        }
    }
    let world = World::with(&["--api-rate=1", "--api-burst=1"]).await;
    assert_eq!(world.get_with("/v1/assets", &[("x-forwarded-for", "192.0.2.1")]).await.status, 200);
    world.get_with("/v1/assets", &[("x-forwarded-for", "192.0.2.2")]).await.problem(429);
}

/// Two replicas, and a client that asks both for as much as it can for some seconds: how much of its budget it was answered.
async fn share_of_two_replicas(redis_url: Option<&str>) -> f64 {
    let (rate, burst, time) = (20, 100, Duration::from_secs(5));
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let replica = || {
        let redis = format!("--redis-url={}", redis_url.unwrap_or(&stack.redis_url));
        let prefix = format!("--redis-prefix={}", stack.prefix);
        let limit = [&*format!("--api-rate={rate}"), &format!("--api-burst={burst}"), "--api-trusted-proxies=0.0.0.0"]
            .join(" ");
        let args: Vec<&str> = [&*redis, &prefix].into_iter().chain(limit.split(' ')).collect();
        vigie_api::router(&checked(&args), &Context::system()).unwrap()
    };
    let replicas = [replica(), replica()];
    let ask = async |replica: usize, client: String| {
        send(replicas[replica].clone(), "GET", "/v1/metrics", &[("x-forwarded-for", &client)]).await
    };
    let mut pace = interval(Duration::from_millis(2));
    // Once both are connected, the second knows what the first has spent.
    for client in (0..=u16::MAX).map(|i| format!("192.0.{}.{}", i / 256, i % 256)).take_while(|_| redis_url.is_none()) {
        pace.tick().await;
        ask(0, client.clone()).await;
        let limit = ask(1, client).await.header("ratelimit").to_owned();
        let remaining = limit.split("r=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<u32>().ok());
        if remaining.unwrap() < burst - 1 {
            break;
        }
    }
    let began = Instant::now();
    let hammer = async |replica| {
        let (mut answered, mut pace) = (0, interval(Duration::from_millis(2)));
        while began.elapsed() < time {
            answered += u32::from(ask(replica, "203.0.113.1".to_owned()).await.status == 200);
            pace.tick().await;
        }
        answered
    };
    let (one, other) = tokio::join!(hammer(0), hammer(1));
    f64::from(one + other) / (f64::from(burst) + f64::from(rate) * began.elapsed().as_secs_f64())
}

#[tokio::test]
async fn replicas_share_a_budget_and_each_has_its_own_while_redis_is_away() {
    let together = share_of_two_replicas(None).await;
    assert!((0.95..=1.05).contains(&together), "{together}");
    let apart = share_of_two_replicas(Some("redis://127.0.0.1:1")).await;
    assert!((1.0..=2.05).contains(&apart), "{apart}");
}

#[tokio::test]
async fn other_sites_read_only_if_they_are_named() {
    let origin = [("origin", "https://friend.example")];
    let closed = World::new().await;
    assert!(!closed.get_with("/v1/assets", &origin).await.headers.contains_key("access-control-allow-origin"));
    let open = World::with(&["--api-cors-origin=https://friend.example"]).await;
    let answer = open.get_with("/v1/assets", &origin).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://friend.example");
    let preflight = open.send("OPTIONS", "/v1/assets", &[origin[0], ("access-control-request-method", "GET")]).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    let stranger = open.get_with("/v1/assets", &[("origin", "https://stranger.example")]).await;
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
}
