//! From librdkafka's messages to records.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use vigie_clock::Timestamp;

use crate::config::KafkaConfig;
use crate::record::Record;

/// The plain names of wire topics, so that records share them.
pub(crate) struct TopicNames {
    config: KafkaConfig,
    names: HashMap<String, Arc<str>>,
    last: Option<(String, Arc<str>)>,
}

impl TopicNames {
    pub(crate) fn new(config: &KafkaConfig) -> Self {
        Self { config: config.clone(), names: HashMap::new(), last: None }
    }

    pub(crate) fn plain(&mut self, wire: &str) -> Arc<str> {
        if let Some((last, plain)) = &self.last
            && last == wire
        {
            return Arc::clone(plain);
        }
        let plain = match self.names.get(wire) {
            Some(plain) => Arc::clone(plain),
            None => {
                let plain: Arc<str> = self.config.plain_name(wire).unwrap_or(wire).into();
                self.names.insert(wire.to_owned(), Arc::clone(&plain));
                plain
            }
        };
        self.last = Some((wire.to_owned(), Arc::clone(&plain)));
        plain
    }
}

pub(crate) fn record_from(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Record {
    let headers = match message.headers() {
        None => Vec::new(),
        Some(headers) => {
            headers.iter().map(|h| (h.key.to_owned(), Bytes::copy_from_slice(h.value.unwrap_or_default()))).collect()
        }
    };
    Record {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers,
    }
}
