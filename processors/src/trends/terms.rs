//! Terms that rise: words, phrases and cashtags that more authors use than was to be expected, so that a coin that no table knows is seen here.
//!
//! ```text
//! insights.sentiment.v1 ─▶ every task: its words ─▶ posts.terms.v1, partition 0 ─▶ task 0: [posts, reported, baselines] ─▶ insights.terms.v1 (revisions)
//! ```
//!
//! **Guarantees.** What is reported last of a window (`final`) depends on the set of its posts, and of those before it, not on their order: an author counts
//! once for a term and window, of near duplicates in a window the first counts, spam does not, a later revision of a post takes the place of the earlier one,
//! a deleted post is taken away. Until then a term is reported as it stands, once in the interval, and a term that was reported is reported again when it changes, also
//! where it ceases to be significant. Windows are an hour and a day of event time; they close when the watermark has passed their end plus the
//! grace, and are then learned as what is usual, in the order of time. Posts that come later are counted as late.
//!
//! **One task counts** all posts: it does not analyse them, and so keeps up with many tasks that do. What a post costs: `examples/terms.rs`.
//!
//! **Failures.** Records that cannot be decoded or contradict the contract go to the dead letters of their topic.

pub mod baseline;
pub mod index;
mod processor;
mod split;
pub(crate) mod stores;
pub mod windows;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, Registry};
use vigie_daemon::Metrics;
use vigie_streams::{Topology, TopologyError};

use self::processor::TermsProcessor;
pub use self::split::split;
use self::windows::KnownAssets;
use crate::service::record_codec::RecordCodec;

/// Name of the topology.
pub(crate) const TOPOLOGY: &str = "terms";

/// What the topology does, apart from where it runs.
#[derive(Clone, Debug)]
pub struct TermsSettings {
    /// The run that the insights belong to.
    pub run_id: String,
    /// Topic of scored posts.
    pub source: String,
    /// Topic of their words, with as many partitions.
    pub words: String,
    /// Topic of terms that rise.
    pub insights: String,
    /// How far the watermark must pass a window's end before it is closed.
    pub grace: Duration,
    /// Time by the wall clock between two times that windows which changed are reported, at least.
    pub interval: Duration,
    /// Silence, by the wall clock, after which an upstream partition does not hold the watermark back.
    pub idle_timeout: Duration,
}

/// Metrics of the terms topology. They count work done, so an aborted commit that is done again counts twice.
#[derive(Clone, Debug)]
pub struct TermsMetrics {
    /// Posts whose hour was closed.
    pub late: IntCounter,
    /// Revisions emitted.
    pub revisions: IntCounter,
    /// Dead letters, by reason.
    pub dead_letters: IntCounterVec,
}

impl TermsMetrics {
    /// Registers the metrics; ones that are there already stay.
    pub fn new(registry: &Registry) -> Self {
        let mut made = Metrics::new(registry, "vigie_terms_");
        Self {
            late: made.counter("late_total", "Posts that came after their hour closed"),
            revisions: made.counter("revisions_total", "Revisions of terms emitted"),
            dead_letters: made.counters("dead_letters_total", "Records that could not be processed", &["reason"]),
        }
    }
}

/// The topology over any codec.
///
/// # Errors
/// If a topic has two parts to play.
pub fn topology<C: RecordCodec>(
    settings: TermsSettings,
    codec: C,
    metrics: TermsMetrics,
    known: Arc<KnownAssets>,
) -> Result<Topology, TopologyError> {
    let settings = Arc::new(settings);
    let mut builder = Topology::builder(TOPOLOGY)
        .source(&settings.source)
        .source(&settings.words)
        .sink(&settings.words)
        .sink(&settings.insights)
        .accounted();
    for store in stores::specs() {
        builder = builder.store(store);
    }
    builder
        .processor(move |_| {
            let (settings, known) = (Arc::clone(&settings), Arc::clone(&known));
            Box::new(TermsProcessor::new(settings, codec.clone(), metrics.clone(), known))
        })
        .build()
}
