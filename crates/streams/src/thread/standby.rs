//! The thread that keeps copies up to date.
//!
//! It leaves as much time to others as it takes itself, so that it never has more than half of a core, and waits while a stream thread
//! restores. What fails here is tried again later, and is of no harm to the tasks that the instance runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use vigie_kafka_client::{Consumer, ConsumerOptions, KafkaError, PartitionReader, Record, TopicPartition};

use super::assignment::{self, Start};
use super::restore;
use super::shared::{Interrupted, Shared};
use crate::standby::Standbys;
use crate::standby::copy::Copy;

/// The longest wait for records, and how soon a shutdown is seen.
const POLL: Duration = Duration::from_millis(100);
/// The most records that are taken at once, which is how long a stream thread may wait for its copy.
const BATCH: usize = 2_000;
/// How often it is looked for tasks to copy, and said how far the copies are.
const LOOK: Duration = Duration::from_secs(1);
/// The longest wait for an answer of the brokers: a shutdown waits for it.
const WAIT: Duration = Duration::from_secs(2);
/// After so long it is tried again to copy what could not be, or has no state yet.
const AGAIN: Duration = Duration::from_secs(5);

struct Updater<'a> {
    shared: &'a Shared<'a>,
    standbys: &'a Standbys,
    reader: PartitionReader,
    /// For committed offsets; outside the group.
    group: Consumer,
    /// What the reader follows.
    followed: Vec<TopicPartition>,
    /// By partition: not to be copied before.
    not_before: BTreeMap<i32, Duration>,
}

/// Keeps copies of what this instance does not run until `stop` says so.
pub(crate) fn run(shared: &Shared<'_>, standbys: &Standbys, stop: &dyn Fn() -> bool) {
    let mut is_failing = false;
    while !stop() {
        match Updater::new(shared, standbys).and_then(|mut updater| updater.follow(stop)) {
            Ok(()) => break,
            Err(Interrupted::Restart(reason)) if is_failing => debug!(reason, "standby copies still wait"),
            Err(Interrupted::Restart(reason)) => warn!(reason, "standby copies wait"),
            // A stream thread finds the same, and it is for the application to stop.
            Err(Interrupted::Fatal(error)) => warn!(%error, "standby copies wait"),
        }
        is_failing = true;
        let until = shared.clock.monotonic() + AGAIN;
        while shared.clock.monotonic() < until && !stop() {
            shared.clock.sleep(POLL);
        }
    }
    for (partition, mut copy) in std::mem::take(&mut standbys.desk().copies) {
        copy.checkpoint();
        shared.metrics.forget_standby(partition);
    }
}

impl<'a> Updater<'a> {
    fn new(shared: &'a Shared<'a>, standbys: &'a Standbys) -> Result<Self, Interrupted> {
        let kafka = &shared.config.kafka;
        let options = ConsumerOptions::new(&shared.config.application_id, Vec::<String>::new());
        Ok(Self {
            shared,
            standbys,
            reader: PartitionReader::following(kafka)?,
            group: Consumer::new(kafka, &options)?,
            followed: Vec::new(),
            not_before: BTreeMap::new(),
        })
    }

