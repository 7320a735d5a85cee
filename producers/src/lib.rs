#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod catalogue;
pub mod charset;
mod config;
pub mod dates;
pub mod draft;
pub mod fetcher;
pub mod hackernews;
pub mod identity;
mod json;
mod metrics;
pub mod plain_text;
pub mod poll;
pub mod probe;
mod publisher;
pub mod reddit;
pub mod rss;
mod scheduler;
pub mod site;
pub mod source;
pub mod walk;
mod xml;

pub use config::Config;
pub use probe::{reachable, test_source};
pub use scheduler::run;
pub use source::{Kind, SourceConfig};
