//! A stream thread: one OS thread that owns one consumer, one transactional producer and the tasks of its partitions.
//!
//! ```text
//!   run():  ┌──▶ session() ── shut down, or bounds reached ──▶ done
//!           │        │
//!           └─ pause ┘ fenced, unknown outcome, broker away: everything is dropped, made anew and restored
//!
//!   session():  poll ─▶ Assigned: restore tasks      ─┐
//!                       Records:  process, punctuate  ├─▶ commit when due ─▶ poll ...
//!                       Revoked:  commit, drop tasks  │
//!                       Lost:     drop tasks         ─┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};
use vigie_clock::SharedClock;
use vigie_kafka_client::{
    Admin, Assignor, Consumer, ConsumerOptions, Event, KafkaError, ProducerOptions, Record, TopicPartition,
    TransactionalProducer,
};

use crate::assignment;
use crate::bounds::Bounds;
use crate::commit::{self, Outcome};
use crate::config::StreamsConfig;
use crate::dead_letter::DeadLetterEncoder;
use crate::error::{ProcessorError, StreamsError};
use crate::metrics::StreamsMetrics;
use crate::state::{AppState, StateBoard};
use crate::task::StreamTask;
use crate::topology::Topology;

/// The longest wait for records: how soon a shutdown is seen.
const POLL: Duration = Duration::from_millis(100);
/// Pauses between attempts grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After so many aborts in a row everything is made anew, in case the client itself is the cause.
const MAX_ABORTS: u32 = 5;
/// How often lag and watermarks are reported.
const REPORT: Duration = Duration::from_secs(1);

/// What all threads of an application share.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a StreamsConfig,
    pub(crate) admin: &'a Admin,
    pub(crate) topology: &'a Topology,
    pub(crate) encoder: &'a Arc<dyn DeadLetterEncoder>,
    pub(crate) clock: &'a SharedClock,
    pub(crate) metrics: &'a StreamsMetrics,
    pub(crate) changelogs: Vec<String>,
    pub(crate) board: StateBoard,
    pub(crate) bounds: Option<Bounds>,
}

/// Why a session ended early.
pub(crate) enum Interrupted {
    /// Make everything anew and go on.
    Restart(String),
    /// Stop the application.
    Fatal(StreamsError),
}

impl From<KafkaError> for Interrupted {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Fatal { .. } => Self::Fatal(StreamsError::Kafka(error)),
            other => Self::Restart(other.to_string()),
        }
    }
}

pub(crate) struct StreamThread<'a> {
    index: usize,
    shared: &'a Shared<'a>,
    stop: &'a (dyn Fn() -> bool + Sync),
    /// Failures since the last commit.
    failures: u32,
}

struct Session {
    consumer: Consumer,
    producer: TransactionalProducer,
    tasks: BTreeMap<i32, StreamTask>,
    next_commit: Duration,
    next_report: Duration,
    joined: bool,
}

impl<'a> StreamThread<'a> {
    pub(crate) fn new(index: usize, shared: &'a Shared<'a>, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { index, shared, stop, failures: 0 }
    }

