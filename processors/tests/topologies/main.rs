//! The topologies under the broker-free test driver.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test that took it")]

mod emission;
mod fixtures;
mod forecasts;
mod market;
mod recount;
mod revisions;
mod sentiment;
mod terms;
mod trends;
