//! How fast a windowed count runs: under the test driver, and on brokers if `VIGIE_KAFKA_BROKERS` names some.
//!
//! `cargo run --release -p vigie-streams --example windowed_count [RECORDS]`

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::{Clock, ManualClock, SystemClock, Timestamp};
use vigie_kafka_client::{Admin, KafkaConfig, ProducerOptions, TopicPartition, TopicSpec, TransactionalProducer};
use vigie_streams::testing::TopologyTestDriver;
use vigie_streams::{
    PlainDeadLetters, Processor, ProcessorContext, ProcessorError, Record, StoreSpec, StreamsApp, StreamsConfig,
    StreamsOptions, Topology, TumblingWindows, WindowStore,
};

const WINDOWS: TumblingWindows = TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_secs(3600) };
const NOON: Timestamp = Timestamp::from_millis(1_652_097_600_000);
const KEYS: usize = 200;
const PARTITIONS: i32 = 4;
const COMMIT_EVERY: usize = 5_000;

/// Counts by window and key, and forwards each window that changed once per commit.
#[derive(Default)]
struct WindowedCount {
    changed: std::collections::BTreeSet<(Timestamp, Bytes)>,
}

impl Processor for WindowedCount {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        for record in batch {
            let (Some(key), time) = (&record.key, record.timestamp) else { continue };
            ctx.observe_event_time(time);
            let start = WINDOWS.window_of(time).start;
            let mut counts = WindowStore::over(ctx.store("counts"));
            let count = counts.get(start, key).and_then(|value| value.first_chunk().copied().map(u64::from_be_bytes));
            counts.put(start, key, Bytes::copy_from_slice(&(count.unwrap_or(0) + 1).to_be_bytes()));
            self.changed.insert((start, key.clone()));
        }
        if self.changed.len() >= KEYS {
            for (start, key) in std::mem::take(&mut self.changed) {
                let count = WindowStore::over(ctx.store("counts")).get(start, &key);
                ctx.forward("counts", Some(key), count, start);
            }
        }
        Ok(())
    }
}

fn topology() -> Result<Topology, Box<dyn Error>> {
    let builder = Topology::builder("windowed-count").source("events").sink("counts");
    let builder = builder.store(StoreSpec::key_value("counts"));
    Ok(builder.processor(|_| Box::new(WindowedCount::default())).build()?)
}

/// The n-th event: keys in turn, 20 events a second.
fn event(n: usize) -> (Bytes, Bytes, Timestamp) {
    let key = Bytes::from(format!("asset-{}", n.wrapping_mul(7919) % KEYS));
    let time = NOON.saturating_add(Duration::from_millis(50 * n as u64));
    (key, Bytes::from_static(&[7; 100]), time)
}

fn main() -> Result<(), Box<dyn Error>> {
    let records: usize = std::env::args().nth(1).map_or(Ok(500_000), |n| n.parse())?;
    driven(records)?;
    match std::env::var("VIGIE_KAFKA_BROKERS") {
        Ok(brokers) => on_brokers(&brokers, records),
        Err(_) => Ok(()),
    }
}

fn driven(records: usize) -> Result<(), Box<dyn Error>> {
    let mut driver =
        TopologyTestDriver::new(topology()?, ManualClock::new(NOON.saturating_add(Duration::from_secs(86_400))));
    let clock = SystemClock::default();
    let mut next = 0;
    while next < records {
        let batch =
            (next..records.min(next + COMMIT_EVERY)).map(event).map(|(key, value, at)| (Some(key), Some(value), at));
        driver.pipe_batch("events", 0, batch)?;
        driver.commit()?;
        driver.read("counts");
        next += COMMIT_EVERY;
    }
    report("test driver", records, clock.monotonic());
    Ok(())
}

fn on_brokers(brokers: &str, records: usize) -> Result<(), Box<dyn Error>> {
    let kafka = KafkaConfig::new(brokers, format!("profile-{}-", SystemClock::default().now().as_millis()));
    let admin = Admin::new(&kafka)?;
    let spec = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: PARTITIONS,
        replication: 1,
        config: BTreeMap::new(),
    };
    admin.create_topics(&[spec("events"), spec("counts")])?;

    let clock = SystemClock::default();
    let options =
        ProducerOptions { transactional_id: "input".to_owned(), transaction_timeout: Duration::from_secs(10) };
    let mut producer = TransactionalProducer::new(&kafka, &options)?;
    let mut next = 0;
    while next < records {
        producer.begin()?;
        for n in next..records.min(next + COMMIT_EVERY) {
            let (key, value, at) = event(n);
            producer.produce("events", None, Some(&key), Some(&value), Some(at), &[])?;
        }
        producer.commit()?;
        next += COMMIT_EVERY;
    }
    report("producer", records, clock.monotonic());

    let mut config = StreamsConfig::new(kafka, "windowed-count", &StreamsOptions::default());
    let ends = admin.end_offsets("events")?;
    config.stop_at = Some(ends.into_iter().map(|(p, end)| (TopicPartition::new("events", p), end)).collect());
    let registry = prometheus::Registry::new();
    let shared = Arc::new(SystemClock::default());
    let clock = SystemClock::default();
    let app = StreamsApp::new(config, topology()?, Arc::new(PlainDeadLetters), shared, &registry)
        .on_state(move |state| println!("{state} after {:.2} s", clock.monotonic().as_secs_f64()));
    app.run(|| false)?;
    report("stream thread, one of", records, clock.monotonic());
    for family in registry.gather() {
        if family.name().ends_with("commit_seconds") {
            let histogram = family.get_metric()[0].get_histogram();
            let count = histogram.get_sample_count();
            println!("commits: {count}, mean {:.1} ms", 1000.0 * histogram.get_sample_sum() / count.max(1) as f64);
        }
    }
    admin.delete_topics(&["events", "counts"])?;
    app.delete_state()?;
    Ok(())
}

fn report(what: &str, records: usize, took: Duration) {
    let rate = records as f64 / took.as_secs_f64();
    println!("{what}: {records} records in {:.2} s, {rate:.0} records/s", took.as_secs_f64());
}