    pub(crate) fn run(mut self) -> Result<(), StreamsError> {
        self.shared.board.set(self.index, AppState::Starting);
        loop {
            match self.session() {
                Ok(()) => return Ok(()),
                Err(Interrupted::Fatal(error)) => return Err(error),
                Err(Interrupted::Restart(reason)) => {
                    self.failures += 1;
                    self.shared.metrics.restarts.inc();
                    warn!(thread = self.index, reason, failures = self.failures, "stream thread starts afresh");
                    self.degraded(reason);
                    if self.pause_after_failure() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn session(&mut self) -> Result<(), Interrupted> {
        let mut session = self.open()?;
        let ended = self.drive(&mut session);
        let partitions: Vec<TopicPartition> = positions(&session.tasks).into_keys().collect();
        self.forget(&mut session, &partitions);
        ended
    }

    fn drive(&mut self, session: &mut Session) -> Result<(), Interrupted> {
        loop {
            if (self.stop)() || self.shared.bounds.as_ref().is_some_and(Bounds::reached) {
                return self.last_commit(session);
            }
            let now = self.now();
            let wait = session.next_commit.saturating_sub(now).min(POLL);
            match session.consumer.poll(wait) {
                Ok(events) => {
                    for event in events {
                        self.handle(session, event)?;
                    }
                }
                Err(error) if error.is_retriable() => self.degraded(error.to_string()),
                Err(error) => return Err(error.into()),
            }
            if self.commit_is_due(session) {
                self.commit(session)?;
            }
            self.report(session);
        }
    }

    fn open(&self) -> Result<Session, Interrupted> {
        let config = self.shared.config;
        let producer = self.producer()?;
        let mut options = ConsumerOptions::new(&config.application_id, self.shared.topology.sources());
        options.reset = config.auto_offset_reset;
        options.max_records = self.shared.topology.max_batch;
        options.session_timeout = config.session_timeout;
        options.max_poll_interval = config.max_poll_interval;
        options.assignor = match self.shared.topology.sources.len() {
            1 => Assignor::Sticky,
            _ => Assignor::Copartitioned,
        };
        let consumer = Consumer::new(&config.kafka, &options)?;
        let now = self.now();
        let tasks = BTreeMap::new();
        Ok(Session {
            consumer,
            producer,
            tasks,
            next_commit: now + config.commit_interval,
            next_report: now,
            joined: false,
        })
    }

    fn producer(&self) -> Result<TransactionalProducer, KafkaError> {
        let config = self.shared.config;
        let options = ProducerOptions {
            transactional_id: config.transactional_id(self.index),
            transaction_timeout: config.transaction_timeout,
        };
        TransactionalProducer::new(&config.kafka, &options)
    }

    fn last_commit(&mut self, session: &mut Session) -> Result<(), Interrupted> {
        // Without a broker a commit would only hold the shutdown up; its work is left to the next start.
        let committed = match session.consumer.is_connected() {
            true => self.commit(session),
            false => Err(Interrupted::Restart("no broker can be reached".to_owned())),
        };
        match committed {
            Err(Interrupted::Restart(reason)) => {
                warn!(thread = self.index, reason, "last commit failed, its work is left to the next start");
                Ok(())
            }
            other => other,
        }
    }

    fn handle(&mut self, session: &mut Session, event: Event) -> Result<(), Interrupted> {
        match event {
            Event::Records(records) => self.process(session, records),
            Event::Assigned(partitions) => {
                self.shared.metrics.rebalanced("assigned");
                self.shared.board.set(self.index, AppState::Restoring);
                let tasks = assignment::make_tasks(self.shared, &mut session.consumer, &partitions, &self.stop)?;
                self.shared.metrics.tasks.add(tasks.len() as i64);
                for task in &tasks {
                    info!(thread = self.index, task = %task.id(), "task started");
                }
                session.tasks.extend(tasks.into_iter().map(|task| (task.id().partition, task)));
                session.joined = true;
                self.shared.board.set(self.index, AppState::Running);
                Ok(())
            }
            Event::Revoked(partitions) => {
                self.shared.metrics.rebalanced("revoked");
                let committed = self.commit(session);
                self.forget(session, &partitions);
                committed
            }
            Event::Lost(partitions) => {
                self.shared.metrics.rebalanced("lost");
                warn!(
                    thread = self.index,
                    partitions = partitions.len(),
                    "partitions lost, their uncommitted work is dropped"
                );
                self.forget(session, &partitions);
                Ok(())
            }
        }
    }

    fn process(&mut self, session: &mut Session, mut records: Vec<Record>) -> Result<(), Interrupted> {
        // Partitions come interleaved; the larger a task's batch, the better.
        records.sort_by(|a, b| (a.partition, &a.topic).cmp(&(b.partition, &b.topic)));
        for batch in records.chunk_by(|a, b| a.partition == b.partition && a.topic == b.topic) {
            // A partition that was lost or revoked a moment ago.
            let Some(task) = session.tasks.get_mut(&batch[0].partition) else { continue };
            if let Err(error) = task.process(batch) {
                return self.processor_failed(session, batch[0].partition, error);
            }
        }
        Ok(())
    }

    fn commit(&mut self, session: &mut Session) -> Result<(), Interrupted> {
        session.next_commit = self.now() + self.shared.config.commit_interval;
        for (partition, task) in &mut session.tasks {
            if let Err(error) = task.punctuate() {
                let partition = *partition;
                return self.processor_failed(session, partition, error);
            }
        }
        if !session.tasks.values().any(StreamTask::has_staged) {
            return Ok(());
        }
        match commit::commit(self.shared, &session.consumer, &mut session.producer, &mut session.tasks)? {
            Outcome::Committed => {
                self.failures = 0;
                if let Some(bounds) = &self.shared.bounds {
                    for (partition, position) in positions(&session.tasks) {
                        bounds.committed(&partition, position);
                    }
                }
                Ok(())
            }
            Outcome::Aborted(reason) => {
                warn!(thread = self.index, reason, "commit aborted, its work is done again");
                self.rewind(session, reason)?;
                // librdkafka 2.12 may fail the next transaction of a producer that had a record refused.
                session.producer = self.producer()?;
                Ok(())
            }
        }
    }

    fn processor_failed(
        &mut self,
        session: &mut Session,
        partition: i32,
        error: ProcessorError,
    ) -> Result<(), Interrupted> {
        let task = self.shared.topology.task_id(partition).to_string();
        match error {
            ProcessorError::Fatal(reason) => Err(Interrupted::Fatal(StreamsError::Processor { task, reason })),
            ProcessorError::Retry(reason) => {
                warn!(thread = self.index, task, reason, "processor cannot go on for now, its work is done again");
                self.rewind(session, reason)
            }
        }
    }

    /// Drops what is staged and goes back to the last commit, after a pause.
    fn rewind(&mut self, session: &mut Session, reason: String) -> Result<(), Interrupted> {
        if (self.stop)() {
            return Err(Interrupted::Restart(reason));
        }
        self.failures += 1;
        if self.failures.is_multiple_of(MAX_ABORTS) {
            return Err(Interrupted::Restart(reason));
        }
        for task in session.tasks.values_mut() {
            task.aborted();
        }
        for (partition, position) in positions(&session.tasks) {
            // A position that cannot be restored would skip records: then everything is made anew.
            session.consumer.seek(&partition, position)?;
        }
        self.degraded(reason);
        self.pause_after_failure();
        self.shared.board.set(self.index, AppState::Running);
        Ok(())
    }

    /// Drops the tasks of partitions that are no longer this thread's.
    fn forget(&self, session: &mut Session, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.shared.metrics.forget(partition);
            if let Some(task) = session.tasks.remove(&partition.partition) {
                self.shared.metrics.tasks.dec();
                info!(thread = self.index, task = %task.id(), "task closed");
            }
        }
    }

    fn commit_is_due(&self, session: &Session) -> bool {
        let staged: usize = session.tasks.values().map(StreamTask::staged_records).sum();
        self.now() >= session.next_commit || staged >= self.shared.config.max_staged
    }

    fn report(&self, session: &mut Session) {
        let now = self.now();
        if now < session.next_report {
            return;
        }
        session.next_report = now + REPORT;
        for task in session.tasks.values() {
            for (partition, position) in task.positions() {
                if let Some(lag) = session.consumer.lag(&partition, position) {
                    self.shared.metrics.set_lag(&partition, lag);
                }
            }
            if let Some(watermark) = task.watermark() {
                self.shared.metrics.set_watermark(task.id().partition, watermark.as_millis().div_euclid(1000));
            }
        }
        if session.joined || session.consumer.is_member() {
            session.joined = true;
            let state = match session.consumer.is_connected() {
                true => AppState::Running,
                false => AppState::Degraded("no broker can be reached".to_owned()),
            };
            self.shared.board.set(self.index, state);
        }
    }

    fn degraded(&self, reason: String) {
        self.shared.board.set(self.index, AppState::Degraded(reason));
    }

    /// Waits longer the more failures there were; `true` if it was told to stop meanwhile.
    fn pause_after_failure(&self) -> bool {
        let (shortest, longest) = PAUSES;
        let pause = shortest.saturating_mul(1 << self.failures.min(10).saturating_sub(1)).min(longest);
        let until = self.now() + pause;
        while self.now() < until {
            if (self.stop)() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (self.stop)()
    }

    fn now(&self) -> Duration {
        self.shared.clock.monotonic()
    }
}

fn positions(tasks: &BTreeMap<i32, StreamTask>) -> BTreeMap<TopicPartition, i64> {
    tasks.values().flat_map(StreamTask::positions).collect()
}
