//! Servers that are killed or freeze, on a stack of the test's own.

use vigie_schemas::{ScoredPost, Topic};
use vigie_stack::testing::{TestStack, own, shared};
use vigie_stack::{ServerKind, Stack};

use crate::harness::{Pipeline, Service, eventually};
use crate::records::post;

fn posts(range: std::ops::Range<i64>) -> Vec<(String, ScoredPost)> {
    range.map(|n| (format!("rss:{n}"), post(n))).collect()
}

async fn ready(service: &Service) {
    eventually("the sink recovers", async || if service.ready() { Ok(()) } else { Err(service.ctx.health.report()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_come_back_and_each_post_is_stored_once() {
    let _ = tokio::task::spawn_blocking(shared).await.unwrap(); // two stacks that start at once may choose the same free port
    let dir = tempfile::tempdir().unwrap();
    let servers = Stack::start(own(dir.path())).await.unwrap();
    let endpoints = servers.endpoints().clone();
    let pipeline = Pipeline::on(TestStack {
        brokers: endpoints.kafka_brokers,
        postgres_url: endpoints.postgres_url,
        redis_url: endpoints.redis_url,
        registry_url: endpoints.registry_url,
        prefix: String::new(),
    })
    .await;
    let (history, views) = (pipeline.start_postgres(), pipeline.start_redis());
    pipeline.publish_all(Topic::InsightsSentiment, &posts(0..100)).await;
    pipeline.until_number("SELECT count(*) FROM posts", 100).await;
    let mut expected = 100;
    for kind in [ServerKind::Postgres, ServerKind::Kafka(1), ServerKind::Redis, ServerKind::Registry] {
        let server = servers.server(kind).unwrap();
        server.kill();
        server.wait_ready().await.unwrap();
        pipeline.reconnect().await;
        let more = posts(expected..expected + 100);
        eventually("published", async || pipeline.try_publish(Topic::InsightsSentiment, &more).await).await;
        expected += 100;
        pipeline.until_number("SELECT count(*) FROM posts", expected).await;
        ready(&history).await;
        ready(&views).await;
    }
    assert_eq!(pipeline.number("SELECT count(DISTINCT post_id) FROM posts").await, expected);

    // A broker that no longer answers does not hold up the shutdown.
    let kafka = servers.server(ServerKind::Kafka(1)).unwrap();
    kafka.pause();
    history.stop().await;
    views.stop().await;
    kafka.resume();
    servers.stop().await;
}
