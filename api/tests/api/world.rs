//! A database and a Redis prefix of the test's own, filled row by row, with the API over them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use clap::Parser;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use vigie_api::AssetName;
use vigie_audit::{read, verify};
use vigie_clock::ManualClock;
use vigie_clock::Timestamp;
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, TopicSpec};
use vigie_schemas::{AuditRecord, Codec, Topic};
use vigie_stack::testing::TestStack;

/// Asks every 20 ms until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    let asking = async {
        loop {
            turn.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// The wall clock of the tests.
pub(crate) const WALL: &str = "2026-11-23T12:00:00Z";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: vigie_api::Config,
}

pub(crate) fn config(args: &[&str]) -> vigie_api::Config {
    Cli::parse_from(std::iter::once("api").chain(args.iter().copied())).config
}

pub(crate) fn checked(args: &[&str]) -> vigie_api::Checked {
    config(args).check().unwrap_or_else(|mistakes| panic!("{mistakes:?}")).naming(names())
}

fn names() -> Vec<AssetName> {
    let name = |id: &str, name: &str, aliases: &[&str], categories: &[&str]| AssetName {
        id: id.to_owned(),
        name: name.to_owned(),
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        categories: categories.iter().map(|&category| category.to_owned()).collect(),
    };
    vec![name("BTC", "Bitcoin", &["xbt"], &[]), name("USDT", "Tether", &["tether usd"], &["stablecoin"])]
}

