#![doc = include_str!("../README.md")]

mod app;
mod assignment;
mod bounds;
mod changelog;
mod commit;
mod config;
mod dead_letter;
mod error;
#[cfg(feature = "failpoints")]
mod failpoints;
mod metrics;
mod processor;
mod state;
mod store;
mod task;
pub mod testing;
mod thread;
mod topology;
mod watermark;
mod window;

pub use app::StreamsApp;
pub use config::{StreamsConfig, StreamsOptions};
pub use dead_letter::{DeadLetter, DeadLetterEncoder, PlainDeadLetters, dead_letter_topic};
pub use error::{ProcessorError, StreamsError, TopologyError};
pub use processor::{Processor, ProcessorContext, Punctuation};
pub use state::AppState;
pub use store::window::WindowStore;
pub use store::{KeyValueStore, StoreSpec};
pub use topology::{TaskId, Topology, TopologyBuilder};
pub use vigie_kafka_client::{Headers, KafkaConfig, OutgoingRecord, Record, Reset, TopicPartition};
pub use watermark::Watermark;
pub use window::{TumblingWindows, Window};
