//! What the producers count.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use vigie_daemon::ServiceError;

/// The metrics of the producers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) fetches: IntCounterVec,
    pub(crate) fetch_seconds: HistogramVec,
    pub(crate) bytes: IntCounterVec,
    pub(crate) published: IntCounterVec,
    pub(crate) duplicates: IntCounter,
    pub(crate) publish_retries: IntCounter,
    pub(crate) sources: IntGauge,
    pub(crate) failing: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, ServiceError> {
        let metrics = Self::new().map_err(ServiceError::failed)?;
        let all: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(metrics.fetches.clone()),
            Box::new(metrics.fetch_seconds.clone()),
            Box::new(metrics.bytes.clone()),
            Box::new(metrics.published.clone()),
            Box::new(metrics.duplicates.clone()),
            Box::new(metrics.publish_retries.clone()),
            Box::new(metrics.sources.clone()),
            Box::new(metrics.failing.clone()),
        ];
        for collector in all {
            registry.register(collector).map_err(ServiceError::failed)?;
        }
        Ok(metrics)
    }

    fn new() -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let seconds = HistogramOpts::new("vigie_producers_poll_seconds", "time of one poll of a source, all its pages")
            .buckets(vec![0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        Ok(Self {
            fetches: counters("vigie_producers_polls_total", "polls of sources by decision", &["kind", "decision"])?,
            fetch_seconds: HistogramVec::new(seconds, &["kind"])?,
            bytes: counters("vigie_producers_read_bytes_total", "decompressed bytes read", &["kind"])?,
            published: counters("vigie_producers_posts_published_total", "posts published to posts.raw.v1", &["kind"])?,
            duplicates: IntCounter::new(
                "vigie_producers_duplicates_total",
                "posts not published since another source had them",
            )?,
            publish_retries: IntCounter::new("vigie_producers_publish_retries_total", "transactions tried again")?,
            sources: IntGauge::new("vigie_producers_sources", "sources configured")?,
            failing: IntGauge::new("vigie_producers_sources_failing", "sources whose last poll failed")?,
        })
    }
}
