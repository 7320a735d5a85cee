//! Values in state stores, as JSON: people can read it, and it takes new fields with a default.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vigie_streams::ProcessorError;

/// Reads a stored value.
pub(crate) fn decode<T: DeserializeOwned>(store: &str, value: Option<Bytes>) -> Result<Option<T>, ProcessorError> {
    let Some(bytes) = value else { return Ok(None) };
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| ProcessorError::fatal(format!("store {store} holds a value that is not readable: {error}")))?;
    Ok(Some(value))
}

/// Writes a value to be stored.
pub(crate) fn encode<T: Serialize>(store: &str, value: &T) -> Result<Bytes, ProcessorError> {
    text(store, value).map(Bytes::from)
}

/// As [`encode`], as text.
pub(crate) fn text<T: Serialize>(store: &str, value: &T) -> Result<String, ProcessorError> {
    serde_json::to_string(value)
        .map_err(|error| ProcessorError::fatal(format!("a value for store {store} is not writable: {error}")))
}
