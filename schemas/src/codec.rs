//! Records to bytes and back, by way of the schema registry.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::types::Value;
use parking_lot::Mutex;
use schema_registry_converter::async_impl::avro::{AvroDecoder, AvroEncoder};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::SubjectNameStrategy;
use tokio::runtime::Handle;

use crate::catalogue::Topic;
use crate::error::CodecError;
use crate::records::AvroRecord;
use crate::registry::{RegistryConfig, supplied, unavailable};

/// Encodes and decodes the values of topics. Clones share one cache of schemas.
#[derive(Clone)]
pub struct Codec {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    topic_prefix: String,
    encoder: AvroEncoder,
    decoder: AvroDecoder,
    strategies: Mutex<HashMap<String, Arc<SubjectNameStrategy>>>,
    readers: Mutex<HashMap<(&'static str, u32), Reader>>,
}

/// How a record type reads what was written with one schema.
#[derive(Clone)]
enum Reader {
    /// The writer's schema is the type's own.
    Same,
    /// The value is resolved to the type's schema first.
    Resolve(Arc<Schema>),
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("registry", &self.inner.url).finish_non_exhaustive()
    }
}

impl Codec {
    /// A codec over the registry, once that answers. `topic_prefix` goes before every topic name.
    ///
    /// # Errors
    /// [`CodecError::Registry`] if the registry does not answer.
    pub async fn connect(config: &RegistryConfig, topic_prefix: &str) -> Result<Self, CodecError> {
        let access = config.access()?;
        access.probe().await?;
        Ok(Self::new(config, &access.settings()?, topic_prefix))
    }

