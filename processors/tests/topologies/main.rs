//! The topologies under the broker-free test driver.

mod fixtures;
mod sentiment;
mod trends;
