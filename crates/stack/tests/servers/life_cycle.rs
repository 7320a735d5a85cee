use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vigie_stack::{Phase, ServerHandle, ServerKind, Stack, StackConfig, testing};

use crate::http::call;

fn server(stack: &Stack, kind: ServerKind) -> &ServerHandle {
    stack.server(kind).unwrap()
}

async fn redis_at(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("redis://").unwrap()).await.unwrap()
}

async fn pong(stream: &mut TcpStream) -> String {
    let mut answer = [0; 16];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).trim_end().to_owned()
}

#[tokio::test]
async fn killed_servers_are_started_again_on_their_ports() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(testing::own(dir.path())).await.unwrap();
    let endpoints = stack.endpoints().clone();
    for kind in [ServerKind::Kafka(1), ServerKind::Postgres, ServerKind::Redis, ServerKind::Registry] {
        let before = server(&stack, kind).status();
        server(&stack, kind).kill();
        server(&stack, kind).wait_ready().await.unwrap();
        let after = server(&stack, kind).status();
        assert_eq!((after.phase, after.restarts), (Phase::Ready, 1), "{kind}");
        assert!(after.pid != before.pid || kind == ServerKind::Registry, "{kind} runs in its old process");
    }
    assert_eq!(*stack.endpoints(), endpoints);
    let memory = stack.memory().await.unwrap();
    assert!(memory.len() == 3 && memory.iter().all(|server| server.bytes > 1 << 20), "{memory:?}");
    stack.stop().await;
    assert!(!dir.path().exists(), "an ephemeral stack leaves its data behind");
}

#[tokio::test]
async fn paused_servers_answer_after_the_resume() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(testing::own(dir.path())).await.unwrap();
    let redis = server(&stack, ServerKind::Redis);
    let mut connection = redis_at(&stack.endpoints().redis_url).await;
    redis.pause();
    assert_eq!(redis.status().phase, Phase::Paused);
    connection.write_all(b"PING\r\n").await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(200), pong(&mut connection)).await;
    assert!(silent.is_err(), "a paused server answered {silent:?}");
    redis.resume();
    assert_eq!(pong(&mut connection).await, "+PONG");

    let registry = server(&stack, ServerKind::Registry);
    registry.pause();
    let url = stack.endpoints().registry_url.clone();
    let mut answer = std::pin::pin!(call(&url, "GET", "/subjects", None));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut answer).await.is_err(), "a paused registry answered");
    registry.resume();
    assert_eq!(answer.await.0, 200);
    stack.stop().await;
}

#[tokio::test]
async fn a_stopped_server_stays_down_until_started() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(testing::own(dir.path())).await.unwrap();
    let redis = server(&stack, ServerKind::Redis);
    redis.stop().await.unwrap();
    redis.kill();
    assert_eq!((redis.status().phase, redis.status().pid), (Phase::Stopped, None));
    redis.start().await.unwrap();
    let mut connection = redis_at(&stack.endpoints().redis_url).await;
    connection.write_all(b"PING\r\n").await.unwrap();
    assert_eq!(pong(&mut connection).await, "+PONG");
    server(&stack, ServerKind::Postgres).restart().await.unwrap();
    stack.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_data_and_ports_and_a_second_stack_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Stack::start(StackConfig::new(dir.path())).await.unwrap();
    let endpoints = first.endpoints().clone();
    let schema = serde_json::json!({"schema": "\"string\""});
    assert_eq!(call(&endpoints.registry_url, "POST", "/subjects/s/versions", Some(schema)).await.0, 200);
    let error = Stack::start(StackConfig::new(dir.path())).await.unwrap_err();
    assert!(error.is_missing_prerequisite(), "{error}");
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    first.stop().await;

    let formatted = || std::fs::read(dir.path().join("kafka/node-1/data/meta.properties")).unwrap();
    let before = formatted();
    let second = Stack::start(StackConfig::new(dir.path())).await.unwrap();
    assert_eq!(*second.endpoints(), endpoints);
    assert_eq!(call(&endpoints.registry_url, "GET", "/subjects/s/versions", None).await.1, serde_json::json!([1]));
    assert_eq!(formatted(), before);
    second.stop().await;

    let error = Stack::start(StackConfig { kafka_nodes: 3, ..StackConfig::new(dir.path()) }).await.unwrap_err();
    assert!(error.to_string().contains("made for 1 nodes, expected 3"), "{error}");
}

#[tokio::test]
async fn three_kafka_nodes_start_and_survive_the_loss_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(StackConfig { kafka_nodes: 3, ..testing::own(dir.path()) }).await.unwrap();
    assert_eq!(stack.endpoints().kafka_brokers.split(',').count(), 3);
    server(&stack, ServerKind::Kafka(2)).kill();
    server(&stack, ServerKind::Kafka(2)).wait_ready().await.unwrap();
    assert!(stack.server(ServerKind::Kafka(4)).is_none());
    stack.stop().await;
}

/// Matters to root, whose PostgreSQL runs as another user.
#[tokio::test]
async fn a_data_dir_below_a_closed_folder_will_do() {
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let dir = closed.path().join("data");
    let stack = Stack::start(testing::own(&dir)).await.unwrap();
    let cluster = std::fs::canonicalize(dir.join("postgres")).unwrap();
    assert!(cluster.join("PG_VERSION").is_file());
    stack.stop().await;
    assert!(!cluster.exists() && !dir.exists(), "{} is left behind", cluster.display());
}

#[tokio::test]
async fn a_server_that_cannot_start_is_reported_with_the_end_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("postgres")).unwrap();
    std::fs::write(dir.path().join("postgres/PG_VERSION"), "3\n").unwrap();
    let error = Stack::start(testing::own(dir.path())).await.unwrap_err().to_string();
    assert!(error.starts_with("postgres did not start: it ended") && error.contains("postgres.log"), "{error}");
}

#[test]
fn tests_share_servers_and_have_names_of_their_own() {
    let (first, second) = (testing::shared(), testing::shared());
    assert_eq!(first.brokers, second.brokers);
    assert_ne!(first.prefix, second.prefix);
    assert_ne!(first.postgres_url, second.postgres_url);
}
