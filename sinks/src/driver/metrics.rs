//! `vigie_sinks_*`.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use tracing::debug;

/// The metrics of one sink. Both sinks of a process share the names and differ in the label `sink`.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Records that are settled: stored, or in the dead letter queue. By topic.
    pub(crate) records: IntCounterVec,
    /// Rows that were inserted or changed. By table.
    pub(crate) rows: IntCounterVec,
    /// From a batch's first decoding to its commit, outages included.
    pub(crate) batch_seconds: Histogram,
    /// Attempts that failed and were repeated.
    pub(crate) retries: IntCounter,
    /// Batches given up since the store held other offsets.
    pub(crate) conflicts: IntCounter,
    /// By topic and reason.
    pub(crate) dead_letters: IntCounterVec,
    /// Records that had expired before they were read.
    pub(crate) expired: IntCounter,
    /// Records in the topic that are not yet settled. By topic and partition.
    pub(crate) lag: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, sink: &'static str) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(format!("vigie_sinks_{name}"), help).const_label("sink", sink);
        let seconds = "Seconds from a batch's first decoding to its commit, outages included";
        let buckets = vec![0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
        let histogram = HistogramOpts { common_opts: opts("batch_seconds", seconds), buckets };
        let metrics = Self {
            records: IntCounterVec::new(
                opts("records_total", "Records stored or in the dead letter queue"),
                &["topic"],
            )?,
            rows: IntCounterVec::new(opts("rows_total", "Rows inserted or changed"), &["table"])?,
            batch_seconds: Histogram::with_opts(histogram)?,
            retries: IntCounter::with_opts(opts("retries_total", "Attempts that failed and were repeated"))?,
            conflicts: IntCounter::with_opts(opts(
                "conflicts_total",
                "Batches given up as the store held other offsets",
            ))?,
            dead_letters: IntCounterVec::new(opts("dead_letters_total", "Records put aside"), &["topic", "reason"])?,
            expired: IntCounter::with_opts(opts("expired_total", "Records that expired before they were read"))?,
            lag: IntGaugeVec::new(opts("lag_records", "Records not yet settled"), &["topic", "partition"])?,
        };
        metrics.register(registry);
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) {
        let all: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(self.records.clone()),
            Box::new(self.rows.clone()),
            Box::new(self.batch_seconds.clone()),
            Box::new(self.retries.clone()),
            Box::new(self.conflicts.clone()),
            Box::new(self.dead_letters.clone()),
            Box::new(self.expired.clone()),
            Box::new(self.lag.clone()),
        ];
        for collector in all {
            if let Err(error) = registry.register(collector) {
                debug!(%error, "metric is registered already"); // the same sink twice in one process
            }
        }
    }
}
