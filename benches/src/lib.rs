#![doc = include_str!("../README.md")]

pub mod http;
pub mod latency;
pub mod peers;
pub mod posts;
pub mod registry;
