//! A range that begins in the archive and goes on in Kafka: both, in one topic of the run's own, in the order that they once had.

use std::time::Duration;

use bytes::Bytes;
use tracing::info;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{
    Admin, OutgoingRecord, ProducerOptions, ReadToEnd, Record, TopicPartition, TransactionalProducer,
};
use vigie_schemas::Topic;

use super::journal::Origin;
use super::scope::{Bound, Selection};
use super::{Control, Means, Phase, Progress, archived, survey};
use crate::past::Part;
use crate::sentiment::ORIGIN_OFFSET;
use crate::service::kafka_error;

const CHUNK: usize = 5_000;
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the posts of the selection are: in the topic of raw posts itself, where Kafka still has them all, or no archive is named, or in a copy;
/// `None` if it was cancelled. Of a range of offsets only what Kafka has is read. What an earlier process restored by half is restored from the start.
pub(super) fn origin(means: &Means, selection: &Selection, control: &Control) -> Result<Option<Origin>, ServiceError> {
    let Means { names, config, codec, ctx, .. } = means;
    let admin = Admin::new(&config.kafka).map_err(kafka_error)?;
    let bounds = selection.bounds(&admin).map_err(kafka_error)?;
    let topic = Topic::PostsRaw.name();
    let parts = archived::parts(config, selection, &bounds, codec)?;
    let of_archive = parts.as_ref().map(|(_, parts)| parts.as_slice()).unwrap_or_default();
    let complete = Some(survey::is_complete(&admin, selection, &bounds, of_archive).map_err(kafka_error)?);
    let Some((past, parts)) = parts.filter(|(_, parts)| parts.iter().any(|part| !part.files.is_empty())) else {
        return Ok(Some(Origin { source: topic.to_owned(), bounds, complete }));
    };
    names.create_posts_topic(&admin).map_err(kafka_error)?;
    let transactional_id = format!("{}-posts", names.application_id());
    let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION_TIMEOUT };
    let producer = TransactionalProducer::new(&config.kafka, &options).map_err(kafka_error)?;
    let in_kafka = |(part, bound): (&Part, &Bound)| u64::try_from(bound.end - part.kafka_from).unwrap_or(0);
    let of = parts.iter().map(Part::records).chain(parts.iter().zip(&bounds).map(in_kafka)).sum();
    let began = ctx.clock.monotonic();
    let mut copy = Copy { means, control, producer, chunk: Vec::new(), done: 0, of, began, cancelled: false };
    let mut all = || {
        for (part, bound) in parts.iter().zip(&bounds) {
            let (at, kafka_from, end) = (bound.at(topic), part.kafka_from.min(bound.end), bound.end);
            info!(partition = %at, files = part.files.len(), kafka_from, end, "restoring");
            past.read(part, |record| copy.record(record))?;
            for record in ReadToEnd::bounded(&admin, &at, kafka_from, end).map_err(kafka_error)? {
                copy.record(record.map_err(kafka_error)?)?;
            }
        }
        copy.flush()
    };
    match all() {
        Err(_) if copy.cancelled => return Ok(None),
        outcome => outcome?,
    }
    let mut restored = Vec::new();
    for bound in &bounds {
        let copied = TopicPartition::new(names.posts(), bound.partition);
        // Not the last stable offset: it is behind until the coordinator has ended the last transaction in each partition.
        let (_, end) = admin.watermarks(&copied).map_err(kafka_error)?;
        restored.push(Bound { partition: bound.partition, start: 0, end, low: 0 });
    }
    Ok(Some(Origin { source: names.posts(), bounds: restored, complete }))
}

/// Writes what was restored, in chunks.
struct Copy<'a> {
    means: &'a Means,
    control: &'a Control,
    producer: TransactionalProducer,
    chunk: Vec<OutgoingRecord>,
    done: u64,
    /// Records at most.
    of: u64,
    /// Without the time that it was paused.
    began: Duration,
    cancelled: bool,
}

impl Copy<'_> {
    fn record(&mut self, record: Record) -> Result<(), ServiceError> {
        self.chunk.push(OutgoingRecord {
            topic: self.means.names.posts(),
            partition: Some(record.partition),
            key: record.key,
            value: record.value,
            timestamp: Some(record.timestamp),
            headers: vec![(ORIGIN_OFFSET.to_owned(), Bytes::copy_from_slice(&record.offset.to_be_bytes()))],
        });
        if self.chunk.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Writes the chunk and reports progress; an error if it was cancelled.
    fn flush(&mut self) -> Result<(), ServiceError> {
        self.producer.begin().map_err(kafka_error)?;
        for record in &self.chunk {
            self.producer.send(record).map_err(kafka_error)?;
        }
        self.producer.commit().map_err(kafka_error)?;
        self.done += self.chunk.len() as u64;
        self.chunk.clear();
        let clock = &self.means.ctx.clock;
        let now = clock.monotonic();
        let seconds = now.saturating_sub(self.began).as_secs_f64();
        self.control.report(Progress::new(Phase::Restoring, (self.done, self.of), self.done, seconds));
        self.cancelled = !self.means.goes_on(self.control)?;
        self.began += clock.monotonic().saturating_sub(now);
        if self.cancelled {
            return Err(ServiceError::failed(format!("replay {} was cancelled", self.means.names.run_id)));
        }
        Ok(())
    }
}
