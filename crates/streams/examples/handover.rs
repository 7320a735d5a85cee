//! Measures how long a task stands still when the process that runs it is killed: with a standby copy, and without.
//!
//! ```sh
//! cargo run --release -p vigie-streams --example handover -- 1000000
//! ```
//!
//! Starts a Kafka of its own and counts that many distinct keys, of 20 bytes with values of 32, in one partition. Then, for each backend and with
//! and without a copy, a process that has the task is killed while records keep coming, and this process takes over. The time is that from the
//! assignment by the group to the first record. Prints JSON Lines.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, KafkaConfig, OutgoingRecord, ProducerOptions, TopicSpec, TransactionalProducer};
use vigie_stack::{Stack, testing};
use vigie_streams::{
    AppState, PlainDeadLetters, Processor, ProcessorContext, ProcessorError, Record, StateBackend, StoreSpec,
    StreamsApp, StreamsConfig, StreamsOptions, Topology,
};

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Keeps the last value of each key, and says when the first record came.
struct Keep {
    clock: SystemClock,
    /// Milliseconds; 0 before.
    first: Arc<AtomicU64>,
}

impl Processor for Keep {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let now = self.clock.monotonic().as_millis() as u64;
        let _ = self.first.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
        for record in batch {
            if let (Some(key), Some(value)) = (record.key.clone(), record.value.clone()) {
                ctx.store("values").put(key, value);
            }
        }
        Ok(())
    }
}

/// One instance of the application.
struct Instance {
    app: StreamsApp,
    registry: Registry,
    stop: AtomicBool,
    first: Arc<AtomicU64>,
    /// When it last began to restore, in milliseconds, and whether it runs.
    state: Arc<Mutex<(u64, bool)>>,
}

impl Instance {
    fn new(
        kafka: &KafkaConfig,
        name: &str,
        folder: &Path,
        backend: StateBackend,
        copies: u8,
        clock: SystemClock,
    ) -> Self {
        let first = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&first);
        let topology = Topology::builder("handover").source("keys").store(StoreSpec::key_value("values"));
        let topology = topology.processor(move |_| Box::new(Keep { clock, first: Arc::clone(&seen) }));
        let mut config = StreamsConfig::new(kafka.clone(), "handover", &StreamsOptions::default());
        config.instance_id = name.to_owned();
        config.num_standby_replicas = copies;
        config.state_backend = backend;
        config.state_dir = (backend == StateBackend::Disk).then(|| folder.join(name));
        let (registry, state) = (Registry::new(), Arc::new(Mutex::new((0, false))));
        let noted = Arc::clone(&state);
        let app =
            StreamsApp::new(config, topology.build().unwrap(), Arc::new(PlainDeadLetters), Arc::new(clock), &registry)
                .on_state(move |state| {
                    let mut noted = noted.lock().unwrap();
                    if *state == AppState::Restoring {
                        noted.0 = clock.monotonic().as_millis() as u64;
                    }
                    noted.1 = *state == AppState::Running;
                });
        Self { app, registry, stop: AtomicBool::new(false), first, state }
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let found = families.iter().filter(|family| family.name() == format!("vigie_streams_{name}"));
        let metrics = found.flat_map(|family| family.get_metric());
        metrics.map(|m| m.get_counter().get_value() + m.get_gauge().get_value()).sum()
    }

    fn run(&self) {
        self.app.run(|| self.stop.load(Ordering::SeqCst)).unwrap();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, brokers, name, folder, keys] = &arguments[..] {
        return active(&KafkaConfig::new(brokers, ""), name, Path::new(folder), keys.parse().unwrap());
    }
    let keys: u64 = arguments.get(1).map_or(1_000_000, |keys| keys.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let stack = runtime.block_on(Stack::start(testing::own(&dir.path().join("stack")))).unwrap();
    let kafka = KafkaConfig::new(&stack.endpoints().kafka_brokers, "");
    let spec = TopicSpec { name: "keys".to_owned(), partitions: 1, replication: 1, config: BTreeMap::new() };
    Admin::new(&kafka).unwrap().create_topics(&[spec]).unwrap();
    let mut writer = Writer::new(&kafka, keys);
    (0..keys).step_by(50_000).for_each(|first| writer.write(first..(first + 50_000).min(keys)));
    for (round, (backend, copies)) in
        [(StateBackend::Memory, 0), (StateBackend::Memory, 1), (StateBackend::Disk, 0), (StateBackend::Disk, 1)]
            .into_iter()
            .enumerate()
    {
        take_over(&kafka, &mut writer, round, &dir.path().join(format!("state-{round}")), backend, copies);
    }
    runtime.block_on(stack.stop());
}

