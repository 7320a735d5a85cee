//! Restoring a task: its local snapshot, if there is one that fits, then what the changelogs have after it.
//!
//! A restore reads a changelog up to the end that the log has when the restore starts, waiting for transactions that are still open below
//! that end: the previous owner's last commit may have reached the offsets before its markers reach the changelog.

use std::time::Duration;

use tracing::info;
use vigie_kafka_client::{KafkaError, ReadToEnd, TopicPartition};

use crate::task::StreamTask;
use crate::thread::Shared;

/// After so many records a restore asks whether it should stop, and how long it has been at it.
const LOOK_EVERY: u64 = 10_000;
/// How often a restore says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// Fills the stores of `task`: how many changelog records that took, or `None` if it was told to stop before it was done. `alive` is called
/// now and then.
pub(crate) fn restore(
    shared: &Shared<'_>,
    task: &mut StreamTask,
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Option<u64>, KafkaError> {
    let partition = task.id().partition;
    let logs: Vec<TopicPartition> =
        shared.changelogs.iter().map(|topic| TopicPartition::new(topic, partition)).collect();
    let bounds: Vec<(i64, i64)> = logs.iter().map(|log| shared.admin.watermarks(log)).collect::<Result<_, _>>()?;
    let snapshot = match &shared.state_dir {
        Some(dir) if !logs.is_empty() => dir.load(task, &bounds, shared.metrics),
        _ => None,
    };
    let mut restored = 0;
    for (store, log) in logs.iter().enumerate() {
        let from = snapshot.as_ref().map_or(bounds[store].0, |from| from[store]);
        let Some(records) = restore_store(shared, task, store, log, from, stop, alive)? else { return Ok(None) };
        restored += records;
    }
    Ok(Some(restored))
}

fn restore_store(
    shared: &Shared<'_>,
    task: &mut StreamTask,
    store: usize,
    log: &TopicPartition,
    from: i64,
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Option<u64>, KafkaError> {
    let began = shared.clock.monotonic();
    let mut say_at = began + SAY_EVERY;
    let read = ReadToEnd::of_partition(shared.admin, log, Some(from))?;
    let end = read.ends().get(&log.partition).copied().unwrap_or(from);
    let mut records = 0;
    for record in read {
        let record = record?;
        if let Some(key) = record.key {
            task.restore_record(store, key, record.value);
            records += 1;
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
    Ok(Some(records))
}
