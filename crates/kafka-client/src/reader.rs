//! Reading partitions without a group: to the end once, or on and on.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;
use tracing::debug;
use vigie_clock::Timestamp;

use crate::admin::Admin;
use crate::config::KafkaConfig;
use crate::deadline::Deadline;
use crate::error::{KafkaError, is_transient};
use crate::fetched::{TopicNames, record_from};
use crate::quiet::QuietConsumer;
use crate::record::{Record, TopicPartition};

/// How long a read may stand still before it is given up: longer than a dead writer's transaction is waited for.
const STALL: Duration = Duration::from_secs(60);

/// How long a broker may wait for new records before it answers that there are none.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// The same where the end is all that is waited for: how far a partition is read is noted at each answer.
const END_WAIT: Duration = Duration::from_millis(5);
/// How often a bounded read learns how far it is. A partition that ends with a transaction marker has no record that would tell.
const LOOK: Duration = Duration::from_millis(10);
/// How often a follower learns how far it is.
const FOLLOW_LOOK: Duration = Duration::from_millis(500);

/// What a read shows: committed records only, or all.
const COMMITTED: &str = "read_committed";
const UNCOMMITTED: &str = "read_uncommitted";

/// Where a read begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record of every partition.
    Beginning,
    /// After the newest record of every partition.
    End,
    /// At the given offset of each partition; partitions that are not named begin at their oldest record.
    Offsets(BTreeMap<i32, i64>),
    /// At the first record of each partition whose timestamp is this or later.
    Time(Timestamp),
}

/// Reads partitions of one topic without a group, committed records only.
pub struct PartitionReader {
    inner: QuietConsumer,
    config: KafkaConfig,
    topics: TopicNames,
}

impl PartitionReader {
    /// Reads all partitions of `topic` from `start` on.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if there is no such topic, [`KafkaError::Unavailable`] if no broker answers.
    pub fn new(config: &KafkaConfig, topic: &str, start: &Start) -> Result<Self, KafkaError> {
        let admin = Admin::new(config)?;
        let partitions = partitions_of(&admin, topic)?;
        let offsets = start_offsets(&admin, topic, partitions, start)?;
        Self::assigned(config, &offsets, FETCH_WAIT, None, COMMITTED)
    }

    /// Follows the partitions of [`follow`](Self::follow); none yet.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if librdkafka rejects the settings.
    pub fn following(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Self::assigned(config, &BTreeMap::new(), FETCH_WAIT, Some(FOLLOW_LOOK), COMMITTED)
    }

    /// Reads these partitions from now on, each from the given offset.
    ///
    /// # Errors
    /// If the client is closed.
    pub fn follow(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<(), KafkaError> {
        let list = self.config.wire_offsets("follow", offsets)?;
        self.inner.assign(&list).map_err(|e| KafkaError::from_native("follow", &e))?;
        self.inner.context().progress.forget();
        Ok(())
    }

    /// How many offsets a [follower](Self::following) that has taken all records before `position` is behind the end, as far as it last
    /// heard; `None` before the first fetch.
    pub fn lag(&self, partition: &TopicPartition, position: i64) -> Option<i64> {
        let wire = self.config.wire_name(&partition.topic);
        let seen = self.inner.context().progress.of(&wire, partition.partition)?;
        Some(seen.behind(position))
    }

    /// Whether a [follower](Self::following) has been given everything before `end`.
    pub fn has_passed(&self, partition: &TopicPartition, end: i64) -> bool {
        self.has_read(&self.config.wire_name(&partition.topic), partition.partition, end)
    }

    /// Waits up to `timeout` for records; returns up to `max` of them.
    ///
    /// # Errors
    /// [`KafkaError::Retry`]: poll again. Others as for a consumer.
    pub fn poll(&mut self, timeout: Duration, max: usize) -> Result<Vec<Record>, KafkaError> {
        let mut records = Vec::new();
        let mut wait = timeout;
        while records.len() < max {
            match self.next(wait)? {
                Some(record) => {
                    records.push(record);
                    wait = Duration::ZERO;
                }
                None => break,
            }
        }
        Ok(records)
    }

    /// `wait` is how long the broker may hold an answer back while there is nothing new, `look` how often to note how far it has come.
    fn assigned(
        config: &KafkaConfig,
        offsets: &BTreeMap<TopicPartition, i64>,
        wait: Duration,
        look: Option<Duration>,
        isolation: &str,
    ) -> Result<Self, KafkaError> {
        let mut native = config.reading_client()?;
        native
            .set("isolation.level", isolation)
            // Needed by librdkafka to assign partitions; the group is never joined and nothing is committed to it.
            .set("group.id", config.wire_name("reader"))
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", wait.as_millis().to_string());
        if let Some(look) = look {
            native.set("statistics.interval.ms", look.as_millis().to_string());
        }
        let inner = config.quiet_consumer("create reader", &native)?;
        let list = config.wire_offsets("assign", offsets)?;
        inner.assign(&list).map_err(|e| KafkaError::from_native("assign", &e))?;
        Ok(Self { inner, config: config.clone(), topics: TopicNames::new(config) })
    }

    /// Whether everything before `end` was fetched and polled.
    fn has_read(&self, wire_topic: &str, partition: i32, end: i64) -> bool {
        let progress = self.inner.context().progress.of(wire_topic, partition);
        progress.is_some_and(|seen| seen.next_fetch >= end && seen.queued == 0)
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Record>, KafkaError> {
        match self.inner.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => {
                let topic = self.topics.plain(message.topic());
                Ok(Some(record_from(&message, topic)))
            }
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(code) if is_transient(code) => {
                    debug!(%error, "kafka client remark");
                    Ok(None)
                }
                _ => Err(self.config.polled("read", &error)),
            },
        }
    }
}

