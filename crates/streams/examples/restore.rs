//! Measures how fast a task comes back: from its changelog, from its local snapshot, and from its stores on disk.
//!
//! ```sh
//! cargo run --release -p vigie-streams --example restore -- 1000000
//! ```
//!
//! Starts a Kafka of its own, counts that many distinct keys in one partition, and restarts: without a folder for snapshots, then with one, then with stores
//! on disk.
//! The values are 32 bytes. Prints JSON Lines.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, KafkaConfig, OutgoingRecord, ProducerOptions, TopicSpec, TransactionalProducer};
use vigie_stack::{ServerKind, Stack, testing};
use vigie_streams::{
    PlainDeadLetters, Processor, ProcessorContext, ProcessorError, Record, StateBackend, StoreSpec, StreamsApp,
    StreamsConfig, StreamsOptions, Topology,
};

/// Keeps the last value of each key.
struct Keep;

impl Processor for Keep {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        for record in batch {
            if let (Some(key), Some(value)) = (record.key.clone(), record.value.clone()) {
                ctx.store("values").put(key, value);
            }
        }
        Ok(())
    }
}

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(1_000_000, |keys| keys.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let stack = runtime.block_on(Stack::start(testing::own(&dir.path().join("stack")))).unwrap();
    assert!(stack.server(ServerKind::Kafka(1)).is_some());
    let kafka = KafkaConfig::new(&stack.endpoints().kafka_brokers, "");
    write(&kafka, keys);

    let folder = dir.path().join("state");
    let (none, snapshots) = ((None, StateBackend::Memory), (Some(&*folder), StateBackend::Memory));
    let disk = (Some(&*folder), StateBackend::Disk);
    let is_restored = |metrics: &Metrics| metrics.get("tasks") >= 1.0;
    run(&kafka, none, "processing, no snapshot", keys, |metrics| metrics.get("records_consumed_total") >= keys as f64);
    run(&kafka, none, "restore from the changelog", keys, is_restored);
    run(&kafka, snapshots, "restore, then a snapshot while running", keys, |metrics| {
        metrics.get("snapshots_total") >= 1.0
    });
    run(&kafka, snapshots, "restore from the snapshot", keys, is_restored);
    run(&kafka, disk, "restore from the changelog to disk", keys, is_restored);
    run(&kafka, disk, "restore of stores on disk", keys, is_restored);
    runtime.block_on(stack.stop());
}

fn write(kafka: &KafkaConfig, keys: u64) {
    let spec = TopicSpec { name: "keys".to_owned(), partitions: 1, replication: 1, config: BTreeMap::new() };
    Admin::new(kafka).unwrap().create_topics(&[spec]).unwrap();
    let options =
        ProducerOptions { transactional_id: "restore".to_owned(), transaction_timeout: Duration::from_secs(60) };
    let mut producer = TransactionalProducer::new(kafka, &options).unwrap();
    for first in (0..keys).step_by(50_000) {
        producer.begin().unwrap();
        for key in first..(first + 50_000).min(keys) {
            let value = format!("{key:032}");
            producer.send(&OutgoingRecord::new("keys", format!("key-{key:016}"), Bytes::from(value))).unwrap();
        }
        producer.commit().unwrap();
    }
}

struct Metrics(Registry);

impl Metrics {
    /// The sum of a counter, gauge or histogram over its labels.
    fn get(&self, name: &str) -> f64 {
        let families = self.0.gather();
        let found = families.iter().filter(|family| family.name() == format!("vigie_streams_{name}"));
        found
            .flat_map(|family| family.get_metric())
            .map(|m| m.get_counter().get_value() + m.get_gauge().get_value() + m.get_histogram().get_sample_sum())
            .sum()
    }

    /// The cumulated counts of a histogram, by upper bound.
    fn buckets(&self, name: &str) -> BTreeMap<String, u64> {
        let families = self.0.gather();
        let found = families.iter().filter(|family| family.name() == format!("vigie_streams_{name}"));
        let buckets = found.flat_map(|family| family.get_metric()).flat_map(|m| m.get_histogram().get_bucket());
        buckets.map(|bucket| (format!("{} s", bucket.upper_bound()), bucket.cumulative_count())).collect()
    }
}

fn run(
    kafka: &KafkaConfig,
    (state_dir, backend): (Option<&Path>, StateBackend),
    what: &str,
    keys: u64,
    done: impl Fn(&Metrics) -> bool + Sync,
) {
    let topology = Topology::builder("restore").source("keys").store(StoreSpec::key_value("values"));
    let topology = topology.processor(|_| Box::new(Keep)).build().unwrap();
    let mut config = StreamsConfig::new(kafka.clone(), "restore", &StreamsOptions::default());
    config.state_dir = state_dir.map(Path::to_owned);
    config.state_backend = backend;
    config.snapshot_interval = Duration::from_secs(1);
    let metrics = Metrics(Registry::new());
    let clock = SystemClock::default();
    let app = StreamsApp::new(config, topology, Arc::new(PlainDeadLetters), Arc::new(clock), &metrics.0);
    let stop = AtomicBool::new(false);
    let (until_done, stopped) = std::thread::scope(|scope| {
        let running = scope.spawn(|| app.run(|| stop.load(Ordering::SeqCst)));
        while !done(&metrics) && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let until_done = clock.monotonic();
        stop.store(true, Ordering::SeqCst);
        running.join().unwrap().unwrap();
        (until_done, clock.monotonic())
    });
    let (changelog, snapshot) = (metrics.get("restored_records_total"), metrics.get("snapshot_restored_records_total"));
    let seconds = metrics.get("restore_seconds");
    let line = serde_json::json!({
        "run": what,
        "keys": keys,
        "until_done_seconds": until_done.as_secs_f64(),
        "shutdown_seconds": (stopped - until_done).as_secs_f64(),
        "restored_from_changelog": changelog,
        "restored_from_snapshot": snapshot,
        "restore_seconds": seconds,
        "restore_records_per_second": (changelog + snapshot) / seconds.max(1e-9),
        "snapshot_bytes": metrics.get("snapshot_bytes_total"),
        "snapshot_seconds": metrics.get("snapshot_seconds"),
        "snapshot_pauses": metrics.buckets("snapshot_pause_seconds"),
        "commit_seconds_in_all": metrics.get("commit_seconds"),
    });
    println!("{line}");
}
