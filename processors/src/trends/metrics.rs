//! Metrics of the trends topology. They count work done, so an aborted commit that is done again counts twice; the records do not.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Registry};
use vigie_daemon::Metrics;

/// Metrics of the trends topology.
#[derive(Clone, Debug)]
pub struct TrendsMetrics {
    /// Mentions counted in a window.
    pub mentions: IntCounter,
    /// Mentions whose window was closed.
    pub late: IntCounter,
    /// Revisions emitted, by `final`.
    pub revisions: IntCounterVec,
    /// Forecasts made.
    pub forecasts: IntCounter,
    /// Alerts raised, by kind.
    pub alerts: IntCounterVec,
    /// Dead letters, by reason.
    pub dead_letters: IntCounterVec,
    /// Watermark, by partition.
    pub watermark: IntGaugeVec,
}

impl TrendsMetrics {
    /// Registers the metrics; ones that are there already stay.
    pub fn new(registry: &Registry) -> Self {
        let mut made = Metrics::new(registry, "vigie_trends_");
        Self {
            mentions: made.counter("mentions_total", "Mentions counted in a window"),
            late: made.counter(
                "late_total",
                "Mentions that came after their window closed: in no window, but in the post history",
            ),
            revisions: made.counters("revisions_total", "Window revisions emitted", &["final"]),
            forecasts: made.counter("forecasts_total", "Forecasts made when a window had settled"),
            alerts: made.counters("alerts_total", "Alerts raised", &["kind"]),
            dead_letters: made.counters("dead_letters_total", "Records that could not be processed", &["reason"]),
            watermark: made.gauges(
                "watermark_seconds",
                "Event time up to which all mentions are expected to be seen, in seconds since the epoch",
                &["partition"],
            ),
        }
    }
}
