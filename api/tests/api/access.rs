use std::time::Duration;

use vigie_api::{AuthConfig, Scope, issue_token};
use vigie_clock::Clock;

use crate::world::{Window, World};

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
    let paths = ["/v1/trends?posts=0", "/v1/assets/BTC/posts", "/v1/sources", "/metrics", "/v1/trends?posts=1"];
    let statuses = async |token: &str| {
        let mut all = Vec::new();
        for path in paths {
            all.push(world.get_with(path, &[("authorization", token)]).await.status.as_u16());
        }
        all
    };
    assert_eq!(statuses(&bearer(&world, &[Scope::Insights])).await, [200, 403, 403, 403, 403]);
    assert_eq!(statuses(&bearer(&world, &[Scope::Posts])).await, [403, 200, 403, 403, 403]);
    assert_eq!(statuses(&bearer(&world, &[Scope::Operations])).await, [403, 403, 200, 200, 403]);
    assert_eq!(statuses(&bearer(&world, &Scope::ALL)).await, [200, 200, 200, 200, 200]);
    assert_eq!(statuses("Bearer forged").await, [401, 401, 401, 401, 401]);
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
    let world = World::with(&["--api-rate=1", "--api-burst=3", "--api-behind-proxy"]).await;
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
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.get_with("/v1/assets", &mine).await.status, 200);
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
