//! What the producers count.

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

/// The metrics of the producers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) fetches: IntCounterVec,
    pub(crate) fetch_seconds: HistogramVec,
    pub(crate) bytes: IntCounterVec,
    pub(crate) published: IntCounterVec,
    pub(crate) left_out: IntCounterVec,
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
    pub(crate) fn register(registry: &Registry) -> Self {
        const SECONDS: [f64; 10] = [0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
        let mut made = vigie_daemon::Metrics::new(registry, "vigie_producers_");
        Self {
            fetches: made.counters("polls_total", "polls of sources by decision", &["kind", "decision"]),
            fetch_seconds: made.histograms(
                "poll_seconds",
                "time of one poll of a source, all its pages",
                &SECONDS,
                &["kind"],
            ),
            bytes: made.counters("read_bytes_total", "decompressed bytes read", &["kind"]),
            published: made.counters("posts_published_total", "posts published to posts.raw.v1", &["kind"]),
            left_out: made.counters(
                "posts_left_out_total",
                "posts not published since their answer had more than are taken of one",
                &["kind"],
            ),
            duplicates: made.counter("duplicates_total", "posts not published since another source had them"),
            publish_retries: made.counter("publish_retries_total", "transactions tried again"),
            sources: made.gauge("sources", "sources configured"),
            failing: made.gauge("sources_failing", "sources owned whose last poll failed"),
            partitions: made.gauge("partitions", "partitions of sources assigned to this replica"),
            owned: made.gauge("sources_owned", "sources that this replica polls"),
            takeovers: made.counter("takeovers_total", "partitions taken over"),
            fenced: made.counter("fenced_total", "transactions refused since another replica took over"),
            reloads: made.counters("reloads_total", "changed files of sources read, by outcome", &["outcome"]),
            file_invalid: made.gauge(
                "sources_file_invalid",
                "1 while the file of sources has mistakes, so that the list before it stays in force",
            ),
        }
    }
}
