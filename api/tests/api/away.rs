//! While PostgreSQL or Redis does not answer, and what clients that go away leave behind.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use vigie_stack::testing::{self, TestStack};
use vigie_stack::{ServerHandle, ServerKind, Stack};

use crate::world::{Post, Window, World, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// The status, and how long it took to come.
async fn ask(addr: SocketAddr, path: &str) -> (u16, Duration) {
    let began = Instant::now();
    // Another thread may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = timeout(PATIENCE, client.get(format!("http://{addr}{path}")).send()).await;
    (answer.expect("an answer").unwrap().status().as_u16(), began.elapsed())
}

async fn until(addr: SocketAddr, path: &str, status: u16) {
    eventually(&format!("{path} answers {status}"), async || (ask(addr, path).await.0 == status).then_some(())).await;
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Connections stay open, and nothing comes.
    Frozen,
    /// Nobody listens.
    Gone,
}

/// Each connection to PostgreSQL is served by a process of its own.
fn signal_children(server: &ServerHandle, signal: &str) {
    let pid = server.status().pid.unwrap().to_string();
    Command::new("pkill").args([signal, "-P", &pid]).status().unwrap();
}

async fn strike(server: &ServerHandle, fault: Fault) {
    match fault {
        Fault::Frozen => {
            server.pause();
            signal_children(server, "-STOP");
        }
        Fault::Gone => server.stop().await.unwrap(),
    }
}

async fn heal(server: &ServerHandle, fault: Fault) {
    match fault {
        Fault::Frozen => {
            signal_children(server, "-CONT");
            server.resume();
        }
        Fault::Gone => server.start().await.unwrap(),
    }
}

#[tokio::test]
async fn a_server_that_is_frozen_or_gone_is_reported_within_5_s_and_what_needs_it_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(testing::own(dir.path())).await.unwrap();
    let at = stack.endpoints().clone();
    let own = TestStack {
        brokers: at.kafka_brokers,
        postgres_url: at.postgres_url,
        redis_url: at.redis_url,
        registry_url: at.registry_url,
        prefix: "away-".to_owned(),
    };
    let world = World::on(own, &["--api-rate=0"]).await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    let (addr, service) = world.serve().await;
    until(addr, "/readyz", 200).await;
    let numbers: &[&str] = &["/v1/assets", "/v1/assets/BTC/series", "/v1/sources"];
    for (kind, needs) in [(ServerKind::Postgres, numbers), (ServerKind::Redis, &["/v1/stream"])] {
        for fault in [Fault::Frozen, Fault::Gone] {
            let server = stack.server(kind).unwrap();
            let began = Instant::now();
            strike(server, fault).await;
            let unaware = tokio::spawn(ask(addr, "/v1/sources"));
            until(addr, "/readyz", 503).await;
            assert!(began.elapsed() < Duration::from_secs(5), "{kind} {fault:?}: {:?}", began.elapsed());
            let (status, took) = unaware.await.unwrap();
            let expected = if kind == ServerKind::Redis { 200 } else { 503 };
            assert!(status == expected && took < Duration::from_secs(5), "{kind} {fault:?}: {status} {took:?}");
            for path in needs {
                let (status, took) = ask(addr, path).await;
                assert!(status == 503 && took < Duration::from_secs(1), "{kind} {fault:?} {path}: {status} {took:?}");
            }
            if kind == ServerKind::Redis {
                let (status, took) = ask(addr, "/v1/assets").await;
                assert!(status == 200 && took < Duration::from_secs(1), "{fault:?}: {status} {took:?}");
                assert_eq!(ask(addr, "/readyz?exclude=events").await.0, 200);
            }
            heal(server, fault).await;
            until(addr, "/readyz", 200).await;
            for path in needs {
                assert_eq!(ask(addr, path).await.0, 200, "{kind} {fault:?} {path}");
            }
        }
    }
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
    stack.stop().await;
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_no_statement_behind() {
    // The server's own limit comes long after.
    let world = World::with(&["--api-timeout=300s"]).await;
    world.post(Post::of("BTC", "one", "2022-05-09T12:00:00Z")).await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    let (addr, service) = world.serve().await;
    world.sql("BEGIN; LOCK TABLE stored_posts IN ACCESS EXCLUSIVE MODE").await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET /v1/assets/BTC/posts HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("the statement waits", async || (world.waiting().await > 0).then_some(())).await;
    drop(client);
    eventually("the statement is cancelled", async || (world.waiting().await == 0).then_some(())).await;
    world.sql("ROLLBACK").await;
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_of_too_many_rows_is_refused() {
    let world = World::with(&["--api-max-rows=12"]).await;
    for minutes in (0..60).step_by(5) {
        world.window(Window::of("BTC", &format!("2022-05-09T12:{minutes:02}:00Z"), 1, None)).await;
    }
    world.json("/v1/assets/BTC/series?interval=5m&from=2022-05-09T12:55Z").await;
    let problem = world.get("/v1/assets/BTC/series?interval=5m&from=2022-05-09T12:00Z").await.problem(400);
    assert_eq!(
        problem["errors"][0]["detail"],
        "it takes more than 12 rows, expected 12 or fewer: choose a shorter range"
    );
}
