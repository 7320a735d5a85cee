#![doc = include_str!("../README.md")]

mod account;
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
mod lag;
mod mark;
mod metadata;
mod metrics;
mod per_record;
mod processor;
mod punctuation;
mod restore;
mod snapshot;
mod stall;
mod state;
mod store;
mod task;
pub mod testing;
mod thread;
mod topology;
mod watermark;
mod window;

pub use account::Outcome;
pub use app::StreamsApp;
pub use config::{StreamsConfig, StreamsOptions};
pub use dead_letter::{DeadLetter, DeadLetterEncoder, PlainDeadLetters, dead_letter_topic};
pub use error::{ProcessorError, StreamsError, TopologyError};
pub use per_record::{ErrorPolicy, PerRecord, RecordError};
pub use processor::{Processor, ProcessorContext};
pub use punctuation::{Every, Punctuation};
pub use state::AppState;
pub use store::window::WindowStore;
pub use store::{KeyValueStore, StoreSpec};
pub use topology::{TaskId, Topology, TopologyBuilder, TopologyDescription};
pub use vigie_kafka_client::{Headers, KafkaConfig, OutgoingRecord, Record, Reset, TopicPartition};
pub use watermark::Watermark;
pub use window::{TumblingWindows, Window};
