#![doc = include_str!("../README.md")]

pub mod backfill;
mod config;
pub mod content;
pub mod discover;
pub mod fetcher;
mod group;
pub mod keys;
pub mod kinds;
mod lease;
pub mod poll;
pub mod probe;
mod publish;
pub mod sources;

pub use config::{Checked, Config};
pub use group::{GROUP, run};
pub use kinds::Kind;
pub use probe::{detect, reachable, test_source};
pub use sources::SourceConfig;
