//! The sinks between a real Kafka, a real PostgreSQL and a real Redis.

mod harness;
mod postgres;
mod proxy;
mod records;
mod redis;
mod trouble;
