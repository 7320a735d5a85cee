//! Tests of the producers against real answers, real HTTP servers and a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, also in its helpers")]

mod answers;
mod caps;
mod fetching;
mod hostile;
mod kinds;
mod moving;
mod odd_feeds;
mod parsing;
mod pipeline;
mod politeness;
mod recorded;
mod sample_site;
mod server;
mod ssrf;
mod web;
