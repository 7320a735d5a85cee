//! The one writer of a process, and how the writers of all processes take turns: a transactional id is claimed, which fences whoever had
//! it, and the topic is read to its end. What is read then stays the end until the next commit, or until another claims the id.

use std::time::Duration;

use tokio::runtime::Handle;
use tracing::debug;
use vigie_clock::{SharedClock, Timestamp};
use vigie_kafka_client::{
    Admin, KafkaConfig, KafkaError, OutgoingRecord, Publisher, TopicPartition, last_offset_before,
    read_partition_to_end,
};
use vigie_schemas::{AuditRecord, Codec, SyncCodec};

use crate::chain::{DAY, End, hash};
use crate::event::Outcome;
use crate::reader::{TOPIC, entry};
use crate::{AuditConfig, AuditError};

const TRANSACTIONAL_ID: &str = "vigie-audit";
/// Writers that fence each other come to an end: each waits for a random time before it claims again.
const ATTEMPTS: u64 = 10;
/// A server that is away for a moment, as while it restarts, is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the clocks of services and brokers may differ by.
const LEEWAY: Duration = Duration::from_secs(60 * 60);

pub(crate) struct Writer {
    config: AuditConfig,
    clock: SharedClock,
    codec: Option<Codec>,
    publisher: Publisher,
    /// Openings per subject and day; 0 without limit.
    quota: u32,
    /// Nobody else has written since `end`, or the next commit fails.
    is_claimed: bool,
    end: End,
}

/// A record that is on the topic.
pub(crate) struct Written {
    pub(crate) record: AuditRecord,
    pub(crate) hash: String,
    /// It was refused for its quota.
    pub(crate) is_over: bool,
}

enum Failure {
    Kafka(KafkaError),
    Other(AuditError),
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for AuditError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Kafka(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}

impl Writer {
    pub(crate) fn new(config: AuditConfig, quota: u32, clock: SharedClock) -> Self {
        let publisher = Publisher::exclusive(&config.kafka, TRANSACTIONAL_ID);
        Self { config, clock, codec: None, publisher, quota, is_claimed: false, end: End::default() }
    }

    /// Writes all or none, in order; at least one.
    pub(crate) async fn append(&mut self, records: &[AuditRecord]) -> Result<Vec<Written>, AuditError> {
        let began = self.clock.monotonic();
        // What may have been written by an attempt that does not know.
        let mut doubtful = Vec::new();
        let mut attempt = 1;
        loop {
            let Err(failure) = self.attempt(records, &mut doubtful).await else { return Ok(doubtful) };
            self.is_claimed = false;
            let goes_on = match &failure {
                Failure::Kafka(KafkaError::Unavailable { .. }) | Failure::Other(AuditError::Away(_)) => {
                    self.clock.monotonic() - began < PATIENCE
                }
                Failure::Kafka(KafkaError::Fatal { .. } | KafkaError::Config(_)) | Failure::Other(_) => false,
                Failure::Kafka(_) => attempt < ATTEMPTS,
            };
            let error = AuditError::from(failure);
            if !goes_on {
                return Err(error);
            }
            debug!(%error, attempt, "the audit log is written to again");
            let pause = rand::random_range(0..50 * attempt.min(ATTEMPTS));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            attempt += 1;
        }
    }

    async fn attempt(&mut self, records: &[AuditRecord], written: &mut Vec<Written>) -> Result<(), Failure> {
        let codec = match &self.codec {
            Some(codec) => codec.clone(),
            None => {
                let connected = Codec::connect(&self.config.registry, &self.config.kafka.topic_prefix).await;
                self.codec.insert(connected.map_err(AuditError::from)?).clone()
            }
        };
        if !self.is_claimed {
            self.publisher.claim().await?;
            let doubtful = written.last().map(|written| written.record.id.clone());
            let since = records.first().map(|record| record.at).unwrap_or_default();
            let (kafka, codec, end) =
                (self.config.kafka.clone(), codec.clone().sync(Handle::current()), self.end.clone());
            let read = tokio::task::spawn_blocking(move || read_on(&kafka, &codec, end, since, doubtful.as_deref()));
            let (end, is_there) =
                read.await.unwrap_or_else(|error| Err(AuditError::Unwritten(error.to_string()).into()))?;
            (self.end, self.is_claimed) = (end, true);
            if is_there {
                return Ok(());
            }
        }
        let (mut end, mut values) = (self.end.clone(), Vec::with_capacity(records.len()));
        written.clear();
        for record in records {
            let mut record = record.clone();
            let is_over = !end.is_within(&record, self.quota);
            if is_over {
                Outcome::Refused.name().clone_into(&mut record.outcome);
                record.detail.insert("reason".to_owned(), format!("more than {} a day", self.quota));
            }
            record.previous = end.head.take();
            let value = codec.encode(TOPIC.name(), &record).await.map_err(AuditError::from)?;
            let hash = hash(&value);
            end.follow(hash.clone(), Some(&record));
            values.push(OutgoingRecord {
                topic: TOPIC.name().to_owned(),
                partition: Some(0),
                value: Some(value.into()),
                ..OutgoingRecord::default()
            });
            written.push(Written { record, hash, is_over });
        }
        let places = self.publisher.publish(values).await?;
        end.next = places.last().map(|(_, offset)| offset + 1);
        self.end = end;
        Ok(())
    }
}

/// Reads what was written since `end`, and whether a record of this id is there. For the first time from the beginning of the day on, for
/// its quotas, and at least the last record.
fn read_on(
    kafka: &KafkaConfig,
    codec: &SyncCodec,
    mut end: End,
    now: Timestamp,
    id: Option<&str>,
) -> Result<(End, bool), Failure> {
    let (admin, at) = (Admin::new(kafka)?, TopicPartition::new(TOPIC.name(), 0));
    if admin.partitions(TOPIC.name())? != Some(1) {
        let missing = format!("{} is not there with its one partition, run vigie topics apply", TOPIC.name());
        return Err(AuditError::Unwritten(missing).into());
    }
    let is_first = end.next.is_none();
    let mut from = match end.next {
        Some(next) => next,
        None => {
            let today = now.window_start(DAY).saturating_sub(LEEWAY);
            admin.offsets_for_time(TOPIC.name(), today)?.get(&0).copied().unwrap_or(0)
        }
    };
    let mut is_there = false;
    loop {
        for record in read_partition_to_end(kafka, &at, Some(from))? {
            let entry = entry(codec, &record?)?;
            let record = entry.record.ok();
            is_there |= id.is_some() && record.as_ref().map(|record| record.id.as_str()) == id;
            end.follow(entry.hash, record.as_ref());
            end.next = Some(entry.offset + 1);
        }
        if !is_first || end.head.is_some() {
            return Ok((end, is_there));
        }
        let (_, high) = admin.watermarks(&at)?;
        match last_offset_before(&admin, &at, high)? {
            Some(last) => from = last,
            None => return Ok((end, is_there)),
        }
    }
}
