//! OWASP API Security Top 10 (2023): the attacks that no other test makes. docs/security.md names a test for each risk.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use tower::ServiceExt;
use vigie_api::{Scope, issue_token};
use vigie_clock::Clock;

use crate::world::{Post, Window, World};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn guarded(args: &[&str]) -> World {
    World::with(&[&["--auth=jwt", "--auth-secret", SECRET], args].concat()).await
}

fn bearer(world: &World, subject: &str, scopes: &[Scope]) -> String {
    let hour = Duration::from_secs(3600);
    format!("Bearer {}", issue_token(&world.config.auth, subject, scopes, hour, world.clock.now()).unwrap())
}

/// The status alone: a live stream has no end.
async fn status(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
}

/// By path, the operations by method.
fn documented() -> Vec<(String, BTreeMap<String, Value>)> {
    let doc: Value = serde_json::from_str(&vigie_api::openapi_json()).unwrap();
    let paths = doc["paths"].as_object().unwrap().iter();
    let upper = |methods: &Value| {
        let operations = methods.as_object().unwrap().iter();
        operations.map(|(method, operation)| (method.to_uppercase(), operation.clone())).collect()
    };
    paths.map(|(path, methods)| (path.replace("{asset}", "BTC").replace(['{', '}'], ""), upper(methods))).collect()
}

/// API1.
#[tokio::test]
async fn an_id_or_a_cursor_opens_its_own_object_only() {
    let world = World::with(&["--api-rate=0"]).await;
    for (asset, id) in [("BTC", "one"), ("BTC", "two"), ("ETH", "theirs")] {
        world.post(Post::of(asset, id, "2022-05-09T12:00:00Z")).await;
    }
    for asset in ["BTC", "ETH"] {
        world.window(Window::of(asset, "2022-05-09T12:00:00Z", 1, None)).await;
    }
    let page = world.json("/v1/assets/BTC/posts?limit=1").await;
    let cursor = page["next"].as_str().unwrap();
    let other = world.get(&format!("/v1/assets/ETH/posts?limit=1&cursor={cursor}")).await;
    assert_eq!(other.problem(400)["errors"][0]["parameter"], "cursor");
    // The same place under another question, as somebody would write it who knows how a cursor is made.
    let bytes: Vec<u8> =
        (0..cursor.len()).step_by(2).map(|i| u8::from_str_radix(&cursor[i..i + 2], 16).unwrap()).collect();
    let mut forged: Value = serde_json::from_slice(&bytes).unwrap();
    forged["id"] = "zzzz' OR 'a'='a".into();
    let forged: String = forged.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    let posts = world.json(&format!("/v1/assets/BTC/posts?limit=10&cursor={forged}")).await;
    assert!(!posts.to_string().contains("theirs"), "{posts}");
    for id in ["BTC'%20OR%20'1'='1", "%25", "BTC%2F..%2FETH", "..%2FETH", "BTC%00", "BTC;DROP%20TABLE%20alerts", "_TC"]
    {
        let answer = world.get(&format!("/v1/assets/{id}/posts")).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{id}: {} {}", answer.status, answer.text());
    }
}

/// API2.
#[tokio::test]
async fn credentials_cannot_be_guessed_at_speed() {
    let world = guarded(&["--api-rate=1", "--api-burst=5"]).await;
    let mut answers = Vec::new();
    for guess in 0..10 {
        let key = format!("vigie_{guess:048}");
        answers.push(status(&world, "GET", "/v1/assets", &[("x-api-key", &key)]).await);
    }
    assert_eq!(answers, [[401; 5], [429; 5]].concat());
    let token = bearer(&world, "alice", &Scope::ALL);
    assert_eq!(status(&world, "GET", "/v1/assets", &[("authorization", &token)]).await, 200, "who has one gets in");
}

/// API5 and API9.
#[tokio::test]
async fn each_route_is_for_one_scope_and_what_is_not_documented_is_not_there() {
    let world = guarded(&["--api-rate=0"]).await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    let tokens = Scope::ALL.map(|scope| bearer(&world, scope.name(), &[scope]));
    let all = bearer(&world, "all", &Scope::ALL);
    for (path, methods) in documented() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
            if !methods.contains_key(method) {
                let refused = status(&world, method, &path, &[("authorization", &all)]).await;
                assert_eq!(refused, 405, "{method} {path}");
            }
        }
        if !path.starts_with("/v1/") && path != "/metrics" {
            continue;
        }
        for (method, operation) in &methods {
            assert_eq!(status(&world, method, &path, &[]).await, 401, "{method} {path}");
            let mut opened = Vec::new();
            for (scope, token) in Scope::ALL.iter().zip(&tokens) {
                let answered = status(&world, method, &path, &[("authorization", token)]).await;
                let overridden = [("authorization", token.as_str()), ("x-http-method-override", "DELETE")];
                assert_eq!(status(&world, method, &path, &overridden).await, answered, "{method} {path}, overridden");
                if answered != 403 {
                    opened.push(scope.name());
                }
            }
            let documented = operation["security"].as_array().unwrap().last().unwrap()["api_key"].clone();
            assert_eq!(Value::from(opened), documented, "{method} {path} opens to other scopes");
        }
    }
    for hidden in ["/v0/assets", "/v2/assets", "/V1/assets", "/v1", "/admin", "/debug/pprof", "/.env", "/.git/config"] {
        assert_eq!(status(&world, "GET", hidden, &[("authorization", &all)]).await, 404, "{hidden}");
    }
}

/// API6.
#[tokio::test]
async fn handles_cannot_be_opened_in_bulk() {
    let world = guarded(&["--api-rate=20", "--api-burst=100"]).await;
    let token = bearer(&world, "auditor", &[Scope::Authors]);
    let mut answers = Vec::new();
    for author in 0..8 {
        answers.push(status(&world, "GET", &format!("/v1/authors/{author:032x}"), &[("authorization", &token)]).await);
    }
    assert_eq!(answers.iter().filter(|answer| **answer == 429).count(), 3, "{answers:?}");
}

/// API7.
#[tokio::test]
async fn nothing_in_a_request_makes_the_api_connect_anywhere() {
    let world = World::with(&["--api-rate=0"]).await;
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let host = trap.local_addr().unwrap().to_string();
    let url = format!("http://{host}/");
    let headers = [
        ("forwarded", format!("host={host};proto=http")),
        ("x-forwarded-host", host.clone()),
        ("x-original-url", url.clone()),
        ("x-rewrite-url", url.clone()),
        ("referer", url.clone()),
        ("origin", url.clone()),
        ("from", url.clone()),
        ("x-api-key", url.clone()),
    ];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (path, _) in documented() {
        for query in ["url", "callback", "source", "q", "asset", "run", "cursor"] {
            let encoded: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
            status(&world, "GET", &format!("{path}?{query}={encoded}"), &headers).await;
        }
        status(&world, "GET", &format!("http://{host}{path}"), &headers).await;
    }
    assert!(trap.accept().is_err(), "somebody connected");
}

/// API8.
#[tokio::test]
async fn a_failure_tells_nothing_of_what_failed() {
    let world = World::with(&["--api-rate=0"]).await;
    world.sql("ALTER TABLE alerts RENAME TO hidden").await;
    let answer = world.get("/v1/alerts").await;
    assert!(answer.status.is_server_error(), "{}", answer.text());
    let said = answer.text().to_lowercase();
    for word in ["relation", "select", "postgres", "sql", "panicked", ".rs", "vigie_"] {
        assert!(!said.contains(word), "{word} in {said}");
    }
}
