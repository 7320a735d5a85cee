//! Measures a running pipeline from outside: throughput from `posts.raw.v1` to PostgreSQL, latency from publish to API.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Parser;
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;
use url::Url;
use vigie_benches::http::get_json;
use vigie_benches::latency::Latencies;
use vigie_benches::posts::PostMaker;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, Publisher};
use vigie_schemas::{Codec, RawPost, RegistryConfig, Topic};

/// Publish posts to a running pipeline and time their way
#[derive(Parser, Debug)]
#[command(name = "vigie-load", version)]
struct Options {
    #[command(flatten)]
    kafka: KafkaConfig,
    #[command(flatten)]
    registry: RegistryConfig,
    /// PostgreSQL that the pipeline writes to
    #[arg(
        long,
        env = "VIGIE_POSTGRES_URL",
        hide_env_values = true,
        default_value = "postgres://vigie@127.0.0.1:5432/vigie"
    )]
    postgres_url: String,
    /// Data directory of a running `vigie up`: its servers are used, whatever the other options say
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The pipeline's API
    #[arg(long, env = "VIGIE_API_URL", default_value = "http://127.0.0.1:8080")]
    api_url: Url,
    /// Bearer token for the API, if it asks for one
    #[arg(long, env = "VIGIE_API_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Posts published at full speed for the throughput
    #[arg(long, default_value_t = 5_000)]
    posts: usize,
    /// Posts in one transaction of the publisher
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Posts per second for the latency
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Seconds that the latency is measured for
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Milliseconds between two looks at the API, which is how exact the latency is; the API's rate limit sets a lower bound
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    poll_ms: u64,
    /// Seconds after which posts that have not arrived are given up
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Seed of the texts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What a running `vigie up` says of itself in its data directory.
#[derive(Deserialize)]
struct Running {
    kafka_brokers: String,
    registry_url: String,
    postgres_url: String,
    api_url: Url,
}

impl Options {
    /// With the servers of the data directory, if one is given.
    fn located(mut self) -> anyhow::Result<Self> {
        let Some(dir) = &self.data_dir else { return Ok(self) };
        let file = dir.join("endpoints.json");
        let text = std::fs::read(&file).with_context(|| format!("no vigie up runs in {}", dir.display()))?;
        let running: Running = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
        self.kafka.brokers = running.kafka_brokers;
        self.registry.schema_registry_url = running.registry_url;
        (self.postgres_url, self.api_url) = (running.postgres_url, running.api_url);
        Ok(self)
    }
}

#[derive(Serialize)]
struct Report {
    posts: usize,
    publish_seconds: f64,
    to_postgres_seconds: f64,
    posts_per_second: f64,
    latency_posts: usize,
    latency_rate_per_second: u32,
    latency_poll_ms: u64,
    latency_p50_ms: Option<u128>,
    latency_p95_ms: Option<u128>,
    latency_p99_ms: Option<u128>,
}

struct Load {
    options: Options,
    clock: SystemClock,
    codec: Codec,
    publisher: Publisher,
    run: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse().located()?;
    let clock = SystemClock::default();
    let codec = Codec::connect(&options.registry, &options.kafka.topic_prefix).await?;
    let publisher = Publisher::new(&options.kafka, "load");
    let run = clock.now().as_millis().to_string();
    let load = Load { options, clock, codec, publisher, run };

    let (publish, arrive) = load.throughput().await?;
    let latencies = load.latency().await?;
    let millis = |percent| latencies.percentile(percent).map(|latency| latency.as_millis());
    let report = Report {
        posts: load.options.posts,
        publish_seconds: publish.as_secs_f64(),
        to_postgres_seconds: arrive.as_secs_f64(),
        posts_per_second: load.options.posts as f64 / arrive.as_secs_f64(),
        latency_posts: latencies.len(),
        latency_rate_per_second: load.options.rate,
        latency_poll_ms: load.options.poll_ms,
        latency_p50_ms: millis(50.0),
        latency_p95_ms: millis(95.0),
        latency_p99_ms: millis(99.0),
    };
    print(&report, load.options.json)
}

impl Load {
    async fn record(&self, post: &RawPost) -> anyhow::Result<OutgoingRecord> {
        let value = self.codec.encode(Topic::PostsRaw.name(), post).await?;
        Ok(OutgoingRecord {
            topic: Topic::PostsRaw.name().to_owned(),
            key: Some(Bytes::from(post.post_id.clone())),
            value: Some(Bytes::from(value)),
            ..OutgoingRecord::default()
        })
    }

