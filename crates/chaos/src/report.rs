//! What a run found.

use std::collections::BTreeMap;
use std::fmt;

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