    fn follow(&mut self, stop: &dyn Fn() -> bool) -> Result<(), Interrupted> {
        let clock = self.shared.clock;
        let mut next_look = Duration::ZERO;
        while !stop() {
            let mut began = clock.monotonic();
            if self.standbys.is_restoring() {
                clock.sleep(POLL);
                continue;
            }
            if began >= next_look {
                self.look()?;
                next_look = clock.monotonic() + LOOK;
            }
            let records = match self.reader.poll(POLL, BATCH) {
                Ok(records) => records,
                Err(error) if error.is_retriable() => {
                    debug!(%error, "standby copies read again");
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            };
            // A poll that brought less has waited.
            if records.len() < BATCH {
                began = clock.monotonic();
            }
            self.take(records);
            clock.sleep(clock.monotonic().saturating_sub(began));
        }
        Ok(())
    }

    fn take(&mut self, mut records: Vec<Record>) {
        records.sort_by_key(|record| record.partition);
        let mut desk = self.standbys.desk();
        while let Some(partition) = records.last().map(|record| record.partition) {
            let of_partition = records.split_off(records.partition_point(|record| record.partition < partition));
            // A stream thread may have taken it a moment ago.
            let Some(copy) = desk.copies.get_mut(&partition) else { continue };
            match copy.take(of_partition) {
                Ok(taken) => self.shared.metrics.standby_records.inc_by(taken),
                Err(reason) => {
                    warn!(partition, reason, "standby copy dropped");
                    desk.copies.remove(&partition);
                    self.not_before.insert(partition, self.shared.clock.monotonic() + AGAIN);
                }
            }
        }
    }

    /// Makes the copies that are missing, and keeps the books of those that are there.
    fn look(&mut self) -> Result<(), Interrupted> {
        let now = self.shared.clock.monotonic();
        let missing: Vec<i32> = {
            let desk = self.standbys.desk();
            let is_missing =
                |partition: &i32| !desk.claims.contains_key(partition) && !desk.copies.contains_key(partition);
            (0..self.standbys.partitions).filter(is_missing).collect()
        };
        let is_due = |partition: &i32| self.not_before.get(partition).is_none_or(|due| now >= *due);
        let missing: Vec<i32> = missing.into_iter().filter(is_due).collect();
        let inputs =
            |partition: i32| self.shared.topology.sources().map(move |source| TopicPartition::new(source, partition));
        let inputs: Vec<TopicPartition> = missing.into_iter().flat_map(inputs).collect();
        for (partition, start) in assignment::starts(self.shared, &self.group, &inputs, WAIT)? {
            if let Err(reason) = self.copy(partition, start) {
                warn!(partition, reason, "no standby copy of the task for now");
                self.not_before.insert(partition, now + AGAIN);
            }
        }
        self.follow_all()?;
        self.keep_up()?;
        Ok(())
    }

    /// Begins with what is at hand of the task.
    fn copy(&mut self, partition: i32, start: Start) -> Result<(), String> {
        let mut desk = self.standbys.desk();
        // What has no offsets has no state, and no name that would tell it from its successor's.
        if !start.committed {
            desk.without.insert(partition);
            self.not_before.insert(partition, self.shared.clock.monotonic() + AGAIN);
            return Ok(());
        }
        desk.without.remove(&partition);
        if desk.claims.contains_key(&partition) {
            return Ok(());
        }
        let task = assignment::task(self.shared, partition, start.inputs);
        let restoring = restore::from_local(self.shared, task, None).map_err(|interrupted| match interrupted {
            Interrupted::Restart(reason) => reason,
            Interrupted::Fatal(error) => error.to_string(),
        })?;
        let copy = Copy::new(restoring, self.shared.clock.now());
        info!(partition, positions = ?copy.positions().map(|(_, at)| at).collect::<Vec<_>>(), "standby copy begun");
        desk.copies.insert(partition, copy);
        Ok(())
    }

    /// Reads what the copies have not.
    fn follow_all(&mut self) -> Result<(), KafkaError> {
        let desk = self.standbys.desk();
        let positions = desk.copies.values().flat_map(Copy::positions);
        let positions: BTreeMap<TopicPartition, i64> = positions.map(|(log, at)| (log.clone(), at)).collect();
        if !self.followed.iter().eq(positions.keys()) {
            self.reader.follow(&positions)?;
            let gone = self.followed.iter().map(|log| log.partition);
            gone.filter(|partition| !desk.copies.contains_key(partition))
                .for_each(|partition| self.shared.metrics.forget_standby(partition));
            self.followed = positions.into_keys().collect();
        }
        Ok(())
    }

    fn keep_up(&mut self) -> Result<(), KafkaError> {
        let clock = Arc::clone(self.shared.clock);
        let mut due = Vec::new();
        let mut desk = self.standbys.desk();
        for (partition, copy) in &mut desk.copies {
            copy.look(|log, end| self.reader.has_passed(log, end));
            let lags: Option<Vec<i64>> = copy.positions().map(|(log, at)| self.reader.lag(log, at)).collect();
            if let Some(lags) = lags {
                self.shared.metrics.set_standby_lag(*partition, lags.iter().sum());
            }
            if copy.is_due(clock.monotonic()) {
                due.push((*partition, copy.positions().map(|(log, _)| log.clone()).collect::<Vec<_>>()));
            }
        }
        self.shared.metrics.standby_tasks.set(desk.copies.len() as i64);
        drop(desk);
        for (partition, logs) in due {
            let now = clock.now();
            let ends = logs.iter().map(|log| Ok(self.group.watermarks(log, WAIT)?.1));
            let ends = ends.collect::<Result<_, KafkaError>>()?;
            if let Some(copy) = self.standbys.desk().copies.get_mut(&partition) {
                copy.keep_up(ends, now, clock.monotonic());
            }
        }
        Ok(())
    }
}
