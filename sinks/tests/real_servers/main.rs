//! The sinks between a real Kafka, a real PostgreSQL and a real Redis.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod accounts;
mod archive;
mod authors;
mod encryption;
mod harness;
mod history;
mod kill;
mod postgres;
mod proxy;
mod records;
mod redis;
mod topics;
mod trouble;
