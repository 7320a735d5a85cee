//! Tests of the producers against real answers, real HTTP servers and a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, also in its helpers")]

mod answers;
mod authorship;
mod backfill;
mod caps;
mod discovering;
mod farm;
mod feed_families;
mod fetching;
mod hostile;
mod keys;
mod kinds;
mod moving;
mod namesakes;
mod odd_feeds;
mod packed;
mod parsing;
mod pipeline;
mod politeness;
mod reading;
mod recorded;
mod reload;
#[cfg(feature = "render")]
mod rendering;
mod replicas;
mod sample_site;
mod server;
mod sitemaps;
mod ssrf;
mod streaming;
mod web;
