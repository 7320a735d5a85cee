//! A range that begins in the archive and goes on in Kafka: both, in one topic of the run's own, in the order that they once had.

use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tracing::info;
use vigie_archive::{Archive, ArchiveError, ArchivedFile, Content, Location, Row, read_rows};
use vigie_clock::Timestamp;
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, OutgoingRecord, ProducerOptions, ReadToEnd, TopicPartition, TransactionalProducer};
use vigie_schemas::{SyncCodec, Topic};

use super::Config;
use super::scope::{Bound, Names, Selection};
use crate::sentiment::ORIGIN_OFFSET;
use crate::service::kafka_error;

const CHUNK: usize = 5_000;
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The topic with the posts of the selection, and where in it they are: the topic of raw posts itself, where Kafka still has them all, or no
/// archive is named. Of a range of offsets only what Kafka has is read. What an earlier process restored by half is restored anew.
pub(super) fn source(
    names: &Names,
    config: &Config,
    selection: &Selection,
    codec: &SyncCodec,
    ctx: &Context,
) -> Result<(String, Vec<Bound>), ServiceError> {
    let admin = Admin::new(&config.kafka).map_err(kafka_error)?;
    let bounds = selection.bounds(&admin).map_err(kafka_error)?;
    let topic = Topic::PostsRaw.name();
    let in_kafka = |bounds| Ok((topic.to_owned(), bounds));
    let (Some(location), Some(since)) = (config.archive.archive_url.as_ref(), selection.reads_from()) else {
        return in_kafka(bounds);
    };
    if !selection.offsets.is_empty() {
        return in_kafka(bounds);
    }
    let archive = Archive::open(location).map_err(|e| archive_error(location, e))?;
    let restore = Restore { names, config, since, location, archive, admin, codec, ctx, handle: Handle::current() };
    let mut parts = Vec::new();
    for bound in &bounds {
        let at = bound.at(topic);
        parts.push((restore.part(&at, bound)?, at));
    }
    if parts.iter().all(|(part, _)| part.files.is_empty()) {
        let whole = bounds.into_iter().zip(parts).map(|(bound, (part, _))| Bound { start: part.kafka_from, ..bound });
        return in_kafka(whole.collect());
    }
    names.create_posts_topic(&restore.admin).map_err(kafka_error)?;
    restore.copy(&parts)?;
    let mut restored = Vec::new();
    for (_, at) in &parts {
        let copied = TopicPartition::new(names.posts(), at.partition);
        // Not the last stable offset: it is behind until the coordinator has ended the last transaction in each partition.
        let (_, end) = restore.admin.watermarks(&copied).map_err(kafka_error)?;
        restored.push(Bound { partition: at.partition, start: 0, end, low: 0 });
    }
    Ok((names.posts(), restored))
}

struct Restore<'a> {
    names: &'a Names,
    config: &'a Config,
    /// No post of the range arrived earlier.
    since: Timestamp,
    location: &'a Location,
    archive: Archive,
    admin: Admin,
    codec: &'a SyncCodec,
    ctx: &'a Context,
    handle: Handle,
}

/// Where the posts of one partition are.
struct Part {
    /// None if Kafka has all.
    files: Vec<ArchivedFile>,
    kafka_from: i64,
    end: i64,
}

impl Restore<'_> {
    fn part(&self, at: &TopicPartition, bound: &Bound) -> Result<Part, ServiceError> {
        let (start, end, oldest) = (bound.start, bound.end, bound.low);
        let in_kafka = Part { files: Vec::new(), kafka_from: start, end };
        let stored = self.wait(self.archive.load(&at.topic, at.partition))?;
        let Some(manifest) = stored.map(|stored| stored.manifest).filter(|_| start <= oldest) else {
            return Ok(in_kafka);
        };
        let mut files = manifest.files;
        files.retain(|file| file.last_appended_at >= self.since);
        let from = files.first().map_or(manifest.next_offset, |file| file.span.first_offset);
        let lost =
            manifest.expired.iter().find(|span| span.first_offset >= from).map(|s| (s.first_offset, s.next_offset));
        let missed = (manifest.next_offset < oldest).then_some((manifest.next_offset, oldest));
        if let Some((first, next)) = lost.or(missed) {
            let detail = format!("offsets {first} to {next} of {at} are neither in the archive nor in Kafka any more");
            return Err(ServiceError::failed(detail));
        }
        if files.is_empty() || from >= oldest {
            return Ok(in_kafka);
        }
        Ok(Part { files, kafka_from: manifest.next_offset.min(end), end })
    }

    fn copy(&self, parts: &[(Part, TopicPartition)]) -> Result<(), ServiceError> {
        let transactional_id = format!("{}-posts", self.names.application_id());
        let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION_TIMEOUT };
        let producer = TransactionalProducer::new(&self.config.kafka, &options).map_err(kafka_error)?;
        let mut copy = Copy { restore: self, producer, chunk: Vec::new() };
        for (part, at) in parts {
            info!(partition = %at, files = part.files.len(), kafka_from = part.kafka_from, end = part.end, "restoring");
            for file in &part.files {
                let bytes = self.wait(self.archive.get(file))?;
                for row in read_rows(&file.path, bytes).map_err(|e| archive_error(self.location, e))? {
                    let row = row.map_err(|e| archive_error(self.location, e))?;
                    if row.appended_at >= self.since {
                        copy.row(row)?;
                    }
                }
            }
            for record in ReadToEnd::bounded(&self.admin, at, part.kafka_from, part.end).map_err(kafka_error)? {
                let record = record.map_err(kafka_error)?;
                copy.record((record.partition, record.offset), record.timestamp, record.key, record.value)?;
            }
        }
        copy.flush()
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, ArchiveError>>) -> Result<T, ServiceError> {
        self.handle.block_on(work).map_err(|e| archive_error(self.location, e))
    }
}

/// Writes what was restored, in chunks.
struct Copy<'a> {
    restore: &'a Restore<'a>,
    producer: TransactionalProducer,
    chunk: Vec<OutgoingRecord>,
}

impl Copy<'_> {
    fn row(&mut self, row: Row) -> Result<(), ServiceError> {
        let (key, value) = match row.content {
            Content::Post(post) => {
                let value = self.restore.codec.encode(Topic::PostsRaw.name(), &*post).map_err(ServiceError::failed)?;
                (Some(post.post_id.into()), Some(value.into()))
            }
            Content::Deleted(id) => (Some(id.into()), None),
            Content::Undecoded { key, value } => (key, value),
        };
        self.record((row.partition, row.offset), row.appended_at, key, value)
    }

    fn record(
        &mut self,
        (partition, offset): (i32, i64),
        appended_at: Timestamp,
        key: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<(), ServiceError> {
        self.chunk.push(OutgoingRecord {
            topic: self.restore.names.posts(),
            partition: Some(partition),
            key,
            value,
            timestamp: Some(appended_at),
            headers: vec![(ORIGIN_OFFSET.to_owned(), Bytes::copy_from_slice(&offset.to_be_bytes()))],
        });
        if self.chunk.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ServiceError> {
        if self.restore.ctx.shutdown.is_cancelled() {
            return Err(ServiceError::failed(format!("replay {} was interrupted", self.restore.names.run_id)));
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

fn archive_error(location: &Location, error: ArchiveError) -> ServiceError {
    match error {
        ArchiveError::Store(_) => ServiceError::unavailable(location.to_string(), error),
        other => ServiceError::failed(other),
    }
}
