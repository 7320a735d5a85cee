//! How the topologies turn records into bytes and back.

use vigie_schemas::{AvroRecord, CodecError, SyncCodec};
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
    /// [`CodecError`]: retriable if the registry is away, else the bytes are not such a record.
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
