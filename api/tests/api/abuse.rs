//! Clients that take more than their share, and names that are not ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use vigie_api::{Credentials, NewKey, Revoked, Scope, issue_token};
use vigie_clock::Clock;
use vigie_daemon::{Context, FromSecret};
use vigie_stores::PostgresUrl;

use crate::world::{Post, Window, World, checked, eventually, send};

const PATIENCE: Duration = Duration::from_secs(60);

/// Asks on a new connection: the status, and the connection with what comes after the head.
async fn ask(addr: SocketAddr, path: &str, fields: &str) -> (u16, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream);
    let (mut status, mut line) = (String::new(), String::new());
    lines.read_line(&mut status).await.unwrap();
    while lines.read_line(&mut line).await.unwrap() > 2 {
        line.clear();
    }
    (status.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0), lines)
}

/// As [`ask`] for the live stream, again until the answer is `status`.
async fn subscribe(addr: SocketAddr, fields: &str, status: u16) -> BufReader<TcpStream> {
    eventually(&format!("answered {status}"), async || {
        let (answered, stream) = ask(addr, "/v1/stream", fields).await;
        (answered == status).then_some(stream)
    })
    .await
}

#[tokio::test]
async fn a_client_holds_only_so_many_live_streams_and_others_have_theirs() {
    let args = ["--api-rate=0", "--api-max-streams-per-client=2", "--api-trusted-proxies=127.0.0.0/8"];
    let world = World::with(&args).await;
    let (addr, service) = world.serve().await;
    let [greedy, other] = ["192.0.2.1", "192.0.2.2"].map(|client| format!("X-Forwarded-For: {client}\r\n"));
    let (first, _second) = (subscribe(addr, &greedy, 200).await, subscribe(addr, &greedy, 200).await);
    assert_eq!(ask(addr, "/v1/stream", &greedy).await.0, 429);
    assert_eq!(ask(addr, "/v1/stream", &other).await.0, 200);
    drop(first);
    subscribe(addr, &greedy, 200).await;
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_live_stream_ends_with_its_token() {
    let world = World::with(&["--auth=jwt", "--auth-secret=0123456789abcdef0123456789abcdef"]).await;
    let (addr, service) = world.serve().await;
    let hour = Duration::from_secs(3600);
    let token = |lifetime| {
        let token = issue_token(&world.config.auth, "alice", &Scope::ALL, lifetime, world.clock.now()).unwrap();
        format!("Authorization: Bearer {token}\r\n")
    };
    let (short, long) = (token(hour), token(2 * hour));
    // 30 s are for clocks that differ.
    world.clock.advance(hour + Duration::from_millis(29_500));
    let (mut ends, mut goes_on) = (subscribe(addr, &short, 200).await, subscribe(addr, &long, 200).await);
    timeout(PATIENCE, ends.read_to_end(&mut Vec::new())).await.expect("it ends").unwrap();
    let more = timeout(Duration::from_millis(100), goes_on.read_to_end(&mut Vec::new())).await;
    assert!(more.is_err(), "the other goes on");
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_live_stream_ends_when_its_token_or_key_is_revoked_or_its_key_expires() {
    let world = World::with(&["--auth=jwt", "--auth-secret=0123456789abcdef0123456789abcdef", "--api-rate=0"]).await;
    let (addr, service) = world.serve().await;
    let (hour, now) = (Duration::from_secs(3600), world.clock.now());
    let operator = Credentials::connect(&PostgresUrl::from_secret(&world.postgres_url).unwrap()).await.unwrap();
    let mut fields = Vec::new();
    for subject in ["alice", "bob"] {
        let token = issue_token(&world.config.auth, subject, &Scope::ALL, 9 * hour, now).unwrap();
        fields.push(format!("Authorization: Bearer {token}\r\nConnection: close\r\n"));
    }
    let mut ids = Vec::new();
    for lifetime in [9 * hour, hour] {
        let NewKey { id, key } = operator.create_key("k", &[Scope::Insights], lifetime, now).await.unwrap();
        ids.push(id);
        fields.push(format!("X-API-Key: {}\r\nConnection: close\r\n", key.reveal()));
    }
    let mut streams = Vec::new();
    for fields in &fields {
        streams.push(subscribe(addr, fields, 200).await);
    }
    // The lists are read again when a quarter of a second has passed.
    let second = Duration::from_secs(1);
    let [alice, bob, revoked, expired] = &mut streams[..] else { panic!("four") };
    operator.revoke_tokens(Revoked::Subject("alice"), 9 * hour, now).await.unwrap();
    world.clock.advance(second);
    timeout(PATIENCE, alice.read_to_end(&mut Vec::new())).await.expect("the token's ends").unwrap();
    operator.revoke_key(&ids[0], now).await.unwrap();
    world.clock.advance(second);
    timeout(PATIENCE, revoked.read_to_end(&mut Vec::new())).await.expect("the key's ends").unwrap();
    world.clock.advance(hour);
    timeout(PATIENCE, expired.read_to_end(&mut Vec::new())).await.expect("the expired key's ends").unwrap();
    let more = timeout(second, bob.read_to_end(&mut Vec::new())).await;
    assert!(more.is_err(), "the other goes on");
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_that_do_nothing_or_dawdle_keep_nobody_out_nor_end_a_live_stream() {
    let world = World::with(&["--api-rate=0", "--api-max-connections=20", "--api-max-streams=5"]).await;
    let (addr, service) = world.serve().await;
    let mut live = subscribe(addr, "", 200).await;
    let mut idle = Vec::new();
    for i in 0..200 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        if i % 2 == 0 {
            // Of a head that never ends.
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        }
        idle.push(stream);
    }
    for _ in 0..10 {
        // Idle ones would be let go after 30 s by themselves.
        let (status, _) = timeout(Duration::from_secs(10), ask(addr, "/v1/assets", "")).await.expect("an answer");
        assert_eq!(status, 200);
    }
    let more = timeout(Duration::from_millis(100), live.read_to_end(&mut Vec::new())).await;
    assert!(more.is_err(), "the live stream goes on");
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_would_wait_too_long_for_a_turn_is_refused_and_probes_are_not() {
    let world = World::with(&["--api-rate=0", "--api-max-requests=1"]).await;
    world.post(Post::of("BTC", "one", "2022-05-09T12:00:00Z")).await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    world.sql("BEGIN; LOCK TABLE stored_posts IN ACCESS EXCLUSIVE MODE").await;
    let slow = world.get("/v1/assets/BTC/posts");
    let others = async {
        eventually("the statement waits", async || (world.waiting().await > 0).then_some(())).await;
        let began = Instant::now();
        let refused = world.get("/v1/assets").await;
        refused.problem(503);
        assert_eq!(refused.header("retry-after"), "2");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(world.get("/livez").await.status, 200);
        world.sql("ROLLBACK").await;
    };
    let (answer, ()) = timeout(PATIENCE, async { tokio::join!(slow, others) }).await.expect("both end");
    assert_eq!(answer.status, 200);
    assert_eq!(world.get("/v1/assets").await.status, 200);
}

#[tokio::test]
async fn on_loopback_the_api_answers_to_its_own_names_only() {
    let world = World::new().await;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8080", 421),
        ("192.0.2.1", 421),
        ("", 421),
    ] {
        assert_eq!(world.get_with("/v1/assets", &[("host", host)]).await.status, status, "{host}");
    }
    world.get_with("/", &[("host", "evil.example")]).await.problem(421);
    let named = World::with(&["--api-host=vigie.example"]).await;
    assert_eq!(named.get_with("/v1/assets", &[("host", "Vigie.example:443")]).await.status, 200);
    let open = World::with(&["--api-listen=0.0.0.0:8080", "--auth=off"]).await;
    assert_eq!(open.get_with("/v1/assets", &[("host", "any.example")]).await.status, 200);
}

#[tokio::test]
async fn the_role_of_the_api_answers_everything_but_authors_and_writes_nothing() {
    let ring = format!("--author-keyring=one {}", "01".repeat(32));
    let access = ["--api-rate=0", "--auth=jwt", "--auth-secret=0123456789abcdef0123456789abcdef", &ring];
    let world = World::with(&access).await;
    world.post(Post::of("BTC", "one", "2022-05-09T12:00:00Z")).await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    // Roles are the whole server's: as after an upgrade, they may be there.
    for _ in 0..2 {
        world.sql(include_str!("../../../schemas/sql/roles.sql")).await;
    }
    let login = world.redis_prefix.trim_end_matches('-');
    world.sql(&format!("CREATE ROLE {login} LOGIN IN ROLE vigie_api")).await;
    let owner = world.db.query_one("SELECT current_user::text", &[]).await.unwrap().get::<_, String>(0);
    let url = world.postgres_url.replacen(&format!("{owner}@"), &format!("{login}@"), 1);
    let (postgres, redis) = (format!("--postgres-url={url}"), format!("--redis-url={}", world.redis_url));
    let args: Vec<&str> = [&*postgres, &redis].into_iter().chain(access).collect();
    let ctx = Context::new(Arc::new(world.clock.clone()));
    let router = vigie_api::router(&checked(&args), &ctx).unwrap();
    let hour = Duration::from_secs(3600);
    let token = issue_token(&world.config.auth, "alice", &Scope::ALL, hour, world.clock.now()).unwrap();
    let ask =
        async |path: &str| send(router.clone(), "GET", path, &[("authorization", &format!("Bearer {token}"))]).await;
    for path in [
        "/v1/assets",
        "/v1/assets/BTC/series?sources=true&lineage=true&metrics=unique_authors,weighted_sentiment&interval=1h",
        "/v1/assets/BTC/series?as_of=2022-05-10T00:00:00Z",
        "/v1/assets/BTC/posts?text=words",
        "/v1/search?q=words",
        "/v1/search/volume?q=words",
        "/v1/trends",
        "/v1/market-trends",
        "/v1/alerts",
        "/v1/sources",
        "/v1/runs",
    ] {
        let answer = ask(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let author = "/v1/authors/00112233445566778899aabbccddeeff";
    ask(author).await.problem(501);
    let (db, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for sql in [
        "SELECT wrapped_key FROM author_keys",
        "SELECT title FROM stored_posts",
        "SELECT * FROM author_erasures",
        "DELETE FROM alerts",
        "CREATE TABLE mine (x int)",
        "SELECT end_session('x', 'infinity')",
    ] {
        let error = db.query(sql, &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{sql}: {error}");
    }
    world.sql(&format!("GRANT vigie_api_authors TO {login}")).await;
    ask(author).await.problem(404);
    world.sql(&format!("GRANT vigie_api_logins TO {login}")).await;
    db.query("SELECT end_session('x', 'infinity')", &[]).await.unwrap();
    assert!(db.query("DELETE FROM revoked_tokens", &[]).await.is_err(), "nothing is taken back");
    world.sql("SET ROLE vigie_analyst; SELECT title, author_id FROM posts; SELECT * FROM trend_windows").await;
    for sql in ["SELECT sealed FROM authors", "SELECT * FROM author_keys", "SELECT * FROM sink_offsets"] {
        let error = world.db.query(sql, &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{sql}: {error}");
    }
}
