//! People who log in to the dashboard at an issuer by another implementation, and those who pretend to.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use vigie_api::{Credentials, Revoked};
use vigie_clock::{Clock, SystemClock};
use vigie_daemon::{Context, FromSecret};
use vigie_stores::PostgresUrl;

use crate::door::{Answer, Database, Door};
use crate::provider::Foreign;

const ORIGIN: &str = "https://vigie.example";
const SECRET: &str = "--login-cookie-secret=0123456789abcdef0123456789abcdef";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A browser's cookies, and what it says of where its requests come from.
struct Browser<'a> {
    door: &'a Door,
    provider: &'a Foreign,
    cookies: Vec<(String, String)>,
    site: &'static str,
}

impl<'a> Browser<'a> {
    fn new(door: &'a Door, provider: &'a Foreign) -> Self {
        Self { door, provider, cookies: Vec::new(), site: "same-origin" }
    }

    fn cookie(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}; ")).collect()
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let cookie = self.cookie();
        let own = [("cookie", cookie.as_str()), ("sec-fetch-site", self.site)];
        let answer = self.door.send(method, path, &[&own, headers].concat()).await;
        for set in answer.headers.get_all("set-cookie") {
            let text = set.to_str().unwrap();
            for attribute in ["Path=/", "HttpOnly", "Secure"] {
                assert!(text.split("; ").any(|known| known == attribute), "{text}");
            }
            assert!(text.starts_with("__Host-"), "{text}");
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    async fn status(&mut self) -> u16 {
        self.get("/v1/metrics").await.status
    }

    /// Begins a login, and comes back from the issuer: with what path.
    async fn there_and_back(&mut self) -> String {
        let begun = self.get("/login").await;
        assert_eq!(begun.status, 303, "{}", begun.body);
        let back = self.provider.sends(begun.location()).await;
        back.strip_prefix(ORIGIN).unwrap_or_else(|| panic!("sent to {back:?}")).to_owned()
    }

    async fn log_in(&mut self) -> Answer {
        let back = self.there_and_back().await;
        self.site = "cross-site";
        let answer = self.get(&back).await;
        self.site = "same-origin";
        answer
    }

    async fn session(&mut self) -> Value {
        self.get("/login/session").await.body
    }
}

fn door(database: &Database, issuer: &str, args: &[&str]) -> Door {
    let (issuer, origin) = (format!("--login-issuer={issuer}"), format!("--auth-resource={ORIGIN}"));
    let args = [&["--auth=keys", &issuer, &origin, SECRET], args].concat();
    database.door_at(SystemClock::default().now(), &args)
}

const CONFIDENTIAL: [&str; 2] = ["--login-client-id=confidential", "--login-client-secret=a-password-of-a-client"];

#[tokio::test]
async fn people_log_in_once_for_all_replicas_and_out_again() {
    let (database, provider) = (Database::new().await, Foreign::start().await);
    let args = [&CONFIDENTIAL[..], &["--login-scopes=read:insights"]].concat();
    let (one, other) = (door(&database, &provider.issuer, &args), door(&database, &provider.issuer, &args));
    provider.ask(r#"/user?id={"sub":"alice","name":"Alice"}"#).await;
    let mut alice = Browser::new(&one, &provider);
    assert_eq!(alice.session().await, json!({"login": true, "name": null, "csrf": null, "expires_at": null}));
    let back = alice.there_and_back().await;

    // Whoever has the answer, but not the browser, or another browser's, has nothing.
    let mut mallory = Browser::new(&one, &provider);
    assert_eq!(mallory.get(&back).await.body["errors"][0]["parameter"], "state");
    mallory.get("/login").await;
    assert_eq!(mallory.get(&back).await.body["errors"][0]["parameter"], "state");
    for (from, to, wrong) in
        [("state=", "state=x", "state"), ("iss=http", "iss=https", "iss"), ("&iss=", "&is=", "iss")]
    {
        assert_eq!(alice.get(&back.replace(from, to)).await.body["errors"][0]["parameter"], wrong);
    }

    let flow = alice.cookies.clone();
    alice.site = "cross-site";
    let opened = alice.get(&back).await;
    assert_eq!((opened.status, opened.location()), (303, "/"), "{}", opened.body);
    assert!(opened.headers.get_all("set-cookie").iter().any(|set| set.to_str().unwrap().contains("SameSite=Strict")));
    assert_eq!(alice.cookies.len(), 1, "the cookie of the flow is gone");
    let mut replayed = Browser { cookies: flow, ..Browser::new(&one, &provider) };
    assert!(replayed.get(&back).await.detail().contains("invalid_grant"), "a code is good once");

    assert_eq!(alice.status().await, 401, "asked by another site");
    alice.site = "same-origin";
    assert_eq!(alice.status().await, 200);
    let scope = alice.get("/v1/sources").await;
    assert_eq!(scope.status, 403, "{}", scope.body);
    assert_eq!(one.ask("/v1/metrics", &[("cookie", &alice.cookie())]).await.status, 401, "no browser says so little");
    assert_eq!(
        alice.send("POST", "/v1/keys", &[("content-length", "0")]).await.status,
        401,
        "nothing is changed by cookie"
    );
    assert_eq!(
        alice.send("GET", "/v1/metrics", &[("authorization", "Bearer a.b.c")]).await.status,
        401,
        "a token wins"
    );
    let mut elsewhere = Browser { cookies: alice.cookies.clone(), ..Browser::new(&other, &provider) };
    assert_eq!(elsewhere.status().await, 200);
    let strange = door(&database, &provider.issuer, &["--login-client-id=public"]);
    let mut stranger = Browser { cookies: alice.cookies.clone(), ..Browser::new(&strange, &provider) };
    assert_eq!(stranger.status().await, 401, "a session with another client");
    let mut tampered = Browser { cookies: alice.cookies.clone(), ..Browser::new(&one, &provider) };
    let last = tampered.cookies[0].1.pop().unwrap();
    tampered.cookies[0].1.push(if last == 'A' { 'Q' } else { 'A' });
    assert_eq!(tampered.status().await, 401);

    let session = alice.session().await;
    assert_eq!((&session["login"], &session["name"]), (&json!(true), &json!("Alice")));
    let csrf = session["csrf"].as_str().unwrap().to_owned();
    alice.site = "cross-site";
    assert_eq!(alice.session().await["csrf"], Value::Null);
    let ours = [("origin", ORIGIN), ("x-csrf-token", csrf.as_str())];
    assert_eq!(alice.send("POST", "/logout", &ours).await.status, 403, "sent by another site");
    alice.site = "same-origin";
    for wrong in [&ours[..1], &[("origin", "https://other.example"), ours[1]], &[ours[0], ("x-csrf-token", "x")]] {
        assert_eq!(alice.send("POST", "/logout", wrong).await.status, 403, "{wrong:?}");
    }
    assert_eq!(alice.status().await, 200);
    assert_eq!(alice.send("POST", "/logout", &ours).await.status, 204);
    assert_eq!((alice.cookies.len(), alice.session().await["name"].clone()), (0, Value::Null));
    other.clock.advance(SECOND);
    assert_eq!(elsewhere.status().await, 401, "the copy at another replica is over too");
}

#[tokio::test]
async fn a_session_is_worth_what_its_tokens_are_and_ends_with_them() {
    let (database, provider) = (Database::new().await, Foreign::start().await);
    let redis = [format!("--redis-url={}", database.redis_url), format!("--redis-prefix={}", database.prefix)];
    let door = door(&database, &provider.issuer, &["--login-client-id=public", &redis[0], &redis[1]]);
    let tell = async |id: Value, access: Value| provider.ask(&format!("/user?id={id}&access={access}")).await;
    let access = |more: Value| {
        let mut claims = json!({"aud": "vigie", "sub": "alice", "scope": "read:insights admin:keys"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let good = json!({"sub": "alice"});
    for (id, access, status, detail) in [
        (json!({"sub": "alice", "nonce": "x"}), access(json!({})), 400, "nonce"),
        (json!({"sub": "alice", "aud": "other"}), access(json!({})), 400, "aud"),
        (json!({"sub": "alice", "azp": "other"}), access(json!({})), 400, "azp"),
        (json!({"sub": "alice", "iss": "https://other.example"}), access(json!({})), 400, "iss"),
        (json!({"sub": "alice", "exp": 1_700_000_000}), access(json!({})), 400, "expired"),
        (good.clone(), access(json!({"sub": "bob"})), 400, "access token"),
        (good.clone(), access(json!({"aud": "other"})), 403, "none of the scopes"),
        (good.clone(), Value::Null, 403, "none of the scopes"),
    ] {
        tell(id.clone(), access).await;
        let mut browser = Browser::new(&door, &provider);
        let refused = browser.log_in().await;
        assert_eq!(refused.status, status, "{id}: {}", refused.body);
        assert!(refused.detail().contains(detail), "{id}: {}", refused.body);
        assert_eq!(browser.status().await, 401);
    }
    tell(json!({}), Value::Null).await;
    let mut browser = Browser::new(&door, &provider);
    let declined = browser.log_in().await;
    assert_eq!(
        (declined.status, declined.location(), browser.session().await["name"].clone()),
        (303, "/", Value::Null)
    );

    // A code is of no use without the verifier, nor one that was asked for without a challenge.
    tell(good.clone(), access(json!({"jti": "1"}))).await;
    let back = browser.there_and_back().await;
    let code = back.split(['=', '&']).nth(1).unwrap();
    let form =
        format!("grant_type=authorization_code&client_id=public&code={code}&redirect_uri={ORIGIN}/login/callback");
    let (status, said) = provider.post("/token", &form).await;
    assert!(status == 400 && said.contains("code_verifier"), "{said}");
    let begun = browser.get("/login").await;
    let (bare, _) = begun.location().split_once("&code_challenge=").unwrap();
    let back = provider.sends(bare).await;
    let refused = browser.get(back.strip_prefix(ORIGIN).unwrap()).await;
    assert!(refused.status == 400 && refused.detail().contains("invalid_request"), "{}", refused.body);

    let back = browser.there_and_back().await;
    door.clock.advance(Duration::from_secs(600));
    assert_eq!(browser.get(&back).await.body["errors"][0]["parameter"], "state", "after ten minutes");

    // Each is a session of its own: by the access token's end, its id and the subject.
    let operator = Credentials::connect(&PostgresUrl::from_secret(&database.url).unwrap()).await.unwrap();
    let mut browsers = Vec::new();
    let now = door.clock.now().as_millis() / 1000;
    for claims in [json!({"jti": "1", "exp": now + 60}), json!({"jti": "2"}), json!({"jti": "3"})] {
        tell(good.clone(), access(claims)).await;
        let mut browser = Browser::new(&door, &provider);
        assert_eq!(browser.log_in().await.status, 303);
        browsers.push(browser);
    }
    let [short, second, third] = &mut browsers[..] else { panic!("three") };
    assert_eq!([short.status().await, second.status().await, third.status().await], [200; 3]);
    assert_eq!(third.get("/v1/keys").await.status, 403, "sessions are for reading");
    door.clock.advance(60 * SECOND);
    assert_eq!([short.status().await, second.status().await], [401, 200], "over with the access token");
    operator.revoke_tokens(Revoked::Token("2"), HOUR, door.clock.now()).await.unwrap();
    door.clock.advance(SECOND);
    assert_eq!([second.status().await, third.status().await], [401, 200], "its token is revoked");

    // A stream too.
    let ctx = Context::new(std::sync::Arc::new(door.clock.clone()));
    let listener = vigie_api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/v1/stream", listener.local_addr().unwrap());
    let service = tokio::spawn(vigie_api::run_with_listener(door.config.clone(), listener, ctx.clone()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let stream = async || {
        let request = client.get(&url).header("cookie", third.cookie()).header("sec-fetch-site", "same-origin");
        request.send().await.unwrap()
    };
    let mut response = stream().await;
    while response.status() == 503 {
        response = stream().await;
    }
    assert_eq!(response.status(), 200);
    let subject = format!("{}|alice", provider.issuer);
    operator.revoke_tokens(Revoked::Subject(&subject), HOUR, door.clock.now()).await.unwrap();
    door.clock.advance(SECOND);
    let rest = async { while response.chunk().await.unwrap().is_some() {} };
    timeout(Duration::from_secs(30), rest).await.expect("the stream ends");
    assert_eq!(stream().await.status(), 401);
    ctx.shutdown.cancel();
    service.await.unwrap().unwrap();

    let gone = self::door(&database, "http://127.0.0.1:1", &["--login-client-id=public"]);
    assert_eq!(gone.ask("/login", &[]).await.status, 503, "the issuer is away");
}
