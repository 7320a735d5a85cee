//! Tests of the producers against real answers, real HTTP servers and a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, also in its helpers")]

mod answers;
mod backfill;
mod fetching;
mod hostile;
mod kinds;
mod odd_feeds;
mod parsing;
mod pipeline;
mod recorded;
mod rendering;
mod sample_site;
mod server;
mod sitemaps;
mod streaming;
