//! What an application counts. Every metric carries the application as a constant label; topics and partitions are bounded.

use std::time::Duration;

use prometheus::{GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use vigie_daemon::Metrics;
use vigie_kafka_client::TopicPartition;

use crate::processor::core::{Counts, Output};
use crate::task::StreamTask;

pub(crate) struct StreamsMetrics {
    made: Metrics,
    pub(crate) restored: IntCounter,
    pub(crate) restore_seconds: Histogram,
    pub(crate) restarts: IntCounter,
    pub(crate) stalls: IntCounter,
    pub(crate) torn_commits: IntCounter,
    pub(crate) tasks: IntGauge,
    pub(crate) disk_stores_kept: IntCounter,
    pub(crate) standby_tasks: IntGauge,
    pub(crate) standby_records: IntCounter,
    pub(crate) standby_handovers: IntCounter,
    standby_lag: IntGaugeVec,
    disk_bytes: IntGaugeVec,
    snapshot_restored: IntCounter,
    snapshots: IntCounterVec,
    snapshot_discards: IntCounterVec,
    snapshot_bytes: IntCounter,
    snapshot_seconds: Histogram,
    snapshot_pause: Histogram,
    consumed: IntCounter,
    produced: IntCounterVec,
    late: IntCounter,
    dead_letters: IntCounter,
    refused_times: IntCounter,
    commits: IntCounterVec,
    commit_seconds: Histogram,
    rebalances: IntCounterVec,
    lag: IntGaugeVec,
    lag_seconds: GaugeVec,
    watermark: IntGaugeVec,
    unaccounted: IntGaugeVec,
}

impl StreamsMetrics {
    pub(crate) fn new(registry: &Registry, application: &str) -> Self {
        const SECONDS: [f64; 10] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
        const RESTORE: [f64; 8] = [0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 60.0, 300.0];
        const PAUSE: [f64; 7] = [0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05];
        let mut made = Metrics::new(registry, "vigie_streams_").label("application", application);
        Self {
            restored: made.counter("restored_records_total", "Changelog records read back"),
            restore_seconds: made.histogram(
                "restore_seconds",
                "Time to restore the tasks of an assignment, for each task",
                &RESTORE,
            ),
            restarts: made.counter("thread_restarts_total", "Stream threads that had to start afresh"),
            stalls: made.counter(
                "stalls_total",
                "Times that nothing moved although there was work: a session that starts afresh, \
                 or a processor that does not return",
            ),
            torn_commits: made.counter(
                "torn_commits_total",
                "Commits of which the brokers kept only parts, found when a task was restored",
            ),
            disk_stores_kept: made
                .counter("disk_stores_kept_total", "Tasks whose stores on disk were used by a restore"),
            standby_tasks: made.gauge("standby_tasks", "Tasks of other instances of which this one keeps a copy"),
            standby_records: made.counter("standby_records_total", "Changelog records that copies took"),
            standby_handovers: made.counter("standby_handovers_total", "Tasks that were restored from a copy"),
            standby_lag: made.gauges(
                "standby_lag_records",
                "Offsets between what the copy of the task has read and the ends of its changelogs",
                &["partition"],
            ),
            disk_bytes: made.gauges(
                "disk_bytes",
                "Bytes of the task's stores on disk, without the journal",
                &["partition"],
            ),
            snapshot_restored: made
                .counter("snapshot_restored_records_total", "Entries taken from local snapshots instead of changelogs"),
            snapshots: made.counters("snapshots_total", "Local snapshots, by how they ended", &["outcome"]),
            snapshot_discards: made.counters(
                "snapshot_discards_total",
                "Local snapshots and stores on disk that were not used, by why",
                &["reason"],
            ),
            snapshot_bytes: made.counter("snapshot_bytes_total", "Bytes of local snapshots written"),
            snapshot_seconds: made.histogram(
                "snapshot_seconds",
                "Time from the begin of a snapshot to its rename",
                &RESTORE,
            ),
            snapshot_pause: made.histogram(
                "snapshot_pause_seconds",
                "Time that a stream thread spent on one block of a snapshot",
                &PAUSE,
            ),
            tasks: made.gauge("tasks", "Tasks that this instance runs"),
            consumed: made.counter("records_consumed_total", "Source records processed and committed"),
            produced: made.counters("records_produced_total", "Records written and committed, by topic", &["topic"]),
            late: made.counter("late_records_total", "Records that came after their window closed"),
            dead_letters: made.counter("dead_letters_total", "Records set aside as not processable"),
            refused_times: made
                .counter("refused_event_times_total", "Event times too far ahead of the wall clock to be believed"),
            commits: made.counters("commits_total", "Transactions, by how they ended", &["outcome"]),
            commit_seconds: made.histogram("commit_seconds", "Time of a successful commit", &SECONDS),
            rebalances: made.counters("rebalances_total", "Rebalances, by what they brought", &["kind"]),
            lag: made.gauges(
                "lag_records",
                "Offsets between the last processed record and the end of the partition",
                &["topic", "partition"],
            ),
            lag_seconds: made.fractions(
                "lag_seconds",
                "Age of the last processed record, at most the time since the partition was last \
                 without lag; 0 without lag",
                &["topic", "partition"],
            ),
            watermark: made.gauges(
                "watermark_seconds",
                "The watermark of the task, in seconds since the epoch",
                &["partition"],
            ),
            unaccounted: made.gauges(
                "unaccounted_records",
                "Records consumed of which it is not known what became, or 1 where a restored \
                 task's stores disagree; anything but 0 is an error",
                &["partition"],
            ),
            made,
        }
    }

    pub(crate) fn consumed(&self, counts: Counts) {
        self.consumed.inc_by(counts.records);
        self.late.inc_by(counts.late);
        self.dead_letters.inc_by(counts.dead_letters);
        self.refused_times.inc_by(counts.refused_times);
    }

    pub(crate) fn produced(&self, outputs: &[Output]) {
        for run in outputs.chunk_by(|a, b| a.topic == b.topic) {
            self.produced.with_label_values(&[&*run[0].topic]).inc_by(run.len() as u64);
        }
    }

    pub(crate) fn commit_ended(&self, outcome: &str, took: Duration) {
        self.commits.with_label_values(&[outcome]).inc();
        if outcome == "committed" {
            self.commit_seconds.observe(took.as_secs_f64());
        }
    }

    pub(crate) fn rebalanced(&self, kind: &str) {
        self.rebalances.with_label_values(&[kind]).inc();
    }

    pub(crate) fn snapshot_written(&self, bytes: u64, took: Duration) {
        self.snapshot_ended("written");
        self.snapshot_bytes.inc_by(bytes);
        self.snapshot_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn snapshot_ended(&self, outcome: &str) {
        self.snapshots.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn snapshot_paused(&self, took: Duration) {
        self.snapshot_pause.observe(took.as_secs_f64());
    }

    pub(crate) fn snapshot_loaded(&self, records: u64) {
        self.snapshot_restored.inc_by(records);
    }

    pub(crate) fn snapshot_discarded(&self, reason: &str) {
        self.snapshot_discards.with_label_values(&[reason]).inc();
    }

    pub(crate) fn set_lag(&self, partition: &TopicPartition, lag: i64, seconds: Option<f64>) {
        let number = partition.partition.to_string();
        self.lag.with_label_values(&[&*partition.topic, &number]).set(lag);
        if let Some(seconds) = seconds {
            self.lag_seconds.with_label_values(&[&*partition.topic, &number]).set(seconds);
        }
    }

    pub(crate) fn set_unaccounted(&self, task: &StreamTask) {
        let records = match (task.unaccounted(), task.distrust()) {
            (0, Some(_)) => 1,
            (records, _) => records,
        };
        self.unaccounted.with_label_values(&[&task.id().partition.to_string()]).set(records);
    }

    pub(crate) fn set_watermark(&self, partition: i32, seconds: i64) {
        self.watermark.with_label_values(&[partition.to_string()]).set(seconds);
    }

    pub(crate) fn set_disk_bytes(&self, partition: i32, bytes: u64) {
        self.disk_bytes.with_label_values(&[partition.to_string()]).set(bytes as i64);
    }

    pub(crate) fn set_standby_lag(&self, partition: i32, lag: i64) {
        self.standby_lag.with_label_values(&[partition.to_string()]).set(lag);
    }

    /// There is no copy of the task any more.
    pub(crate) fn forget_standby(&self, partition: i32) {
        let _ = self.standby_lag.remove_label_values(&[&*partition.to_string()]);
    }

    /// The partition has gone: another instance reports it now. Fails harmlessly where it was never reported.
    pub(crate) fn forget(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        let _ = self.lag.remove_label_values(&[&*partition.topic, &number]);
        let _ = self.lag_seconds.remove_label_values(&[&*partition.topic, &number]);
        let _ = self.watermark.remove_label_values(&[&*number]);
        let _ = self.unaccounted.remove_label_values(&[&*number]);
        let _ = self.disk_bytes.remove_label_values(&[&*number]);
    }
}

/// A replay comes and goes while its process lives on: its metrics go with it.
impl Drop for StreamsMetrics {
    fn drop(&mut self) {
        self.made.unregister();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_two_applications_share_a_registry_and_go_with_them() {
        let registry = Registry::new();
        let first = StreamsMetrics::new(&registry, "sentiment");
        let second = StreamsMetrics::new(&registry, "trends");
        first.commit_ended("committed", Duration::from_millis(3));
        second.commit_ended("aborted", Duration::ZERO);
        let names = |registry: &Registry| registry.gather().iter().map(|f| f.name().to_owned()).collect::<Vec<_>>();
        assert!(names(&registry).contains(&"vigie_streams_commits_total".to_owned()));
        drop(first);
        drop(second);
        assert_eq!(names(&registry), Vec::<String>::new());
        StreamsMetrics::new(&registry, "sentiment");
    }
}
