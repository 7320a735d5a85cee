//! When a stream thread writes the snapshots of its tasks.
//!
//! ```text
//!            due, and changed              all copied                written, or failed
//!   IDLE ───────────────────▶ WALKING ──────────────▶ WRITING ─────────────────────────▶ IDLE
//!                    step(): a block between two polls    on the writer's thread
//! ```
//!
//! One task of a thread walks at a time. What the thread itself does is bounded: it copies at most one block between two polls, and never
//! waits for the disk, except when tasks are closed, and then not past a deadline.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use tracing::{debug, info};
use vigie_clock::Timestamp;

use super::StateDir;
use super::walk::{Progress, Walk};
use super::writer::Writer;
use crate::metrics::StreamsMetrics;
use crate::task::StreamTask;
use crate::task::header::is_stale;

/// The longest that closing tasks waits for the disk.
const CLOSE: Duration = Duration::from_secs(3);

/// The longest that a writer which gave up is waited for.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The snapshots of one stream thread.
pub(crate) struct Snapshots<'a> {
    dir: Option<&'a StateDir>,
    metrics: &'a StreamsMetrics,
    tasks: BTreeMap<i32, Schedule>,
    /// Of tasks that were closed.
    finishing: Vec<Writing>,
}

struct Schedule {
    /// On the monotonic clock.
    due: Duration,
    /// What the last good snapshot holds, by store, and when it was written.
    saved: Option<(Vec<i64>, Timestamp)>,
    phase: Phase,
}

enum Phase {
    Idle,
    Walking { walk: Walk, began: Duration, at: Timestamp },
    Writing(Writing),
}

/// A snapshot that only the disk has to do with yet.
struct Writing {
    writer: Writer,
    holds: Vec<i64>,
    began: Duration,
    at: Timestamp,
}

impl<'a> Snapshots<'a> {
    pub(crate) fn new(dir: Option<&'a StateDir>, metrics: &'a StreamsMetrics) -> Self {
        Self { dir, metrics, tasks: BTreeMap::new(), finishing: Vec::new() }
    }

    /// A task was restored.
    pub(crate) fn opened(&mut self, partition: i32) {
        let Some(dir) = self.dir else { return };
        let due = dir.parts.clock.monotonic() + dir.parts.interval;
        self.tasks.insert(partition, Schedule { due, saved: None, phase: Phase::Idle });
    }

    /// Does the next bit of work; `true` if there is more of it at once.
    pub(crate) fn step(&mut self, tasks: &BTreeMap<i32, StreamTask>) -> bool {
        let Some(dir) = self.dir else { return false };
        let now = dir.parts.clock.monotonic();
        self.finish(Duration::ZERO);
        let mut walking = self.tasks.values().any(|schedule| matches!(schedule.phase, Phase::Walking { .. }));
        let mut more = false;
        for (partition, schedule) in &mut self.tasks {
            let Some(task) = tasks.get(partition) else { continue };
            match std::mem::replace(&mut schedule.phase, Phase::Idle) {
                Phase::Idle if walking || now < schedule.due || !schedule.is_wanted(dir, task) => {}
                Phase::Idle => {
                    schedule.due = now + dir.parts.interval;
                    schedule.phase = begin(dir, task, self.metrics);
                    (walking, more) = (true, true);
                }
                Phase::Walking { mut walk, began, at } => match (walk.step(task), task.logged()) {
                    (Progress::Done, Some(holds)) => {
                        schedule.phase = Phase::Writing(Writing { writer: walk.into_writer(), holds, began, at });
                    }
                    (going @ (Progress::Going | Progress::Waiting), _) => {
                        // While the disk is behind there is no hurry.
                        more |= going == Progress::Going;
                        self.metrics.snapshot_paused(dir.parts.clock.monotonic().saturating_sub(now));
                        schedule.phase = Phase::Walking { walk, began, at };
                    }
                    (Progress::Failed | Progress::Done, _) => {
                        let writing = Writing { writer: walk.into_writer(), holds: Vec::new(), began, at };
                        // Its thread is ending: a moment more, and it says why.
                        settle(dir, self.metrics, writing, now + LAST_WORDS);
                    }
                },
                Phase::Writing(writing) if writing.writer.is_finished() => {
                    schedule.saved = settle(dir, self.metrics, writing, now).or_else(|| schedule.saved.take());
                }
                writing @ Phase::Writing(_) => schedule.phase = writing,
            }
        }
        more
    }

