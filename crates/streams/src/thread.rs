//! A stream thread: one OS thread that owns one consumer, one transactional producer and the tasks of its partitions.
//!
//! ```text
//!   run():  ┌──▶ session() ── shut down, or bounds reached ──▶ done
//!           │        │
//!           └─ pause ┘ fenced, unknown outcome, broker away, stalled: everything is dropped, recreated and restored
//!
//!   session():  poll ─▶ Assigned: restore tasks      ─┐
//!                       Records:  process, punctuate  ├─▶ commit when due ─▶ poll ...
//!                       Revoked:  commit, snapshot,   │
//!                                 drop tasks          │
//!                       Lost:     drop tasks         ─┘
//! ```

pub(crate) mod assignment;
pub(crate) mod bounds;
pub(crate) mod commit;
mod lag;
pub(crate) mod pace;
mod restore;
pub(crate) mod shared;
pub(crate) mod stall;
pub(crate) mod standby;

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{info, warn};
use vigie_kafka_client::{
    Assignor, Consumer, ConsumerOptions, Event, KafkaError, ProducerOptions, Record, TopicPartition,
    TransactionalProducer,
};

use bounds::Bounds;
use commit::Outcome;
use lag::Lags;
use shared::{Interrupted, Shared};
use stall::StallWatch;

use crate::app_state::AppState;
use crate::changelog;
use crate::error::{ProcessorError, StreamsError};
use crate::failpoint::FailPoint;
use crate::snapshot::schedule::Snapshots;
use crate::task::StreamTask;

/// The longest wait for records: how soon a shutdown is seen.
const POLL: Duration = Duration::from_millis(100);
/// Pauses between attempts grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After this many aborts in a row everything is recreated, in case the client itself is the cause.
const MAX_ABORTS: u32 = 5;
/// The longest wait for records while a snapshot is in the making.
const SNAPSHOT_POLL: Duration = Duration::from_millis(2);
/// How often lag and watermarks are reported.
const REPORT: Duration = Duration::from_secs(1);
/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(20);

pub(crate) struct StreamThread<'a> {
    index: usize,
    shared: &'a Shared<'a>,
    stop: &'a (dyn Fn() -> bool + Sync),
    /// Failures since the last commit.
    failures: u32,
}

struct Session<'a> {
    consumer: Consumer,
    producer: TransactionalProducer,
    tasks: BTreeMap<i32, StreamTask>,
    snapshots: Snapshots<'a>,
    /// There is more of a snapshot to write.
    busy: bool,
    stall: StallWatch,
    /// By partition: when the last of its records was written, and when all of them were last processed.
    lags: Lags,
    next_commit: Duration,
    next_report: Duration,
    joined: bool,
}

impl<'a> StreamThread<'a> {
    pub(crate) fn new(index: usize, shared: &'a Shared<'a>, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { index, shared, stop, failures: 0 }
    }