    fn new(config: &RegistryConfig, settings: &SrSettings, topic_prefix: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                url: config.schema_registry_url.clone(),
                topic_prefix: topic_prefix.to_owned(),
                encoder: AvroEncoder::new(settings.clone()),
                decoder: AvroDecoder::new(settings.clone()),
                strategies: Mutex::default(),
                readers: Mutex::default(),
            }),
        }
    }

    /// Encodes a value for the topic named `topic` (without prefix). The schema is registered under the topic's subject if it is not
    /// there yet; the registry refuses one that breaks compatibility.
    ///
    /// # Errors
    /// [`CodecError`].
    pub async fn encode<T: AvroRecord>(&self, topic: &str, record: &T) -> Result<Vec<u8>, CodecError> {
        let strategy = self.strategy(topic, T::SCHEMA);
        let encoded = self.inner.encoder.encode_struct(record, &strategy).await;
        self.encoded(short_name::<T>(), encoded)
    }

    /// Encodes a value of `topic` given as JSON, as [`decode_json`](Self::decode_json) returns it. Fields that have a default may be missing.
    ///
    /// # Errors
    /// [`CodecError`].
    pub async fn encode_json(&self, topic: Topic, record: serde_json::Value) -> Result<Vec<u8>, CodecError> {
        let expected = topic.name();
        let schema = Schema::parse_str(topic.schema());
        let value = schema.and_then(|schema| to_avro(record).resolve(&schema));
        let value = value.map_err(|e| CodecError::Invalid { expected, detail: e.to_string() })?;
        let strategy = self.strategy(topic.name(), topic.schema());
        let encoded = self.inner.encoder.encode_value(value, &strategy).await;
        self.encoded(expected, encoded)
    }

    fn encoded(&self, expected: &'static str, encoded: Result<Vec<u8>, SRCError>) -> Result<Vec<u8>, CodecError> {
        encoded.map_err(|e| {
            self.inner.encoder.remove_errors_from_cache();
            self.error(expected, &e)
        })
    }

    /// Decodes a value that was written with any compatible version of the type's schema.
    ///
    /// # Errors
    /// [`CodecError`].
    pub async fn decode<T: AvroRecord>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        let expected = short_name::<T>();
        let (value, reader) = self.read::<T>(bytes).await?;
        let invalid = |e: apache_avro::Error| CodecError::Invalid { expected, detail: e.to_string() };
        let value = match reader {
            Reader::Same => value,
            Reader::Resolve(schema) => value.resolve(&schema).map_err(invalid)?,
        };
        apache_avro::from_value(&value).map_err(invalid)
    }

    /// Decodes a value of any schema, for people to read. Avro bytes become arrays of numbers.
    ///
    /// # Errors
    /// [`CodecError`].
    pub async fn decode_json(&self, bytes: &[u8]) -> Result<serde_json::Value, CodecError> {
        let expected = "Avro";
        let decoded = self.inner.decoder.decode(Some(bytes)).await.map_err(|e| {
            self.inner.decoder.remove_errors_from_cache();
            self.error(expected, &e)
        })?;
        serde_json::Value::try_from(decoded.value).map_err(|e| CodecError::Invalid { expected, detail: e.to_string() })
    }

    async fn read<T: AvroRecord>(&self, bytes: &[u8]) -> Result<(Value, Reader), CodecError> {
        let expected = short_name::<T>();
        if bytes.len() < 5 || bytes[0] != 0 {
            let detail = format!("{} bytes without the schema registry's header", bytes.len());
            return Err(CodecError::Invalid { expected, detail });
        }
        let id = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let decoded = self.inner.decoder.decode_with_schema(Some(bytes)).await.map_err(|e| {
            self.inner.decoder.remove_errors_from_cache();
            self.error(expected, &e)
        })?;
        let Some(decoded) = decoded else {
            return Err(CodecError::Invalid { expected, detail: "no value".to_owned() });
        };
        let mut readers = self.inner.readers.lock();
        let reader = match readers.get(&(expected, id)) {
            Some(reader) => reader.clone(),
            None => {
                let own = Schema::parse_str(T::SCHEMA)
                    .map_err(|e| CodecError::Invalid { expected, detail: e.to_string() })?;
                let reader = if decoded.schema.parsed == own { Reader::Same } else { Reader::Resolve(Arc::new(own)) };
                readers.insert((expected, id), reader.clone());
                reader
            }
        };
        Ok((decoded.value, reader))
    }

    fn strategy(&self, topic: &str, schema: &'static str) -> Arc<SubjectNameStrategy> {
        let mut strategies = self.inner.strategies.lock();
        if let Some(strategy) = strategies.get(topic) {
            return Arc::clone(strategy);
        }
        let name = format!("{}{topic}", self.inner.topic_prefix);
        let strategy = Arc::new(SubjectNameStrategy::TopicNameStrategyWithSchema(name, false, supplied(schema)));
        strategies.insert(topic.to_owned(), Arc::clone(&strategy));
        strategy
    }

    fn error(&self, expected: &'static str, error: &SRCError) -> CodecError {
        let detail = match &error.cause {
            Some(cause) => format!("{}: {cause}", error.error),
            None => error.error.clone(),
        };
        if error.retriable { unavailable(&self.inner.url, &detail) } else { CodecError::Invalid { expected, detail } }
    }

    /// The same codec for threads that are not part of the async runtime.
    pub fn sync(self, handle: Handle) -> SyncCodec {
        SyncCodec { codec: self, handle }
    }
}

/// A [`Codec`] for synchronous code on threads of its own. Clones share one cache of schemas.
///
/// Its functions must not be called from async code: they would block the runtime.
#[derive(Clone, Debug)]
pub struct SyncCodec {
    codec: Codec,
    handle: Handle,
}

impl SyncCodec {
    /// As [`Codec::encode`].
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn encode<T: AvroRecord>(&self, topic: &str, record: &T) -> Result<Vec<u8>, CodecError> {
        self.handle.block_on(self.codec.encode(topic, record))
    }

    /// As [`Codec::decode`].
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode<T: AvroRecord>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        self.handle.block_on(self.codec.decode(bytes))
    }
}

/// As Avro sees it before a schema gives it types. Numbers of JSON carry no type, which apache-avro's own conversion would give them.
fn to_avro(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Boolean(is),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Double(number.as_f64().unwrap_or(f64::NAN)), Value::Long)
        }
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(to_avro).collect()),
        Json::Object(fields) => Value::Map(fields.into_iter().map(|(name, value)| (name, to_avro(value))).collect()),
    }
}

fn short_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    full.rsplit("::").next().unwrap_or(full)
}