/// Reads `topic` from `from` to the ends its partitions have now: an iterator over the records, partitions interleaved.
///
/// The ends are the high watermarks at the start; open transactions below them are waited for. Transaction markers and aborted
/// records are stepped over, so the last offset read may be smaller than the end.
///
/// # Errors
/// [`KafkaError::Fatal`] if there is no such topic, [`KafkaError::Unavailable`] if no broker answers.
pub fn read_to_end(config: &KafkaConfig, topic: &str, from: &Start) -> Result<ReadToEnd, KafkaError> {
    let admin = Admin::new(config)?;
    let partitions = partitions_of(&admin, topic)?;
    let starts = start_offsets(&admin, topic, partitions, from)?;
    ReadToEnd::of_partitions(&admin, starts)
}

/// As [`read_to_end`], for one partition from `from` on (`None`: its oldest record).
///
/// # Errors
/// As [`read_to_end`].
pub fn read_partition_to_end(
    config: &KafkaConfig,
    partition: &TopicPartition,
    from: Option<i64>,
) -> Result<ReadToEnd, KafkaError> {
    let starts = BTreeMap::from([(partition.clone(), from.unwrap_or(0))]);
    ReadToEnd::of_partitions(&Admin::new(config)?, starts)
}

/// The offset of the last record before `end` that a reader can see; `None` if there is none. Records of aborted transactions and
/// transaction markers are not seen, so the answer may be well before `end`.
///
/// # Errors
/// As [`read_to_end`].
pub fn last_offset_before(admin: &Admin, partition: &TopicPartition, end: i64) -> Result<Option<i64>, KafkaError> {
    let (low, high) = admin.watermarks(partition)?;
    let end = end.min(high);
    let mut span = 64;
    loop {
        let from = end.saturating_sub(span).max(low);
        let mut last = None;
        for record in ReadToEnd::between(admin, &BTreeMap::from([(partition.clone(), (from, end))]))? {
            last = Some(record?.offset);
        }
        if last.is_some() || from <= low {
            return Ok(last);
        }
        span *= 16;
    }
}

