//! Restoring a task: its local snapshot, if there is one that fits, then what the changelogs have after it.
//!
//! A restore reads a changelog up to the end that the log has when the restore starts, waiting for transactions that are still open below
//! that end: the previous owner's last commit may have reached the offsets before its markers reach the changelog. Then changelogs and
//! committed offsets are compared: they should tell of the same [commit](crate::mark).

use std::time::Duration;

use tracing::{debug, info};
use vigie_kafka_client::{Admin, KafkaError, ReadToEnd, TopicPartition, rolled_back};

use crate::mark::{self, Agreement, Change, Mark, Rollback, Tail};
use crate::task::StreamTask;
use crate::thread::Shared;

/// After so many records a restore asks whether it should stop, and how long it has been at it.
const LOOK_EVERY: u64 = 10_000;
/// How often a restore says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// What a restore found.
pub(crate) struct Restored {
    /// How many changelog records were read.
    pub(crate) records: u64,
    /// Set if the changelogs and the committed offsets tell of different commits: then what the last one wrote is not in the stores.
    pub(crate) torn: Option<Torn>,
}

/// A commit that is not everywhere.
pub(crate) struct Torn {
    pub(crate) found: String,
    pub(crate) rollback: Option<Rollback>,
    /// By store: what its last commit wrote.
    pub(crate) held: Vec<Vec<Change>>,
}

/// Fills the stores of `task`, whose committed offsets tell of `committed`; `None` if it was told to stop before it was done. `alive` is
/// called now and then.
pub(crate) fn restore(
    shared: &Shared<'_>,
    task: &mut StreamTask,
    committed: Option<&Mark>,
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Option<Restored>, KafkaError> {
    let partition = task.id().partition;
    let logs: Vec<TopicPartition> =
        shared.changelogs.iter().map(|topic| TopicPartition::new(topic, partition)).collect();
    let bounds: Vec<(i64, i64)> = logs.iter().map(|log| shared.admin.watermarks(log)).collect::<Result<_, _>>()?;
    let snapshot = match &shared.state_dir {
        Some(dir) if !logs.is_empty() => dir.load(task, &bounds, shared.metrics),
        _ => None,
    };
    let (mut records, mut tails) = (0, Vec::new());
    for (store, log) in logs.iter().enumerate() {
        let (from, tail) = match &snapshot {
            Some((from, mark)) => (from[store], Tail::after(store, mark.as_ref())),
            None if bounds[store].0 == 0 => (0, Tail::of_whole_log()),
            None => (bounds[store].0, Tail::after(store, None)),
        };
        let Some((read, tail)) = restore_store(shared, task, store, log, (from, tail), stop, alive)? else {
            return Ok(None);
        };
        records += read;
        tails.push(tail);
    }
    let agreement = match mark::compare(&tails, committed) {
        Agreement::Whole => {
            let began = shared.clock.monotonic();
            let agreement = check_outputs(shared.admin, &tails, committed)?;
            let millis = shared.clock.monotonic().saturating_sub(began).as_millis();
            debug!(task = %task.id(), millis, "outputs of the last commit looked at");
            agreement
        }
        torn => torn,
    };
    if let Some(account) = committed.and_then(|committed| mark::account(&tails, committed.commit)) {
        task.restore_account(account);
    }
    let held = tails.into_iter().map(Tail::into_held).collect::<Vec<_>>();
    let torn = match agreement {
        Agreement::Torn { found, rollback } => Some(Torn { found, rollback, held }),
        Agreement::Whole => {
            for (store, changes) in held.into_iter().enumerate() {
                changes.into_iter().for_each(|(key, value)| task.restore_record(store, key, value));
            }
            None
        }
    };
    Ok(Some(Restored { records, torn }))
}

/// Whether what the last commit sent is there.
fn check_outputs(admin: &Admin, tails: &[Tail], committed: Option<&Mark>) -> Result<Agreement, KafkaError> {
    let Some(committed) = committed else { return Ok(Agreement::Whole) };
    for (topic, offsets) in mark::sent(tails, committed.commit).unwrap_or_default().topics {
        let gone = rolled_back(admin, &topic, &offsets)?;
        if !gone.is_empty() {
            let found = format!("partitions {gone:?} of {topic} have rolled commit {} back", committed.commit);
            return Ok(Agreement::Torn { found, rollback: mark::rollback(tails, committed) });
        }
    }
    Ok(Agreement::Whole)
}

fn restore_store(
    shared: &Shared<'_>,
    task: &mut StreamTask,
    store: usize,
    log: &TopicPartition,
    (from, mut tail): (i64, Tail),
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Option<(u64, Tail)>, KafkaError> {
    let began = shared.clock.monotonic();
    let mut say_at = began + SAY_EVERY;
    let read = ReadToEnd::of_partition(shared.admin, log, Some(from))?;
    let end = read.ends().get(&log.partition).copied().unwrap_or(from);
    let mut records = 0;
    for record in read {
        let record = record?;
        if let Some(key) = record.key {
            records += u64::from(key != mark::KEY[..] && key != mark::SENT_KEY[..]);
            let followed = tail.push(key, record.value).map_err(|error| unreadable(log, record.offset, &error))?;
            followed.into_iter().for_each(|(key, value)| task.restore_record(store, key, value));
        }
        if records % LOOK_EVERY == 0 {
            if stop() {
                return Ok(None);
            }
            alive();
            let now = shared.clock.monotonic();
            if now >= say_at {
                say_at = now + SAY_EVERY;
                let (done, of) = (record.offset + 1 - from, end - from);
                let percent = done * 100 / of.max(1);
                info!(task = %task.id(), %log, records, done, of, percent, "store is being restored");
            }
        }
    }
    task.logged_to(store, Some(end));
    shared.metrics.restored.inc_by(records);
    let millis = shared.clock.monotonic().saturating_sub(began).as_millis();
    info!(task = %task.id(), %log, records, from, end, millis, "store restored");
    Ok(Some((records, tail)))
}

fn unreadable(log: &TopicPartition, offset: i64, error: &serde_json::Error) -> KafkaError {
    let detail = format!("the commit mark at {log} offset {offset} cannot be read: {error}");
    KafkaError::Fatal { operation: "restore", detail }
}