    /// Publishes all posts as fast as Kafka takes them. Answers when the last was committed, and when its row was there.
    async fn throughput(&self) -> anyhow::Result<(Duration, Duration)> {
        let run = format!("{}-t", self.run);
        let mut maker = PostMaker::new(&run, self.options.seed);
        let mut records = Vec::with_capacity(self.options.posts);
        for _ in 0..self.options.posts {
            records.push(self.record(&maker.post(self.clock.now())).await?);
        }
        let (postgres, connection) =
            tokio_postgres::connect(&self.options.postgres_url, NoTls).await.context("postgresql")?;
        tokio::spawn(connection);
        let prefix = format!("{}%", PostMaker::prefix(&run));
        let count = postgres.prepare("SELECT count(*) FROM posts WHERE run_id = 'live' AND post_id LIKE $1").await?;

        let start = self.clock.monotonic();
        for batch in records.chunks(usize::try_from(self.options.batch)?) {
            self.publisher.publish(batch.to_vec()).await?;
        }
        let published = self.clock.monotonic() - start;
        eprintln!("load: {} posts published in {:.1} s", records.len(), published.as_secs_f64());
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            let rows: i64 = postgres.query_one(&count, &[&prefix]).await?.get(0);
            let elapsed = self.clock.monotonic() - start;
            if usize::try_from(rows)? >= records.len() {
                return Ok((published, elapsed));
            }
            if elapsed > Duration::from_secs(self.options.timeout) {
                bail!("{rows} of {} posts are in postgresql after {} s", records.len(), self.options.timeout);
            }
        }
    }

    /// Publishes posts one by one and looks for them in the API. A latency runs from before the publish to the first answer with the post.
    async fn latency(&self) -> anyhow::Result<Latencies> {
        let total = u64::from(self.options.rate) * self.options.seconds;
        let mut maker = PostMaker::new(&format!("{}-l", self.run), self.options.seed + 1);
        let mut url = self.options.api_url.join("v1/assets/BTC/posts")?;
        let mut waiting: HashMap<String, Duration> = HashMap::new();
        let mut latencies = Latencies::default();
        let mut publish = tokio::time::interval(Duration::from_secs(1) / self.options.rate);
        let mut poll = tokio::time::interval(Duration::from_millis(self.options.poll_ms));
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (sent, mut committed) = tokio::sync::mpsc::unbounded_channel::<anyhow::Result<()>>();
        let mut published = 0;
        let start = self.clock.monotonic();
        let since = self.clock.now();
        while published < total || !waiting.is_empty() {
            tokio::select! {
                _ = publish.tick(), if published < total => {
                    let mut post = maker.post(self.clock.now());
                    post.text = format!("$BTC: {}", post.text);
                    let record = self.record(&post).await?;
                    waiting.insert(post.post_id, self.clock.monotonic());
                    published += 1;
                    let (publisher, sent) = (self.publisher.clone(), sent.clone());
                    tokio::spawn(async move {
                        let outcome = publisher.publish(vec![record]).await;
                        sent.send(outcome.map(drop).map_err(Into::into))
                    });
                }
                Some(outcome) = committed.recv() => outcome?,
                _ = poll.tick(), if !waiting.is_empty() => {
                    ask_since(&mut url, since);
                    let answer = get_json(&url, self.options.token.as_deref()).await?;
                    let now = self.clock.monotonic();
                    for_each_post_id(&answer, &mut |id| {
                        if let Some(at) = waiting.remove(id) {
                            latencies.add(now - at);
                        }
                    });
                }
            }
            if self.clock.monotonic() - start > Duration::from_secs(self.options.seconds + self.options.timeout) {
                bail!("{} of {published} posts are not in the api", waiting.len());
            }
        }
        Ok(latencies)
    }
}

/// Newest first, and as many as the API gives at once.
fn ask_since(url: &mut Url, since: Timestamp) {
    url.query_pairs_mut().clear().append_pair("from", &since.to_string()).append_pair("limit", "200");
}

/// Calls `found` with every `post_id` in an answer.
fn for_each_post_id(value: &serde_json::Value, found: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, inner) in fields {
                match inner.as_str() {
                    Some(id) if name == "post_id" => found(id),
                    _ => for_each_post_id(inner, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| for_each_post_id(item, found)),
        _ => {}
    }
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let millis = |latency: Option<u128>| latency.map_or_else(|| "none".to_owned(), |latency| format!("{latency} ms"));
    println!("posts.raw.v1 to PostgreSQL   {:.0} posts/s", report.posts_per_second);
    println!(
        "  {} posts, published in {:.1} s, all rows there after {:.1} s",
        report.posts, report.publish_seconds, report.to_postgres_seconds
    );
    println!(
        "publish to API               p50 {}  p95 {}  p99 {}",
        millis(report.latency_p50_ms),
        millis(report.latency_p95_ms),
        millis(report.latency_p99_ms)
    );
    println!(
        "  {} posts at {}/s, API polled every {} ms",
        report.latency_posts, report.latency_rate_per_second, report.latency_poll_ms
    );
    Ok(())
}
