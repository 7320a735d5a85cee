//! API keys, and what is revoked.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use vigie_api::{Credentials, NewKey, Revoked, Scope};
use vigie_clock::Clock;
use vigie_daemon::FromSecret;
use vigie_stores::PostgresUrl;

use crate::door::{Database, Door, NOW};
use crate::keys::Signer;

const HOUR: Duration = Duration::from_secs(3600);
/// A revocation holds from then on.
const SECOND: Duration = Duration::from_secs(1);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn operator(database: &Database) -> Credentials {
    Credentials::connect(&PostgresUrl::from_secret(&database.url).unwrap()).await.unwrap()
}

async fn status(door: &Door, key: &NewKey) -> u16 {
    door.knock(key.key.reveal()).await.status
}

fn token(changes: Value) -> String {
    let mut claims = json!({
        "aud": "vigie", "sub": "alice", "iat": NOW, "exp": NOW + 86_400, "scope": "read:insights",
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Signer::secret(Algorithm::HS256, SECRET).token(&json!({"alg": "HS256"}), &claims)
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_name_until_it_is_revoked_or_expires() {
    let database = Database::new().await;
    let (operator, door) = (operator(&database).await, database.door(&["--auth=keys", "--auth-secret", SECRET]));
    let now = door.clock.now();
    let key = operator.create_key("dashboards", &[Scope::Insights], HOUR, now).await.unwrap();
    let other = operator.create_key("posts", &[Scope::Posts], 2 * HOUR, now).await.unwrap();
    assert_eq!(status(&door, &key).await, 200);
    let by_field = async |key: &str| door.ask("/v1/metrics", &[("x-api-key", key)]).await;
    assert_eq!(by_field(key.key.reveal()).await.status, 200);
    let refused = door.knock(other.key.reveal()).await;
    assert_eq!(refused.status, 403, "{}", refused.body);

    let text = key.key.reveal();
    let mistyped = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    for (wrong, detail) in [(mistyped.as_str(), "mistyped"), ("vigie_", "mistyped"), ("secret", "expected one of")] {
        let answer = by_field(wrong).await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.challenge().starts_with("Bearer") && answer.detail().contains(detail),
            "{wrong}: {}",
            answer.body
        );
    }
    let bearer = format!("Bearer {text}");
    let twice = door.ask("/v1/metrics", &[("x-api-key", text), ("authorization", &bearer)]).await;
    assert_eq!(twice.status, 401, "two credentials are one too many");
    assert_eq!(door.knock(&token(json!({}))).await.status, 401, "tokens are not taken here");

    assert!(operator.revoke_key(&key.id, now).await.unwrap());
    assert!(!operator.revoke_key(&key.id, now).await.unwrap(), "only once");
    door.clock.advance(SECOND);
    let revoked = door.knock(text).await;
    assert_eq!((revoked.status, revoked.challenge()), (401, r#"Bearer error="invalid_token""#));
    assert_eq!(status(&door, &other).await, 403, "the other one stands");
    door.clock.advance(2 * HOUR);
    assert_eq!(status(&door, &other).await, 401, "expired");
    let late = operator.create_key("late", &[Scope::Insights], HOUR, door.clock.now()).await.unwrap();
    door.clock.advance(SECOND);
    assert_eq!(status(&door, &late).await, 200, "a new key holds after a second");
}

#[tokio::test]
async fn keys_are_stored_as_hashes_and_their_last_use_to_the_minute() {
    let database = Database::new().await;
    let (operator, door) = (operator(&database).await, database.door(&["--auth=keys"]));
    let start = door.clock.now();
    let key = operator.create_key("nightly job", &[Scope::Insights, Scope::Posts], HOUR, start).await.unwrap();
    let stored: String =
        database.client.query_one("SELECT to_jsonb(k)::text FROM api_keys k", &[]).await.unwrap().get(0);
    let secret = &key.key.reveal()["vigie_".len() + 10..];
    assert!(stored.contains(&key.id) && !stored.contains(secret), "{stored}");
    assert!(!format!("{:?}", key.key).contains(secret));
    let last_use = async || operator.keys().await.unwrap().remove(0).last_used_at;
    assert_eq!(last_use().await, None);
    let used_at = async |expected: String| {
        let seen = async { while last_use().await.as_ref() != Some(&expected) {} };
        tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap();
    };
    assert_eq!(status(&door, &key).await, 200);
    used_at(start.to_string()).await;
    // The write of a use within the minute would come before the next one that is written.
    door.clock.advance(Duration::from_secs(30));
    assert_eq!(status(&door, &key).await, 200);
    assert_eq!(last_use().await, Some(start.to_string()));
    door.clock.advance(Duration::from_secs(31));
    assert_eq!(status(&door, &key).await, 200);
    used_at(door.clock.now().to_string()).await;
    let listed = operator.keys().await.unwrap().remove(0);
    assert_eq!((listed.name.as_str(), listed.scopes.join(" ").as_str()), ("nightly job", "read:insights read:posts"));
    assert_eq!(listed.expires_at, start.saturating_add(HOUR).to_string());
    assert!(operator.create_key("", &[Scope::Insights], HOUR, start).await.is_err());
    assert!(operator.create_key("a\nb", &[Scope::Insights], HOUR, start).await.is_err());
}

#[tokio::test]
async fn the_database_is_not_asked_for_each_request_and_may_go_away() {
    let database = Database::new().await;
    let (operator, door) = (operator(&database).await, database.door(&["--auth-secret", SECRET]));
    let key = operator.create_key("k", &[Scope::Insights], HOUR, door.clock.now()).await.unwrap();
    assert_eq!(status(&door, &key).await, 200);
    database
        .client
        .batch_execute("ALTER TABLE api_keys RENAME TO gone; ALTER TABLE access_changes RENAME TO away")
        .await
        .unwrap();
    for _ in 0..100 {
        assert_eq!(status(&door, &key).await, 200);
    }
    door.clock.advance(SECOND);
    assert_eq!(status(&door, &key).await, 200, "the last that is known holds");
    assert_eq!(door.knock(&token(json!({}))).await.status, 200);
    let blind = database.door(&["--auth-secret", SECRET]);
    assert_eq!(status(&blind, &key).await, 503, "nothing is known");
    assert_eq!(blind.knock(&token(json!({}))).await.status, 503, "nor who is revoked");
    assert_eq!(blind.knock("a.b.c").await.status, 401);
}

#[tokio::test]
async fn tokens_are_revoked_by_id_and_by_subject() {
    let database = Database::new().await;
    let (operator, door) = (operator(&database).await, database.door(&["--auth-secret", SECRET]));
    let revoke = async |what| {
        operator.revoke_tokens(what, HOUR, door.clock.now()).await.unwrap();
        door.clock.advance(SECOND);
    };
    let (one, two, bob) =
        (token(json!({"jti": "1"})), token(json!({"jti": "2"})), token(json!({"sub": "bob", "jti": "3"})));
    let statuses =
        async || [door.knock(&one).await.status, door.knock(&two).await.status, door.knock(&bob).await.status];
    assert_eq!(statuses().await, [200, 200, 200]);
    revoke(Revoked::Token("1")).await;
    assert_eq!(statuses().await, [401, 200, 200]);
    assert!(door.knock(&one).await.detail().contains("revoked"));
    revoke(Revoked::Subject("alice")).await;
    assert_eq!(statuses().await, [401, 401, 200]);
    // An issuer's clock may be ahead by 30 s; what is issued after that is new.
    let ahead = token(json!({"iat": NOW + 29}));
    assert_eq!(door.knock(&ahead).await.status, 401);
    door.clock.advance(Duration::from_secs(60));
    assert_eq!(door.knock(&token(json!({"iat": NOW + 62}))).await.status, 200);
    assert_eq!(statuses().await, [401, 401, 200]);
    let kept =
        async || database.client.query_one("SELECT count(*) FROM revoked_tokens", &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(kept().await, 2);
    door.clock.advance(HOUR + SECOND);
    revoke(Revoked::Token("9")).await;
    assert_eq!(kept().await, 1, "what nobody could use any more is forgotten");
    let fill =
        "INSERT INTO revoked_tokens SELECT 'jti', n::text, now(), 'infinity' FROM generate_series(100, 100098) n";
    database.client.batch_execute(fill).await.unwrap();
    let full = operator.revoke_tokens(Revoked::Token("10"), HOUR, door.clock.now()).await;
    assert!(full.unwrap_err().chain().contains("100000 revocations"));
}
