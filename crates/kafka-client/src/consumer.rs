//! A member of a consumer group.
//!
//! ```text
//!              poll() returns Assigned(p)       next poll()
//!   joining ───────────────────────────▶ offered ──────────▶ fetching ─── Records ───▶ the owner
//!                                                               │
//!              next poll(): unassigned                          │ poll() returns Revoked(p): still owned, commit now
//!   joining ◀────────────────────────── leaving ◀───────────────┘ poll() returns Lost(p): owned by another, commit nothing
//! ```
//!
//! librdkafka announces a rebalance inside `poll` and waits until the application calls assign or unassign. That call is held
//! back until the *next* `poll`, so that the owner deals with the event in plain code between two polls, instead of inside a
//! callback: restore state before records arrive, commit a transaction while the partitions are still its own.

pub(crate) mod group;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as NativeError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;
use tracing::debug;

use crate::closing::Closing;
use crate::committed::{self, Committed};
use crate::config::KafkaConfig;
use crate::consumer::group::{GroupContext, Rebalance, RebalanceKind, complete, complete_closing};
use crate::error::{KafkaError, is_transient};
use crate::fetched::{TopicNames, record_from};
use crate::record::{Record, TopicPartition};

/// Where to begin in a partition for which nothing was committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reset {
    /// At the oldest record.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
}

/// How the group shares partitions out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assignor {
    /// `cooperative-sticky`: only partitions that really move are revoked, the others go on. Best where state hangs on a
    /// partition. It spreads the partitions of several topics without regard to their numbers.
    #[default]
    Sticky,
    /// `range`: partition *n* of every topic goes to the same member, which joins need. Each rebalance revokes everything.
    Copartitioned,
}

/// How a [`Consumer`] joins its group.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The group's name, without the prefix.
    pub group_id: String,
    /// The topics to read, without the prefix.
    pub topics: Vec<String>,
    /// Where to begin without a committed offset.
    pub reset: Reset,
    /// How partitions are shared out.
    pub assignor: Assignor,
    /// The most records that one poll returns.
    pub max_records: usize,
    /// A member that is silent for so long is taken for dead.
    pub session_timeout: Duration,
    /// A member that does not poll for so long loses its partitions. Must cover the longest restore.
    pub max_poll_interval: Duration,
}

impl ConsumerOptions {
    /// The defaults for `group_id` reading `topics`.
    pub fn new<T: Into<String>>(group_id: impl Into<String>, topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            group_id: group_id.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            reset: Reset::Earliest,
            assignor: Assignor::Sticky,
            max_records: 1_000,
            session_timeout: Duration::from_secs(10),
            max_poll_interval: Duration::from_secs(600),
        }
    }
}

/// What a poll brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Records, each partition's in offset order.
    Records(Vec<Record>),
    /// Partitions that this member will read from the next poll on. Until then: restore, and [`Consumer::start_at`].
    Assigned(Vec<TopicPartition>),
    /// Partitions that go at the next poll. They are still this member's: commit now.
    Revoked(Vec<TopicPartition>),
    /// Partitions that may already be another member's: drop their work, commit nothing for them.
    Lost(Vec<TopicPartition>),
}

/// A group consumer that reads committed records only and never commits by itself.
pub struct Consumer {
    inner: Closing<Arc<BaseConsumer<GroupContext>>>,
    config: KafkaConfig,
    max_records: usize,
    offered: Option<Rebalance>,
    starts: BTreeMap<TopicPartition, i64>,
    topics: TopicNames,
    deferred: Option<KafkaError>,
}

