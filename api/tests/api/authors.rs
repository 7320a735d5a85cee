//! Who may open a handle, and what is left to open.

use std::sync::Arc;
use std::time::Duration;

use vigie_api::{Scope, issue_token};
use vigie_authors::{DataKey, Keyring};
use vigie_clock::Clock;
use vigie_daemon::Context;
use vigie_schemas::AuditRecord;

use crate::world::{Post, World, send};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ID: &str = "00112233445566778899aabbccddeeff";
const RING: &str = "new 0202020202020202020202020202020202020202020202020202020202020202,\
                    old 0101010101010101010101010101010101010101010101010101010101010101";

async fn world(args: &[&str]) -> World {
    let world = World::with(&[&["--auth=jwt", "--auth-secret", SECRET, "--api-timeout=60s"], args].concat()).await;
    for (id, at) in [("reddit:1", "2022-05-09T12:00:00Z"), ("reddit:2", "2022-05-10T12:00:00Z")] {
        world.post(Post { author: Some(ID), ..Post::of("BTC", id, at) }).await;
    }
    // Sealed before the rotation.
    let old: Keyring = RING.split_once(',').unwrap().1.parse().unwrap();
    let key = DataKey::new();
    let wrapped = key.wrap(ID, &old).unwrap();
    let sealed = key.seal(ID, "satoshi");
    world.db.execute("UPDATE authors SET sealed = $1", &[&sealed]).await.unwrap();
    let insert = "INSERT INTO author_keys VALUES ($1, $2, $3, $4, now())";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&ID, &wrapped.id.to_string(), &wrapped.keyring_key, &wrapped.bytes];
    world.db.execute(insert, &parameters).await.unwrap();
    world
}

fn bearer(world: &World, scopes: &[Scope]) -> String {
    let token =
        issue_token(&world.config.auth, "auditor", scopes, Duration::from_secs(3600), world.clock.now()).unwrap();
    format!("Bearer {token}")
}

#[tokio::test]
async fn only_a_token_with_the_scope_opens_a_handle() {
    let world = world(&["--author-keyring", RING]).await;
    world.audited().await;
    let path = format!("/v1/authors/{ID}");
    world.get(&path).await.problem(401);
    let others = bearer(&world, &[Scope::Insights, Scope::Posts, Scope::Operations]);
    let refused = world.get_with(&path, &[("authorization", &others)]).await;
    assert!(!refused.text().contains("satoshi"));
    refused.problem(403);
    let token = bearer(&world, &[Scope::Authors]);
    let opened = world.get_with(&path, &[("authorization", &token)]).await;
    assert_eq!((opened.status.as_u16(), opened.header("cache-control")), (200, "no-store"));
    let author = opened.json();
    assert_eq!(
        (&author["handle"], &author["kind"], &author["posts"]),
        (&"satoshi".into(), &"reddit".into(), &2.into())
    );
    assert_eq!(author["first_seen"], "2022-05-09T12:00:00Z");
    assert_eq!(author["last_seen"], "2022-05-10T12:00:00Z");
    for unknown in ["ffffffffffffffffffffffffffffffff", "satoshi"] {
        world.get_with(&format!("/v1/authors/{unknown}"), &[("authorization", &token)]).await.problem(404);
    }
    let records = world.audit(4).await;
    let said = |record: &AuditRecord| {
        let (subject, object) = (record.subject.clone().unwrap_or_default(), record.object.clone().unwrap_or_default());
        let status = record.detail.get("status").cloned().unwrap_or_default();
        format!("{} {subject} {object} {} {status}", record.action, record.outcome)
    };
    let unknown = "f".repeat(32);
    let expected = [
        format!("author.open auditor {ID} refused 403"),
        format!("author.open auditor {ID} allowed "),
        format!("author.open auditor {unknown} refused 404"),
        "author.open auditor  refused 404".to_owned(),
    ];
    assert_eq!(records.iter().map(said).collect::<Vec<_>>(), expected);
    assert!(!format!("{records:?}").contains("satoshi"), "neither what was opened nor what was asked for");
    // Nothing else that the API says has the handle, or the sealed bytes.
    let posts = world.get_with("/v1/assets/BTC/posts", &[("authorization", &others)]).await;
    assert!(posts.text().contains(ID) && !posts.text().contains("sealed") && !posts.text().contains("satoshi"));
}

#[tokio::test]
async fn an_erased_author_is_gone_and_a_server_without_keyring_says_so() {
    let with = world(&["--author-keyring", RING]).await;
    let path = format!("/v1/authors/{ID}");
    with.sql(&format!("DELETE FROM author_keys; INSERT INTO author_erasures VALUES ('{ID}', '2022-06-01T00:00:00Z')"))
        .await;
    let problem = with.get_with(&path, &[("authorization", &bearer(&with, &[Scope::Authors]))]).await.problem(410);
    assert_eq!(problem["type"], "/docs#problem-gone");

    let without = world(&[]).await;
    let problem =
        without.get_with(&path, &[("authorization", &bearer(&without, &[Scope::Authors]))]).await.problem(501);
    assert!(problem["detail"].as_str().unwrap().contains("--author-keyring-file"));
    let lacking = world(&["--author-keyring", RING.split_once(',').unwrap().0]).await;
    lacking.get_with(&path, &[("authorization", &bearer(&lacking, &[Scope::Authors]))]).await.problem(503);
}

#[tokio::test]
async fn what_cannot_be_audited_is_not_answered() {
    // The topic is not there.
    let world = world(&["--author-keyring", RING]).await;
    let token = bearer(&world, &[Scope::Authors]);
    let path = format!("/v1/authors/{ID}");
    let closed = world.get_with(&path, &[("authorization", &token)]).await;
    assert!(!closed.text().contains("satoshi"));
    assert!(closed.problem(503)["detail"].as_str().unwrap().contains("audited"));
    world.audited().await;
    assert_eq!(world.get_with(&path, &[("authorization", &token)]).await.status, 200);
}

#[tokio::test]
async fn a_subject_opens_so_many_authors_a_day_at_all_replicas_together() {
    let args = ["--author-keyring", RING, "--api-author-openings=2"];
    let world = world(&args).await;
    world.audited().await;
    let path = format!("/v1/authors/{ID}");
    let token = bearer(&world, &[Scope::Authors]);
    let other = vigie_api::router(&world.checked(), &Context::new(Arc::new(world.clock.clone()))).unwrap();
    assert_eq!(world.get_with(&path, &[("authorization", &token)]).await.status, 200);
    assert_eq!(send(other.clone(), "GET", &path, &[("authorization", &token)]).await.status, 200);
    for router in [world.router.clone(), other] {
        let refused = send(router, "GET", &path, &[("authorization", &token)]).await;
        assert!(!refused.text().contains("satoshi"));
        // It is noon.
        assert_eq!(refused.header("retry-after"), "43200");
        refused.problem(429);
    }
    let records = world.audit(4).await;
    assert_eq!(records.last().unwrap().outcome, "refused");
    assert_eq!(records.last().unwrap().detail["reason"], "more than 2 a day");
    world.clock.advance(Duration::from_secs(12 * 3600));
    let tomorrow = bearer(&world, &[Scope::Authors]);
    assert_eq!(world.get_with(&path, &[("authorization", &tomorrow)]).await.status, 200);
}

#[tokio::test]
async fn where_no_tokens_are_asked_for_handles_stay_closed() {
    let world = World::with(&["--author-keyring", RING]).await;
    let problem = world.get(&format!("/v1/authors/{ID}")).await.problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("--auth jwt"));
}
