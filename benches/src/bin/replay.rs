//! A replay beside the model alone and beside the live topologies, on the same posts: once with posts that the model scores, and once with
//! posts of a language that it leaves out.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Parser;
use url::Url;
use vigie_benches::http::get_text;
use vigie_benches::model_folder;
use vigie_benches::posts::PostMaker;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, Publisher};
use vigie_processors::assets::post_text;
use vigie_processors::inference::{ModelOptions, SentimentModel};
use vigie_schemas::{Codec, RawPost, RegistryConfig, Topic};
use vigie_stack::{Stack, StackConfig};

const HOUR: Duration = Duration::from_secs(3600);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const BATCH: usize = 64;

/// Compare a replay with the model alone and with the live topologies
#[derive(Parser, Debug)]
#[command(name = "vigie-replay", version)]
struct Options {
    /// Posts that the model scores
    #[arg(long, default_value_t = 10_000)]
    scored: usize,
    /// Posts that it does not
    #[arg(long, default_value_t = 200_000)]
    unscored: usize,
    /// Threads that run the model
    #[arg(long, default_value_t = 1)]
    model_threads: u16,
    /// How often, in turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The program
    #[arg(long, value_name = "FILE", default_value = "target/release/vigie")]
    vigie: PathBuf,
}

struct Bench {
    options: Options,
    clock: SystemClock,
    stack: Stack,
    scratch: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let scratch = tempfile::tempdir()?;
    let stack = StackConfig { ephemeral: true, ..StackConfig::new(scratch.path().join("stack")) };
    let bench = Bench {
        stack: Stack::start(stack).await?,
        options,
        clock: SystemClock::default(),
        scratch: scratch.path().to_owned(),
    };
    let outcome = bench.measure().await;
    bench.stack.stop().await;
    outcome
}

impl Bench {
    async fn measure(&self) -> anyhow::Result<()> {
        let Options { scored, unscored, rounds, .. } = self.options;
        for round in 0..rounds {
            let from = self.clock.now().saturating_sub(2 * HOUR);
            let mut maker = PostMaker::new("replay", round as u64);
            let posts: Vec<RawPost> = (0..scored).map(|number| maker.post(at(from, number, scored))).collect();
            let alone = self.alone(&posts)?;
            let (live, replay) = self.turn(&format!("s{round}-"), from, posts).await?;
            println!(
                "scored: model alone {alone:.0} posts/s, live {live:.0} ({:.2}), replay {replay:.0} ({:.2})",
                live / alone,
                replay / alone
            );
            let posts = (0..unscored).map(|number| german(at(from, number, unscored), number)).collect();
            let (live, replay) = self.turn(&format!("u{round}-"), from, posts).await?;
            println!("not scored: live {live:.0} posts/s, replay {replay:.0} ({:.2})", replay / live);
        }
        Ok(())
    }

