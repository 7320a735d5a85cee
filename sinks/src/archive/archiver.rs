//! One round after the other: what has passed goes into files, what was erased out of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::{error, info};
use vigie_archive::{
    Archive, ArchiveError, Archived, ArchivedFile, Content, FileWriter, Manifest, Row, Span, Stored, read_rows,
};
use vigie_clock::Timestamp;
use vigie_daemon::Context;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, ReadToEnd, TopicPartition};
use vigie_schemas::{Codec, RawPost, ScoredPost, Service};

use super::erasures::Erasures;
use super::error::RoundError;
use super::metrics::Metrics;

/// In the log and in health.
pub(crate) const NAME: &str = Service::SinkArchive.name();
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A file without a manifest is left alone for so long: its writer may be about to commit it.
const ORPHAN_AGE: Duration = DAY;

/// Writes an archive.
pub struct Archiver {
    kafka: KafkaConfig,
    admin: Admin,
    codec: Codec,
    archive: Archive,
    ctx: Context,
    metrics: Metrics,
    erasures: Erasures,
    /// Next offset and offset of the erasures of each partition, as they were left: a manifest that need not change is not read again.
    done: BTreeMap<TopicPartition, (i64, i64)>,
    cleaned_at: Option<Timestamp>,
}

impl Archiver {
    /// An archiver that has done nothing yet.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if librdkafka rejects the settings.
    pub fn new(kafka: KafkaConfig, codec: Codec, archive: Archive, ctx: &Context) -> Result<Self, KafkaError> {
        let admin = Admin::new(&kafka)?;
        let metrics = Metrics::new(&ctx.metrics).expect("the names of the metrics are valid");
        let (erasures, ctx) = (Erasures::default(), ctx.clone());
        Ok(Self { kafka, admin, codec, archive, ctx, metrics, erasures, done: BTreeMap::new(), cleaned_at: None })
    }

    /// Archives all hours that have passed, and carries out all erasures. Blocks: call it from a thread that may.
    ///
    /// # Errors
    /// The first one. Topics and partitions that it does not concern are done all the same.
    pub fn round(&mut self, handle: &Handle) -> Result<(), RoundError> {
        self.erasures.update(&self.kafka, &self.codec, handle)?;
        let now = self.ctx.clock.now();
        let cleans = self.cleaned_at.is_none_or(|at| now.since(at) >= DAY);
        let raw = self.topic::<RawPost>(now, cleans, handle);
        let scored = self.topic::<ScoredPost>(now, cleans, handle);
        raw.and(scored)?;
        if cleans {
            self.cleaned_at = Some(now);
        }
        Ok(())
    }

    /// The part of a round that concerns one topic.
    fn topic<R: Archived>(&mut self, now: Timestamp, cleans: bool, handle: &Handle) -> Result<(), RoundError> {
        if self.ctx.shutdown.is_cancelled() {
            return Err(RoundError::Stopped);
        }
        let mut outcome = Ok(());
        for (partition, end) in self.admin.offsets_for_time(R::TOPIC.name(), now.window_start(HOUR))? {
            let at = TopicPartition::new(R::TOPIC.name(), partition);
            let is_current = |(next, erased): &(i64, i64)| *next == end && !self.erasures.any_since(*erased);
            if !cleans && self.done.get(&at).is_some_and(is_current) {
                continue;
            }
            let partition = Partition { archiver: self, handle, at: at.clone() };
            match partition.round::<R>(end, cleans) {
                Ok(stored) => {
                    let left = stored.map(|Stored { manifest, .. }| (manifest.next_offset, manifest.erasures_offset));
                    self.done.extend(left.map(|left| (at, left)));
                }
                Err(RoundError::Archive(conflict @ ArchiveError::Conflict { .. })) => {
                    info!(sink = NAME, %conflict, "begun again from what is stored, in the next round");
                }
                Err(RoundError::Stopped) => return Err(RoundError::Stopped),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }
}

/// One partition in one round.
struct Partition<'a> {
    archiver: &'a Archiver,
    handle: &'a Handle,
    at: TopicPartition,
}

impl Partition<'_> {
    /// Returns what is stored then.
    fn round<R: Archived>(&self, end: i64, cleans: bool) -> Result<Option<Stored>, RoundError> {
        let stored = self.wait(self.archiver.archive.load(&self.at.topic, self.at.partition))?;
        let stored = match stored {
            Some(stored) => Some(self.erase::<R>(stored)?),
            None => None,
        };
        let stored = self.append::<R>(stored, end)?;
        if let Some(stored) = stored.as_ref().filter(|_| cleans) {
            let before = self.archiver.ctx.clock.now().saturating_sub(ORPHAN_AGE);
            let removed = self.wait(self.archiver.archive.clean(stored, before))?;
            if removed > 0 {
                info!(sink = NAME, partition = %self.at, removed, "files without a manifest removed");
            }
        }
        Ok(stored)
    }

