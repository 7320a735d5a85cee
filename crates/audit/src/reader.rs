//! Reading the topic.

use vigie_clock::Timestamp;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, Record, Start, read_to_end};
use vigie_schemas::{AuditRecord, CodecError, SyncCodec, Topic};

use crate::AuditError;
use crate::chain::{Entry, hash};

pub(crate) const TOPIC: Topic = Topic::Audit;

/// The records from the first that arrived at `from` or later on, to the end. Blocks; not for the runtime's threads.
///
/// # Errors
/// If a server is away, or the topic is not there or has several partitions.
pub fn read(
    kafka: &KafkaConfig,
    codec: SyncCodec,
    from: Option<Timestamp>,
) -> Result<impl Iterator<Item = Result<Entry, AuditError>>, AuditError> {
    let partitions = Admin::new(kafka).and_then(|admin| admin.partitions(TOPIC.name())).map_err(unreadable)?;
    if partitions != Some(1) {
        let found = partitions.unwrap_or(0);
        return Err(AuditError::Unreadable(format!("{} has {found} partitions, expected 1", TOPIC.name())));
    }
    let records = read_to_end(kafka, TOPIC.name(), &from.map_or(Start::Beginning, Start::Time)).map_err(unreadable)?;
    Ok(records.map(move |record| entry(&codec, &record.map_err(unreadable)?)))
}

fn unreadable(error: KafkaError) -> AuditError {
    match error.is_unavailable() {
        true => AuditError::Away(error.to_string()),
        false => AuditError::Unreadable(error.to_string()),
    }
}

/// # Errors
/// If the registry is away: then nobody knows what the record says.
pub(crate) fn entry(codec: &SyncCodec, record: &Record) -> Result<Entry, AuditError> {
    let value = record.value.as_deref().unwrap_or_default();
    let decoded = codec.decode::<AuditRecord>(value);
    if let Err(error @ CodecError::Registry { .. }) = decoded {
        return Err(error.into());
    }
    let decoded = decoded.map_err(|error| error.to_string());
    Ok(Entry { offset: record.offset, hash: hash(value), record: decoded })
}
