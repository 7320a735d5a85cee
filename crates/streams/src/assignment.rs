//! From assigned partitions to restored tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vigie_kafka_client::{Consumer, KafkaError, Reset, TopicPartition};

use crate::changelog;
use crate::task::{InputStart, StreamTask, TaskParts};
use crate::thread::Shared;

/// How long the group coordinator may take, with pending transactions that it waits for.
const WAIT: Duration = Duration::from_secs(30);

/// Makes and restores a task for each partition number among `partitions`, and sets the consumer to where each begins.
pub(crate) fn make_tasks(
    shared: &Shared<'_>,
    consumer: &mut Consumer,
    partitions: &[TopicPartition],
    stop: &dyn Fn() -> bool,
) -> Result<Vec<StreamTask>, KafkaError> {
    let starts = starts(shared, consumer, partitions)?;
    let mut tasks = Vec::with_capacity(starts.len());
    for (partition, inputs) in starts {
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
        if !changelog::restore(shared.admin, &shared.changelogs, &mut task, shared.metrics, stop)? {
            // Told to stop: a task that is not restored is never started.
            break;
        }
        let took = shared.clock.monotonic().saturating_sub(began);
        shared.metrics.restore_seconds.observe(took.as_secs_f64());
        task.start();
        tasks.push(task);
    }
    Ok(tasks)
}

/// Where each partition begins, by partition number. Always a definite offset: what a task commits must include its positions, also
/// before its first record, for it is the offsets by which a zombie is told.
fn starts(
    shared: &Shared<'_>,
    consumer: &Consumer,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<i32, Vec<InputStart>>, KafkaError> {
    let mut starts: BTreeMap<i32, Vec<InputStart>> = BTreeMap::new();
    if partitions.is_empty() {
        return Ok(starts);
    }
    let mut committed = consumer.committed(partitions, WAIT)?;
    for at in partitions {
        let Some(topic) = shared.topology.sources.iter().find(|topic| ***topic == at.topic) else { continue };
        let (offset, metadata) = match (committed.remove(at), shared.config.start_at.get(at)) {
            (Some(committed), _) => (committed.offset, committed.metadata),
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
        let start = InputStart { topic: Arc::clone(topic), offset, metadata, stop };
        starts.entry(at.partition).or_default().push(start);
    }
    Ok(starts)
}
