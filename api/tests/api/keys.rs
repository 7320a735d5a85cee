//! API keys by the API.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;
use vigie_api::{Scope, issue_token};
use vigie_clock::Clock;

use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);

async fn world() -> World {
    World::with(&["--auth=jwt", "--auth-secret=0123456789abcdef0123456789abcdef", "--api-timeout=60s"]).await
}

fn bearer(world: &World, scopes: &[Scope]) -> String {
    format!("Bearer {}", issue_token(&world.config.auth, "admin", scopes, HOUR, world.clock.now()).unwrap())
}

/// Orders a key: status and answer.
async fn order(world: &World, token: &str, order: &str) -> (u16, Value) {
    let request = Request::post("/v1/keys").header("authorization", token).header("content-type", "application/json");
    let request = request.body(Body::from(order.to_owned())).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn stored(world: &World) -> i64 {
    world.db.query_one("SELECT count(*) FROM api_keys", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn who_may_makes_lists_and_revokes_keys_that_may_no_more_than_the_maker() {
    let world = world().await;
    world.audited().await;
    let admin = bearer(&world, &[Scope::Keys, Scope::Insights]);
    let wanted = json!({"name": "nightly", "scopes": ["read:insights"], "days": 7}).to_string();
    for scopes in [&[Scope::Insights, Scope::Posts, Scope::Operations, Scope::Authors][..], &[]] {
        assert_eq!(order(&world, &bearer(&world, scopes), &wanted).await.0, 403);
    }
    assert_eq!(order(&world, "Bearer nobody", &wanted).await.0, 401);
    let (status, refused) =
        order(&world, &admin, &json!({"name": "n", "scopes": ["read:insights", "read:posts"]}).to_string()).await;
    assert!(status == 403 && refused["detail"].as_str().unwrap().contains("read:posts"), "{refused}");
    assert_eq!(stored(&world).await, 0);

    let (status, made) = order(&world, &admin, &wanted).await;
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!((status, made["expires_at"].as_str().unwrap()), (201, "2026-11-30T12:00:00Z"));
    world.clock.advance(Duration::from_secs(1));
    let ask = async |path: &str| world.get_with(path, &[("x-api-key", key)]).await.status.as_u16();
    assert_eq!((ask("/v1/assets").await, ask("/v1/sources").await, ask("/v1/keys").await), (200, 403, 403));

    let listed = world.get_with("/v1/keys", &[("authorization", &admin)]).await;
    assert!(!listed.text().contains(&key[16..]));
    assert_eq!(listed.json()["keys"][0]["name"], "nightly");
    let path = format!("/v1/keys/{id}");
    assert_eq!(world.send("DELETE", &path, &[("authorization", &admin)]).await.status, 204);
    world.send("DELETE", &path, &[("authorization", &admin)]).await.problem(404);
    world.send("DELETE", "/v1/keys/satoshi", &[("authorization", &admin)]).await.problem(404);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(ask("/v1/assets").await, 401);

    let records = world.audit(7).await;
    let said = records.iter().map(|record| format!("{} {}", record.action, record.outcome)).collect::<Vec<_>>();
    let expected = [
        "key.create refused",
        "key.create refused",
        "key.create refused",
        "key.create allowed",
        "key.list refused",
        "key.list allowed",
        "key.revoke allowed",
    ];
    assert_eq!(said, expected);
    assert_eq!([&records[3].object, &records[6].object], [&Some(id.to_owned()), &Some(id.to_owned())]);
    assert_eq!(records[4].subject, Some(format!("key:{id}")));
    assert!(!format!("{records:?}").contains(&key[16..]), "the key is in the audit");
}

#[tokio::test]
async fn pages_of_keys_neither_repeat_nor_skip_one() {
    let world = world().await;
    let sql = "INSERT INTO api_keys SELECT 'k' || lpad(n::text, 9, '0'), sha256(n::text::bytea), 'n', '{}', \
               timestamptz '2026-01-01Z' + n / 3 * interval '1 s', '2100-01-01' FROM generate_series(1, 25) n";
    world.sql(sql).await;
    let token = bearer(&world, &[Scope::Keys]);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get_with(&format!("/v1/keys?limit=7{cursor}"), &[("authorization", &token)]).await.json();
        ids.extend(page["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((count, ids.len()), (25, 25));
}

#[tokio::test]
async fn what_is_wrong_or_cannot_be_audited_makes_no_key() {
    let world = world().await;
    let admin = bearer(&world, &Scope::ALL);
    for wrong in [
        "",
        "{}",
        "[]",
        r#"{"name": "", "scopes": ["read:posts"]}"#,
        r#"{"name": "a\u0007b", "scopes": ["read:posts"]}"#,
        r#"{"name": "n", "scopes": []}"#,
        r#"{"name": "n", "scopes": ["write:all"]}"#,
        r#"{"name": "n", "scopes": ["read:posts"], "days": 0}"#,
        r#"{"name": "n", "scopes": ["read:posts"], "days": 3661}"#,
        r#"{"name": "n", "scopes": ["read:posts"], "key": "mine"}"#,
    ] {
        let (status, problem) = order(&world, &admin, wrong).await;
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
    let long = json!({"name": "n".repeat(5000), "scopes": ["read:posts"]}).to_string();
    assert_eq!(order(&world, &admin, &long).await.0, 413);
    let (status, problem) = order(&world, &admin, r#"{"name": "n", "scopes": ["read:posts"]}"#).await;
    assert!(status == 503 && problem["detail"].as_str().unwrap().contains("audited"), "{problem}");
    assert_eq!(stored(&world).await, 0);
}
