//! Drains mentions through the trends topology with state in memory and on disk, in turn, on one broker: time, processor time, memory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Parser;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use vigie_benches::peers::input::create_topic;
use vigie_benches::peers::process;
use vigie_benches::posts::{PostMaker, lineage};
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::{Admin, KafkaConfig, OutgoingRecord, ProducerOptions, TransactionalProducer};
use vigie_processors::AvroDeadLetters;
use vigie_processors::text::fingerprint::Fingerprint;
use vigie_processors::trends::alerts::AlertPolicy;
use vigie_processors::trends::{APPLICATION_ID, MarketTopic, TrendsMetrics, TrendsSettings, topology};
use vigie_schemas::{Codec, LIVE_RUN, Mention, RegistryConfig, SyncCodec, Topic};
use vigie_stack::{Stack, StackConfig};
use vigie_streams::{StateBackend, StreamsApp, StreamsConfig, StreamsOptions, TopicPartition, TumblingWindows};

/// Memory and processor time are noted after each of these equal parts of the mentions.
const PARTS: usize = 17;
const ASSETS: [&str; 8] = ["BTC", "ETH", "SOL", "ADA", "LINK", "XRP", "DOGE", "DOT"];

/// Compare state in memory with state on disk, by the trends topology
#[derive(Parser, Debug)]
#[command(name = "vigie-state", version)]
struct Options {
    /// Posts; each has a mention of an asset and one of the whole market
    #[arg(long, value_delimiter = ',', default_value = "50000")]
    posts: Vec<u64>,
    /// Posts per second of event time
    #[arg(long, default_value_t = 10)]
    rate: u64,
    /// MiB of memory for state on disk
    #[arg(long, default_value_t = 64)]
    state_cache_mb: u32,
    /// Where state is kept: memory, disk or both in turn
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["memory", "disk"])]
    backends: Vec<StateBackend>,
    /// Run this job and print what it measured: the process that the benchmark starts
    #[arg(long, hide = true)]
    job: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Job {
    brokers: String,
    prefix: String,
    registry: String,
    posts: u64,
    on_disk: bool,
    state_cache_mb: u32,
    state_dir: String,
    begin: Timestamp,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(job) = &options.job {
        return run(&runtime, &serde_json::from_str(job).context("job")?);
    }
    let scratch = tempfile::tempdir()?;
    let stack = StackConfig { ephemeral: true, ..StackConfig::new(scratch.path().join("stack")) };
    let stack = runtime.block_on(Stack::start(stack))?;
    let outcome = options.posts.iter().try_for_each(|posts| {
        // Ends before now, as events do.
        let span = Duration::from_secs(posts / options.rate + 3600);
        let mut job = Job {
            brokers: stack.endpoints().kafka_brokers.clone(),
            prefix: format!("state-{posts}-"),
            registry: stack.endpoints().registry_url.clone(),
            posts: *posts,
            on_disk: false,
            state_cache_mb: options.state_cache_mb,
            state_dir: String::new(),
            begin: SystemClock::default().now().saturating_sub(span),
        };
        write(&runtime, &job, options.rate)?;
        for backend in &options.backends {
            job.on_disk = *backend == StateBackend::Disk;
            job.state_dir = scratch.path().join(format!("{posts}-{backend:?}")).display().to_string();
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--job", &serde_json::to_string(&job)?]).stdin(Stdio::null());
            ensure!(command.status()?.success(), "{posts} posts, {backend:?}: failed");
            let kafka = KafkaConfig::new(&job.brokers, &job.prefix);
            start(&job, &kafka, &codec(&runtime, &job)?, &prometheus::Registry::new())?.delete_state()?;
        }
        Ok(())
    });
    runtime.block_on(stack.stop());
    outcome
}

fn codec(runtime: &tokio::runtime::Runtime, job: &Job) -> anyhow::Result<SyncCodec> {
    let registry = RegistryConfig::at(job.registry.clone());
    Ok(runtime.block_on(Codec::connect(&registry, &job.prefix))?.sync(runtime.handle().clone()))
}

