//! Settles one batch: decode, put aside what cannot be decoded, write; and again until it is done.

use std::time::Duration;

use tracing::{debug, info, warn};
use vigie_clock::SharedClock;
use vigie_daemon::Component;
use vigie_kafka_client::Record;
use vigie_schemas::{Codec, DeadLetterReason, Topic};

use crate::driver::backoff::Backoff;
use crate::driver::buffer::RawBatch;
use crate::driver::dead_letter::DeadLetters;
use crate::driver::metrics::Metrics;
use crate::insight::{Insight, InsightError};
use crate::sink::{Batch, Row, Sink, SinkError};

/// The store holds other offsets than the batch expects.
#[derive(Debug)]
pub(crate) struct Conflict;

/// Takes batches to the store. It gives up only on a conflict: an outage is waited out.
pub(crate) struct Writer<S> {
    pub(crate) sink: S,
    pub(crate) codec: Codec,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) metrics: Metrics,
    pub(crate) health: Component,
    pub(crate) clock: SharedClock,
}

impl<S: Sink> Writer<S> {
    pub(crate) async fn settle(&self, batch: &RawBatch) -> Result<(), Conflict> {
        let started = self.clock.monotonic();
        let decoded = self.decode(batch).await;
        self.write(batch, decoded).await?;
        for record in &batch.records {
            self.metrics.records.with_label_values(&[&record.topic]).inc();
        }
        self.metrics.batch_seconds.observe((self.clock.monotonic().saturating_sub(started)).as_secs_f64());
        Ok(())
    }

    pub(crate) fn trouble(&self, with: &'static str) -> Trouble<'_> {
        let (sink, metrics, health) = (self.sink.name(), &self.metrics, &self.health);
        Trouble { backoff: Backoff::default(), sink, with, metrics, health }
    }

    async fn decode(&self, batch: &RawBatch) -> Batch {
        let mut rows = Vec::with_capacity(batch.records.len());
        let mut trouble = self.trouble("schema registry");
        for record in &batch.records {
            let insight = loop {
                match self.decode_record(record).await {
                    Ok(insight) => break Some(insight),
                    Err(InsightError::Dead { reason, detail }) => {
                        self.put_aside(record, reason, &detail).await;
                        break None;
                    }
                    Err(InsightError::Retry(detail)) => trouble.wait(&detail).await,
                }
            };
            if let Some(insight) = insight {
                rows.push(Row { partition: record.topic_partition(), offset: record.offset, insight });
            }
        }
        trouble.over();
        Batch { rows, advances: batch.advances.clone() }
    }

    async fn decode_record(&self, record: &Record) -> Result<Insight, InsightError> {
        if Topic::from_dead_letter_queue(&record.topic).is_some() {
            return Insight::of_queue(&self.codec, record, self.sink.name(), self.clock.now()).await;
        }
        let Some(topic) = Topic::from_name(&record.topic) else {
            let detail = format!("{} is not in the catalogue of topics", record.topic);
            return Err(InsightError::Dead { reason: DeadLetterReason::Undecodable, detail });
        };
        Insight::decode(&self.codec, topic, record.key.as_deref(), record.value.as_deref()).await
    }

    /// Writes the batch. If the store refuses a row, halves the batch until that row stands alone, and puts it aside.
    async fn write(&self, raw: &RawBatch, batch: Batch) -> Result<(), Conflict> {
        let mut parts = vec![batch];
        let mut trouble = self.trouble(self.sink.name());
        while let Some(part) = parts.pop() {
            match self.sink.write(&part).await {
                Ok(written) => {
                    trouble.over();
                    for (table, rows) in written {
                        self.metrics.rows.with_label_values(&[table]).inc_by(rows);
                    }
                }
                Err(SinkError::Retry(detail)) => {
                    trouble.wait(&detail).await;
                    parts.push(part);
                }
                Err(error @ SinkError::Conflict { .. }) => {
                    self.metrics.conflicts.inc();
                    info!(sink = self.sink.name(), %error, "batch given up, reading again from what is stored");
                    return Err(Conflict);
                }
                Err(SinkError::Rejected(detail)) if part.rows.len() > 1 => {
                    warn!(
                        sink = self.sink.name(),
                        rows = part.rows.len(),
                        detail,
                        "batch refused, looking for the row"
                    );
                    let (first, second) = part.split();
                    parts.extend([second, first]);
                }
                Err(SinkError::Rejected(detail)) => match part.rows.first() {
                    Some(row) => {
                        if let Some(record) = raw.records.iter().find(|record| is_source(row, record)) {
                            self.put_aside(record, DeadLetterReason::Rejected, &detail).await;
                        }
                        parts.push(Batch { rows: Vec::new(), advances: part.advances });
                    }
                    // Offsets alone cannot be at fault: the store is not what it should be.
                    None => {
                        trouble.wait(&detail).await;
                        parts.push(part);
                    }
                },
            }
        }
        Ok(())
    }

    async fn put_aside(&self, record: &Record, reason: DeadLetterReason, detail: &str) {
        let mut trouble = self.trouble("dead letter queue");
        while let Err(error) = self.dead_letters.publish(&self.codec, record, reason, detail, self.clock.now()).await {
            trouble.wait(&error).await;
        }
        trouble.over();
        self.metrics.dead_letters.with_label_values(&[&*record.topic, reason.as_str()]).inc();
        let (topic, partition, offset) = (&*record.topic, record.partition, record.offset);
        // At `info` a summary a minute says how many there were.
        debug!(sink = self.sink.name(), topic, partition, offset, %reason, "record put aside as a dead letter");
    }
}

fn is_source(row: &Row, record: &Record) -> bool {
    row.offset == record.offset && row.partition.partition == record.partition && *row.partition.topic == *record.topic
}

/// An outage as it goes on: waits, updates health and metrics, and does not repeat itself in the log.
pub(crate) struct Trouble<'a> {
    backoff: Backoff,
    sink: &'static str,
    with: &'static str,
    metrics: &'a Metrics,
    health: &'a Component,
}

impl Trouble<'_> {
    pub(crate) async fn wait(&mut self, detail: &str) {
        let wait: Duration = self.backoff.next();
        self.metrics.retries.inc();
        self.health.not_ready(format!("{}: {detail}", self.with));
        if self.backoff.is_news() {
            let (attempts, wait_seconds) = (self.backoff.attempts(), wait.as_secs_f64());
            warn!(sink = self.sink, with = self.with, detail, attempts, wait_seconds, "not available, trying again");
        }
        tokio::time::sleep(wait).await;
    }

    pub(crate) fn over(&mut self) {
        if self.backoff.attempts() > 0 {
            info!(sink = self.sink, with = self.with, attempts = self.backoff.attempts(), "available again");
            self.health.ready();
            self.backoff = Backoff::default();
        }
    }
}