    /// `tasks` go: what changed since their last snapshots is saved. It takes no longer than [`CLOSE`] for all of them together.
    pub(crate) fn close<'t>(&mut self, tasks: impl Iterator<Item = &'t StreamTask>) {
        let Some(dir) = self.dir else { return };
        let deadline = dir.parts.clock.monotonic() + CLOSE;
        tasks.for_each(|task| self.close_task(dir, task, deadline));
    }

    fn close_task(&mut self, dir: &StateDir, task: &StreamTask, deadline: Duration) {
        let Some(schedule) = self.tasks.remove(&task.id().partition) else { return };
        // One that is on its way must not come after the one that follows.
        let saved = match schedule.phase {
            Phase::Writing(writing) => settle(dir, self.metrics, writing, deadline).or(schedule.saved),
            _ => schedule.saved,
        };
        let schedule = Schedule { due: deadline, saved, phase: Phase::Idle };
        if !schedule.is_wanted(dir, task) {
            return;
        }
        let Phase::Walking { mut walk, began, at } = begin(dir, task, self.metrics) else { return };
        loop {
            match walk.step(task) {
                Progress::Going => {}
                Progress::Waiting if dir.parts.clock.monotonic() < deadline => {
                    thread::sleep(Duration::from_millis(2));
                }
                Progress::Waiting => {
                    self.metrics.snapshot_ended("abandoned");
                    return;
                }
                Progress::Done | Progress::Failed => break,
            }
        }
        let holds = task.logged().unwrap_or_default();
        self.finishing.push(Writing { writer: walk.into_writer(), holds, began, at });
    }

    /// Drops what concerns a task that is another's now.
    pub(crate) fn forget(&mut self, partition: i32) {
        self.tasks.remove(&partition);
    }

    /// Waits for the snapshots of closed tasks, for as long as a close may take.
    pub(crate) fn finish_all(&mut self) {
        self.finish(CLOSE);
    }

    fn finish(&mut self, patience: Duration) {
        let Some(dir) = self.dir else { return };
        let until = dir.parts.clock.monotonic() + patience;
        for writing in std::mem::take(&mut self.finishing) {
            if writing.writer.is_finished() || !patience.is_zero() {
                settle(dir, self.metrics, writing, until);
            } else {
                self.finishing.push(writing);
            }
        }
    }
}

impl Schedule {
    fn is_wanted(&self, dir: &StateDir, task: &StreamTask) -> bool {
        match (&self.saved, task.logged()) {
            (_, None) => false,
            (None, Some(holds)) => !holds.is_empty(),
            (Some((saved, at)), Some(holds)) => {
                *saved != holds || is_stale(*at, dir.parts.clock.now(), dir.parts.max_age)
            }
        }
    }
}

/// The phase of a task whose snapshot begins.
fn begin(dir: &StateDir, task: &StreamTask, metrics: &StreamsMetrics) -> Phase {
    let Some(from) = task.logged() else { return Phase::Idle };
    match dir.begin(task, &from) {
        Ok(writer) => {
            Phase::Walking { walk: Walk::new(writer), began: dir.parts.clock.monotonic(), at: dir.parts.clock.now() }
        }
        Err(error) => {
            metrics.snapshot_ended("failed");
            dir.failed(&error);
            Phase::Idle
        }
    }
}

/// Waits for the writer until `until`, and says what became of it: what the snapshot holds, and of when it is.
fn settle(
    dir: &StateDir,
    metrics: &StreamsMetrics,
    writing: Writing,
    until: Duration,
) -> Option<(Vec<i64>, Timestamp)> {
    let Writing { writer, holds, began, at } = writing;
    match writer.outcome(&dir.parts.clock, until) {
        Some(Ok(bytes)) if bytes > 0 => {
            let took = dir.parts.clock.monotonic().saturating_sub(began);
            debug!(bytes, millis = took.as_millis(), "snapshot written");
            metrics.snapshot_written(bytes, took);
            dir.succeeded();
            Some((holds, at))
        }
        Some(Err(error)) => {
            metrics.snapshot_ended("failed");
            dir.failed(&error);
            None
        }
        outcome => {
            metrics.snapshot_ended("abandoned");
            info!(given_up = outcome.is_none(), "snapshot abandoned");
            None
        }
    }
}
