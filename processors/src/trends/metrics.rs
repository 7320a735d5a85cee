//! Metrics of the trends topology. They count work done, so an aborted commit that is done again counts twice; the records do not.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Registry};

use crate::service::metrics::{counter, counter_vec, gauge_vec};

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
        Self {
            mentions: counter(registry, "vigie_trends_mentions_total", "Mentions counted in a window"),
            late: counter(
                registry,
                "vigie_trends_late_total",
                "Mentions that came after their window closed: in no window, but in the post history",
            ),
            revisions: counter_vec(registry, "vigie_trends_revisions_total", "Window revisions emitted", &["final"]),
            forecasts: counter(registry, "vigie_trends_forecasts_total", "Forecasts made when a window had settled"),
            alerts: counter_vec(registry, "vigie_trends_alerts_total", "Alerts raised", &["kind"]),
            dead_letters: counter_vec(
                registry,
                "vigie_trends_dead_letters_total",
                "Records that could not be processed",
                &["reason"],
            ),
            watermark: gauge_vec(
                registry,
                "vigie_trends_watermark_seconds",
                "Event time up to which all mentions are expected to be seen, in seconds since the epoch",
                &["partition"],
            ),
        }
    }
}