impl Consumer {
    /// Joins the group. Returns at once; the first polls bring the assignment. Without topics it stays outside: it can be asked for
    /// offsets, and commit them in a transaction while the group has no members.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if librdkafka rejects the settings, [`KafkaError::Unavailable`]
    /// without a token.
    pub fn new(config: &KafkaConfig, options: &ConsumerOptions) -> Result<Self, KafkaError> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let mut native = config.reading_client()?;
        native
            .set("group.id", config.wire_name(&options.group_id))
            .set("group.protocol", "classic")
            .set("enable.auto.offset.store", "false")
            .set("session.timeout.ms", millis(options.session_timeout))
            // Members learn of a rebalance with the next heartbeat, and it waits for the last of them.
            .set("heartbeat.interval.ms", millis((options.session_timeout / 5).min(Duration::from_secs(1))))
            .set("max.poll.interval.ms", millis(options.max_poll_interval.max(options.session_timeout)))
            .set("statistics.interval.ms", "1000")
            .set(
                "auto.offset.reset",
                match options.reset {
                    Reset::Earliest => "earliest",
                    Reset::Latest => "latest",
                },
            )
            .set(
                "partition.assignment.strategy",
                match options.assignor {
                    Assignor::Sticky => "cooperative-sticky",
                    Assignor::Copartitioned => "range",
                },
            );
        let inner: BaseConsumer<GroupContext> = native
            .create_with_context(GroupContext::default())
            .map_err(|e| KafkaError::from_native("create consumer", &e))?;
        let inner = Arc::new(inner);
        config.sign_in(&inner)?;
        let wire: Vec<String> = options.topics.iter().map(|topic| config.wire_name(topic)).collect();
        let wire: Vec<&str> = wire.iter().map(String::as_str).collect();
        if !wire.is_empty() {
            inner.subscribe(&wire).map_err(|e| KafkaError::from_native("subscribe", &e))?;
        }
        Ok(Self {
            inner: Closing::new("consumer", inner),
            config: config.clone(),
            max_records: options.max_records.max(1),
            offered: None,
            starts: BTreeMap::new(),
            topics: TopicNames::new(config),
            deferred: None,
        })
    }

    /// Completes the rebalance that the last poll announced, then waits up to `timeout` for records or the next event.
    ///
    /// Records that come with a `Revoked` event come before it: process them, or leave them for the next owner.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] and [`KafkaError::Unavailable`]: the client goes on by itself, poll again.
    /// [`KafkaError::Fenced`] and [`KafkaError::Restore`]: this consumer is of no more use. [`KafkaError::Fatal`]: give up.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<Event>, KafkaError> {
        self.complete_offered()?;
        if let Some(error) = self.deferred.take() {
            return Err(error);
        }
        let mut records = Vec::new();
        let mut wait = timeout;
        while records.len() < self.max_records && !self.inner.context().has_rebalance() {
            match self.inner.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let topic = self.topics.plain(message.topic());
                    records.push(record_from(&message, topic));
                    wait = Duration::ZERO;
                }
                Some(Err(error)) => match self.judge(&error) {
                    None => wait = Duration::ZERO,
                    Some(error) if records.is_empty() => return Err(error),
                    Some(error) => {
                        self.deferred = Some(error);
                        break;
                    }
                },
            }
        }
        let mut events = Vec::with_capacity(2);
        if !records.is_empty() {
            events.push(Event::Records(records));
        }
        if let Some(rebalance) = self.inner.context().take_rebalance() {
            let partitions = self.plain_partitions(&rebalance.partitions);
            events.push(match rebalance.kind {
                RebalanceKind::Assign => Event::Assigned(partitions),
                RebalanceKind::Revoke => Event::Revoked(partitions),
                RebalanceKind::Lost => Event::Lost(partitions),
            });
            self.offered = Some(rebalance);
        }
        Ok(events)
    }

    /// Begins `partition`, which was just assigned, at `offset` instead of the committed one.
    pub fn start_at(&mut self, partition: TopicPartition, offset: i64) {
        self.starts.insert(partition, offset);
    }

    /// The committed offsets of the group, with what is stored beside them. Waits for pending transactions to end.
    ///
    /// # Errors
    /// If the coordinator does not answer within `timeout`.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
        committed::fetch(&self.inner, &self.config, partitions, timeout)
    }

    /// Commits offsets to the group when the coordinator next can, without waiting and silently about it: for offsets that are
    /// a hint.
    ///
    /// # Errors
    /// If the client is closed.
    pub fn commit_async(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<(), KafkaError> {
        let list = self.config.wire_offsets("commit offsets", offsets)?;
        self.inner.commit(&list, CommitMode::Async).map_err(|e| self.config.reached("commit offsets", &e))
    }

    /// Moves to `offset`: the next poll's records of the partition begin there.
    ///
    /// # Errors
    /// If the partition is not assigned to this member any more.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), KafkaError> {
        let failed = |e| KafkaError::from_native("seek", &e);
        let list = self.config.wire_offsets("seek", [(partition, &offset)])?;
        let moved = self.inner.seek_partitions(list, Duration::from_secs(5)).map_err(failed)?;
        moved.elements().iter().try_for_each(|element| element.error().map_err(failed))
    }

    /// Stops fetching `partitions`; they stay assigned.
    ///
    /// # Errors
    /// If a partition is not assigned to this member.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.inner.pause(&self.config.wire_partitions(partitions)).map_err(|e| KafkaError::from_native("pause", &e))
    }

    /// Fetches `partitions` again.
    ///
    /// # Errors
    /// If a partition is not assigned to this member.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.inner.resume(&self.config.wire_partitions(partitions)).map_err(|e| KafkaError::from_native("resume", &e))
    }

    /// The partitions that this member reads now.
    ///
    /// # Errors
    /// If the client is closed.
    pub fn assignment(&self) -> Result<Vec<TopicPartition>, KafkaError> {
        let list = self.inner.assignment().map_err(|e| KafkaError::from_native("assignment", &e))?;
        Ok(self.plain_partitions(&list))
    }

    /// The next offset to read of each assigned partition, where a record was read.
    ///
    /// # Errors
    /// If the client is closed.
    pub fn position(&self) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        let list = self.inner.position().map_err(|e| KafkaError::from_native("position", &e))?;
        let mut positions = BTreeMap::new();
        for element in list.elements() {
            if let (Offset::Offset(offset), Some(topic)) = (element.offset(), self.config.plain_name(element.topic())) {
                positions.insert(TopicPartition::new(topic, element.partition()), offset);
            }
        }
        Ok(positions)
    }

    /// The oldest offset, and the end of what can be read now (the last stable offset).
    ///
    /// # Errors
    /// If the broker does not answer within `timeout`.
    pub fn watermarks(&self, partition: &TopicPartition, timeout: Duration) -> Result<(i64, i64), KafkaError> {
        self.inner
            .fetch_watermarks(&self.config.wire_name(&partition.topic), partition.partition, timeout)
            .map_err(|e| self.config.reached("fetch watermarks", &e))
    }

    /// How many offsets the owner, having processed everything before `position`, is behind the end; as of the client's last
    /// statistics (each second), without a request. `None` before the first fetch.
    pub fn lag(&self, partition: &TopicPartition, position: i64) -> Option<i64> {
        let wire = self.config.wire_name(&partition.topic);
        Some(self.inner.context().progress(&wire, partition.partition)?.behind(position))
    }

    /// Whether a broker was connected at the client's last statistics (each second).
    pub fn is_connected(&self) -> bool {
        self.inner.context().is_connected()
    }

    /// Whether, at the client's last statistics (each second), the group had settled with this member in it, be it without any
    /// partition: a member that gets none never gets an event that says so.
    pub fn is_member(&self) -> bool {
        self.inner.context().is_member()
    }

    /// Leaves the group. What is not committed by now is left to the next owner.
    pub fn close(self) {
        drop(self);
    }

    /// The member's current credentials for a transactional commit: stale after any rebalance, so taken afresh for each.
    pub(crate) fn group_metadata(&self) -> Result<ConsumerGroupMetadata, KafkaError> {
        self.inner
            .group_metadata()
            .ok_or_else(|| KafkaError::fatal("commit", "the consumer has no group metadata, expected a group id"))
    }

    fn complete_offered(&mut self) -> Result<(), KafkaError> {
        let Some(mut rebalance) = self.offered.take() else { return Ok(()) };
        if rebalance.kind == RebalanceKind::Assign {
            for (partition, offset) in std::mem::take(&mut self.starts) {
                let wire = self.config.wire_name(&partition.topic);
                // Fails for a partition outside this assignment, which then has no use for the offset.
                let set = rebalance.partitions.set_partition_offset(&wire, partition.partition, Offset::Offset(offset));
                if let Err(error) = set {
                    debug!(%error, %partition, "start offset not used");
                }
            }
        } else {
            self.inner.context().forget_progress();
        }
        complete(&self.inner, &rebalance)
            .map_err(|e| KafkaError::Restore { operation: "rebalance", detail: e.to_string() })
    }

    /// `None` for remarks that need no answer.
    fn judge(&self, error: &NativeError) -> Option<KafkaError> {
        match error {
            NativeError::PartitionEOF(_) => None,
            NativeError::MessageConsumption(Code::AllBrokersDown) => {
                Some(KafkaError::unavailable(&self.config.brokers, error.to_string()))
            }
            // A lost connection is mended by the client; a topic that is not there (yet) deserves to be seen.
            NativeError::MessageConsumption(code)
                if is_transient(*code)
                    && !matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) =>
            {
                debug!(%error, "kafka client remark");
                None
            }
            other => Some(self.config.polled("poll", other)),
        }
    }

    fn plain_partitions(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let elements = list.elements();
        elements
            .iter()
            .filter_map(|e| Some(TopicPartition::new(self.config.plain_name(e.topic())?, e.partition())))
            .collect()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.inner.context().close();
        // A rebalance that is neither completed nor handed out would keep the group waiting.
        let pending = self.offered.take().into_iter().chain(self.inner.context().take_rebalance());
        for rebalance in pending.collect::<Vec<_>>() {
            complete_closing(&self.inner, &rebalance);
        }
    }
}
