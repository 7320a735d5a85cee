//! The callbacks of a group member: rebalances are held back until the owner has seen them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as NativeError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tracing::warn;

use crate::progress::{Progress, ProgressBoard};
use crate::quiet::remark;

/// A rebalance that librdkafka announced and that waits for its `assign` or `unassign`.
pub(crate) struct Rebalance {
    pub(crate) kind: RebalanceKind,
    pub(crate) partitions: TopicPartitionList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RebalanceKind {
    Assign,
    Revoke,
    Lost,
}

#[derive(Default)]
pub(crate) struct GroupContext {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// How many there are, for those who ask before every record.
    waiting: AtomicUsize,
    progress: ProgressBoard,
    disconnected: AtomicBool,
    member: AtomicBool,
    closing: AtomicBool,
}

impl GroupContext {
    /// From now on rebalances complete at once: nobody will ask for them.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take_rebalance(&self) -> Option<Rebalance> {
        let next = self.rebalances.lock().pop_front();
        if next.is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        next
    }

    pub(crate) fn has_rebalance(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn progress(&self, wire_topic: &str, partition: i32) -> Option<Progress> {
        self.progress.of(wire_topic, partition)
    }

    /// Whether a broker was connected at the last statistics, or there were none yet.
    pub(crate) fn is_connected(&self) -> bool {
        !self.disconnected.load(Ordering::Relaxed)
    }

    /// Whether the group had settled with this member in it at the last statistics.
    pub(crate) fn is_member(&self) -> bool {
        self.member.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_progress(&self) {
        self.progress.forget();
    }
}

impl ClientContext for GroupContext {
    fn stats(&self, statistics: Statistics) {
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.disconnected.store(!connected, Ordering::Relaxed);
        let member = statistics.cgrp.as_ref().is_some_and(|group| group.join_state == "steady");
        self.member.store(member, Ordering::Relaxed);
        self.progress.update(statistics);
    }

    fn error(&self, error: NativeError, reason: &str) {
        // The poll loop returns the errors that need an answer; these are librdkafka's remarks on the way.
        remark(&error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let kind = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => RebalanceKind::Assign,
            _ if consumer.assignment_lost() => RebalanceKind::Lost,
            _ => RebalanceKind::Revoke,
        };
        let rebalance = Rebalance { kind, partitions: partitions.clone() };
        if self.closing.load(Ordering::SeqCst) {
            complete_closing(consumer, &rebalance);
            return;
        }
        self.rebalances.lock().push_back(rebalance);
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }
}

/// Carries out a rebalance: librdkafka waits for this before the group goes on.
pub(crate) fn complete(consumer: &BaseConsumer<GroupContext>, rebalance: &Rebalance) -> KafkaResult<()> {
    let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
    match (rebalance.kind, cooperative) {
        (RebalanceKind::Assign, true) => consumer.incremental_assign(&rebalance.partitions),
        (RebalanceKind::Assign, false) => consumer.assign(&rebalance.partitions),
        (_, true) => consumer.incremental_unassign(&rebalance.partitions),
        (_, false) => consumer.unassign(),
    }
}

/// As [`complete`], for a consumer that closes: nobody asks any more, but librdkafka closes only once every rebalance is answered, an
/// assignment too. What it does not take in kind, because the group has moved on, is answered by giving everything up.
pub(crate) fn complete_closing(consumer: &BaseConsumer<GroupContext>, rebalance: &Rebalance) {
    if let Err(error) = complete(consumer, rebalance) {
        warn!(%error, "rebalance not completed while closing, everything is given up");
        if let Err(error) = consumer.unassign() {
            warn!(%error, "nothing can be given up while closing");
        }
    }
}
