#![doc = include_str!("../README.md")]

pub mod anomaly;
pub mod assets;
#[cfg(test)]
mod fixtures;
pub mod forecast;
pub mod growth;
pub mod inference;
pub mod past;
pub mod recount;
pub mod replay;
pub mod sentiment;
mod service;
pub mod text;
pub mod times;
pub mod trends;

pub use sentiment::run as run_sentiment;
pub use service::dead_letter::AvroDeadLetters;
pub use service::record_codec::RecordCodec;
pub use trends::run as run_trends;
