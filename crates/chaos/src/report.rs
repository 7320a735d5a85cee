//! What a run found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A fault that was to be made.
#[derive(Clone, Debug, Serialize)]
pub struct FaultReport {
    /// Its name.
    pub fault: String,
    /// How often it was made.
    pub fired: u32,
    /// How that is known, of each time; for a skipped fault, why.
    pub proofs: Vec<String>,
    /// Seconds that it took, all times together.
    pub seconds: f64,
}

/// Hears what the run is doing.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// A replay.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunReport {
    /// Its id.
    pub run: String,
    /// Records in what it read.
    pub records: i64,
    /// How often it was killed.
    pub kills: u32,
    /// Seconds from its first start to its last end.
    pub seconds: f64,
    /// Seconds more until PostgreSQL had all of it.
    pub stored_after_seconds: f64,
}

/// How long live posts took from when they were due to be published until they were visible, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LatencyReport {
    /// Beside what.
    pub beside: String,
    /// `api`: asked every 100 ms; `stream`: server-sent events.
    pub visible_in: &'static str,
    /// How many posts were seen.
    pub posts: usize,
    /// Median.
    pub p50: u128,
    /// 95 of 100 took no longer.
    pub p95: u128,
    /// The longest.
    pub most: u128,
}

/// What replays beside live posts showed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayReport {
    /// Distinct posts of the history that is replayed.
    pub history: usize,
    /// Seconds in which the live pipeline had stored the history, published at full speed.
    pub history_seconds: f64,
    /// Live posts.
    pub live: usize,
    /// The replays.
    pub runs: Vec<RunReport>,
    /// Moments at which all was held against the oracle.
    pub moments: Vec<String>,
    /// Answers that were asked for during a switch; all of them were from before or after it.
    pub answers_during_switches: u64,
    /// Events that the subscriber heard.
    pub events: usize,
    /// Latencies of live posts.
    pub latencies: Vec<LatencyReport>,
}

/// What a run found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Where the topologies kept their state.
    pub state_backend: String,
    /// Whether all tasks shared the counting of the whole market.
    pub spread_market: bool,
    /// Records published to `posts.raw.v1` by the generator, duplicates and poison among them.
    pub published: u64,
    /// Batches that were published again, as it was not known whether they had arrived.
    pub published_again: u64,
    /// Distinct posts that were to be scored.
    pub posts: u64,
    /// Windows that were compared.
    pub windows: u64,
    /// Revisions of windows on the topic.
    pub revisions: u64,
    /// Dead letters of the sentiment topology.
    pub dead_letters: u64,
    /// Records that were duplicates.
    pub duplicates: u64,
    /// Mentions that were late.
    pub late_mentions: u64,
    /// Services that ended with 69, as a server was away at their start, and were started again.
    pub unavailable: u32,
    /// Seconds of the whole run.
    pub seconds: f64,
    /// The most resident memory of each service, in MiB.
    pub peak_memory_mib: BTreeMap<String, u64>,
    /// The faults, in order.
    pub faults: Vec<FaultReport>,
    /// What replays showed, if there were any.
    pub replay: Option<ReplayReport>,
    /// Promises that were found broken; none if the run is good.
    pub violations: Vec<String>,
    /// Where everything is that the services and the servers wrote, if a promise was broken.
    pub evidence: Option<String>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }

    /// Notes one more time of a fault.
    pub(crate) fn fired(&mut self, fault: &str, proof: String, seconds: f64) {
        self.note(fault, proof, seconds, 1);
    }

    /// Notes a fault that cannot be made here.
    pub(crate) fn skipped(&mut self, fault: &str, why: &str) {
        self.note(fault, format!("skipped: {why}"), 0.0, 0);
    }

    fn note(&mut self, fault: &str, proof: String, seconds: f64, times: u32) {
        match self.faults.iter_mut().find(|one| one.fault == fault) {
            Some(one) => {
                one.fired += times;
                one.seconds += seconds;
                one.proofs.push(proof);
            }
            None => {
                self.faults.push(FaultReport { fault: fault.to_owned(), fired: times, proofs: vec![proof], seconds })
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.faults.iter().map(|fault| fault.fault.len()).max().unwrap_or(5);
        writeln!(f, "{:width$}  fired  seconds  proof", "fault")?;
        for fault in &self.faults {
            let (name, fired, seconds, proofs) = (&fault.fault, fault.fired, fault.seconds, &fault.proofs);
            writeln!(f, "{name:width$}  {fired:5}  {seconds:7.1}  {}", proofs.join("; "))?;
        }
        writeln!(
            f,
            "\n{} records published ({} batches again), {} posts, {} duplicates, {} dead letters, {} late mentions, {} windows in {} \
             revisions",
            self.published,
            self.published_again,
            self.posts,
            self.duplicates,
            self.dead_letters,
            self.late_mentions,
            self.windows,
            self.revisions
        )?;
        self.replay.iter().try_for_each(|replay| replay.fmt(f))?;
        let memory: Vec<String> = self.peak_memory_mib.iter().map(|(name, mib)| format!("{name} {mib}")).collect();
        writeln!(f, "peak memory in MiB: {}", memory.join(", "))?;
        let market = if self.spread_market { "shared by all tasks" } else { "in one task" };
        writeln!(f, "state: {}; the whole market: {market}", self.state_backend)?;
        if self.passed() {
            return write!(f, "seed {}: every promise was kept, in {:.0} s", self.seed, self.seconds);
        }
        for violation in &self.violations {
            writeln!(f, "BROKEN  {violation}")?;
        }
        write!(f, "seed {}: {} promises broken", self.seed, self.violations.len())?;
        self.evidence.iter().try_for_each(|dir| write!(f, "; what was written is in {dir}, of Kafka in {dir}/dump"))
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { history, history_seconds, live, moments, answers_during_switches, events, .. } = self;
        writeln!(
            f,
            "{history} posts of history, live in {history_seconds:.0} s; {live} live posts; equal to the oracle {} times; \
             {answers_during_switches} answers during switches; {events} events heard",
            moments.len()
        )?;
        self.runs.iter().try_for_each(|run| writeln!(f, "{run}"))?;
        self.latencies.iter().try_for_each(|latency| writeln!(f, "{latency}"))
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, records, kills, seconds, stored_after_seconds: later } = self;
        let speed = *records as f64 / seconds;
        write!(
            f,
            "run {run}: {records} records in {seconds:.1} s ({speed:.0}/s), killed {kills} times, stored {later:.1} s later"
        )
    }
}

impl fmt::Display for LatencyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beside, visible_in, posts, p50, p95, most } = self;
        write!(f, "{visible_in:6}  {beside:16}  {posts:6} posts  p50 {p50} ms  p95 {p95} ms  most {most} ms")
    }
}
