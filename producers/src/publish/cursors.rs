//! Where each source was left off, from `sources.cursors.v1`.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use tracing::warn;
use vigie_kafka_client::{KafkaConfig, KafkaError, Start, read_to_end};
use vigie_schemas::{Codec, CodecError, Cursor, Topic};

/// The newest cursor of each of the sources `wanted`, wherever it stands: the partition of a source changes with its host and with the number
/// of partitions, and what was written before stays in the old one. Committed ones only; transactions that are open now are waited for.
pub(crate) async fn read_cursors(
    kafka: &KafkaConfig,
    codec: &Codec,
    wanted: HashSet<String>,
) -> Result<HashMap<String, Cursor>, TakeError> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let kafka = kafka.clone();
    let reading = tokio::task::spawn_blocking(move || latest(&kafka, &wanted));
    let latest = reading.await.map_err(|e| TakeError::Failed(e.to_string()))??;
    let mut cursors: HashMap<String, Cursor> = HashMap::new();
    for ((source, _), value) in latest {
        match codec.decode::<Cursor>(&value).await {
            Ok(cursor) if cursors.get(&source).is_some_and(|other| other.updated_at >= cursor.updated_at) => {}
            Ok(cursor) => {
                cursors.insert(source, cursor);
            }
            Err(error) if !error.is_of_record() => return Err(error.into()),
            // Reading the source from the start is better than not reading it; downstream drops what it has seen.
            Err(error) => warn!(source, %error, "cursor unreadable, the source is read from the start"),
        }
    }
    Ok(cursors)
}

/// The last value of each source in each partition.
fn latest(kafka: &KafkaConfig, wanted: &HashSet<String>) -> Result<BTreeMap<(String, i32), Bytes>, KafkaError> {
    let mut latest = BTreeMap::new();
    for record in read_to_end(kafka, Topic::SourcesCursors.name(), &Start::Beginning)? {
        let record = record?;
        let Some(source) = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()) else { continue };
        if !wanted.contains(source) {
            continue;
        }
        let place = (source.to_owned(), record.partition);
        match record.value {
            Some(value) => latest.insert(place, value),
            None => latest.remove(&place),
        };
    }
    Ok(latest)
}

/// Why sources could not be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("no longer a member of the group")]
    NotAMember,
    #[error("reading cursors: {0}")]
    Failed(String),
}