    /// The model in a tight loop, in posts per second.
    fn alone(&self, posts: &[RawPost]) -> anyhow::Result<f64> {
        let options = ModelOptions { threads: usize::from(self.options.model_threads), ..ModelOptions::default() };
        let mut model = SentimentModel::load_with(&model_folder(), &options).context("load the model")?;
        let texts: Vec<String> = posts.iter().map(|post| post_text(post.title.as_deref(), &post.text)).collect();
        let began = self.clock.monotonic();
        for batch in texts.chunks(BATCH) {
            model.score(&batch.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(posts.len() as f64 / (self.clock.monotonic() - began).as_secs_f64())
    }

    /// The live topologies and then a replay on topics of their own, in posts per second from the start of the program until all is counted.
    async fn turn(&self, prefix: &str, from: Timestamp, posts: Vec<RawPost>) -> anyhow::Result<(f64, f64)> {
        let count = posts.len();
        for job in ["topics apply --kafka-replication-factor 1", "schemas register"] {
            self.output(prefix, job)?;
        }
        self.publish(prefix, posts).await?;
        let began = self.clock.monotonic();
        let services = [Service::start(self, prefix, "sentiment")?, Service::start(self, prefix, "trends")?];
        for service in &services {
            while !service.is_done(count).await {
                ensure!(self.clock.monotonic() - began < HOUR, "the live topologies are not done in an hour");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        let live = count as f64 / (self.clock.monotonic() - began).as_secs_f64();
        drop(services);

        let range = format!("--from {from} --to {}", from.saturating_add(2 * HOUR));
        let began = self.clock.monotonic();
        let report = self.output(prefix, &format!("--json replay run {range}"))?;
        let replay = count as f64 / (self.clock.monotonic() - began).as_secs_f64();
        let report: serde_json::Value = serde_json::from_slice(&report.stdout)?;
        ensure!(report["posts"].as_u64() == Some(count as u64), "{report}, expected {count} posts");
        Ok((live, replay))
    }

    async fn publish(&self, prefix: &str, posts: Vec<RawPost>) -> anyhow::Result<()> {
        let registry = RegistryConfig::at(self.stack.endpoints().registry_url.clone());
        let codec = Codec::connect(&registry, prefix).await?;
        let kafka = KafkaConfig::new(&self.stack.endpoints().kafka_brokers, prefix);
        let publisher = Publisher::new(&kafka, "replay-bench");
        for posts in posts.chunks(1_000) {
            let mut records = Vec::with_capacity(posts.len());
            for post in posts {
                let value = Bytes::from(codec.encode(Topic::PostsRaw.name(), post).await?);
                records.push(OutgoingRecord::new(Topic::PostsRaw.name(), post.post_id.clone(), value));
            }
            publisher.publish(records).await?;
        }
        Ok(())
    }

    fn command(&self, prefix: &str, arguments: &str) -> anyhow::Result<Command> {
        let servers = self.stack.endpoints();
        let mut command = Command::new(&self.options.vigie);
        command.args(arguments.split(' ')).stdin(Stdio::null());
        command.env("VIGIE_KAFKA_BROKERS", &servers.kafka_brokers).env("VIGIE_KAFKA_TOPIC_PREFIX", prefix);
        command
            .env("VIGIE_SCHEMA_REGISTRY_URL", &servers.registry_url)
            .env("VIGIE_DATA_DIR", self.scratch.join("none"));
        command.env("VIGIE_AUTHOR_KEY", "the key of the benchmark").env("VIGIE_MODEL", model_folder());
        command.env("VIGIE_AUTHOR_KEYRING", format!("1 {}", "01".repeat(32))).env("VIGIE_LOG", "warn");
        command.env("VIGIE_MODEL_THREADS", self.options.model_threads.to_string());
        command.env("VIGIE_STATE_DIR", self.scratch.join(prefix));
        // No window closes: all that the replay counts, the live topologies count.
        command.env("VIGIE_GRACE", "24h");
        Ok(command)
    }

    fn output(&self, prefix: &str, arguments: &str) -> anyhow::Result<Output> {
        let output = self.command(prefix, arguments)?.output().context(self.options.vigie.display().to_string())?;
        if !output.status.success() {
            bail!("vigie {arguments}: {}, {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(output)
    }
}

/// Ends when it is dropped.
struct Service {
    child: Child,
    metrics: Url,
}

impl Service {
    fn start(bench: &Bench, prefix: &str, topology: &str) -> anyhow::Result<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = bench.command(prefix, &format!("process {topology}"))?;
        let child = command.env("VIGIE_OPS_LISTEN", address.to_string()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, metrics: format!("http://{address}/metrics").parse()? })
    }

    /// Has taken in at least this many records, and has no lag.
    async fn is_done(&self, records: usize) -> bool {
        let text = get_text(&self.metrics, None).await.unwrap_or_default();
        let sum = |metric: &str| -> f64 {
            let of = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{'));
            text.lines().filter(of).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
        };
        sum("vigie_streams_records_consumed_total") >= records as f64 && sum("vigie_streams_lag_records") == 0.0
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at(from: Timestamp, number: usize, of: usize) -> Timestamp {
    from.saturating_add(Duration::from_secs_f64(HOUR.as_secs_f64() * 1.9 * number as f64 / of as f64))
}

fn german(at: Timestamp, number: usize) -> RawPost {
    const ASSETS: [&str; 6] = ["Bitcoin", "Ethereum", "Solana", "Cardano", "Dogecoin", "Litecoin"];
    let asset = ASSETS[number % ASSETS.len()];
    RawPost {
        post_id: format!("bench:german-{number:08}"),
        source: "bench".to_owned(),
        kind: "bench".to_owned(),
        author: Some(format!("author-{}", number % 5_000)),
        text: format!("Der Kurs von {asset} ist heute nicht gut und das gefällt mir überhaupt nicht, Nummer {number}"),
        published_at: at,
        fetched_at: at,
        sample: true,
        ..RawPost::default()
    }
}
