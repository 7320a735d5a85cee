//! The commit: one transaction with the outputs, the changelog and the consumed offsets of all tasks of a thread.
//!
//! Everything is staged in memory first, so that a transaction is open only for the moment of its commit, however long a batch took:
//! readers downstream, who wait at an open transaction, wait little, and a crash in a batch leaves none.
//!
//! ```text
//!   begin ─▶ send outputs, changelog ─▶ send offsets ─▶ log where the outputs went ─▶ commit ─▶ the tasks make their staged state real
//!     └──────────┴───────── fails ─────────┴───────────────────┘                        │
//!                 abort: nothing happened, the                                          └ fails: abortable, or else the outcome is unknown:
//!                 work since the last commit is redone                                     drop all, recreate it, read back what happened
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use tracing::error;
use vigie_kafka_client::{Consumer, KafkaError, TransactionalProducer};

use super::shared::{Interrupted, Shared};
use crate::error::StreamsError;
use crate::failpoint::{CommitStep, Fault};
use crate::metrics::StreamsMetrics;
use crate::task::StreamTask;
use crate::task::mark::{self, Sent};

/// How a commit ended, if the thread can go on.
pub(crate) enum Outcome {
    Committed,
    /// Nothing of it happened.
    Aborted(String),
}

/// The last record of a store's changelog in a transaction: the task's partition, the store, the record's place among all sent.
type Logged = (i32, usize, usize);

/// Why a step did not succeed.
enum StepError {
    Kafka(KafkaError),
    Crash,
}

impl From<KafkaError> for StepError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

pub(crate) fn commit(
    shared: &Shared<'_>,
    consumer: &Consumer,
    producer: &mut TransactionalProducer,
    tasks: &mut BTreeMap<i32, StreamTask>,
) -> Result<Outcome, Interrupted> {
    let started = shared.clock.monotonic();
    let error = match transact(shared, consumer, producer, tasks) {
        Ok(last) => {
            for (partition, store, index) in last {
                if let Some(task) = tasks.get_mut(&partition) {
                    // Nobody else writes there: what is below our own last record is known to us.
                    task.logged_to(store, producer.delivered_at(index).map(|offset| offset + 1));
                }
            }
            let settled = settle(shared.metrics, tasks);
            shared.metrics.commit_ended("committed", shared.clock.monotonic().saturating_sub(started));
            return settled.map(|()| Outcome::Committed);
        }
        Err(StepError::Crash) => return Err(Interrupted::Fatal(StreamsError::Crashed)),
        Err(StepError::Kafka(error)) => error,
    };
    let took = shared.clock.monotonic().saturating_sub(started);
    match error {
        KafkaError::Abort { .. } | KafkaError::Retry { .. } | KafkaError::Unavailable { .. } => {
            shared.metrics.commit_ended("aborted", took);
            producer.abort()?;
            Ok(Outcome::Aborted(error.to_string()))
        }
        KafkaError::Fenced { .. } => {
            shared.metrics.commit_ended("fenced", took);
            Err(error.into())
        }
        other => {
            shared.metrics.commit_ended("unknown", took);
            Err(other.into())
        }
    }
}

fn transact(
    shared: &Shared<'_>,
    consumer: &Consumer,
    producer: &mut TransactionalProducer,
    tasks: &BTreeMap<i32, StreamTask>,
) -> Result<Vec<Logged>, StepError> {
    let passed = |step| match shared.config.fail_point.as_ref().and_then(|point| point.ask(step)) {
        None => Ok(true),
        Some(Fault::Omit) => Ok(false),
        Some(Fault::Error(error)) => Err(StepError::Kafka(error)),
        Some(Fault::Crash) => Err(StepError::Crash),
    };
    passed(CommitStep::Process)?;
    producer.begin()?;
    let with_outputs = passed(CommitStep::Begin)?;
    let mut offsets = BTreeMap::new();
    let mut log = Log { changelogs: &shared.changelogs, last: Vec::new() };
    let mut sent = Vec::new();
    for task in tasks.values() {
        let first = producer.sent();
        for output in task.outputs().iter().filter(|_| with_outputs) {
            producer.produce(
                &output.topic,
                output.partition,
                output.key.as_deref(),
                output.value.as_deref(),
                Some(output.timestamp),
                &output.headers,
            )?;
        }
        sent.push(first..producer.sent());
        let mark = task.next_mark();
        if mark.commit != task.mark().commit {
            let value = mark::to_bytes(&mark);
            for (store, _) in mark.stores.iter().enumerate().filter(|(_, commit)| **commit == mark.commit) {
                log.write(producer, task, store, &mark::KEY, Some(&value))?;
            }
        }
        for (store, key, value) in task.changes() {
            log.write(producer, task, store, key, value.map(|value| &value[..]))?;
        }
        offsets.extend(task.offsets());
    }
    if passed(CommitStep::Send)? {
        producer.send_offsets(&offsets, consumer)?;
    }
    if !shared.changelogs.is_empty() && sent.iter().any(|records| !records.is_empty()) {
        // Most is there by now: the offsets took two round trips.
        producer.flush()?;
        for (task, records) in tasks.values().zip(sent).filter(|(_, records)| !records.is_empty()) {
            let value = mark::to_bytes(&where_sent(producer, task, records));
            log.write(producer, task, 0, &mark::SENT_KEY, Some(&value))?;
        }
    }
    // So that all that is left after this step is to ask for the commit.
    producer.flush()?;
    passed(CommitStep::SendOffsets)?;
    producer.commit()?;
    passed(CommitStep::Commit)?;
    Ok(log.last)
}

/// What the transaction writes to changelogs.
struct Log<'a> {
    changelogs: &'a [String],
    last: Vec<Logged>,
}

impl Log<'_> {
    fn write(
        &mut self,
        producer: &mut TransactionalProducer,
        task: &StreamTask,
        store: usize,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), KafkaError> {
        let partition = task.id().partition;
        let logged = (partition, store, producer.sent());
        match self.last.iter_mut().rfind(|same| (same.0, same.1) == (partition, store)) {
            Some(same) => *same = logged,
            None => self.last.push(logged),
        }
        producer.produce(&self.changelogs[store], Some(partition), Some(key), value, None, &[])
    }
}

/// Where the outputs of a task went; `records` are their places among all sent.
fn where_sent(producer: &TransactionalProducer, task: &StreamTask, records: Range<usize>) -> Sent {
    let mut sent = Sent { commit: task.next_mark().commit, ..Sent::default() };
    for (output, index) in task.outputs().iter().zip(records) {
        let Some((partition, offset)) = producer.delivery(index) else { continue };
        sent.topics.entry(output.topic.to_string()).or_default().insert(partition, offset);
    }
    sent
}

/// The tasks make what was committed their state. One that fails at that has to be restored.
fn settle(metrics: &StreamsMetrics, tasks: &mut BTreeMap<i32, StreamTask>) -> Result<(), Interrupted> {
    let mut settled = Ok(());
    for task in tasks.values_mut() {
        metrics.produced(task.outputs());
        let before = task.unaccounted();
        let counts = task.committed();
        metrics.consumed(counts);
        if task.unaccounted() != before {
            let (records, account) = (task.unaccounted(), task.mark().account);
            error!(task = %task.id(), records, ?account, "records are not accounted for, the numbers may be wrong");
        }
        metrics.set_unaccounted(task);
        if let Err(reason) = task.save() {
            settled = Err(Interrupted::Restart(format!("task {}: {reason}", task.id())));
        }
    }
    settled
}
