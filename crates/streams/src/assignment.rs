//! From assigned partitions to restored tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vigie_kafka_client::{Committed, Consumer, Reset, TopicPartition};

use crate::error::StreamsError;
use crate::metadata::Metadata;
use crate::restore;
use crate::task::{InputStart, StreamTask, TaskParts};
use crate::thread::{Interrupted, Shared};
use crate::topology::{TaskId, difference};

/// How long the group coordinator may take, with pending transactions that it waits for.
const WAIT: Duration = Duration::from_secs(30);

/// Makes and restores a task for each partition number among `partitions`, and sets the consumer to where each begins.
pub(crate) fn make_tasks(
    shared: &Shared<'_>,
    consumer: &mut Consumer,
    partitions: &[TopicPartition],
    stop: &dyn Fn() -> bool,
    alive: &dyn Fn(),
) -> Result<Vec<StreamTask>, Interrupted> {
    refuse_growth(shared, partitions)?;
    let starts = starts(shared, consumer, partitions)?;
    let mut tasks = Vec::with_capacity(starts.len());
    for (partition, Start { inputs, committed }) in starts {
        for input in &inputs {
            let at = TopicPartition::new(&*input.topic, partition);
            if let Some(bounds) = &shared.bounds {
                bounds.committed(&at, input.offset);
            }
            consumer.start_at(at, input.offset);
        }
        let mut task = StreamTask::new(TaskParts {
            topology: shared.topology,
            partition,
            inputs,
            clock: Arc::clone(shared.clock),
            encoder: Arc::clone(shared.encoder),
            idle_after: shared.config.idle_timeout,
        });
        let began = shared.clock.monotonic();
        // Told to stop: a task that is not restored is never started.
        let Some(records) = restore::restore(shared, &mut task, stop, alive)? else { break };
        if !committed && records > 0 {
            let sources = shared.topology.sources().map(str::to_owned).collect();
            let task = task.id().to_string();
            return Err(Interrupted::Fatal(StreamsError::StateWithoutOffsets { task, records, sources }));
        }
        let took = shared.clock.monotonic().saturating_sub(began);
        shared.metrics.restore_seconds.observe(took.as_secs_f64());
        task.start();
        tasks.push(task);
    }
    Ok(tasks)
}

/// Refuses partitions that the sources did not have when the application started, if anything depends on a key's partition.
fn refuse_growth(shared: &Shared<'_>, partitions: &[TopicPartition]) -> Result<(), Interrupted> {
    let keyed = !shared.topology.stores.is_empty() || shared.topology.sources.len() > 1;
    match partitions.iter().find(|at| keyed && at.partition >= shared.partitions) {
        None => Ok(()),
        Some(at) => {
            let (partition, expected) = (at.to_string(), shared.partitions);
            Err(Interrupted::Fatal(StreamsError::SourceGrew { partition, expected }))
        }
    }
}

/// Refuses state that another topology wrote. What was committed before topologies were noted is taken.
fn refuse_change(shared: &Shared<'_>, task: &TaskId, committed: &Committed) -> Result<(), Interrupted> {
    let now = shared.topology.fingerprint();
    match Metadata::parse(&committed.metadata).fingerprint {
        Some(stored) if stored != now => {
            let (task, change) = (task.to_string(), difference(stored, &now));
            Err(Interrupted::Fatal(StreamsError::TopologyChanged { task, change }))
        }
        _ => Ok(()),
    }
}

/// Where a task begins.
#[derive(Default)]
struct Start {
    inputs: Vec<InputStart>,
    /// Whether anything was committed before.
    committed: bool,
}

/// Where each partition begins, by partition number. Always a definite offset: what a task commits must include its positions, also
/// before its first record, for it is the offsets by which a zombie is told.
fn starts(
    shared: &Shared<'_>,
    consumer: &Consumer,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<i32, Start>, Interrupted> {
    let mut starts: BTreeMap<i32, Start> = BTreeMap::new();
    if partitions.is_empty() {
        return Ok(starts);
    }
    let mut committed = consumer.committed(partitions, WAIT)?;
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
                let (low, high) = consumer.watermarks(at, WAIT)?;
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
