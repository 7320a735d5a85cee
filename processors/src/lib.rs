//! From raw posts to insights: language, assets and sentiment of every post, trends of every asset, and replays of both.
//!
//! ```text
//! posts.raw.v1 ─▶ [sentiment] ─▶ insights.sentiment.v1
//!                      └───────▶ posts.mentions.v1 ─▶ [trends] ─▶ insights.trends.v1, insights.alerts.v1
//! ```
//!
//! The topologies run on `vigie-streams`: one transaction per commit covers outputs, state and consumed offsets. What they compute is
//! in pure functions beside them.

pub mod analysis;
pub mod anomaly;
pub mod assets;
pub mod author;
mod dead_letters;
pub mod duration;
#[cfg(test)]
mod fixtures;
pub mod inference;
pub mod language;
mod metrics;
mod record_codec;
pub mod replay;
pub mod score_lines;
pub mod sentiment;
mod service;
mod state;
pub mod trends;

pub use dead_letters::AvroDeadLetters;
pub use record_codec::RecordCodec;
pub use sentiment::run as run_sentiment;
pub use trends::run as run_trends;
