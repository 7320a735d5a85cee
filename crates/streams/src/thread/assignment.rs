//! From assigned partitions to restored tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};
use vigie_kafka_client::{Committed, Consumer, Reset, TopicPartition};

use super::restore;
use super::shared::{Interrupted, Shared};
use crate::changelog;
use crate::error::{ProcessorError, StreamsError};
use crate::processor::core::TaskId;
use crate::task::mark::Mark;
use crate::task::metadata::Metadata;
use crate::task::restoring::{Restored, Torn};
use crate::task::{InputStart, StreamTask, TaskParts};
use crate::topology::difference;

/// How long the group coordinator may take, with pending transactions that it waits for.
const WAIT: Duration = Duration::from_secs(30);
/// How often, and how far apart, a task's state is read before a disagreement is believed: longer than a broker that was replaced may go on
/// answering.
const LOOKS: u32 = 6;
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(20);

/// Makes and restores a task for each partition number among `partitions`, and sets the consumer to where each begins. Asked to stop, it
/// gives back none: a task that is not restored is never started.
pub(crate) fn make_tasks(
    shared: &Shared<'_>,
    consumer: &mut Consumer,
    partitions: &[TopicPartition],
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Vec<StreamTask>, Interrupted> {
    refuse_growth(shared, partitions)?;
    let began = shared.clock.monotonic();
    let Some(mut tasks) = restored(shared, consumer, partitions, stop, alive)? else { return Ok(Vec::new()) };
    let took = shared.clock.monotonic().saturating_sub(began);
    for task in &mut tasks {
        for (at, position) in task.positions() {
            if let Some(bounds) = &shared.bounds {
                bounds.committed(&at, position);
            }
            consumer.start_at(at, position);
        }
        shared.metrics.restore_seconds.observe(took.as_secs_f64());
        task.save().map_err(Interrupted::Restart)?;
        let started = task.start();
        if let Some(reason) = task.disk_failure() {
            return Err(Interrupted::Restart(reason));
        }
        match started {
            Ok(()) => {}
            Err(ProcessorError::Retry(reason)) => return Err(Interrupted::Restart(reason)),
            Err(ProcessorError::Fatal(reason)) => {
                return Err(Interrupted::Fatal(StreamsError::Processor { task: task.id().to_string(), reason }));
            }
        }
        if let Some(found) = task.distrust() {
            error!(task = %task.id(), found, "the restored state cannot be trusted");
        }
        shared.metrics.set_unaccounted(task);
    }
    Ok(tasks)
}

/// Tasks with their state as of the last whole commit; `None` if it was asked to stop.
pub(crate) fn restored(
    shared: &Shared<'_>,
    consumer: &Consumer,
    partitions: &[TopicPartition],
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Option<Vec<StreamTask>>, Interrupted> {
    let mut tasks = Vec::new();
    let mut left: Vec<TopicPartition> = partitions.to_vec();
    for looks in 1..=LOOKS {
        let mut made = Vec::new();
        let mut committed = BTreeSet::new();
        for (partition, start) in starts(shared, consumer, &left, WAIT)? {
            let mark = Mark::committed(&start.inputs);
            committed.extend(start.committed.then_some(partition));
            made.push((task(shared, partition, start.inputs), mark));
        }
        let Some(restored) = restore::restore(shared, made, stop, alive)? else { return Ok(None) };
        let mut torn = BTreeSet::new();
        for Restored { mut task, records, torn: found } in restored {
            let id = task.id().clone();
            if !committed.contains(&id.partition) && records > 0 {
                let (task, state) = (id.to_string(), place_of_state(shared));
                let sources = shared.topology.sources().map(str::to_owned).collect();
                return Err(Interrupted::Fatal(StreamsError::StateWithoutOffsets { task, records, sources, state }));
            }
            if let Some(found) = found {
                if looks < LOOKS {
                    let found = found.found;
                    warn!(task = %id, found, looks, "state and offsets stand on different commits, looking again");
                    torn.insert(id.partition);
                    continue;
                }
                roll_back(shared, &mut task, found)?;
            }
            tasks.push(task);
        }
        left.retain(|at| torn.contains(&at.partition));
        // A broker that does not know yet that another leads or coordinates then answers from the past.
        if left.is_empty() {
            break;
        }
        if waited(shared, LOOK_AGAIN, stop, alive) {
            return Ok(None);
        }
    }
    Ok(Some(tasks))
}

/// A task without its state.
pub(crate) fn task(shared: &Shared<'_>, partition: i32, inputs: Vec<InputStart>) -> StreamTask {
    StreamTask::new(TaskParts {
        topology: shared.topology,
        partition,
        inputs,
        clock: Arc::clone(shared.clock),
        encoder: Arc::clone(shared.encoder),
        idle_after: shared.config.idle_timeout,
    })
}

/// Leaves the last commit of `task` out.
fn roll_back(shared: &Shared<'_>, task: &mut StreamTask, torn: Torn) -> Result<(), Interrupted> {
    shared.metrics.torn_commits.inc();
    let (id, found) = (task.id().to_string(), torn.found);
    let Some(rollback) = torn.rollback else {
        let error = StreamsError::TornCommit { task: id, found, state: place_of_state(shared) };
        return Err(Interrupted::Fatal(error));
    };
    error!(
        task = id,
        found,
        commit = rollback.to.commit,
        "the brokers have torn a commit, it is rolled back and its records are processed again; what it sent may appear twice"
    );
    task.roll_back(rollback, torn.held);
    Ok(())
}

/// Lets `time` pass; `true` if it was asked to stop meanwhile.
fn waited(shared: &Shared<'_>, time: Duration, stop: &dyn Fn() -> bool, alive: &dyn Fn()) -> bool {
    let until = shared.clock.monotonic() + time;
    while shared.clock.monotonic() < until && !stop() {
        alive();
        shared.clock.sleep(TICK);
    }
    stop()
}

/// Refuses partitions that the sources did not have when the application started, if anything depends on a key's partition.
fn refuse_growth(shared: &Shared<'_>, partitions: &[TopicPartition]) -> Result<(), Interrupted> {
    let keyed = !shared.topology.stores.is_empty() || shared.topology.sources.len() > 1;
    match partitions.iter().find(|at| keyed && at.partition >= shared.partitions) {
        None => Ok(()),
        Some(at) => {
            let (partition, expected) = (at.to_string(), shared.partitions);
            Err(Interrupted::Fatal(StreamsError::SourceGrew { partition, expected, state: place_of_state(shared) }))
        }
    }
}

/// Refuses state that another topology wrote. What was committed before topologies were noted is taken.
fn refuse_change(shared: &Shared<'_>, task: &TaskId, committed: &Committed) -> Result<(), Interrupted> {
    let now = shared.topology.fingerprint();
    match Metadata::parse(&committed.metadata).fingerprint {
        Some(stored) if stored != now => {
            let (task, change) = (task.to_string(), difference(stored, &now));
            Err(Interrupted::Fatal(StreamsError::TopologyChanged { task, change, state: place_of_state(shared) }))
        }
        _ => Ok(()),
    }
}

fn place_of_state(shared: &Shared<'_>) -> String {
    changelog::place_of_state(shared.config, &shared.changelogs)
}

/// Where a task begins.
#[derive(Default)]
pub(crate) struct Start {
    pub(crate) inputs: Vec<InputStart>,
    /// Whether anything was committed before.
    pub(crate) committed: bool,
}

/// Where each partition begins, by partition number. Always a definite offset: what a task commits must include its positions, also
/// before its first record, for it is the offsets by which a zombie is recognised.
pub(crate) fn starts(
    shared: &Shared<'_>,
    consumer: &Consumer,
    partitions: &[TopicPartition],
    wait: Duration,
) -> Result<BTreeMap<i32, Start>, Interrupted> {
    let mut starts: BTreeMap<i32, Start> = BTreeMap::new();
    if partitions.is_empty() {
        return Ok(starts);
    }
    let mut committed = consumer.committed(partitions, wait)?;
    for at in partitions {
        let Some(topic) = shared.topology.sources.iter().find(|topic| ***topic == at.topic) else { continue };
        let task = starts.entry(at.partition).or_default();
        let (offset, metadata) = match (committed.remove(at), shared.config.start_at.get(at)) {
            (Some(committed), _) => {
                refuse_change(shared, &shared.topology.task_id(at.partition), &committed)?;
                task.committed = true;
                (committed.offset, committed.metadata)
            }
            (None, Some(start)) => (*start, String::new()),
            (None, None) => {
                let (low, high) = consumer.watermarks(at, wait)?;
                let offset = match shared.config.auto_offset_reset {
                    Reset::Earliest => low,
                    Reset::Latest => high,
                };
                (offset, String::new())
            }
        };
        let stop = shared.bounds.as_ref().map_or(i64::MAX, |bounds| bounds.stop_of(at));
        task.inputs.push(InputStart { topic: Arc::clone(topic), offset, metadata, stop });
    }
    Ok(starts)
}
