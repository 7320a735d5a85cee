//! The topics of the catalogue, for the tests in `src/` too.

use vigie_kafka_client::{Admin, KafkaConfig, TopicSpec};
use vigie_schemas::Topic;

/// Creates all topics, each on one broker.
pub(crate) async fn create_topics(kafka: &KafkaConfig) {
    let kafka = kafka.clone();
    let create = move || {
        let specs = Topic::ALL.into_iter().flat_map(Topic::configs).map(|topic| TopicSpec {
            name: topic.name,
            partitions: topic.partitions,
            replication: 1,
            config: topic.config,
        });
        Admin::new(&kafka).unwrap().create_topics(&specs.collect::<Vec<_>>()).unwrap()
    };
    tokio::task::spawn_blocking(create).await.unwrap();
}
