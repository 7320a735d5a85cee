//! Keys of issuers on the network: found, kept, rotated, and done without while the issuer is away.

use std::slice;
use std::time::Duration;

use futures_util::future::join_all;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::door::{Database, Door, NOW};
use crate::keys::{Pair, Signer};
use crate::provider::{self, DISCOVERY, Foreign, JWKS, Provider, Reply};

const COOL_DOWN: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);

fn published(pair: &Pair, kid: &str) -> Value {
    let mut jwk = pair.jwk.clone();
    jwk["kid"] = json!(kid);
    jwk
}

fn token(signer: &Signer, kid: &str, issuer: &str) -> String {
    let claims = json!({
        "iss": issuer, "aud": "vigie", "sub": "alice", "iat": NOW, "exp": NOW + 3 * 86_400, "scope": "read:insights",
    });
    signer.token(&json!({"alg": format!("{:?}", signer.algorithm), "kid": kid}), &claims)
}

async fn door(database: &Database, provider: &Provider) -> Door {
    database.door(&["--auth-oidc-issuers", &provider.issuer])
}

#[tokio::test]
async fn keys_of_every_kind_are_found_once_for_all_who_ask() {
    let (database, provider) = (Database::new().await, Provider::new().await);
    let (rsa, pss, p256, ed25519) = (Pair::rsa(2048), Pair::rsa(2048), Pair::p256(), Pair::ed25519());
    let mut only_pss = published(&pss, "pss");
    only_pss["alg"] = json!("PS256");
    let mut encrypts = published(&pss, "encrypts");
    encrypts["use"] = json!("enc");
    provider.publishes(&[
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}),
        json!("no key"),
        published(&rsa, "rsa"),
        only_pss,
        encrypts,
        published(&p256, "p256"),
        published(&ed25519, "ed25519"),
    ]);
    let door = door(&database, &provider).await;
    let signed = |signer: &Signer, kid: &str| token(signer, kid, &provider.issuer);
    let good = [
        signed(rsa.by(Algorithm::RS256), "rsa"),
        signed(rsa.by(Algorithm::PS256), "rsa"),
        signed(pss.by(Algorithm::PS256), "pss"),
        signed(p256.signer(), "p256"),
        signed(ed25519.signer(), "ed25519"),
    ];
    let knocks = (0..100).map(|n| door.knock(&good[n % good.len()]));
    for answer in join_all(knocks).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(provider.asked(), 2, "the discovery document and the keys");
    let secret = |secret: &[u8], kid: &str| signed(&Signer::secret(Algorithm::HS256, secret), kid);
    for bad in [
        signed(pss.by(Algorithm::RS256), "pss"),
        signed(pss.by(Algorithm::RS256), "encrypts"),
        signed(p256.signer(), "rsa"),
        secret(b"secret", "secret"),
        secret(rsa.pem.as_bytes(), "rsa"),
        secret(&rsa.raw, "rsa"),
        secret(rsa.jwk["n"].as_str().unwrap().as_bytes(), "rsa"),
        token(rsa.signer(), "rsa", "https://other.example"),
        token(rsa.signer(), "../rsa", &provider.issuer),
        // Several keys, and no word which.
        rsa.signer().raw(r#"{"alg":"RS256"}"#, "{}"),
    ] {
        assert_eq!(door.knock(&bad).await.status, 401, "{bad}");
    }
    assert_eq!(provider.asked(), 2, "nobody makes us ask again at once");
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_withdrawn_one_is_dropped() {
    let (database, provider) = (Database::new().await, Provider::new().await);
    let (old, new) = (Pair::p256(), Pair::p256());
    provider.publishes(&[published(&old, "old")]);
    let door = door(&database, &provider).await;
    let by_old = token(old.signer(), "old", &provider.issuer);
    let by_new = token(new.signer(), "new", &provider.issuer);
    assert_eq!(door.knock(&by_old).await.status, 200);
    provider.publishes(&[published(&old, "old"), published(&new, "new")]);
    assert_eq!(door.knock(&by_new).await.status, 401, "keys were loaded just before");
    door.clock.advance(COOL_DOWN);
    assert_eq!(door.knock(&by_new).await.status, 200);
    assert_eq!(door.knock(&by_old).await.status, 200);
    // A flood of keys that nobody has costs the issuer one question in 10 s.
    let asked = provider.asked();
    let forged: Vec<String> = (0..100).map(|n| token(new.signer(), &format!("k{n}"), &provider.issuer)).collect();
    door.clock.advance(COOL_DOWN);
    for answer in join_all(forged.iter().map(|token| door.knock(token))).await {
        assert_eq!(answer.status, 401);
    }
    assert_eq!(provider.asked(), asked + 2);
    // Without a new key nobody asks, until the keys are no longer fresh: the next asks, the one after knows.
    provider.publishes(&[published(&new, "new")]);
    assert_eq!(door.knock(&by_old).await.status, 200);
    door.clock.advance(Duration::from_secs(601));
    assert_eq!(door.knock(&by_new).await.status, 200);
    tokio::time::timeout(Duration::from_secs(30), async {
        while door.knock(&by_old).await.status != 401 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(door.knock(&by_new).await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_is_away_or_hangs_is_done_without_for_a_day() {
    let (database, provider) = (Database::new().await, Provider::new().await);
    let pair = Pair::ed25519();
    let keys = json!({"keys": [published(&pair, "1")]});
    let good = token(pair.signer(), "1", &provider.issuer);
    provider.says(JWKS, Reply::Broken);
    let door = door(&database, &provider).await;
    let away = door.knock(&good).await;
    assert_eq!((away.status, away.headers["retry-after"].to_str().unwrap()), (503, "2"), "{}", away.body);
    let asked = provider.asked();
    for _ in 0..100 {
        assert_eq!(door.knock(&good).await.status, 503);
    }
    assert_eq!(provider.asked(), asked, "a failure cools down");
    provider.says(JWKS, Reply::Kept(keys, "public, max-age=100000"));
    door.clock.advance(COOL_DOWN);
    assert_eq!(door.knock(&good).await.status, 200);
    // An hour is the longest that it may say.
    provider.says(JWKS, Reply::Hanging);
    let asked = provider.asked();
    door.clock.advance(Duration::from_secs(3601));
    for answer in join_all((0..100).map(|_| door.knock(&good))).await {
        assert_eq!(answer.status, 200, "nobody waits for an issuer that hangs");
    }
    tokio::time::timeout(Duration::from_secs(30), async {
        while provider.asked() < asked + 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    door.clock.advance(DAY + Duration::from_secs(3601));
    let gone = door.knock(&good).await;
    assert_eq!(gone.status, 503, "{}", gone.body);
}

#[tokio::test]
async fn answers_that_cannot_be_trusted_are_refused() {
    let (database, elsewhere) = (Database::new().await, Provider::new().await);
    let pair = Pair::ed25519();
    let keys = json!({"keys": [published(&pair, "1")]});
    elsewhere.says(JWKS, Reply::Json(keys.clone()));
    let good = keys.clone();
    type Lie = Box<dyn Fn(&Provider)>;
    let far = elsewhere.issuer.clone();
    let weak = published(&Pair::rsa(1024), "1");
    let many: Vec<Value> = (0..101).map(|n| published(&pair, &n.to_string())).collect();
    let lies: Vec<(&str, Lie)> = vec![
        (
            "another issuer's document",
            Box::new(|p| {
                p.says(
                    DISCOVERY,
                    Reply::Json(json!({"issuer": "https://other.example", "jwks_uri": format!("{}{JWKS}", p.issuer)})),
                )
            }),
        ),
        (
            "keys in clear over the network",
            Box::new(|p| {
                p.says(DISCOVERY, Reply::Json(json!({"issuer": p.issuer, "jwks_uri": "http://192.0.2.1/jwks"})))
            }),
        ),
        (
            "keys in a file",
            Box::new(|p| p.says(DISCOVERY, Reply::Json(json!({"issuer": p.issuer, "jwks_uri": "file:///etc/passwd"})))),
        ),
        ("a redirection", Box::new(move |p| p.says(JWKS, Reply::Moved(format!("{far}{JWKS}"))))),
        ("a page", Box::new(|p| p.says(JWKS, Reply::Text("<html>".into())))),
        ("a MiB", Box::new(move |p| p.says(JWKS, Reply::Text(format!("{}{good}", " ".repeat(1 << 20)))))),
        ("no keys", Box::new(|p| p.says(JWKS, Reply::Json(json!({"keys": []}))))),
        ("101 keys", Box::new(move |p| p.publishes(&many))),
        ("a weak key", Box::new(move |p| p.publishes(slice::from_ref(&weak)))),
        ("nothing", Box::new(|_| ())),
    ];
    for (what, lie) in lies {
        let provider = Provider::new().await;
        if what != "nothing" {
            provider.says(JWKS, Reply::Json(keys.clone()));
        }
        lie(&provider);
        let door = door(&database, &provider).await;
        let answer = door.knock(&token(pair.signer(), "1", &provider.issuer)).await;
        assert_eq!(answer.status, 503, "{what}: {}", answer.body);
        assert!(!answer.body.to_string().contains(&provider.issuer), "{what}: what is behind us is not disclosed");
    }
    assert_eq!(elsewhere.asked(), 0, "no redirection is followed");
}

#[tokio::test]
async fn an_issuer_by_https_must_be_whom_its_url_names() {
    let (database, folder) = (Database::new().await, tempfile::tempdir().unwrap());
    let certificate = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (ours, other, pair) = (certificate(), certificate(), Pair::ed25519());
    let file = |name: &str, pem: String| {
        std::fs::write(folder.path().join(name), pem).unwrap();
        format!("--auth-ca-file={}", folder.path().join(name).display())
    };
    let (trusted, stranger) = (file("ours.pem", ours.cert.pem()), file("other.pem", other.cert.pem()));
    let keys = json!({"keys": [published(&pair, "1")]});
    for (host, trust, status) in [
        ("localhost", Some(&trusted), 200),
        ("localhost", Some(&stranger), 503),
        ("localhost", None, 503),
        ("127.0.0.1", Some(&trusted), 503),
    ] {
        let issuer = provider::by_tls(host, &ours, keys.clone()).await;
        let option = format!("--auth-oidc-issuers={issuer}");
        let args: Vec<&str> = [&option].into_iter().chain(trust).map(String::as_str).collect();
        let answer = database.door(&args).knock(&token(pair.signer(), "1", &issuer)).await;
        assert_eq!(answer.status, status, "{host} {trust:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_issuer_speaks_for_its_own_subjects_only() {
    let (database, one, two) = (Database::new().await, Provider::new().await, Provider::new().await);
    let (first, second) = (Pair::ed25519(), Pair::p256());
    one.publishes(&[published(&first, "1")]);
    two.publishes(&[published(&second, "1")]);
    let secret = "0123456789abcdef0123456789abcdef";
    let both = format!("{},{}", one.issuer, two.issuer);
    let option = format!("--auth-secret={secret}");
    let door = database.door(&["--auth-oidc-issuers", &both, &option, "--auth-issuer=local"]);
    let local = Signer::secret(Algorithm::HS256, secret);
    for (signer, issuer, status) in [
        (first.signer(), &one.issuer, 200),
        (second.signer(), &two.issuer, 200),
        (&local, &"local".to_owned(), 200),
        (first.signer(), &two.issuer, 401),
        (second.signer(), &one.issuer, 401),
        (&local, &one.issuer, 401),
        (first.signer(), &"local".to_owned(), 401),
        (first.signer(), &"https://stranger.example".to_owned(), 401),
    ] {
        let answer = door.knock(&token(signer, "1", issuer)).await;
        assert_eq!(answer.status, status, "{:?} for {issuer}: {}", signer.algorithm, answer.body);
    }
    // A key without an id is meant by a token without one.
    let alone = Provider::new().await;
    alone.publishes(slice::from_ref(&first.jwk));
    let url = format!("--auth-jwks-url={}{JWKS}", alone.issuer);
    let door = database.door(&[&url, "--auth-issuer=https://issuer.example"]);
    let claims = json!({
        "iss": "https://issuer.example", "aud": "vigie", "sub": "a", "iat": NOW, "exp": NOW + 60, "scp": ["read:insights"],
    });
    assert_eq!(door.knock(&first.signer().token(&json!({"alg": "EdDSA"}), &claims)).await.status, 200);
    assert_eq!(door.knock(&first.signer().token(&json!({"alg": "EdDSA", "kid": "x"}), &claims)).await.status, 401);
    assert_eq!(alone.asked(), 1, "no discovery where the keys' URL is given");
}

#[tokio::test]
async fn clients_learn_whom_to_ask_for_a_token() {
    let (database, provider) = (Database::new().await, Provider::new().await);
    provider.publishes(&[]);
    let door = database.door(&["--auth-oidc-issuers", &provider.issuer, "--auth-resource=https://vigie.example"]);
    let metadata = "resource_metadata=\"https://vigie.example/.well-known/oauth-protected-resource\"";
    let refused = door.ask("/v1/metrics", &[]).await;
    assert_eq!((refused.status, refused.challenge()), (401, format!("Bearer {metadata}").as_str()));
    let forged = door.knock("a.b.c").await;
    assert_eq!(forged.challenge(), format!("Bearer error=\"invalid_token\", {metadata}"));
    let described = door.ask("/.well-known/oauth-protected-resource", &[]).await;
    assert_eq!(described.status, 200);
    let all = ["read:insights", "read:posts", "read:operations", "read:dead-letters", "authors:read", "admin:keys"];
    let expected = json!({
        "resource": "https://vigie.example",
        "resource_name": "vigie",
        "resource_documentation": "https://vigie.example/docs",
        "authorization_servers": [provider.issuer],
        "scopes_supported": all,
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(described.body, expected);
    let silent = database.door(&["--auth-oidc-issuers", &provider.issuer]);
    assert_eq!(silent.ask("/.well-known/oauth-protected-resource", &[]).await.status, 404);
    assert_eq!(silent.ask("/v1/metrics", &[]).await.challenge(), "Bearer");
}

#[tokio::test]
async fn tokens_of_another_implementation_are_accepted_until_its_keys_are_rotated() {
    let provider = Foreign::start().await;
    let door = Database::new().await.door(&["--auth-oidc-issuers", &provider.issuer]);
    let claims = json!({"aud": ["vigie"], "sub": "a", "iat": NOW, "exp": NOW + 3600, "scope": "read:insights"});
    let tokens = async || {
        let mut tokens = Vec::new();
        for alg in ["RS256", "PS256", "ES256", "Ed25519"] {
            let token = provider.ask(&format!("/token?alg={alg}&claims={claims}")).await;
            tokens.push(token.as_str().unwrap().to_owned());
        }
        tokens
    };
    let statuses = async |tokens: &[String]| {
        let mut statuses = Vec::new();
        for token in tokens {
            statuses.push(door.knock(token).await.status);
        }
        statuses
    };
    let before = tokens().await;
    assert_eq!(statuses(&before).await, [200; 4]);
    provider.ask("/rotate").await;
    door.clock.advance(COOL_DOWN);
    assert_eq!(statuses(&tokens().await).await, [200; 4]);
    assert_eq!(statuses(&before).await, [401; 4]);
}
