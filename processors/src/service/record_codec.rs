//! How the topologies turn records into bytes and back.

use bytes::Bytes;
use vigie_kafka_client::Record;
use vigie_schemas::{AvroRecord, CodecError, DeadLetterReason, SyncCodec};
use vigie_streams::ProcessorError;

/// Encodes and decodes values of topics, synchronously: the registry's codec in production, a codec of fixed schemas where there is no
/// registry.
pub trait RecordCodec: Clone + Send + Sync + 'static {
    /// Encodes a value for the topic named `topic` (without prefix).
    ///
    /// # Errors
    /// [`CodecError`].
    fn encode<T: AvroRecord>(&self, topic: &str, record: &T) -> Result<Vec<u8>, CodecError>;

    /// Decodes a value.
    ///
    /// # Errors
    /// [`CodecError`]; [`CodecError::is_of_record`] if the bytes are not such a record.
    fn decode<T: AvroRecord>(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

impl RecordCodec for SyncCodec {
    fn encode<T: AvroRecord>(&self, topic: &str, record: &T) -> Result<Vec<u8>, CodecError> {
        Self::encode(self, topic, record)
    }

    fn decode<T: AvroRecord>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        Self::decode(self, bytes)
    }
}

/// Why a record goes to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: DeadLetterReason,
    /// For people. Never text of a post.
    pub(crate) detail: String,
}

/// Most characters of a detail: messages of decoders may repeat the value.
const MAX_DETAIL_CHARS: usize = 300;

impl Rejection {
    pub(crate) fn new(reason: DeadLetterReason, detail: impl ToString) -> Self {
        Self { reason, detail: detail.to_string().chars().take(MAX_DETAIL_CHARS).collect() }
    }

    pub(crate) fn undecodable(detail: impl ToString) -> Self {
        Self::new(DeadLetterReason::Undecodable, detail)
    }

    pub(crate) fn invalid(detail: impl ToString) -> Self {
        Self::new(DeadLetterReason::Invalid, detail)
    }
}

/// Decodes a record's value. The outer error is the registry's, the inner one the record's.
pub(crate) fn decode<T: AvroRecord>(
    codec: &impl RecordCodec,
    record: &Record,
) -> Result<Result<T, Rejection>, ProcessorError> {
    let Some(value) = &record.value else {
        return Ok(Err(Rejection::undecodable("no value, expected an Avro record")));
    };
    match codec.decode(value) {
        Ok(decoded) => Ok(Ok(decoded)),
        Err(error) if error.is_of_record() => Ok(Err(Rejection::undecodable(error))),
        Err(error) => Err(ProcessorError::retry(error)),
    }
}

/// Encodes a record under the subject of `topic`, wherever it is written.
pub(crate) fn encode<T: AvroRecord>(
    codec: &impl RecordCodec,
    topic: &str,
    record: &T,
) -> Result<Bytes, ProcessorError> {
    codec.encode(topic, record).map(Bytes::from).map_err(codec_error)
}

fn codec_error(error: CodecError) -> ProcessorError {
    if error.is_retriable() { ProcessorError::retry(error) } else { ProcessorError::fatal(error) }
}
