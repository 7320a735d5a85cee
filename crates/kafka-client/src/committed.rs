//! Committed offsets of a group.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::topic_partition_list::Offset;
use tracing::debug;

use crate::config::KafkaConfig;
use crate::deadline::Deadline;
use crate::error::KafkaError;
use crate::record::TopicPartition;

/// How long a coordinator that cannot answer is left alone.
const AGAIN: Duration = Duration::from_millis(100);

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// What was stored beside it.
    pub metadata: String,
}

/// The committed offsets of `group`, which is not joined, with what is stored beside them. Waits for pending transactions to end.
///
/// # Errors
/// If no coordinator answers within `timeout`; until then it is asked again.
pub fn committed_offsets(
    config: &KafkaConfig,
    group: &str,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
    let mut native = config.client()?;
    native.set("group.id", config.wire_name(group)).set("isolation.level", "read_committed");
    let client = config.quiet_consumer("fetch committed offsets", &native)?;
    let deadline = Deadline::after(timeout);
    loop {
        match fetch(&client, config, partitions, deadline.remaining()) {
            // A coordinator that is being elected, or whose topic is being made on a new cluster.
            Err(error) if error.is_retriable() && !deadline.passed() => {
                debug!(%error, "committed offsets asked for again");
                std::thread::sleep(AGAIN);
            }
            outcome => return outcome,
        }
    }
}

/// As [`committed_offsets`], of the group that `client` is for.
pub(crate) fn fetch<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    config: &KafkaConfig,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
    let failed = |e: &rdkafka::error::KafkaError| config.reached("fetch committed offsets", e);
    let list = client.committed_offsets(config.wire_partitions(partitions), timeout).map_err(|e| failed(&e))?;
    let mut committed = BTreeMap::new();
    for element in list.elements() {
        element.error().map_err(|e| failed(&e))?;
        if let (Offset::Offset(offset), Some(topic)) = (element.offset(), config.plain_name(element.topic())) {
            let found = Committed { offset, metadata: element.metadata().to_owned() };
            committed.insert(TopicPartition::new(topic, element.partition()), found);
        }
    }
    Ok(committed)
}