/// Runs the task until it is killed; makes a file when all is processed and committed.
fn active(kafka: &KafkaConfig, name: &str, folder: &Path, keys: u64) {
    let instance = Instance::new(kafka, name, folder, StateBackend::Memory, 0, SystemClock::default());
    std::thread::scope(|scope| {
        scope.spawn(|| instance.run());
        let is_ready = || {
            // The first one counts the keys, those after it restore them.
            instance.metric("records_consumed_total") + instance.metric("restored_records_total") >= keys as f64
                && instance.metric("tasks") >= 1.0
        };
        wait_until(is_ready);
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("ready"), b"").unwrap();
    });
}

/// A process that is killed at the end, whatever happens.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn take_over(kafka: &KafkaConfig, writer: &mut Writer, round: usize, folder: &Path, backend: StateBackend, copies: u8) {
    let mut active = Command::new(std::env::current_exe().unwrap());
    active.args([&kafka.brokers, &format!("active-{round}")]).arg(folder).arg(writer.keys.to_string());
    let active = Killed(active.spawn().unwrap());
    wait_until(|| folder.join("ready").exists());
    let clock = SystemClock::default();
    let before = resident_mib();
    let instance = Instance::new(kafka, &format!("next-{round}"), folder, backend, copies, clock);
    std::thread::scope(|scope| {
        scope.spawn(|| instance.run());
        // In the group, and its copy, if any, warm.
        wait_until(|| instance.state.lock().unwrap().1);
        let (warm_seconds, warm) = (clock.monotonic().as_secs_f64(), resident_mib());
        writer.write(0..1_000);
        // One that dies in a commit leaves a transaction, which the broker ends in its own time.
        std::thread::sleep(Duration::from_secs(2));
        let copied = instance.metric("standby_records_total");
        drop(active);
        let mut next = 0;
        while instance.first.load(Ordering::SeqCst) == 0 {
            writer.write(next..next + 10);
            next = (next + 10) % writer.keys;
        }
        let assigned = instance.state.lock().unwrap().0;
        let line = serde_json::json!({
            "state": if backend == StateBackend::Disk { "disk" } else { "memory" },
            "copies": copies,
            "keys": writer.keys,
            "seconds_from_assignment_to_first_record": (instance.first.load(Ordering::SeqCst) - assigned) as f64 / 1e3,
            "restored_from_changelog": instance.metric("restored_records_total"),
            "copied_before": copied,
            "seconds_until_in_the_group": warm_seconds,
            "mib_of_memory_for_the_copy": warm - before,
            "mib_on_disk": size(folder) >> 20,
        });
        println!("{line}");
        instance.stop.store(true, Ordering::SeqCst);
    });
}

struct Writer {
    producer: TransactionalProducer,
    keys: u64,
}

impl Writer {
    fn new(kafka: &KafkaConfig, keys: u64) -> Self {
        let options =
            ProducerOptions { transactional_id: "handover".to_owned(), transaction_timeout: Duration::from_secs(60) };
        Self { producer: TransactionalProducer::new(kafka, &options).unwrap(), keys }
    }

    fn write(&mut self, keys: std::ops::Range<u64>) {
        self.producer.begin().unwrap();
        for key in keys {
            let value = Bytes::from(format!("{key:032}"));
            self.producer.send(&OutgoingRecord::new("keys", format!("key-{key:016}"), value)).unwrap();
        }
        self.producer.commit().unwrap();
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The memory of this process, in MiB.
fn resident_mib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<i64>().ok()).unwrap_or(0) / 1024
}

/// The bytes of the files below `folder`.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => std::os::unix::fs::MetadataExt::blocks(&metadata) * 512,
            Err(_) => 0,
        })
        .sum()
}
