//! What a replay reads, and the names it uses in Kafka.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use vigie_clock::Timestamp;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, TopicPartition, TopicSpec};
use vigie_schemas::Topic;

/// A post is at most this much older than its arrival says (see the check for `future_timestamp`).
const ARRIVAL_TOLERANCE: Duration = Duration::from_secs(3600);

/// What a replay reads, and the names it uses in Kafka.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) run_id: String,
    pub(crate) published: Range<Timestamp>,
    pub(crate) kafka: KafkaConfig,
}

impl Plan {
    /// Names the consumer group, the changelog and the transactional ids.
    pub(crate) fn application_id(&self) -> String {
        format!("vigie-replay-{}", self.run_id)
    }

    pub(crate) fn mentions_topic(&self) -> String {
        format!("replay.{}.mentions", self.run_id)
    }

    /// For each partition of raw posts, where the scan starts and ends.
    pub(crate) fn bounds(&self) -> Result<BTreeMap<TopicPartition, (i64, i64)>, KafkaError> {
        let admin = Admin::new(&self.kafka)?;
        let topic = Topic::PostsRaw.name();
        let starts = admin.offsets_for_time(topic, self.published.start.saturating_sub(ARRIVAL_TOLERANCE))?;
        let ends = admin.end_offsets(topic)?;
        let bound = |(partition, start): (i32, i64)| {
            let end = ends.get(&partition).copied().unwrap_or(start);
            (TopicPartition::new(topic, partition), (start.min(end), end))
        };
        Ok(starts.into_iter().map(bound).collect())
    }

    pub(crate) fn create_mentions_topic(&self) -> Result<(), KafkaError> {
        let admin = Admin::new(&self.kafka)?;
        let partitions = admin.partitions(Topic::PostsMentions.name())?.unwrap_or(Topic::PostsMentions.partitions());
        let config = BTreeMap::from([("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())]);
        let spec = TopicSpec { name: self.mentions_topic(), partitions, replication: -1, config };
        admin.create_topics(&[spec]).map(drop)
    }

    pub(crate) fn mention_partitions(&self) -> Result<i32, KafkaError> {
        Ok(Admin::new(&self.kafka)?.partitions(&self.mentions_topic())?.unwrap_or(0))
    }

    pub(crate) fn delete_mentions_topic(&self) -> Result<(), KafkaError> {
        Admin::new(&self.kafka)?.delete_topics(&[self.mentions_topic()])
    }
}
