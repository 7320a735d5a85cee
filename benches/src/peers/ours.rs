//! The windowed count on vigie-streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use parking_lot::Mutex;
use prometheus::Registry;
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::KafkaConfig;
use vigie_streams::{
    AppState, PlainDeadLetters, Processor, ProcessorContext, ProcessorError, Punctuation, Record, StoreSpec,
    StreamsApp, StreamsConfig, StreamsOptions, Topology, TopologyError, WindowStore,
};

use super::input::wire_key;
use super::{Counted, Job, Restored, WINDOWS, process};

/// Records of one call of the processor, as Kafka Streams polls them.
const MAX_BATCH: usize = 1_000;

/// Counts by window and key, and forwards each count that changed once per commit.
struct WindowedCount {
    output: String,
    progress: Arc<Progress>,
}

impl Processor for WindowedCount {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        self.progress.begins();
        for record in batch {
            let Some(key) = &record.key else { continue };
            ctx.observe_event_time(record.timestamp);
            let start = WINDOWS.window_of(record.timestamp).start;
            let mut counts = WindowStore::over(ctx.store("counts"));
            let count = counts.peek(start, key).map_or(0, |count| to_count(&count));
            counts.put(start, key, Bytes::copy_from_slice(&(count + 1).to_be_bytes()));
        }
        self.progress.saw(batch.len());
        Ok(())
    }

    fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        if at.before_commit {
            let changed: Vec<_> = WindowStore::over(ctx.store("counts")).staged().collect();
            for (start, key, count) in changed {
                ctx.forward(&self.output, Some(wire_key(start, &key)), count, start);
            }
        }
        Ok(())
    }
}

fn to_count(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_be_bytes)
}

fn topology(job: &Job, progress: &Arc<Progress>) -> Result<Topology, TopologyError> {
    let (output, progress) = (job.output.clone(), Arc::clone(progress));
    Topology::builder("windowed-count")
        .source(&job.input)
        .sink(&job.output)
        .store(StoreSpec::key_value("counts"))
        .max_batch(MAX_BATCH)
        .processor(move |_| Box::new(WindowedCount { output: output.clone(), progress: Arc::clone(&progress) }))
        .build()
}

/// A moment, on the wall clock and in processor time.
#[derive(Clone, Copy, Debug)]
struct Mark {
    wall: Duration,
    cpu: f64,
}

/// Where a run is.
struct Progress {
    clock: SystemClock,
    records: u64,
    seen: AtomicU64,
    ready: AtomicBool,
    first: Mutex<Option<Mark>>,
    half: Mutex<Option<Mark>>,
    restore: Mutex<Option<Mark>>,
    running: Mutex<Option<Mark>>,
}

impl Progress {
    fn new(records: u64) -> Self {
        Self {
            clock: SystemClock::default(),
            records,
            seen: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            first: Mutex::default(),
            half: Mutex::default(),
            restore: Mutex::default(),
            running: Mutex::default(),
        }
    }

    fn mark(&self) -> Mark {
        Mark { wall: self.clock.monotonic(), cpu: process::cpu_seconds().unwrap_or(f64::NAN) }
    }

    /// A batch is about to be processed.
    fn begins(&self) {
        set_once(&self.first, || self.mark());
    }

    fn saw(&self, records: usize) {
        let before = self.seen.fetch_add(records as u64, Ordering::SeqCst);
        if before + records as u64 >= self.records / 2 {
            set_once(&self.half, || self.mark());
        }
    }

    fn entered(&self, state: &AppState) {
        match state {
            AppState::Restoring => set_once(&self.restore, || self.mark()),
            AppState::Running => {
                set_once(&self.running, || self.mark());
                self.ready.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
    }

    fn done(&self) -> bool {
        match self.records {
            0 => self.ready.load(Ordering::SeqCst),
            records => self.seen.load(Ordering::SeqCst) >= records,
        }
    }
}

fn set_once(slot: &Mutex<Option<Mark>>, mark: impl FnOnce() -> Mark) {
    slot.lock().get_or_insert_with(mark);
}

fn taken(slot: &Mutex<Option<Mark>>, what: &str) -> anyhow::Result<Mark> {
    slot.lock().with_context(|| format!("{what} was never reached"))
}

/// Runs `job` in this process; what it measured, as JSON.
///
/// # Errors
/// If the application fails.
pub fn run(job: &Job) -> anyhow::Result<String> {
    let progress = Arc::new(Progress::new(job.records));
    let kafka = KafkaConfig::new(&job.brokers, &job.prefix);
    let options = StreamsOptions {
        commit_interval_ms: job.commit_ms,
        state_dir: Some(job.state_dir.clone().into()),
        ..StreamsOptions::default()
    };
    let config = StreamsConfig::new(kafka, &job.application, &options);
    let (registry, watched) = (Registry::new(), Arc::clone(&progress));
    let clock = Arc::new(SystemClock::default());
    let app = StreamsApp::new(config, topology(job, &progress)?, Arc::new(PlainDeadLetters), clock, &registry)
        .on_state(move |state| watched.entered(state));
    let start = progress.mark();
    app.run(|| progress.done())?;
    let end = progress.mark();
    if job.records == 0 {
        let (restore, running) = (taken(&progress.restore, "restoring")?, taken(&progress.running, "running")?);
        let restored = Restored {
            restored: counter(&registry, "restored_records_total"),
            restore_seconds: (running.wall - restore.wall).as_secs_f64(),
            restore_cpu_seconds: running.cpu - restore.cpu,
            start_seconds: (running.wall - start.wall).as_secs_f64(),
            start_cpu_seconds: running.cpu - start.cpu,
            peak_rss_mib: process::peak_rss_mib()?,
        };
        return Ok(serde_json::to_string(&restored)?);
    }
    let (first, half) = (taken(&progress.first, "the first record")?, taken(&progress.half, "the second half")?);
    let (commits, mean, longest) = commits(&registry);
    let counted = Counted {
        records: progress.seen.load(Ordering::SeqCst),
        seconds: (end.wall - first.wall).as_secs_f64(),
        cpu_seconds: end.cpu - first.cpu,
        half_seconds: (end.wall - half.wall).as_secs_f64(),
        half_cpu_seconds: end.cpu - half.cpu,
        process_cpu_seconds: end.cpu,
        peak_rss_mib: process::peak_rss_mib()?,
        commits,
        commit_mean_ms: mean,
        commit_max_ms: longest,
    };
    Ok(serde_json::to_string(&counted)?)
}

fn counter(registry: &Registry, name: &str) -> u64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name().ends_with(name));
    family.map_or(0, |family| family.get_metric()[0].get_counter().get_value() as u64)
}

/// Number, mean and longest duration of the commits in ms; the last as the bound of its bucket.
fn commits(registry: &Registry) -> (f64, Option<f64>, Option<f64>) {
    let families = registry.gather();
    let Some(family) = families.iter().find(|family| family.name().ends_with("commit_seconds")) else {
        return (0.0, None, None);
    };
    let histogram = family.get_metric()[0].get_histogram();
    let count = histogram.get_sample_count();
    let longest = histogram.get_bucket().iter().find(|bucket| bucket.cumulative_count() == count);
    let mean = (count > 0).then(|| 1000.0 * histogram.get_sample_sum() / count as f64);
    (count as f64, mean, longest.map(|bucket| 1000.0 * bucket.upper_bound()))
}
