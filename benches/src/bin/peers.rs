//! Runs the same windowed count on vigie-streams and on Kafka Streams, in turn, on one broker, and compares.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Parser;
use serde::de::DeserializeOwned;
use vigie_benches::peers::input::{Input, create_topic, verify};
use vigie_benches::peers::kafka_streams::{KafkaStreams, Store};
use vigie_benches::peers::report::{PeerReport, table};
use vigie_benches::peers::{Job, WINDOWS, ours};
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, KafkaConfig};
use vigie_stack::{Stack, StackConfig};

/// Compare vigie-streams with Kafka Streams: a 5-minute windowed count by key, exactly once
#[derive(Parser, Debug)]
#[command(name = "vigie-peers", version)]
struct Options {
    /// Kafka bootstrap servers; a broker of its own if not given
    #[arg(long, env = "VIGIE_KAFKA_BROKERS")]
    kafka_brokers: Option<String>,
    /// Records in the input
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    records: u64,
    /// Different keys in the input
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// Windows that the input's event times lie in
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=12))]
    windows: u64,
    /// Bytes of each value
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Partitions of every topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=64))]
    partitions: i32,
    /// Rounds of the throughput, in each of which every peer runs once
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Windows and keys to restore; 0 leaves the restore out
    #[arg(long, default_value_t = 1_000_000)]
    restore_keys: u64,
    /// Milliseconds between commits
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    commit_ms: u64,
    /// Options for Java; empty lets its heap grow to a quarter of the machine's memory
    #[arg(long, default_value = "-Xmx512m", allow_hyphen_values = true)]
    java_options: String,
    /// Run only vigie-streams, without Java
    #[arg(long)]
    ours_only: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Run this job on vigie-streams and print what it measured: the process that the benchmark starts
    #[arg(long, hide = true)]
    job: Option<String>,
}

/// Something that must be installed is missing.
const UNAVAILABLE: u8 = 69;
/// How many windows the keys to restore lie in.
const RESTORE_WINDOWS: u64 = 10;

#[derive(Clone, Copy, Debug)]
enum Peer {
    Ours,
    KafkaStreams(Store),
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "vigie-streams",
            Self::KafkaStreams(Store::Memory) => "Kafka Streams, memory",
            Self::KafkaStreams(Store::RocksDb) => "Kafka Streams, RocksDB",
        }
    }
}

