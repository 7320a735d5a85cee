//! The services on a real broker and registry.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test that took it")]

mod archive;
mod pipeline;
mod posts;
mod replays;
mod services;
mod terms;
