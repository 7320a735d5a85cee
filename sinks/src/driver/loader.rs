//! Where to go on: what the store says, held against what the topic still has.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{debug, error, info, warn};
use vigie_kafka_client::{Admin, KafkaError, TopicPartition};

use crate::driver::metrics::Metrics;
use crate::driver::writer::Writer;
use crate::sink::{Offsets, Sink, Start};

/// Oldest offset and end of each partition.
type Watermarks = BTreeMap<TopicPartition, (i64, i64)>;

/// Loads the offsets of `partitions` and repeats until it has them all; the store holds each of them afterwards.
pub(crate) async fn load<S: Sink>(writer: &Writer<S>, admin: &Arc<Admin>, partitions: Vec<TopicPartition>) -> Offsets {
    let mut trouble = writer.trouble("offsets");
    loop {
        match attempt(writer, admin, &partitions).await {
            Ok(offsets) => {
                trouble.over();
                let sink = writer.sink.name();
                info!(sink, partitions = offsets.len(), "offsets loaded");
                debug!(sink, offsets = ?loggable(&offsets), "offsets loaded");
                return offsets;
            }
            Err(detail) => trouble.wait(&detail).await,
        }
    }
}

async fn attempt<S: Sink>(
    writer: &Writer<S>,
    admin: &Arc<Admin>,
    partitions: &[TopicPartition],
) -> Result<Offsets, String> {
    let sink = &writer.sink;
    let mut stored = sink.load(partitions).await.map_err(|e| e.to_string())?;
    let watermarks = watermarks(admin, partitions.to_vec()).await?;
    let corrections = Corrections::of(&stored, &watermarks);
    let missing = partitions.iter().filter(|at| !stored.contains_key(at));
    let unknown: Vec<TopicPartition> = missing.chain(&corrections.restart).cloned().collect();
    let starts = match sink.start() {
        Start::Beginning => lowest(&unknown, &watermarks),
        Start::Since(ago) => starts_since(admin, unknown, writer.clock.now().saturating_sub(ago)).await?,
    };
    corrections.report(sink.name(), &stored, &writer.metrics);
    let starts = starts.into_iter().chain(corrections.skip);
    let (replaced, claimed): (Offsets, Offsets) = starts.partition(|(at, _)| stored.contains_key(at));
    for (starts, replace) in [(replaced, true), (claimed, false)] {
        if !starts.is_empty() {
            stored.extend(sink.claim(&starts, replace).await.map_err(|e| e.to_string())?);
        }
    }
    match partitions.iter().find(|at| !stored.contains_key(at)) {
        Some(at) => Err(format!("no offset to start {at} from")),
        None => Ok(stored),
    }
}

/// Stored offsets that the topics no longer know.
struct Corrections {
    /// Stored below the oldest record: go on there.
    skip: Offsets,
    /// Stored beyond the end: the topic is another one than it was.
    restart: Vec<TopicPartition>,
}

impl Corrections {
    fn of(stored: &Offsets, watermarks: &Watermarks) -> Self {
        let mut corrections = Self { skip: Offsets::new(), restart: Vec::new() };
        for (partition, &next) in stored {
            match watermarks.get(partition) {
                Some(&(low, _)) if next < low => drop(corrections.skip.insert(partition.clone(), low)),
                Some(&(_, high)) if next > high => corrections.restart.push(partition.clone()),
                _ => {}
            }
        }
        corrections
    }

    fn report(&self, sink: &'static str, stored: &Offsets, metrics: &Metrics) {
        for (partition, &oldest) in &self.skip {
            let lost = oldest - stored.get(partition).copied().unwrap_or(oldest);
            error!(sink, %partition, oldest, lost, "records expired before they were read");
            metrics.expired.inc_by(lost.unsigned_abs());
        }
        for partition in &self.restart {
            warn!(sink, %partition, stored = ?stored.get(partition), "stored offset is beyond the end: the topic was recreated");
        }
    }
}

fn lowest(partitions: &[TopicPartition], watermarks: &Watermarks) -> Offsets {
    partitions.iter().filter_map(|at| Some((at.clone(), watermarks.get(at)?.0))).collect()
}

async fn watermarks(admin: &Arc<Admin>, partitions: Vec<TopicPartition>) -> Result<Watermarks, String> {
    blocking(admin, move |admin| partitions.into_iter().map(|at| Ok((at.clone(), admin.watermarks(&at)?))).collect())
        .await
}

async fn starts_since(
    admin: &Arc<Admin>,
    partitions: Vec<TopicPartition>,
    since: vigie_clock::Timestamp,
) -> Result<Offsets, String> {
    blocking(admin, move |admin| {
        let mut by_topic: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        let mut starts = Offsets::new();
        for at in partitions {
            let offsets = match by_topic.entry(at.topic.clone()) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(admin.offsets_for_time(&at.topic, since)?)
                }
            };
            if let Some(&offset) = offsets.get(&at.partition) {
                starts.insert(at, offset);
            }
        }
        Ok(starts)
    })
    .await
}

/// Kafka's admin client blocks: not on a thread of the async runtime.
async fn blocking<T: Send + 'static>(
    admin: &Arc<Admin>,
    work: impl FnOnce(&Admin) -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, String> {
    let admin = Arc::clone(admin);
    match tokio::task::spawn_blocking(move || work(&admin)).await {
        Ok(outcome) => outcome.map_err(|e| e.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    }
}

fn loggable(offsets: &Offsets) -> Vec<String> {
    offsets.iter().map(|(at, next)| format!("{at}@{next}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_offsets_that_the_topic_no_longer_knows_are_corrected() {
        let at = |partition| TopicPartition::new("t", partition);
        let stored = Offsets::from([(at(0), 5), (at(1), 5), (at(2), 5), (at(3), 5)]);
        let watermarks = Watermarks::from([(at(0), (0, 5)), (at(1), (7, 9)), (at(2), (0, 4)), (at(3), (5, 5))]);
        let corrections = Corrections::of(&stored, &watermarks);
        assert_eq!(corrections.skip, Offsets::from([(at(1), 7)]), "expired");
        assert_eq!(corrections.restart, [at(2)], "recreated");
    }
}
