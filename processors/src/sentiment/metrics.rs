//! Metrics of the sentiment topology. They count work done, so an aborted commit that is done again counts twice; the records do not.

use prometheus::{Histogram, IntCounter, IntCounterVec, Registry};
use vigie_daemon::Metrics;

/// Values of the label `label`.
const LABELS: [&str; 4] = ["negative", "neutral", "positive", "unscored"];

/// Metrics of the sentiment topology.
#[derive(Clone, Debug)]
pub struct SentimentMetrics {
    /// Records processed.
    pub records: IntCounter,
    /// Posts emitted, by label (`unscored` when there is none).
    pub posts: IntCounterVec,
    /// Posts that were seen before.
    pub duplicates: IntCounter,
    /// Posts that were edited or deleted after they had been emitted, by what happened.
    pub revisions: IntCounterVec,
    /// Posts emitted that count as spam.
    pub spam: IntCounter,
    /// Mentions emitted, without those of the whole market.
    pub mentions: IntCounter,
    /// Dead letters, by reason.
    pub dead_letters: IntCounterVec,
    /// Time the model took for a batch.
    pub inference_seconds: Histogram,
    /// Texts in a batch.
    pub batch_texts: Histogram,
    /// From the fetch of a post to its score.
    pub age_seconds: Histogram,
}

impl SentimentMetrics {
    /// Registers the metrics; ones that are there already stay.
    pub fn new(registry: &Registry) -> Self {
        let seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let ages = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
        let sizes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
        let mut made = Metrics::new(registry, "vigie_sentiment_");
        Self {
            records: made.counter("records_total", "Records processed"),
            posts: made.counters("posts_total", "Posts emitted", &["label"]),
            duplicates: made.counter("duplicates_total", "Posts that were seen before"),
            revisions: made.counters(
                "revisions_total",
                "Posts that were edited or deleted after they had been emitted",
                &["change"],
            ),
            spam: made.counter("spam_total", "Posts emitted that count as spam"),
            mentions: made.counter("mentions_total", "Mentions of assets emitted"),
            dead_letters: made.counters("dead_letters_total", "Records that could not be processed", &["reason"]),
            inference_seconds: made.histogram("inference_seconds", "Time the model took for a batch", &seconds),
            batch_texts: made.histogram("batch_texts", "Texts given to the model at once", &sizes),
            age_seconds: made.histogram("age_seconds", "From the fetch of a post to its score", &ages),
        }
    }

    /// Posts emitted, whatever their label.
    pub fn emitted(&self) -> u64 {
        LABELS.iter().map(|label| self.posts.with_label_values(&[*label]).get()).sum()
    }
}
