//! Records that no attempt will ever store, on their way to the dead letter queue.

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_kafka_client::{OutgoingRecord, Publisher, Record};
use vigie_schemas::{Codec, DeadLetterReason, Topic};

use crate::insight::letter;

/// Publishes to `<topic>.dlq`.
pub(crate) struct DeadLetters {
    publisher: Publisher,
    stage: &'static str,
}

impl DeadLetters {
    pub(crate) fn new(publisher: Publisher, stage: &'static str) -> Self {
        Self { publisher, stage }
    }

    /// Returns once the dead letter is committed. After an error it may be there or not: a crash or a broken connection can leave two
    /// copies, never none.
    pub(crate) async fn publish(
        &self,
        codec: &Codec,
        record: &Record,
        reason: DeadLetterReason,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let letter = letter(record, self.stage, reason, detail.to_owned(), now);
        let queue = Topic::from_name(&record.topic).and_then(Topic::dead_letter_queue);
        let queue = queue.unwrap_or_else(|| format!("{}.dlq", record.topic));
        let value = codec.encode(&queue, &letter).await.map_err(|e| e.to_string())?;
        let outgoing = OutgoingRecord {
            topic: queue,
            key: record.key.clone(),
            value: Some(Bytes::from(value)),
            ..Default::default()
        };
        self.publisher.publish(vec![outgoing]).await.map(drop).map_err(|e| e.to_string())
    }
}
