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

use super::plan::{Bounds, Plan};
use crate::sentiment::ORIGIN_OFFSET;
use crate::service::kafka_error;

const CHUNK: usize = 5_000;
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The topic with the posts of the range, and where in it they are: the topic of raw posts itself, where Kafka still has them all.
/// `progress` is told how many records of how many are copied.
pub(super) fn source(
    plan: &Plan,
    location: Option<&Location>,
    codec: &SyncCodec,
    ctx: &Context,
    progress: &dyn Fn(u64, u64),
) -> Result<(String, Bounds), ServiceError> {
    let bounds = plan.bounds().map_err(kafka_error)?;
    let topic = Topic::PostsRaw.name();
    let Some(location) = location else { return Ok((topic.to_owned(), bounds)) };
    let admin = Admin::new(&plan.kafka).map_err(kafka_error)?;
    let archive = Archive::open(location).map_err(|e| archive_error(location, e))?;
    let restore = Restore { plan, location, archive, admin, codec, ctx, handle: Handle::current() };
    let mut parts = Vec::new();
    for (at, (start, end)) in bounds {
        parts.push((restore.part(&at, start, end)?, at));
    }
    if parts.iter().all(|(part, _)| part.files.is_empty()) {
        let bounds = parts.into_iter().map(|(part, at)| (at, (part.kafka_from, part.end))).collect();
        return Ok((topic.to_owned(), bounds));
    }
    plan.create_posts_topic().map_err(kafka_error)?;
    restore.copy(&parts, progress)?;
    let ends = restore.admin.end_offsets(&plan.posts_topic()).map_err(kafka_error)?;
    let bound = |(partition, end)| (TopicPartition::new(plan.posts_topic(), partition), (0, end));
    Ok((plan.posts_topic(), ends.into_iter().map(bound).collect()))
}

struct Restore<'a> {
    plan: &'a Plan,
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

impl Part {
    fn size(&self) -> u64 {
        self.files.iter().map(|file| file.records).sum::<u64>() + (self.end - self.kafka_from).unsigned_abs()
    }
}

impl Restore<'_> {
    /// `start` is the first offset in Kafka that is in the range.
    fn part(&self, at: &TopicPartition, start: i64, end: i64) -> Result<Part, ServiceError> {
        let in_kafka = Part { files: Vec::new(), kafka_from: start, end };
        let (oldest, _) = self.admin.watermarks(at).map_err(kafka_error)?;
        let stored = self.wait(self.archive.load(&at.topic, at.partition))?;
        let Some(manifest) = stored.map(|stored| stored.manifest).filter(|_| start <= oldest) else {
            return Ok(in_kafka);
        };
        let since = self.plan.arrived_since();
        let mut files = manifest.files;
        files.retain(|file| file.last_appended_at >= since);
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

    fn copy(&self, parts: &[(Part, TopicPartition)], progress: &dyn Fn(u64, u64)) -> Result<(), ServiceError> {
        let transactional_id = format!("{}-posts", self.plan.application_id());
        let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION_TIMEOUT };
        let producer = TransactionalProducer::new(&self.plan.kafka, &options).map_err(kafka_error)?;
        let of = parts.iter().map(|(part, _)| part.size()).sum();
        let mut copy = Copy { restore: self, producer, chunk: Vec::new(), copied: 0, of, progress };
        for (part, at) in parts {
            info!(partition = %at, files = part.files.len(), kafka_from = part.kafka_from, end = part.end, "restoring");
            for file in &part.files {
                let bytes = self.wait(self.archive.get(file))?;
                for row in read_rows(&file.path, bytes).map_err(|e| archive_error(self.location, e))? {
                    let row = row.map_err(|e| archive_error(self.location, e))?;
                    if row.appended_at >= self.plan.arrived_since() {
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
    copied: u64,
    of: u64,
    progress: &'a dyn Fn(u64, u64),
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
            topic: self.restore.plan.posts_topic(),
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
            return Err(ServiceError::failed(format!("replay {} was interrupted", self.restore.plan.run_id)));
        }
        self.producer.begin().map_err(kafka_error)?;
        for record in &self.chunk {
            self.producer.send(record).map_err(kafka_error)?;
        }
        self.producer.commit().map_err(kafka_error)?;
        self.copied += self.chunk.len() as u64;
        self.chunk.clear();
        (self.progress)(self.copied, self.of);
        Ok(())
    }
}

fn archive_error(location: &Location, error: ArchiveError) -> ServiceError {
    match error {
        ArchiveError::Store(_) => ServiceError::unavailable(location.to_string(), error),
        other => ServiceError::failed(other),
    }
}