    /// Archives from what is stored up to `end`. Returns what is stored then.
    fn append<R: Archived>(&self, stored: Option<Stored>, end: i64) -> Result<Option<Stored>, RoundError> {
        let (oldest, newest) = self.archiver.admin.watermarks(&self.at)?;
        let mut stored = stored;
        let mut manifest = match &stored {
            Some(stored) => stored.manifest.clone(),
            None => Manifest::starting_at(&self.at.topic, self.at.partition, oldest),
        };
        let archived = manifest.next_offset;
        self.tell_behind(end - archived);
        if archived > newest {
            return Err(RoundError::Recreated { partition: self.at.clone(), end: newest, archived });
        }
        if archived >= end {
            return Ok(stored);
        }
        if oldest > archived {
            let oldest = oldest.min(end);
            let lost = oldest - archived;
            error!(sink = NAME, partition = %self.at, archived, oldest, lost, "records expired before they were archived");
            self.archiver.metrics.expired.with_label_values(&[&self.at.topic]).inc_by(lost.unsigned_abs());
            manifest.expire_to(oldest);
        }
        let mut open: Option<(Timestamp, FileWriter<R>)> = None;
        for record in ReadToEnd::bounded(&self.archiver.admin, &self.at, manifest.next_offset, end)? {
            let record = record?;
            if self.archiver.ctx.shutdown.is_cancelled() {
                return Err(RoundError::Stopped);
            }
            let hour = record.timestamp.window_start(HOUR);
            if let Some((_, writer)) = open.take_if(|(since, writer)| hour > *since || writer.is_full()) {
                stored = Some(self.commit(stored.as_ref(), &mut manifest, writer, record.offset)?);
                self.tell_behind(end - manifest.next_offset);
            }
            let mut content = self.wait(Content::decode(&self.archiver.codec, record.key, record.value))?;
            self.archiver.erasures.apply(&mut content);
            let (partition, offset, appended_at) = (self.at.partition, record.offset, record.timestamp);
            let (_, writer) = match &mut open {
                Some(open) => open,
                None => open.insert((hour, FileWriter::new()?)),
            };
            writer.push(Row { partition, offset, appended_at, content })?;
        }
        let stored = match open {
            Some((_, writer)) => self.commit(stored.as_ref(), &mut manifest, writer, end)?,
            // Transaction markers, or what was rolled back.
            None => {
                manifest.skip_to(end);
                manifest.erasures_offset = self.archiver.erasures.next_offset;
                self.wait(self.archiver.archive.commit(stored.as_ref(), manifest))?
            }
        };
        self.tell_behind(0);
        Ok(Some(stored))
    }

    fn tell_behind(&self, offsets: i64) {
        let labels = [&*self.at.topic, &self.at.partition.to_string()];
        self.archiver.metrics.behind.with_label_values(&labels).set(offsets.max(0));
    }

    /// Stores a file of what is from the manifest's next offset to `next`, and then the manifest with it.
    fn commit<R: Archived>(
        &self,
        base: Option<&Stored>,
        manifest: &mut Manifest,
        writer: FileWriter<R>,
        next: i64,
    ) -> Result<Stored, RoundError> {
        let span = Span { first_offset: manifest.next_offset, next_offset: next };
        self.still_has(span)?;
        let file = self.put(span, writer)?;
        let ArchivedFile { path, records, bytes, .. } = file.clone();
        manifest.add(file);
        manifest.erasures_offset = self.archiver.erasures.next_offset;
        let stored = self.wait(self.archiver.archive.commit(base, manifest.clone()))?;
        info!(sink = NAME, path, records, bytes, "archived");
        let (metrics, labels) = (&self.archiver.metrics, [&*self.at.topic]);
        metrics.files.with_label_values(&labels).inc();
        metrics.records.with_label_values(&labels).inc_by(records);
        metrics.bytes.with_label_values(&labels).inc_by(bytes);
        Ok(stored)
    }

    /// A read goes on without a word where the broker has removed what it was to read.
    fn still_has(&self, span: Span) -> Result<(), RoundError> {
        let (oldest, _) = self.archiver.admin.watermarks(&self.at)?;
        if oldest <= span.first_offset {
            return Ok(());
        }
        let detail = format!("{} lost offsets {} to {oldest} meanwhile", self.at, span.first_offset);
        Err(KafkaError::Retry { operation: "archive", detail }.into())
    }

    fn put<R: Archived>(&self, span: Span, writer: FileWriter<R>) -> Result<ArchivedFile, RoundError> {
        let finished = writer.finish()?.expect("a file is opened for a row");
        self.wait(self.archiver.archive.put(&self.at.topic, self.at.partition, span, finished))
    }

    /// Replaces the files that hold texts of authors who were erased since the last time.
    fn erase<R: Archived>(&self, stored: Stored) -> Result<Stored, RoundError> {
        let Archiver { archive, erasures, metrics, .. } = self.archiver;
        if !erasures.any_since(stored.manifest.erasures_offset) {
            return Ok(stored);
        }
        let mut manifest = Manifest { erasures_offset: erasures.next_offset, ..stored.manifest.clone() };
        let (mut replaced, mut posts) = (Vec::new(), 0);
        for file in &mut manifest.files {
            let (mut writer, mut changed) = (FileWriter::<R>::new()?, 0);
            for row in read_rows(&file.path, self.wait(archive.get(file))?)? {
                let mut row = row?;
                changed += u64::from(erasures.apply(&mut row.content));
                writer.push(row)?;
            }
            if changed > 0 {
                let clean = self.put(file.span, writer)?;
                replaced.push(std::mem::replace(file, clean));
                posts += changed;
            }
        }
        let stored = self.wait(archive.commit(Some(&stored), manifest))?;
        self.wait(archive.remove(&replaced))?;
        metrics.erased.with_label_values(&[&self.at.topic]).inc_by(posts);
        info!(sink = NAME, partition = %self.at, files = replaced.len(), posts, "erasures carried out");
        Ok(stored)
    }

    /// The outcome, unless the service is asked to stop before it is there.
    fn wait<T>(&self, work: impl Future<Output = Result<T, ArchiveError>>) -> Result<T, RoundError> {
        self.handle.block_on(async {
            tokio::select! {
                outcome = work => outcome.map_err(RoundError::from),
                () = self.archiver.ctx.shutdown.cancelled() => Err(RoundError::Stopped),
            }
        })
    }
}