/// Writes the mentions to one partition.
fn write(runtime: &tokio::runtime::Runtime, job: &Job, rate: u64) -> anyhow::Result<()> {
    let kafka = KafkaConfig::new(&job.brokers, &job.prefix);
    let admin = Admin::new(&kafka)?;
    for topic in [Topic::PostsMentions, Topic::TrendsMarket, Topic::InsightsTrends, Topic::InsightsAlerts] {
        create_topic(&admin, topic.name(), 1)?;
    }
    let codec = codec(runtime, job)?;
    let options =
        ProducerOptions { transactional_id: "state".to_owned(), transaction_timeout: Duration::from_secs(60) };
    let mut producer = TransactionalProducer::new(&kafka, &options)?;
    let mut maker = PostMaker::new("state", 1);
    for first in (0..job.posts).step_by(5_000) {
        producer.begin()?;
        for number in first..(first + 5_000).min(job.posts) {
            let at = job.begin.saturating_add(Duration::from_millis(number * 1000 / rate));
            let post = maker.post(at);
            for asset in [ASSETS[(number % 8) as usize], "*"] {
                let mention = Mention {
                    asset: asset.to_owned(),
                    post_id: post.post_id.clone(),
                    source: post.source.clone(),
                    author_id: post.author.clone(),
                    published_at: at,
                    label: Some("positive".to_owned()),
                    score: Some(0.5),
                    sample: true,
                    lineage: lineage(number as i64),
                    revision: 1,
                    retracted: false,
                    fingerprint: Fingerprint::of(&post.text).map(Fingerprint::to_long),
                    spam: false,
                };
                let value = Bytes::from(codec.encode(Topic::PostsMentions.name(), &mention)?);
                producer.send(&OutgoingRecord::new(Topic::PostsMentions.name(), asset.to_owned(), value))?;
            }
        }
        producer.commit()?;
    }
    Ok(())
}

fn start(
    job: &Job,
    kafka: &KafkaConfig,
    codec: &SyncCodec,
    registry: &prometheus::Registry,
) -> anyhow::Result<StreamsApp> {
    let options = StreamsOptions {
        state_dir: job.on_disk.then(|| Path::new(&job.state_dir).to_owned()),
        state_backend: Some(if job.on_disk { StateBackend::Disk } else { StateBackend::Memory }),
        state_cache_mb: job.state_cache_mb,
        ..StreamsOptions::default()
    };
    let mut config = StreamsConfig::new(kafka.clone(), APPLICATION_ID, &options);
    let source = TopicPartition::new(Topic::PostsMentions.name(), 0);
    let (_, end) = Admin::new(kafka)?.watermarks(&source)?;
    config.stop_at = Some([(source, end)].into());
    let settings = TrendsSettings {
        run_id: LIVE_RUN.to_owned(),
        source: Topic::PostsMentions.name().to_owned(),
        market: MarketTopic::new(1),
        insights: Topic::InsightsTrends.name().to_owned(),
        alerts: Topic::InsightsAlerts.name().to_owned(),
        windows: TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_secs(6 * 3600) },
        settle: Duration::from_secs(600),
        emit_interval: Duration::from_secs(2),
        idle_timeout: config.idle_timeout,
        policy: AlertPolicy { min_anomaly_score: 0.5, min_posts: 10 },
        forecaster: None,
    };
    let topology = topology(settings, codec.clone(), TrendsMetrics::new(registry))?;
    let letters = Arc::new(AvroDeadLetters(codec.clone()));
    Ok(StreamsApp::new(config, topology, letters, Arc::new(SystemClock::default()), registry))
}

/// Drains the mentions, and prints what it took as JSON.
fn run(runtime: &tokio::runtime::Runtime, job: &Job) -> anyhow::Result<()> {
    let kafka = KafkaConfig::new(&job.brokers, &job.prefix);
    let registry = prometheus::Registry::new();
    let app = start(job, &kafka, &codec(runtime, job)?, &registry)?;
    let clock = SystemClock::default();
    let parts = Mutex::new(Vec::with_capacity(PARTS));
    let (began, cpu) = (clock.monotonic(), process::cpu_seconds()?);
    app.run(|| {
        let mut parts = parts.lock();
        if consumed(&registry) * PARTS as f64 >= (2 * job.posts) as f64 * (parts.len() + 1) as f64 {
            parts.push((process::rss_mib().unwrap_or(f64::NAN), process::cpu_seconds().unwrap_or(f64::NAN) - cpu));
        }
        false
    })?;
    let (seconds, cpu) = ((clock.monotonic() - began).as_secs_f64(), process::cpu_seconds()? - cpu);
    let (rss, cpu_by_part): (Vec<f64>, Vec<f64>) = parts.into_inner().into_iter().unzip();
    let line = serde_json::json!({
        "posts": job.posts,
        "on_disk": job.on_disk,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "mentions_per_cpu_second": (2 * job.posts) as f64 / cpu,
        "peak_rss_mib": process::peak_rss_mib()?,
        "rss_mib_after_each_part": rss,
        "cpu_seconds_after_each_part": cpu_by_part,
    });
    println!("{line}");
    Ok(())
}

/// Mentions processed and committed until now.
fn consumed(registry: &prometheus::Registry) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "vigie_streams_records_consumed_total");
    family.map_or(0.0, |family| family.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum())
}