pub(crate) struct World {
    pub(crate) config: vigie_api::Config,
    pub(crate) ctx: Context,
    pub(crate) clock: ManualClock,
    pub(crate) router: Router,
    pub(crate) db: tokio_postgres::Client,
    pub(crate) postgres_url: String,
    pub(crate) redis_url: String,
    pub(crate) redis_prefix: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// The problem, after checking what every problem must have.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail", "instance", "request_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {problem}");
        }
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(args: &[&str]) -> Self {
        let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
        Self::on(stack, args).await
    }

    pub(crate) async fn on(stack: TestStack, args: &[&str]) -> Self {
        let (db, connection) = tokio_postgres::connect(&stack.postgres_url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for (_, migration) in vigie_schemas::sql::MIGRATIONS {
            db.batch_execute(migration).await.unwrap();
        }
        db.batch_execute(
            "INSERT INTO lineages VALUES (1, 'tiny', '1', 'abc', 'a1', 'posts.mentions.v1', 2), (2, 'tiny', '1', 'abc', 'a1', 'posts.raw.v1', 0); \
             INSERT INTO lineages VALUES (3, 'tiny', '1', 'abc', 'a1', 'posts.mentions.v1', 2, 'fortune', '2', 'ff'); \
             INSERT INTO sources VALUES (100, 'r-test')",
        )
        .await
        .unwrap();
        let (postgres, redis) =
            (format!("--postgres-url={}", stack.postgres_url), format!("--redis-url={}", stack.redis_url));
        let prefix = format!("--redis-prefix={}", stack.prefix);
        let (brokers, topics, registry) = (
            format!("--kafka-brokers={}", stack.brokers),
            format!("--kafka-topic-prefix={}", stack.prefix),
            format!("--schema-registry-url={}", stack.registry_url),
        );
        let servers = [postgres.as_str(), &redis, &prefix, &brokers, &topics, &registry];
        let all: Vec<&str> = servers.into_iter().chain(args.iter().copied()).collect();
        let config = config(&all);
        let clock = ManualClock::new(Timestamp::parse_rfc3339(WALL).unwrap());
        let ctx = Context::new(Arc::new(clock.clone()));
        let router = vigie_api::router(&checked(&all), &ctx).unwrap();
        Self {
            config,
            ctx,
            clock,
            router,
            db,
            postgres_url: stack.postgres_url,
            redis_url: stack.redis_url,
            redis_prefix: stack.prefix,
        }
    }

    pub(crate) fn checked(&self) -> vigie_api::Checked {
        self.config.clone().check().unwrap_or_else(|mistakes| panic!("{mistakes:?}")).naming(names())
    }

    /// Makes the topic of the audit.
    pub(crate) async fn audited(&self) {
        let kafka = self.config.audit.kafka.clone();
        let topic = Topic::Audit.configs().remove(0);
        let spec = TopicSpec { name: topic.name, partitions: topic.partitions, replication: 1, config: topic.config };
        tokio::task::spawn_blocking(move || Admin::new(&kafka).unwrap().create_topics(&[spec]).unwrap()).await.unwrap();
    }

    /// What the audit says, once it has this many records; its chain holds.
    pub(crate) async fn audit(&self, count: usize) -> Vec<AuditRecord> {
        let (kafka, registry) = (self.config.audit.kafka.clone(), &self.config.audit.registry);
        let codec = Codec::connect(registry, &kafka.topic_prefix).await.unwrap().sync(Handle::current());
        let reading = move || loop {
            let entries: Vec<_> = read(&kafka, codec.clone(), None).unwrap().map(Result::unwrap).collect();
            if entries.len() >= count {
                assert_eq!(verify(entries.iter().cloned().map(Ok), None).unwrap().broken, None);
                return entries.into_iter().map(|entry| entry.record.unwrap()).collect();
            }
        };
        let reading = tokio::task::spawn_blocking(reading);
        tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap()
    }

    /// Serves on a port of its own, until the shutdown.
    pub(crate) async fn serve(&self) -> (SocketAddr, JoinHandle<Result<(), ServiceError>>) {
        let listener = vigie_api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        // Its own metrics: the router of this world has registered in the other.
        let ctx = Context { metrics: Default::default(), ..self.ctx.clone() };
        (addr, tokio::spawn(vigie_api::run_with_listener(self.checked(), listener, ctx)))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        send(self.router.clone(), method, path, headers).await
    }

    /// The JSON of a 200.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.db.batch_execute(sql).await.unwrap_or_else(|e| panic!("{e}: {sql}"));
    }

    /// How many statements wait for a lock in the database.
    pub(crate) async fn waiting(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database \
                   WHERE NOT granted AND d.datname = current_database()";
        self.db.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// What the sink does with every transaction: it stores from where it goes on in the topic.
    pub(crate) async fn commit(&self, topic: &str) {
        self.sql(&commit(topic)).await;
    }

    /// How many answers were built from the store so far.
    pub(crate) async fn built(&self) -> u64 {
        let metrics = self.get("/metrics").await.text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("vigie_api_answers_total{outcome=\"built\"} "));
        line.map_or(0, |count| count.parse().unwrap())
    }

    /// A window of 5 minutes, the latest of its revisions.
    pub(crate) async fn window(&self, window: Window<'_>) {
        let Window {
            run,
            asset,
            start,
            revision,
            r#final,
            posts,
            authors,
            labels: [negative, neutral, positive],
            mean,
            emitted,
        } = window;
        let mean = mean.map_or("NULL".to_owned(), |mean| mean.to_string());
        let columns = "run_id, asset, window_start, window_seconds, revision, final, posts, unique_authors, negative, neutral, positive, mean_score, \
            anomaly_score, expected_posts, sources, emitted_at, sample, lineage_id, first_offset, last_offset";
        let values = format!(
            "'{run}', '{asset}', '{start}', 300, {revision}, {final}, {posts}, {authors}, {negative}, \
            {neutral}, {positive}, {mean}, 0.25, {posts} + 0.5, '', '{emitted}', true, 1, {revision} * 10, {revision} * 10 + {posts}"
        );
        self.sql(&format!(
            "SELECT make_partition(parent, '{start}') FROM unnest(ARRAY['stored_windows', 'stored_window_revisions']) parent; \
             INSERT INTO stored_window_revisions ({columns}) VALUES ({values}); \
             DELETE FROM stored_windows WHERE run_id = '{run}' AND asset = '{asset}' AND window_start = '{start}' AND revision < {revision}; \
             INSERT INTO stored_windows ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING"
        ))
        .await;
    }

    pub(crate) async fn post(&self, post: Post<'_>) {
        let Post { run, id, asset, at, author, label, score, text, url } = post;
        let quote = |text: Option<&str>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
        let score = score.map_or("NULL".to_owned(), |score| score.to_string());
        let (label, author, url) = (quote(label), quote(author), quote(url));
        self.sql(&format!(
            "SELECT make_partition(parent, '{at}') FROM unnest(ARRAY['stored_posts', 'post_assets']) parent; \
             INSERT INTO authors (author_id, seen_at) SELECT a, '{at}' FROM (SELECT {author}::text AS a) s WHERE a IS NOT NULL \
               ON CONFLICT DO NOTHING; \
             INSERT INTO stored_posts (run_id, post_id, source_id, kind, url, author, title, excerpt, published_at, fetched_at, scored_at, \
               language, label, score, sample, lineage_id, input_offset, assets) \
             VALUES ('{run}', '{id}', 100, 'reddit', {url}, (SELECT id FROM authors WHERE author_id = {author}), 'a title', '{text}', '{at}', '{at}', '{at}', 'en', {label}, {score}, \
               true, 2, 7, '{asset}'); \
             INSERT INTO post_assets (run_id, post_key, asset, evidence, published_at, score, label) \
             VALUES ('{run}', post_key('{id}'), '{asset}', 'ticker', '{at}', {score}, {label})"
        ))
        .await;
    }
}

