//! Dead letters as Avro records of the topic's dead letter queue.

use bytes::Bytes;
use vigie_streams::{DeadLetter, DeadLetterEncoder, dead_letter_topic};

use crate::service::record_codec::RecordCodec;

/// The largest original value that a dead letter carries: with it the letter must fit where the record itself did (1 MiB by default).
const MAX_VALUE_BYTES: usize = 900 * 1024;

/// Encodes dead letters with a codec. A value that would make the letter larger than brokers take is left out and said to be; it stays
/// where it was, under the letter's topic, partition and offset.
#[derive(Clone, Debug)]
pub struct AvroDeadLetters<C>(pub C);

impl<C: RecordCodec> DeadLetterEncoder for AvroDeadLetters<C> {
    fn encode(&self, letter: &DeadLetter<'_>) -> Result<Bytes, String> {
        let record = letter.record;
        let kept = record.value.as_ref().filter(|value| value.len() <= MAX_VALUE_BYTES);
        let left_out = record.value.as_ref().filter(|_| kept.is_none());
        let detail = match left_out {
            Some(value) => format!("{} (the value of {} bytes is left out)", letter.detail, value.len()),
            None => letter.detail.to_owned(),
        };
        let value = vigie_schemas::DeadLetter {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_ref().map(|key| key.to_vec()),
            value: kept.map(|value| value.to_vec()),
            stage: letter.stage.to_owned(),
            reason: letter.reason.to_owned(),
            detail,
            failed_at: letter.failed_at,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        };
        let encoded = self.0.encode(&dead_letter_topic(&record.topic), &value);
        encoded.map(Bytes::from).map_err(|error| error.to_string())
    }
}
