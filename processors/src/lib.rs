#![doc = include_str!("../README.md")]

pub mod analysis;
pub mod anomaly;
pub mod assets;
mod dead_letters;
pub mod fingerprint;
#[cfg(test)]
mod fixtures;
pub mod forecast;
pub mod inference;
pub mod language;
mod metrics;
mod record_codec;
pub mod recount;
pub mod replay;
pub mod score_lines;
pub mod sentiment;
mod service;
pub mod spam;
mod state;
pub mod times;
pub mod trends;

pub use dead_letters::AvroDeadLetters;
pub use record_codec::RecordCodec;
pub use sentiment::run as run_sentiment;
pub use trends::run as run_trends;
