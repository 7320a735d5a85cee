#![doc = include_str!("../README.md")]

mod app;
mod app_state;
mod changelog;
mod config;
mod error;
pub mod failpoint;
mod growth;
mod metrics;
mod processor;
mod snapshot;
mod standby;
mod store;
mod task;
pub mod testing;
mod thread;
mod topology;

pub use app::StreamsApp;
pub use app_state::AppState;
pub use config::{StateBackend, StreamsConfig, StreamsOptions};
pub use error::{ProcessorError, StreamsError, TopologyError};
pub use growth::{Growth, Owner};
pub use processor::account::Outcome;
pub use processor::core::TaskId;
pub use processor::dead_letter::{DeadLetter, DeadLetterEncoder, PlainDeadLetters, dead_letter_topic};
pub use processor::per_record::{ErrorPolicy, PerRecord, RecordError};
pub use processor::punctuation::{Every, Punctuation};
pub use processor::watermark::Watermark;
pub use processor::window::{TumblingWindows, Window};
pub use processor::{Processor, ProcessorContext};
pub use store::index::IndexKeys;
pub use store::slice::Slice;
pub use store::window::WindowStore;
pub use store::{KeyValueStore, StoreSpec};
pub use topology::{Topology, TopologyBuilder, TopologyDescription, changelog_topic};
pub use vigie_kafka_client::{Headers, KafkaConfig, OutgoingRecord, Record, Reset, TopicPartition};
