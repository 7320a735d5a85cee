#![doc = include_str!("../README.md")]

mod authors;
pub mod backoff;
pub mod bluesky;
pub mod catalogue;
pub mod charset;
mod config;
pub mod dates;
pub mod discourse;
pub mod draft;
pub mod fetcher;
pub mod hackernews;
pub mod html;
pub mod identity;
mod json;
pub mod lemmy;
pub mod mastodon;
mod metrics;
pub mod plain_text;
pub mod poll;
pub mod probe;
mod publisher;
pub mod reddit;
pub mod rss;
mod scheduler;
pub mod site;
pub mod sitemap;
pub mod snapshot;
pub mod source;
pub mod telegram;
pub mod walk;
mod web_page;
mod xml;

pub use config::Config;
pub use probe::{reachable, test_source};
pub use scheduler::run;
pub use source::{Kind, SourceConfig};
