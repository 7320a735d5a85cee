//! Restoring the tasks of an assignment: of each its local snapshot, if there is one that fits, then what the changelogs have after it.
//!
//! A restore reads the changelogs up to the ends that they have when it starts, all of them with one client, waiting for transactions that
//! are still open below those ends: the previous owner's last commit may have reached the offsets before its markers reach the changelog.
//! Then changelogs and committed offsets are compared: they should stand on the same [commit](crate::task::mark).

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{debug, info, warn};
use vigie_kafka_client::{KafkaError, ReadToEnd, TopicPartition, rolled_back};

use super::shared::{Interrupted, Shared};
use crate::task::StreamTask;
use crate::task::mark::{Mark, Tail};
use crate::task::restoring::{Restored, Restoring};

/// After this many records a restore asks whether it should stop, and how long it has been at it.
const LOOK_EVERY: u64 = 10_000;
/// How often a restore says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// Fills the stores of tasks, each given with the commit that its committed offsets stand on; `None` if it was asked to stop before it was done. `alive`
/// is called now and then.
pub(crate) fn restore(
    shared: &Shared<'_>,
    tasks: Vec<(StreamTask, Option<Mark>)>,
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Option<Vec<Restored>>, Interrupted> {
    let mut restoring = Vec::new();
    for (task, committed) in tasks {
        restoring.push(begin(shared, task, committed)?);
    }
    if !read_changelogs(shared, &mut restoring, stop, alive)? {
        return Ok(None);
    }
    let began = shared.clock.monotonic();
    // One client for each task: tasks that send to the same partition stand at different offsets of it.
    let gone = std::thread::scope(|scope| {
        let looks: Vec<_> = restoring
            .iter()
            .map(Restoring::sent)
            .map(|sent| scope.spawn(move || rolled_back(shared.admin, &sent)))
            .collect();
        let found = looks.into_iter().map(|look| look.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        found.collect::<Result<Vec<_>, KafkaError>>()
    })?;
    let millis = shared.clock.monotonic().saturating_sub(began).as_millis();
    debug!(millis, "outputs of the last commits looked at");
    Ok(Some(restoring.into_iter().zip(gone).map(|(task, gone)| task.finish(&gone)).collect()))
}

/// Takes the copy that there is, or else the local state.
fn begin(shared: &Shared<'_>, task: StreamTask, committed: Option<Mark>) -> Result<Restoring, Interrupted> {
    let Some((standbys, copy)) =
        shared.standbys.as_ref().and_then(|standbys| Some((standbys, standbys.take(task.id().partition)?)))
    else {
        return from_local(shared, task, committed);
    };
    let bounds = bounds(shared, copy.positions().map(|(log, _)| log))?;
    if let Some(reason) = copy.unfit(&task, &bounds, shared.clock.now(), standbys.max_age) {
        warn!(task = %task.id(), reason, "standby copy not used");
        drop(copy);
        return from_local(shared, task, committed);
    }
    shared.metrics.standby_handovers.inc();
    Ok(copy.become_task(task, committed))
}

/// Takes the local state that there is.
pub(super) fn from_local(
    shared: &Shared<'_>,
    mut task: StreamTask,
    committed: Option<Mark>,
) -> Result<Restoring, Interrupted> {
    let number = task.id().partition;
    let logs: Vec<_> = shared.changelogs.iter().map(|topic| TopicPartition::new(topic, number)).collect();
    let bounds = bounds(shared, &logs)?;
    let ends = bounds.iter().map(|(_, end)| *end).collect();
    let local = match &shared.state_dir {
        Some(dir) if !logs.is_empty() => dir.restore_point(&mut task, &bounds, shared.metrics),
        _ => Ok(None),
    };
    let local = local.map_err(Interrupted::Restart)?;
    let (mut from, mut tails) = (Vec::new(), Vec::new());
    for (store, (low, _)) in bounds.into_iter().enumerate() {
        let (start, tail) = match &local {
            Some((from, mark)) => (from[store], Tail::after(store, mark.as_ref())),
            None if low == 0 => (0, Tail::of_whole_log()),
            None => (low, Tail::after(store, None)),
        };
        from.push(start);
        tails.push(tail);
    }
    Ok(Restoring { task, committed, logs, from, ends, tails, records: 0 })
}

/// The beginnings and ends of changelogs.
fn bounds<'l>(
    shared: &Shared<'_>,
    logs: impl IntoIterator<Item = &'l TopicPartition>,
) -> Result<Vec<(i64, i64)>, KafkaError> {
    logs.into_iter().map(|log| shared.admin.watermarks(log)).collect()
}

/// Reads the changelogs to their ends; `false` if it was asked to stop before that.
fn read_changelogs(
    shared: &Shared<'_>,
    tasks: &mut [Restoring],
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<bool, KafkaError> {
    let began = shared.clock.monotonic();
    let mut say_at = began + SAY_EVERY;
    let starts: BTreeMap<TopicPartition, i64> =
        tasks.iter().flat_map(|task| task.logs.iter().cloned().zip(task.from.iter().copied())).collect();
    let read = ReadToEnd::of_partitions(shared.admin, starts)?;
    let ends = read.ends().clone();
    for restoring in tasks.iter_mut() {
        let ends =
            restoring.logs.iter().zip(&restoring.from).map(|(log, from)| ends.get(log).copied().unwrap_or(*from));
        restoring.task.restoring(ends.collect());
    }
    let mut records: u64 = 0;
    // Records of a partition come in runs.
    let (mut task, mut store) = (0, 0);
    for record in read {
        let record = record?;
        let is = |log: &TopicPartition| log.partition == record.partition && *log.topic == *record.topic;
        if !is(&tasks[task].logs[store]) {
            let place = |(task, restoring): (usize, &Restoring)| Some((task, restoring.logs.iter().position(is)?));
            let Some(found) = tasks.iter().enumerate().find_map(place) else { continue };
            (task, store) = found;
        }
        tasks[task].take(store, record)?;
        records += 1;
        if records.is_multiple_of(LOOK_EVERY) {
            if stop() {
                return Ok(false);
            }
            alive();
            let now = shared.clock.monotonic();
            if now >= say_at {
                say_at = now + SAY_EVERY;
                info!(tasks = tasks.len(), records, "stores are being restored");
            }
        }
    }
    let millis = shared.clock.monotonic().saturating_sub(began).as_millis();
    for restoring in tasks {
        for (store, log) in restoring.logs.iter().enumerate() {
            restoring.task.logged_to(store, ends.get(log).copied());
            debug!(task = %restoring.task.id(), %log, from = restoring.from[store], end = ends.get(log), "store restored");
        }
        shared.metrics.restored.inc_by(restoring.records);
        info!(task = %restoring.task.id(), records = restoring.records, millis, "task restored");
    }
    Ok(true)
}
