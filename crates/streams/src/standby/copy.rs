//! A copy of a task's stores that follows their changelogs. It is a restore that does not end.

use std::time::Duration;

use tracing::debug;
use vigie_clock::Timestamp;
use vigie_kafka_client::{Record, TopicPartition};

use super::checkpoint::Checkpoints;
use crate::task::StreamTask;
use crate::task::mark::{self, Mark};
use crate::task::restoring::Restoring;

/// How often, and no oftener, a copy looks for how far it is and writes a checkpoint.
const UPKEEP: Duration = Duration::from_secs(10);

pub(crate) struct Copy {
    restoring: Restoring,
    checkpoints: Checkpoints,
    opened: Timestamp,
    /// All that the changelogs had then has been read.
    current: Option<Timestamp>,
    /// Offsets that the changelogs had at a time: reached, they make that time `current`.
    goal: Option<(Timestamp, Vec<i64>)>,
    /// On the monotonic clock.
    upkeep: Duration,
}

impl Copy {
    /// Of what is at hand of a task at `now`, when its changelogs ended where `restoring` says.
    pub(crate) fn new(restoring: Restoring, now: Timestamp) -> Self {
        let standing = restoring.tails.iter().zip(&restoring.from).map(|(tail, from)| (tail.last(), *from));
        Self {
            checkpoints: Checkpoints::new(standing),
            opened: now,
            current: None,
            goal: Some((now, restoring.ends.clone())),
            upkeep: Duration::ZERO,
            restoring,
        }
    }

    /// Each changelog, and the next offset to read of it.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.restoring.logs.iter().zip(self.restoring.from.iter().copied())
    }

    /// Whether it has once come to where its changelogs ended.
    pub(crate) fn is_warm(&self) -> bool {
        self.current.is_some()
    }

    /// Takes records of its changelogs.
    ///
    /// # Errors
    /// Why it is of no more use.
    pub(crate) fn take(&mut self, records: Vec<Record>) -> Result<u64, String> {
        let mut taken = Vec::with_capacity(records.len());
        for record in records {
            let Some(store) = self.restoring.logs.iter().position(|log| *log.topic == *record.topic) else { continue };
            let next = &mut self.restoring.from[store];
            if record.offset < *next {
                return Err(format!("{} goes on at {}, expected {next} or later", record.topic, record.offset));
            }
            *next = record.offset + 1;
            taken.push((store, record));
        }
        self.restoring.task.following(self.restoring.from.clone());
        let before = self.restoring.records;
        for (store, record) in taken {
            if record.key.as_deref() == Some(&mark::KEY[..]) {
                let found: Option<Mark> = record.value.as_deref().and_then(|value| serde_json::from_slice(value).ok());
                found.into_iter().for_each(|mark| self.checkpoints.note(store, mark, record.offset));
            }
            self.restoring.take(store, record).map_err(|error| error.to_string())?;
        }
        self.restoring.task.disk_failure().map_or(Ok(self.restoring.records - before), Err)
    }

    /// Notes the goal as reached if `has_passed` says so of every changelog and end that is still ahead.
    pub(crate) fn look(&mut self, has_passed: impl Fn(&TopicPartition, i64) -> bool) {
        let Some((at, ends)) = &self.goal else { return };
        let is_reached =
            |((log, position), end): ((&TopicPartition, i64), &i64)| position >= *end || has_passed(log, *end);
        if self.positions().zip(ends).all(is_reached) {
            (self.current, self.goal) = (Some(*at), None);
        }
    }

    /// Whether it is time for [`keep_up`](Self::keep_up).
    pub(crate) fn is_due(&self, monotonic: Duration) -> bool {
        monotonic >= self.upkeep
    }

    /// Notes where the changelogs end at `now`, and writes a checkpoint if there is a new one.
    pub(crate) fn keep_up(&mut self, ends: Vec<i64>, now: Timestamp, monotonic: Duration) {
        self.upkeep = monotonic + UPKEEP;
        self.goal.get_or_insert((now, ends));
        self.checkpoint();
    }

    /// What is on disk is said to be as of the last time that all was read, never of later: see [`max_age`](crate::snapshot::max_age).
    pub(crate) fn checkpoint(&mut self) {
        let Some(as_of) = self.current else { return };
        if let Some((mark, from)) = self.checkpoints.take() {
            debug!(task = %self.restoring.task.id(), commit = mark.commit, "checkpoint of a copy");
            self.restoring.task.checkpoint(mark, from, self.restoring.from.clone(), as_of);
        }
    }

    /// Why it cannot become `task`, whose changelogs have the given beginnings and ends.
    pub(crate) fn unfit(
        &self,
        task: &StreamTask,
        logs: &[(i64, i64)],
        now: Timestamp,
        max_age: Duration,
    ) -> Option<String> {
        let own = &self.restoring;
        if own.task.incarnation() != task.incarnation() {
            return Some("state that was recreated since".to_owned());
        }
        if own.from.iter().zip(logs).any(|(position, (low, end))| position < low || position > end) {
            return Some(format!("it is at {:?}, the changelogs have {logs:?}", own.from));
        }
        // Tombstones that it did not read may be gone.
        let as_of = self.current.unwrap_or(self.opened);
        if now.since(as_of) > max_age {
            return Some(format!("it has not come to the ends since {as_of}"));
        }
        own.task.disk_failure()
    }

    /// Becomes `task`, for which it is fit, and whose committed offsets tell of `committed`.
    pub(crate) fn become_task(self, mut task: StreamTask, committed: Option<Mark>) -> Restoring {
        let Restoring { task: copy, logs, from, ends, tails, .. } = self.restoring;
        task.adopt(copy);
        Restoring { task, committed, logs, from, ends, tails, records: 0 }
    }
}