    pub(crate) fn run(mut self) -> Result<(), StreamsError> {
        if self.warm_up()? {
            return Ok(());
        }
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

    /// Waits for the copies of what others run, as long as there are others, so that what the group gives to this thread is at hand; not
    /// longer than a restore may take. `true` if it was asked to stop meanwhile.
    fn warm_up(&self) -> Result<bool, StreamsError> {
        let Some(standbys) = &self.shared.standbys else { return Ok(false) };
        let until = self.now() + self.shared.config.max_poll_interval;
        self.shared.board.set(self.index, AppState::Restoring);
        let mut next_look = Duration::ZERO;
        while !standbys.is_warm() && self.now() < until && !(self.stop)() {
            if self.now() >= next_look {
                next_look = self.now() + REPORT;
                // What is not known is waited for.
                if self.shared.admin.members(&self.shared.config.application_id).is_ok_and(|members| members == 0) {
                    break;
                }
            }
            self.alive();
            self.shared.clock.sleep(TICK);
        }
        // Partitions may have been added in the meantime.
        changelog::refuse_half_grown(self.shared.admin, &self.shared.config.application_id)?;
        Ok((self.stop)())
    }

    fn session(&mut self) -> Result<(), Interrupted> {
        let mut session = self.open()?;
        let ended = self.drive(&mut session);
        if ended.is_ok() {
            session.snapshots.close(session.tasks.values());
            session.snapshots.finish_all();
        }
        let partitions: Vec<TopicPartition> = positions(&session.tasks).into_keys().collect();
        self.forget(&mut session, &partitions);
        // Also what it was given and could not restore.
        if let Some(standbys) = &self.shared.standbys {
            standbys.release(self.index, None);
        }
        ended
    }

    fn drive(&mut self, session: &mut Session<'_>) -> Result<(), Interrupted> {
        loop {
            if (self.stop)() || self.shared.bounds.as_ref().is_some_and(Bounds::reached) {
                return self.last_commit(session);
            }
            self.alive();
            let now = self.now();
            let wait = session.next_commit.saturating_sub(now).min(if session.busy { SNAPSHOT_POLL } else { POLL });
            if let Some(pause) = self.shared.pace.as_ref().and_then(|pace| pace.pause(now)) {
                session.stall.moved(now);
                self.shared.clock.sleep(pause.min(wait));
            } else {
                self.poll(session, wait)?;
            }
            if self.commit_is_due(session) {
                self.commit(session)?;
            }
            session.busy = session.snapshots.step(&session.tasks);
            self.report(session)?;
        }
    }

    fn poll(&mut self, session: &mut Session<'_>, wait: Duration) -> Result<(), Interrupted> {
        match session.consumer.poll(wait) {
            Ok(events) => events.into_iter().try_for_each(|event| self.handle(session, event)),
            Err(error) if error.is_retriable() => {
                self.degraded(error.to_string());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self) -> Result<Session<'a>, Interrupted> {
        let config = self.shared.config;
        let producer = self.producer()?;
        let mut options = ConsumerOptions::new(&config.application_id, self.shared.topology.sources());
        options.reset = config.auto_offset_reset;
        // No batch takes longer than a second of the rate.
        let rate = config.rate.map_or(usize::MAX, |rate| usize::try_from(rate.get()).unwrap_or(usize::MAX));
        options.max_records = self.shared.topology.max_batch.min(rate);
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
            snapshots: Snapshots::new(
                self.shared.state_dir.as_ref().filter(|dir| dir.parts().disk.is_none()),
                self.shared.metrics,
            ),
            busy: false,
            stall: StallWatch::new(config.stall_timeout, now),
            lags: Lags::default(),
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

    fn last_commit(&mut self, session: &mut Session<'_>) -> Result<(), Interrupted> {
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

    fn handle(&mut self, session: &mut Session<'_>, event: Event) -> Result<(), Interrupted> {
        match event {
            Event::Records(_) if self.shared.config.fail_point.as_ref().is_some_and(FailPoint::is_starved) => Ok(()),
            Event::Records(records) => self.process(session, records),
            Event::Assigned(partitions) => {
                self.shared.metrics.rebalanced("assigned");
                self.shared.board.set(self.index, AppState::Restoring);
                let tasks = self.make_tasks(session, &partitions)?;
                self.shared.metrics.tasks.add(tasks.len() as i64);
                for task in &tasks {
                    info!(thread = self.index, task = %task.id(), "task started");
                    session.snapshots.opened(task.id().partition);
                }
                session.tasks.extend(tasks.into_iter().map(|task| (task.id().partition, task)));
                session.joined = true;
                session.stall.moved(self.now());
                self.shared.board.set(self.index, AppState::Running);
                Ok(())
            }
            Event::Revoked(partitions) => {
                self.shared.metrics.rebalanced("revoked");
                let committed = self.commit(session);
                session.snapshots.close(partitions.iter().filter_map(|at| session.tasks.get(&at.partition)));
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

    fn make_tasks(
        &self,
        session: &mut Session<'_>,
        partitions: &[TopicPartition],
    ) -> Result<Vec<StreamTask>, Interrupted> {
        let mut make =
            || assignment::make_tasks(self.shared, &mut session.consumer, partitions, &self.stop, &|| self.alive());
        let Some(standbys) = &self.shared.standbys else { return make() };
        standbys.claim(self.index, partitions.iter().map(|at| at.partition));
        standbys.while_restoring(make)
    }

    fn process(&mut self, session: &mut Session<'_>, mut records: Vec<Record>) -> Result<(), Interrupted> {
        // Partitions come interleaved; the larger a task's batch, the better.
        if let Some(pace) = &self.shared.pace {
            pace.took(records.len(), self.now());
        }
        records.sort_by(|a, b| (a.partition, &a.topic).cmp(&(b.partition, &b.topic)));
        for batch in records.chunk_by(|a, b| a.partition == b.partition && a.topic == b.topic) {
            // A partition that was lost or revoked a moment ago.
            let Some(task) = session.tasks.get_mut(&batch[0].partition) else { continue };
            let processed = task.process(batch);
            self.alive();
            if let Err(error) = processed {
                return self.processor_failed(session, batch[0].partition, error);
            }
            session.lags.processed(batch);
        }
        session.stall.moved(self.now());
        Ok(())
    }

    fn commit(&mut self, session: &mut Session<'_>) -> Result<(), Interrupted> {
        session.next_commit = self.now() + self.shared.config.commit_interval;
        for (partition, task) in &mut session.tasks {
            if let Err(error) = task.punctuate() {
                let partition = *partition;
                return self.processor_failed(session, partition, error);
            }
        }
        if let Some(reason) = session.tasks.values().find_map(StreamTask::disk_failure) {
            return Err(Interrupted::Restart(reason));
        }
        if !session.tasks.values().any(StreamTask::has_staged) {
            // Stamps the state on disk as current, though nothing changed.
            return session.tasks.values_mut().try_for_each(StreamTask::save).map_err(Interrupted::Restart);
        }
        match commit::commit(self.shared, &session.consumer, &mut session.producer, &mut session.tasks)? {
            Outcome::Committed => {
                self.failures = 0;
                session.stall.moved(self.now());
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
        session: &mut Session<'_>,
        partition: i32,
        error: ProcessorError,
    ) -> Result<(), Interrupted> {
        let task = self.shared.topology.task_id(partition).to_string();
        if let Some(reason) = session.tasks.get(&partition).and_then(StreamTask::disk_failure) {
            return Err(Interrupted::Restart(format!("task {task}: {reason}")));
        }
        match error {
            ProcessorError::Fatal(reason) => Err(Interrupted::Fatal(StreamsError::Processor { task, reason })),
            ProcessorError::Retry(reason) => {
                warn!(thread = self.index, task, reason, "processor cannot go on for now, its work is done again");
                self.rewind(session, reason)
            }
        }
    }

    /// Drops what is staged and goes back to the last commit, after a pause.
    fn rewind(&mut self, session: &mut Session<'_>, reason: String) -> Result<(), Interrupted> {
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
            // A position that cannot be restored would skip records: then everything is recreated.
            session.consumer.seek(&partition, position)?;
        }
        self.degraded(reason);
        self.pause_after_failure();
        self.shared.board.set(self.index, AppState::Running);
        Ok(())
    }

    /// Drops the tasks of partitions that are no longer this thread's.
    fn forget(&self, session: &mut Session<'_>, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.shared.metrics.forget(partition);
            session.snapshots.forget(partition.partition);
            session.lags.forget(partition);
            if let Some(task) = session.tasks.remove(&partition.partition) {
                self.shared.metrics.tasks.dec();
                info!(thread = self.index, task = %task.id(), "task closed");
            }
        }
        if let Some(standbys) = &self.shared.standbys {
            standbys.release(self.index, Some(&partitions.iter().map(|at| at.partition).collect()));
        }
    }

    fn commit_is_due(&self, session: &Session) -> bool {
        let staged: usize = session.tasks.values().map(StreamTask::staged_records).sum();
        self.now() >= session.next_commit || staged >= self.shared.config.max_staged
    }

    fn report(&self, session: &mut Session<'_>) -> Result<(), Interrupted> {
        let now = self.now();
        if now < session.next_report {
            return Ok(());
        }
        session.next_report = now + REPORT;
        for task in session.tasks.values() {
            for (partition, position) in task.positions() {
                if let Some(lag) = session.consumer.lag(&partition, position) {
                    let seconds = session.lags.seconds(&partition, lag, self.shared.clock.now());
                    self.shared.metrics.set_lag(&partition, lag, seconds);
                }
            }
            if let Some(bytes) = task.disk_bytes() {
                self.shared.metrics.set_disk_bytes(task.id().partition, bytes);
            }
            if let Some(watermark) = task.watermark() {
                self.shared.metrics.set_watermark(task.id().partition, watermark.as_millis().div_euclid(1000));
            }
        }
        if session.joined || session.consumer.is_member() {
            session.joined = true;
            let distrusted = session.tasks.values().find_map(StreamTask::distrust);
            let state = match (session.consumer.is_connected(), distrusted) {
                (true, None) => AppState::Running,
                (true, Some(found)) => AppState::Degraded(found),
                (false, _) => AppState::Degraded("no broker can be reached".to_owned()),
            };
            self.shared.board.set(self.index, state);
        }
        self.look_for_a_stall(session)
    }

    /// Ends the session if nothing moved for too long although there are records.
    fn look_for_a_stall(&self, session: &mut Session<'_>) -> Result<(), Interrupted> {
        if !session.stall.is_overdue(self.now()) {
            return Ok(());
        }
        let stop_of = |partition: &_| self.shared.bounds.as_ref().map_or(i64::MAX, |bounds| bounds.stop_of(partition));
        let waiting = session.stall.waiting(self.shared.admin, positions(&session.tasks), stop_of);
        // Without a broker to ask there is nothing to start afresh with either.
        if let Ok(Some((partition, position, end))) = waiting {
            self.shared.metrics.stalls.inc();
            let seconds = self.shared.config.stall_timeout.as_secs();
            let reason = format!("stalled: {partition} is at {position} of {end} and nothing moved for {seconds} s");
            return Err(Interrupted::Restart(reason));
        }
        session.stall.moved(self.now());
        Ok(())
    }

    /// Tells the watcher that the thread is not stuck.
    fn alive(&self) {
        self.shared.hearts[self.index].beat(self.shared.clock);
    }

    fn degraded(&self, reason: String) {
        self.shared.board.set(self.index, AppState::Degraded(reason));
    }

    /// Waits longer the more failures there were; `true` if it was asked to stop meanwhile.
    fn pause_after_failure(&self) -> bool {
        let (shortest, longest) = PAUSES;
        let pause = shortest.saturating_mul(1 << self.failures.min(10).saturating_sub(1)).min(longest);
        let until = self.now() + pause;
        while self.now() < until {
            self.alive();
            if (self.stop)() {
                return true;
            }
            self.shared.clock.sleep(TICK);
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
