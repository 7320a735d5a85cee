//! Tokens that nobody should get in with, each made with real keys; and beside them those that everybody with the key should.

mod forged;

use std::net::TcpListener;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::door::{Database, Door, NOW};
use crate::keys::{Pair, Signer};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://issuer.example";

/// A door for each kind of key.
struct World {
    secret: Signer,
    rsa: Pair,
    p256: Pair,
    ed25519: Pair,
    doors: [Door; 4],
}

impl World {
    async fn new() -> Self {
        let database = Database::new().await;
        let (rsa, p256, ed25519) = (Pair::rsa(2048), Pair::p256(), Pair::ed25519());
        let issuer = format!("--auth-issuer={ISSUER}");
        let folder = tempfile::tempdir().unwrap();
        let door = |option: &str| database.door(&[option, &issuer, "--auth-max-token-lifetime=24h"]);
        let by_key = |name: &str, pair: &Pair| {
            let file = folder.path().join(name);
            std::fs::write(&file, &pair.pem).unwrap();
            door(&format!("--auth-public-key-file={}", file.display()))
        };
        let doors = [
            door(&format!("--auth-secret={SECRET}")),
            by_key("rsa", &rsa),
            by_key("p256", &p256),
            by_key("ed25519", &ed25519),
        ];
        Self { secret: Signer::secret(Algorithm::HS256, SECRET), rsa, p256, ed25519, doors }
    }
}

const HS: usize = 0;
const RS: usize = 1;
const ES: usize = 2;
const ED: usize = 3;

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "vigie", "sub": "alice", "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "jti": "1",
        "scope": "read:insights read:posts",
    })
}

/// The claims with some changed; null removes one.
fn but(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn header(algorithm: Algorithm) -> Value {
    json!({"alg": format!("{algorithm:?}"), "typ": "JWT"})
}

/// The header with fields added.
fn with(algorithm: Algorithm, fields: Value) -> Value {
    let mut header = header(algorithm);
    header.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    header
}

#[tokio::test]
async fn tokens_that_nobody_should_get_in_with_are_refused() {
    let world = World::new().await;
    // Whoever follows a jku or an x5u ends here.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let evil = format!("http://{}", trap.local_addr().unwrap());
    let attacks = forged::all(&world, &evil);
    let mut texts: Vec<_> = attacks.iter().map(|(_, door, token)| (door, token)).collect();
    texts.sort();
    texts.dedup();
    assert!(texts.len() >= 200, "only {} that differ", texts.len());
    let mut got_in = Vec::new();
    for (what, door, token) in &attacks {
        let answer = world.doors[*door].knock(token).await;
        if answer.status != 401 || answer.challenge() != r#"Bearer error="invalid_token""# {
            got_in.push(format!("{what}: {} {:?} {}", answer.status, answer.challenge(), answer.body));
        }
        assert_eq!(answer.body["status"], 401, "{what}");
        assert!(token.len() < 3 || !answer.body.to_string().contains(token), "{what}: the answer repeats the token");
    }
    assert!(got_in.is_empty(), "{} of {}:\n{}", got_in.len(), attacks.len(), got_in.join("\n"));
    assert!(trap.accept().is_err(), "somebody followed a URL in a token");
}

#[tokio::test]
async fn tokens_of_every_allowed_algorithm_are_accepted() {
    let world = World::new().await;
    let World { secret, rsa, p256, ed25519, doors } = &world;
    let all = [
        (HS, secret),
        (RS, rsa.by(Algorithm::RS256)),
        (RS, rsa.by(Algorithm::PS256)),
        (ES, p256.signer()),
        (ED, ed25519.signer()),
    ];
    for (door, signer) in all {
        let answer = doors[door].knock(&signer.token(&header(signer.algorithm), &claims())).await;
        assert_eq!(answer.status, 200, "{:?}: {}", signer.algorithm, answer.body);
    }
    let renamed = ed25519.signer().token(&json!({"alg": "Ed25519"}), &claims());
    assert_eq!(doors[ED].knock(&renamed).await.status, 200, "EdDSA under its name of RFC 9864");
    for changes in [
        json!({"scope": ["read:posts", "read:insights"]}),
        json!({"scope": null, "scp": ["read:insights"]}),
        json!({"scope": "openid", "scp": "profile read:insights"}),
        json!({"aud": ["other", "vigie"]}),
        json!({"exp": NOW as f64 + 0.25, "iat": NOW as f64 - 0.5, "nbf": NOW as f64 - 0.5}),
        json!({"exp": NOW - 29, "iat": NOW - 60, "nbf": null}),
        json!({"nbf": NOW + 29, "iat": NOW + 29}),
        json!({"exp": NOW + 86_400}),
        json!({"sub": "a".repeat(255)}),
        json!({"email": "alice@example.com", "groups": ["a", "b"], "nested": {"exp": 1}}),
    ] {
        let answer = doors[HS].knock(&secret.token(&header(Algorithm::HS256), &but(changes.clone()))).await;
        assert_eq!(answer.status, 200, "{changes}: {}", answer.body);
    }
    for fields in [
        json!({"typ": "at+jwt"}),
        json!({"typ": "application/AT+JWT"}),
        json!({"kid": "any"}),
        json!({"jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "x5t": "AAAA", "x5c": [], "jwk": rsa.jwk}),
    ] {
        let answer = doors[HS].knock(&secret.token(&with(Algorithm::HS256, fields.clone()), &claims())).await;
        assert_eq!(answer.status, 200, "{fields}: {}", answer.body);
    }
    for changes in [json!({"scope": "read:posts"}), json!({"scope": null}), json!({"scope": "read:insights2 read"})] {
        let answer = doors[HS].knock(&secret.token(&header(Algorithm::HS256), &but(changes.clone()))).await;
        assert_eq!(answer.status, 403, "{changes}: {}", answer.body);
        assert!(answer.challenge().contains("insufficient_scope"), "{}", answer.challenge());
    }
}

#[tokio::test]
async fn tokens_are_taken_from_one_place_only() {
    let World { secret, doors, .. } = World::new().await;
    let token = secret.token(&header(Algorithm::HS256), &claims());
    let bearer = format!("Bearer {token}");
    for headers in [
        &[][..],
        &[("authorization", token.as_str())],
        &[("authorization", "Bearer")],
        &[("authorization", &format!("Basic {token}"))],
        &[("authorization", &format!("DPoP {token}"))],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("cookie", &format!("access_token={token}"))],
        &[("x-access-token", &token)],
    ] {
        let answer = doors[HS].ask(&format!("/v1/metrics?access_token={token}"), headers).await;
        assert_eq!((answer.status, answer.challenge()), (401, "Bearer"), "{headers:?}: {}", answer.body);
    }
    for scheme in ["bearer", "BEARER"] {
        let answer = doors[HS].ask("/v1/metrics", &[("authorization", &format!("{scheme} {token}"))]).await;
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

#[test]
fn keys_that_are_too_weak_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let option = format!("--auth-public-key-file={}", file.display());
    for (pem, expected) in [
        (Pair::rsa(1024).pem, "an RSA key of 1024 bits, expected 2048 to 4096"),
        (rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().public_key_pem(), "no key of its kind"),
        (rcgen::KeyPair::generate().unwrap().serialize_pem(), "no public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_owned(), "no Ed25519, P-256 or RSA key"),
    ] {
        std::fs::write(&file, pem).unwrap();
        let Err(mistakes) = Door::with(&[&option]) else { panic!("accepted, not {expected}") };
        assert!(format!("{mistakes:?}").contains(expected), "{expected}: {mistakes:?}");
    }
}
