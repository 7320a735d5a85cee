//! Raw posts from before Kafka's retention, out of the archive.

use tokio::runtime::Handle;
use vigie_archive::{Archive, ArchiveError, ArchivedFile, Content, Location, Row, read_rows};
use vigie_clock::Timestamp;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{Record, TopicPartition};
use vigie_schemas::{RawPost, SyncCodec, Topic};

/// An archive, and since when its posts are wanted. Its methods block, outside the runtime's threads.
pub struct Past<'a> {
    location: &'a Location,
    archive: Archive,
    codec: &'a SyncCodec,
    since: Timestamp,
    handle: Handle,
}

/// Where the records of one partition are.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// In the archive, in their order; none if Kafka has all.
    pub files: Vec<ArchivedFile>,
    /// The records from here on are in Kafka.
    pub kafka_from: i64,
    /// Whether the files, if there are any, hold all that arrived since: the archive had begun by then.
    pub is_whole: bool,
}

impl Part {
    /// Records of the files. Some may have arrived before the posts that are wanted.
    pub fn records(&self) -> u64 {
        self.files.iter().map(|file| file.records).sum()
    }
}

impl<'a> Past<'a> {
    /// Records that arrived before `since` are not wanted. To be called on a thread of the runtime, or one that it started.
    ///
    /// # Errors
    /// If the archive is not there.
    pub fn open(location: &'a Location, codec: &'a SyncCodec, since: Timestamp) -> Result<Self, ServiceError> {
        let archive = Archive::open(location).map_err(|e| archive_error(location, e))?;
        Ok(Self { location, archive, codec, since, handle: Handle::current() })
    }

    /// Where the records of a partition are that is read from `start` on, of which Kafka has nothing before `oldest`.
    ///
    /// # Errors
    /// If some are neither in the archive nor in Kafka, or the store is away.
    pub fn part(&self, at: &TopicPartition, start: i64, oldest: i64) -> Result<Part, ServiceError> {
        let in_kafka = Part { files: Vec::new(), kafka_from: start, is_whole: false };
        let stored = self.wait(self.archive.load(&at.topic, at.partition))?;
        let Some(manifest) = stored.map(|stored| stored.manifest).filter(|_| start <= oldest) else {
            return Ok(in_kafka);
        };
        let mut files = manifest.files;
        let all = files.len();
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
        let is_whole = manifest.first_offset == 0 || files.len() < all;
        Ok(Part { files, kafka_from: manifest.next_offset, is_whole })
    }

    /// Hands on the archived records of a part, as the topic had them.
    ///
    /// # Errors
    /// If a file is away or not what the manifest says, or the first error of `take`.
    pub fn read(
        &self,
        part: &Part,
        mut take: impl FnMut(Record) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        for file in &part.files {
            let bytes = self.wait(self.archive.get(file))?;
            for row in read_rows(&file.path, bytes).map_err(|e| archive_error(self.location, e))? {
                let row = row.map_err(|e| archive_error(self.location, e))?;
                if row.appended_at >= self.since {
                    take(self.record(row)?)?;
                }
            }
        }
        Ok(())
    }

    fn record(&self, row: Row<RawPost>) -> Result<Record, ServiceError> {
        let topic = Topic::PostsRaw.name();
        let (key, value) = match row.content {
            Content::Post(post) => {
                let value = self.codec.encode(topic, &*post).map_err(ServiceError::failed)?;
                (Some(post.post_id.into()), Some(value.into()))
            }
            Content::Deleted(id) => (Some(id.into()), None),
            Content::Undecoded { key, value } => (key, value),
        };
        let (partition, offset, timestamp) = (row.partition, row.offset, row.appended_at);
        Ok(Record { topic: topic.into(), partition, offset, timestamp, key, value, headers: Vec::new() })
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, ArchiveError>>) -> Result<T, ServiceError> {
        self.handle.block_on(work).map_err(|e| archive_error(self.location, e))
    }
}

fn archive_error(location: &Location, error: ArchiveError) -> ServiceError {
    match error {
        ArchiveError::Store(_) => ServiceError::unavailable(location.to_string(), error),
        other => ServiceError::failed(other),
    }
}