struct Bench {
    options: Options,
    kafka: KafkaConfig,
    admin: Admin,
    java: Option<KafkaStreams>,
    scratch: tempfile::TempDir,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(job) = &options.job {
        println!("{}", ours::run(&serde_json::from_str(job).context("job")?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let scratch = tempfile::tempdir()?;
    let mut java = None;
    if !options.ours_only {
        match KafkaStreams::find(&options.java_options) {
            Ok(found) => java.insert(found).compile(scratch.path())?,
            Err(missing) => {
                eprintln!("peers: {missing:#}");
                return Ok(ExitCode::from(UNAVAILABLE));
            }
        }
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stack = None;
    let brokers = match &options.kafka_brokers {
        Some(brokers) => brokers.clone(),
        None => {
            eprintln!("peers: starting a broker");
            let config = StackConfig { ephemeral: true, ..StackConfig::new(scratch.path().join("stack")) };
            let started = runtime.block_on(Stack::start(config))?;
            stack.insert(started).endpoints().kafka_brokers.clone()
        }
    };
    let prefix = format!("peers-{}-", SystemClock::default().now().as_millis());
    let kafka = KafkaConfig::new(brokers, prefix);
    let bench = Bench { admin: Admin::new(&kafka)?, options, kafka, java, scratch };
    let outcome = bench.run();
    if let Some(stack) = stack {
        runtime.block_on(stack.stop());
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    fn run(&self) -> anyhow::Result<()> {
        let options = &self.options;
        let mut peers = vec![Peer::Ours];
        if self.java.is_some() {
            peers.extend([Store::Memory, Store::RocksDb].map(Peer::KafkaStreams));
        }
        let report = |peer: &Peer| PeerReport { peer: peer.name().to_owned(), ..PeerReport::default() };
        let mut reports: Vec<PeerReport> = peers.iter().map(report).collect();

        let (input, expected) = self.load("events", options.records, options.keys, options.windows)?;
        for round in 0..options.rounds {
            let mut turns: Vec<usize> = (0..peers.len()).collect();
            // Whatever else the machine does in a round hits another peer first in the next.
            turns.rotate_left(round as usize % peers.len());
            for turn in turns {
                let job = self.job(&input, &format!("round-{round}-{turn}"))?;
                let counted = self.measure(peers[turn], &job)?;
                verify(&self.kafka, &job.output, &expected)?;
                self.drop_topics(&job)?;
                reports[turn].rounds.push(counted);
            }
        }
        self.admin.delete_topics(&[&input.topic])?;
        if options.restore_keys > 0 {
            self.restore(&peers, &mut reports)?;
        }
        match options.json {
            true => println!("{}", serde_json::to_string(&serde_json::json!({ "peers": reports }))?),
            false => print!("{}", table(&reports)),
        }
        Ok(())
    }

    /// Fills the state, then starts without it, then with it.
    fn restore(&self, peers: &[Peer], reports: &mut [PeerReport]) -> anyhow::Result<()> {
        let (records, keys) = (self.options.restore_keys, self.options.restore_keys / RESTORE_WINDOWS);
        let (input, expected) = self.load("new-keys", records, keys.max(1), RESTORE_WINDOWS)?;
        for (turn, (peer, report)) in peers.iter().zip(reports).enumerate() {
            let job = self.job(&input, &format!("restore-{turn}"))?;
            report.fill = Some(self.measure(*peer, &job)?);
            verify(&self.kafka, &job.output, &expected)?;
            if Path::new(&job.state_dir).exists() {
                std::fs::remove_dir_all(&job.state_dir)?;
            }
            let start = Job { records: 0, ..job };
            report.restore = Some(self.measure(*peer, &start)?);
            report.restart = Some(self.measure(*peer, &start)?);
            self.drop_topics(&start)?;
        }
        Ok(())
    }

    fn load(&self, topic: &str, records: u64, keys: u64, windows: u64) -> anyhow::Result<(Input, HashMap<Bytes, u64>)> {
        // The last event is not ahead of the clock, which would move it.
        let span = WINDOWS.size * u32::try_from(windows + 1)?;
        let begin = SystemClock::default().now().saturating_sub(span).window_start(WINDOWS.size);
        let value_bytes = self.options.value_bytes;
        let input = Input { topic: topic.to_owned(), records, keys, windows, value_bytes, begin };
        input.load(&self.kafka, self.options.partitions, |loaded| {
            if loaded.is_multiple_of(500_000) || loaded == records {
                eprintln!("peers: {topic}: {loaded} of {records} records loaded");
            }
        })?;
        let expected = input.expected();
        Ok((input, expected))
    }

    fn job(&self, input: &Input, application: &str) -> anyhow::Result<Job> {
        let output = format!("{application}-counts");
        create_topic(&self.admin, &output, self.options.partitions)?;
        Ok(Job {
            brokers: self.kafka.brokers.clone(),
            prefix: self.kafka.topic_prefix.clone(),
            application: application.to_owned(),
            input: input.topic.clone(),
            output,
            records: input.records,
            commit_ms: self.options.commit_ms,
            state_dir: self.scratch.path().join(application).display().to_string(),
        })
    }

    /// Runs `job` in a process of its own; what the last line of its output says.
    fn measure<T: DeserializeOwned>(&self, peer: Peer, job: &Job) -> anyhow::Result<T> {
        let mut command = match (peer, &self.java) {
            (Peer::KafkaStreams(store), Some(java)) => java.command(job, store),
            _ => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--job", &serde_json::to_string(job)?]);
                command
            }
        };
        let what = if job.records == 0 { "start" } else { "run" };
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{}: {what} failed ({}): {text}", peer.name(), output.status);
        }
        let line = text.lines().last().unwrap_or_default();
        eprintln!("peers: {}: {what}: {line}", peer.name());
        serde_json::from_str(line).with_context(|| format!("{}: printed {text}", peer.name()))
    }

    fn drop_topics(&self, job: &Job) -> anyhow::Result<()> {
        let changelog = format!("{}-counts-changelog", job.application);
        self.admin.delete_topics(&[&job.output, &changelog])?;
        self.admin.delete_groups(&[&job.application])?;
        Ok(())
    }
}
