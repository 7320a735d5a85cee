//! A range that begins in the archive and goes on in Kafka: both, in one topic of the run's own, in the order that they once had.

use std::time::Duration;

use bytes::Bytes;
use tracing::info;
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{
    Admin, OutgoingRecord, ProducerOptions, ReadToEnd, Record, TopicPartition, TransactionalProducer,
};
use vigie_schemas::{SyncCodec, Topic};

use super::scope::{Bound, Names, Selection};
use super::{Config, archived, survey};
use crate::past::Part;
use crate::sentiment::ORIGIN_OFFSET;
use crate::service::kafka_error;

const CHUNK: usize = 5_000;
/// How often it is said how far the restoring is, in records.
const TELL: u64 = 100_000;
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The topic with the posts of the selection, and where in it they are: the topic of raw posts itself, where Kafka still has them all, or no
/// archive is named; and whether all that a run needs is there. Of a range of offsets only what Kafka has is read. What an earlier process
/// restored by half is restored anew.
pub(super) fn source(
    names: &Names,
    config: &Config,
    selection: &Selection,
    codec: &SyncCodec,
    ctx: &Context,
) -> Result<(String, Vec<Bound>, bool), ServiceError> {
    let admin = Admin::new(&config.kafka).map_err(kafka_error)?;
    let bounds = selection.bounds(&admin).map_err(kafka_error)?;
    let topic = Topic::PostsRaw.name();
    let parts = archived::parts(config, selection, &bounds, codec)?;
    let of_archive = parts.as_ref().map(|(_, parts)| parts.as_slice()).unwrap_or_default();
    let complete = survey::is_complete(&admin, selection, &bounds, of_archive).map_err(kafka_error)?;
    let Some((past, parts)) = parts.filter(|(_, parts)| parts.iter().any(|part| !part.files.is_empty())) else {
        return Ok((topic.to_owned(), bounds, complete));
    };
    names.create_posts_topic(&admin).map_err(kafka_error)?;
    let transactional_id = format!("{}-posts", names.application_id());
    let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION_TIMEOUT };
    let producer = TransactionalProducer::new(&config.kafka, &options).map_err(kafka_error)?;
    let in_kafka = |(part, bound): (&Part, &Bound)| u64::try_from(bound.end - part.kafka_from).unwrap_or(0);
    let of = parts.iter().map(Part::records).chain(parts.iter().zip(&bounds).map(in_kafka)).sum();
    let mut copy = Copy { names, producer, ctx, chunk: Vec::new(), done: 0, of };
    for (part, bound) in parts.iter().zip(&bounds) {
        let (at, kafka_from, end) = (bound.at(topic), part.kafka_from.min(bound.end), bound.end);
        info!(partition = %at, files = part.files.len(), kafka_from, end, "restoring");
        past.read(part, |record| copy.record(record))?;
        for record in ReadToEnd::bounded(&admin, &at, kafka_from, end).map_err(kafka_error)? {
            copy.record(record.map_err(kafka_error)?)?;
        }
    }
    copy.flush()?;
    let mut restored = Vec::new();
    for bound in &bounds {
        let copied = TopicPartition::new(names.posts(), bound.partition);
        // Not the last stable offset: it is behind until the coordinator has ended the last transaction in each partition.
        let (_, end) = admin.watermarks(&copied).map_err(kafka_error)?;
        restored.push(Bound { partition: bound.partition, start: 0, end, low: 0 });
    }
    Ok((names.posts(), restored, complete))
}

/// Writes what was restored, in chunks.
struct Copy<'a> {
    names: &'a Names,
    producer: TransactionalProducer,
    ctx: &'a Context,
    chunk: Vec<OutgoingRecord>,
    done: u64,
    /// Records at most.
    of: u64,
}

impl Copy<'_> {
    fn record(&mut self, record: Record) -> Result<(), ServiceError> {
        self.chunk.push(OutgoingRecord {
            topic: self.names.posts(),
            partition: Some(record.partition),
            key: record.key,
            value: record.value,
            timestamp: Some(record.timestamp),
            headers: vec![(ORIGIN_OFFSET.to_owned(), Bytes::copy_from_slice(&record.offset.to_be_bytes()))],
        });
        self.done += 1;
        if self.done.is_multiple_of(TELL) {
            info!(run = self.names.run_id, records = self.done, of = self.of, "restoring");
        }
        if self.chunk.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ServiceError> {
        if self.ctx.shutdown.is_cancelled() {
            return Err(ServiceError::failed(format!("replay {} was interrupted", self.names.run_id)));
        }
        self.producer.begin().map_err(kafka_error)?;
        for record in &self.chunk {
            self.producer.send(record).map_err(kafka_error)?;
        }
        self.producer.commit().map_err(kafka_error)?;
        self.chunk.clear();
        Ok(())
    }
}
