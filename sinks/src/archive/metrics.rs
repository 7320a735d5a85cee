//! What the archive's service counts.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tracing::debug;
use vigie_archive::TOPICS;

/// All by topic.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) records: IntCounterVec,
    pub(crate) files: IntCounterVec,
    pub(crate) bytes: IntCounterVec,
    /// Records that Kafka had removed before they were archived.
    pub(crate) expired: IntCounterVec,
    /// Posts whose texts an erasure removed from files.
    pub(crate) erased: IntCounterVec,
    /// Offsets of hours that have passed and are not archived yet. By partition too.
    pub(crate) behind: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            IntCounterVec::new(Opts::new(format!("vigie_archive_{name}_total"), help), &["topic"])
        };
        let behind = Opts::new("vigie_archive_lag_records", "Offsets of hours that have passed, not archived yet");
        let metrics = Self {
            records: counter("records", "Records archived")?,
            files: counter("files", "Files committed")?,
            bytes: counter("bytes", "Bytes of the files committed")?,
            expired: counter("expired", "Offsets that Kafka had removed before they were archived")?,
            erased: counter("erased_posts", "Posts whose texts an erasure removed from files")?,
            behind: IntGaugeVec::new(behind, &["topic", "partition"])?,
        };
        for counter in [&metrics.records, &metrics.files, &metrics.bytes, &metrics.expired, &metrics.erased] {
            for topic in TOPICS {
                counter.with_label_values(&[topic.name()]); // zero until there is something
            }
            register(registry, counter.clone());
        }
        register(registry, metrics.behind.clone());
        Ok(metrics)
    }
}

fn register(registry: &Registry, metric: impl prometheus::core::Collector + 'static) {
    if let Err(error) = registry.register(Box::new(metric)) {
        debug!(%error, "metric is registered already"); // the same sink twice in one process
    }
}
