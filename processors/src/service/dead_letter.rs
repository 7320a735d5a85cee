//! Dead letters as Avro records of the topic's dead letter queue.

use bytes::Bytes;
use vigie_kafka_client::TopicSpec;
use vigie_schemas::TopicConfig;
use vigie_streams::{DeadLetter, DeadLetterEncoder, dead_letter_topic};

use crate::service::record_codec::RecordCodec;

/// Encodes dead letters with a codec.
#[derive(Clone, Debug)]
pub struct AvroDeadLetters<C>(pub C);

impl<C: RecordCodec> DeadLetterEncoder for AvroDeadLetters<C> {
    fn encode(&self, letter: &DeadLetter<'_>) -> Result<Bytes, String> {
        let record = letter.record;
        let value = vigie_schemas::DeadLetter {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_ref().map(|key| key.to_vec()),
            value: record.value.as_ref().map(|value| value.to_vec()),
            stage: letter.stage.to_owned(),
            reason: letter.reason.to_owned(),
            detail: letter.detail.to_owned(),
            failed_at: letter.failed_at,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        };
        let encoded = self.0.encode(&dead_letter_topic(&record.topic), &value.fitting());
        encoded.map(Bytes::from).map_err(|error| error.to_string())
    }

    fn topic(&self, topic: &str, _: i32) -> TopicSpec {
        let TopicConfig { name, partitions, config } = TopicConfig::of_dead_letters(dead_letter_topic(topic));
        TopicSpec { name, partitions, replication: -1, config }
    }
}
