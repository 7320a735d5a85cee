#![doc = include_str!("../README.md")]

mod site;

pub use site::{Archive, Channel, Generator, Progress, SamplePost, Site, SiteConfig, sample_sources};