pub(crate) fn commit(topic: &str) -> String {
    format!(
        "INSERT INTO sink_offsets AS o (sink, topic, partition, next_offset) VALUES ('postgres', '{topic}', 0, 1) \
         ON CONFLICT (sink, topic, partition) DO UPDATE SET next_offset = o.next_offset + 1, updated_at = now()"
    )
}

#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub(crate) run: &'a str,
    pub(crate) asset: &'a str,
    pub(crate) start: &'a str,
    pub(crate) revision: i32,
    pub(crate) r#final: bool,
    pub(crate) posts: i64,
    pub(crate) authors: i64,
    pub(crate) labels: [i64; 3],
    pub(crate) mean: Option<f64>,
    pub(crate) emitted: &'a str,
}

impl<'a> Window<'a> {
    pub(crate) fn of(asset: &'a str, start: &'a str, posts: i64, mean: Option<f64>) -> Self {
        let scored = if mean.is_some() { posts } else { 0 };
        Self {
            run: "live",
            asset,
            start,
            revision: 1,
            r#final: true,
            posts,
            authors: posts,
            labels: [0, scored, 0],
            mean,
            emitted: start,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Post<'a> {
    pub(crate) run: &'a str,
    pub(crate) id: &'a str,
    pub(crate) asset: &'a str,
    pub(crate) at: &'a str,
    pub(crate) author: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
    pub(crate) score: Option<f64>,
    pub(crate) text: &'a str,
    pub(crate) url: Option<&'a str>,
}

impl<'a> Post<'a> {
    pub(crate) fn of(asset: &'a str, id: &'a str, at: &'a str) -> Self {
        Self {
            run: "live",
            id,
            asset,
            at,
            author: Some("author"),
            label: Some("neutral"),
            score: Some(0.0),
            text: "words",
            url: Some("https://example.com/post"),
        }
    }
}

pub(crate) async fn send(router: Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A Monday.
pub(crate) const MONDAY: &str = "2022-05-09T00:00:00Z";

/// Minutes after [`MONDAY`].
pub(crate) fn at(minutes: i64) -> String {
    Timestamp::from_millis(Timestamp::parse_rfc3339(MONDAY).unwrap().as_millis() + minutes * 60_000).to_string()
}

pub(crate) fn points(series: &Value) -> &Vec<Value> {
    series["points"].as_array().unwrap()
}

pub(crate) fn column(series: &Value, name: &str) -> Vec<Value> {
    points(series).iter().map(|point| point[name].clone()).collect()
}
