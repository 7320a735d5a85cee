#![doc = include_str!("../README.md")]

mod algolia_view;
mod archive;
mod assets;
mod generator;
mod news_view;
mod opening;
mod phrases;
mod reddit_view;
mod release;
mod site;
mod state;

pub use archive::{Archive, Progress};
pub use generator::{Channel, Generator, SamplePost};
pub use site::{Site, SiteConfig, sample_sources};
