//! The stack on real servers. Needs Java, Kafka's jars, PostgreSQL and Redis: `./dev test` sees to that.

mod http;
mod life_cycle;
mod orphans;
mod registry_contract;
