//! What a replay reads, and the names it uses in Kafka.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use vigie_clock::Timestamp;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, TopicPartition, TopicSpec};
use vigie_schemas::Topic;

/// A post is at most this much older than its arrival says (see the check for `future_timestamp`).
const ARRIVAL_TOLERANCE: Duration = Duration::from_secs(3600);

/// For each partition, where the scan starts and ends.
pub(crate) type Bounds = BTreeMap<TopicPartition, (i64, i64)>;

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

    /// Where posts are restored to from an archive.
    pub(crate) fn posts_topic(&self) -> String {
        format!("replay.{}.posts", self.run_id)
    }

    /// No post of the range arrived earlier.
    pub(crate) fn arrived_since(&self) -> Timestamp {
        self.published.start.saturating_sub(ARRIVAL_TOLERANCE)
    }

    /// For each partition of raw posts, where the scan starts and ends.
    pub(crate) fn bounds(&self) -> Result<Bounds, KafkaError> {
        let admin = Admin::new(&self.kafka)?;
        let topic = Topic::PostsRaw.name();
        let starts = admin.offsets_for_time(topic, self.arrived_since())?;
        let ends = admin.end_offsets(topic)?;
        let bound = |(partition, start): (i32, i64)| {
            let end = ends.get(&partition).copied().unwrap_or(start);
            (TopicPartition::new(topic, partition), (start.min(end), end))
        };
        Ok(starts.into_iter().map(bound).collect())
    }

    pub(crate) fn create_mentions_topic(&self) -> Result<(), KafkaError> {
        self.create(self.mentions_topic(), Topic::PostsMentions, &[("message.timestamp.type", "LogAppendTime")])
    }

    /// Its records keep the times that they had in the topic of raw posts, and must not expire by them.
    pub(crate) fn create_posts_topic(&self) -> Result<(), KafkaError> {
        let config = [("message.timestamp.type", "CreateTime"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        self.create(self.posts_topic(), Topic::PostsRaw, &config)
    }

    fn create(&self, name: String, like: Topic, config: &[(&str, &str)]) -> Result<(), KafkaError> {
        let admin = Admin::new(&self.kafka)?;
        let partitions = admin.partitions(like.name())?.unwrap_or(like.partitions());
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        admin.create_topics(&[TopicSpec { name, partitions, replication: -1, config }]).map(drop)
    }

    pub(crate) fn mention_partitions(&self) -> Result<i32, KafkaError> {
        Ok(Admin::new(&self.kafka)?.partitions(&self.mentions_topic())?.unwrap_or(0))
    }

    pub(crate) fn delete_topics(&self) -> Result<(), KafkaError> {
        Admin::new(&self.kafka)?.delete_topics(&[
            self.mentions_topic(),
            self.posts_topic(),
            // Made by the application, though a replay writes none.
            format!("{}.dlq", self.posts_topic()),
        ])
    }
}
