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
    pub(crate) partitions: IntGauge,
    pub(crate) owned: IntGauge,
    pub(crate) takeovers: IntCounter,
    pub(crate) fenced: IntCounter,
    pub(crate) reloads: IntCounterVec,
    pub(crate) file_invalid: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, ServiceError> {
        let metrics = Self::new().map_err(ServiceError::failed)?;
        let all: [Box<dyn prometheus::core::Collector>; 14] = [
            Box::new(metrics.fetches.clone()),
            Box::new(metrics.fetch_seconds.clone()),
            Box::new(metrics.bytes.clone()),
            Box::new(metrics.published.clone()),
            Box::new(metrics.duplicates.clone()),
            Box::new(metrics.publish_retries.clone()),
            Box::new(metrics.sources.clone()),
            Box::new(metrics.failing.clone()),
            Box::new(metrics.partitions.clone()),
            Box::new(metrics.owned.clone()),
            Box::new(metrics.takeovers.clone()),
            Box::new(metrics.fenced.clone()),
            Box::new(metrics.reloads.clone()),
            Box::new(metrics.file_invalid.clone()),
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
            failing: IntGauge::new("vigie_producers_sources_failing", "sources owned whose last poll failed")?,
            partitions: IntGauge::new("vigie_producers_partitions", "partitions of sources assigned to this replica")?,
            owned: IntGauge::new("vigie_producers_sources_owned", "sources that this replica polls")?,
            takeovers: IntCounter::new("vigie_producers_takeovers_total", "partitions taken over")?,
            fenced: IntCounter::new(
                "vigie_producers_fenced_total",
                "transactions refused since another replica took over",
            )?,
            reloads: counters(
                "vigie_producers_reloads_total",
                "changed files of sources read, by outcome",
                &["outcome"],
            )?,
            file_invalid: IntGauge::new(
                "vigie_producers_sources_file_invalid",
                "1 while the file of sources has mistakes, so that the list before it stays in force",
            )?,
        })
    }
}
