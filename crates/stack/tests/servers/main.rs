//! The stack on real servers. Needs Java, Kafka's jars, PostgreSQL and Redis: `./dev test` sees to that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http;
mod life_cycle;
mod orphans;
mod registry_contract;