/// Of the records at `offsets`, those that were rolled back with their transaction: their partitions. Open transactions are waited for.
/// A record that retention or compaction has removed counts as committed.
///
/// # Errors
/// As [`read_to_end`].
pub fn rolled_back(admin: &Admin, offsets: &BTreeMap<TopicPartition, i64>) -> Result<Vec<TopicPartition>, KafkaError> {
    let (mut starts, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for (partition, offset) in offsets {
        let (low, high) = admin.watermarks(partition)?;
        if (low..high).contains(offset) {
            starts.insert(partition.clone(), *offset);
            ends.insert(partition.clone(), offset + 1);
        }
    }
    let mut unseen = starts.clone();
    for record in ReadToEnd::open(admin, starts, ends.clone(), COMMITTED)? {
        unseen.remove(&record?.topic_partition());
    }
    ReadToEnd::open(admin, unseen, ends, UNCOMMITTED)?.map(|record| Ok(record?.topic_partition())).collect()
}

/// The records of a bounded read. Made by [`read_to_end`].
pub struct ReadToEnd {
    reader: Option<PartitionReader>,
    open: Vec<Open>,
    /// Where the partition of the last record stands in `open`: records of a partition come in runs.
    at: usize,
    ends: BTreeMap<TopicPartition, i64>,
    deadline: Deadline,
    brokers: String,
}

/// A partition that is not read to its end yet.
struct Open {
    partition: TopicPartition,
    wire_topic: String,
    end: i64,
}

impl Open {
    fn holds(&self, record: &Record) -> bool {
        self.partition.partition == record.partition && *self.partition.topic == *record.topic
    }
}

impl ReadToEnd {
    /// Reads partitions of any topics, each from the given offset on (or its oldest record, if that is later), with one client.
    ///
    /// # Errors
    /// As [`read_to_end`].
    pub fn of_partitions(admin: &Admin, mut starts: BTreeMap<TopicPartition, i64>) -> Result<Self, KafkaError> {
        let mut ends = BTreeMap::new();
        for (partition, start) in &mut starts {
            let (low, high) = admin.watermarks(partition)?;
            *start = (*start).max(low);
            ends.insert(partition.clone(), high);
        }
        Self::open(admin, starts, ends, COMMITTED)
    }

    /// Reads partitions from their first to their second offset, exclusive, which must not be after the high watermark. Where records
    /// were removed, it begins after them.
    ///
    /// # Errors
    /// As [`read_to_end`].
    pub fn between(admin: &Admin, ranges: &BTreeMap<TopicPartition, (i64, i64)>) -> Result<Self, KafkaError> {
        let starts = ranges.iter().map(|(partition, (start, _))| (partition.clone(), *start)).collect();
        let ends = ranges.iter().map(|(partition, (_, end))| (partition.clone(), *end)).collect();
        Self::open(admin, starts, ends, COMMITTED)
    }

    /// As [`ReadToEnd::between`], of one partition.
    ///
    /// # Errors
    /// As [`read_to_end`].
    pub fn bounded(admin: &Admin, partition: &TopicPartition, from: i64, end: i64) -> Result<Self, KafkaError> {
        Self::between(admin, &BTreeMap::from([(partition.clone(), (from, end))]))
    }

    fn open(
        admin: &Admin,
        mut starts: BTreeMap<TopicPartition, i64>,
        ends: BTreeMap<TopicPartition, i64>,
        isolation: &str,
    ) -> Result<Self, KafkaError> {
        starts.retain(|partition, start| *start < ends[partition]);
        let config = admin.config();
        let mut open = Vec::new();
        for partition in starts.keys() {
            let end = ends[partition];
            admin.wait_until_stable(partition, end, STALL)?;
            open.push(Open { partition: partition.clone(), wire_topic: config.wire_name(&partition.topic), end });
        }
        let reader = match open.is_empty() {
            true => None,
            false => Some(PartitionReader::assigned(config, &starts, END_WAIT, Some(LOOK), isolation)?),
        };
        let brokers = config.brokers.clone();
        Ok(Self { reader, open, at: 0, ends, deadline: Deadline::after(STALL), brokers })
    }

    /// The offsets at which the read ends, by partition.
    pub fn ends(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.ends
    }

    /// The end is where the read has come to, not where a broker says that a partition ends: one that has just become the leader, or does
    /// not know yet that it no longer is, may place that end before records which it holds and others have shown
    /// (<https://cwiki.apache.org/confluence/display/KAFKA/KIP-207>).
    fn advance(&mut self) -> Result<Option<Record>, KafkaError> {
        while let Some(reader) = &mut self.reader {
            match reader.next(LOOK)? {
                Some(record) => {
                    self.deadline = Deadline::after(STALL);
                    if !self.open.get(self.at).is_some_and(|open| open.holds(&record)) {
                        let Some(at) = self.open.iter().position(|open| open.holds(&record)) else { continue };
                        self.at = at;
                    }
                    let end = self.open[self.at].end;
                    if record.offset + 1 >= end {
                        self.open.swap_remove(self.at);
                    }
                    if record.offset < end {
                        return Ok(Some(record));
                    }
                }
                None if self.deadline.passed() => {
                    let detail = format!("nothing was read for {} s before the end", STALL.as_secs());
                    return Err(KafkaError::unavailable(&self.brokers, detail));
                }
                None => self.open.retain(|at| !reader.has_read(&at.wire_topic, at.partition.partition, at.end)),
            }
            if self.open.is_empty() {
                self.reader = None;
            }
        }
        Ok(None)
    }
}

impl Iterator for ReadToEnd {
    type Item = Result<Record, KafkaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.reader = None;
        }
        next
    }
}

fn partitions_of(admin: &Admin, topic: &str) -> Result<i32, KafkaError> {
    admin
        .partitions(topic)?
        .ok_or_else(|| KafkaError::fatal("read", format!("there is no topic {topic}, expected an existing one")))
}

fn start_offsets(
    admin: &Admin,
    topic: &str,
    partitions: i32,
    start: &Start,
) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
    let offsets = match start {
        Start::Beginning => (0..partitions).map(|p| (p, 0)).collect(),
        Start::Offsets(given) => (0..partitions).map(|p| (p, given.get(&p).copied().unwrap_or(0))).collect(),
        Start::End => admin.end_offsets(topic)?,
        Start::Time(time) => admin.offsets_for_time(topic, *time)?,
    };
    Ok(offsets.into_iter().map(|(partition, offset)| (TopicPartition::new(topic, partition), offset)).collect())
}
