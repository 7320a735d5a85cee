#![doc = include_str!("../README.md")]

mod archive;
mod config;
mod driver;
mod insight;
mod postgres;
mod redis;
mod sink;
#[cfg(test)]
mod testing;

pub use archive::{ArchiveSinkConfig, Archiver, CheckedArchiveSink, RoundError, run_archive};
pub use config::BatchOptions;
pub use postgres::migrations::{MigrateError, migrate};
pub use postgres::{
    CheckedPostgresSink, POSTGRES_GROUP, PostgresSinkConfig, Retention, RunError, RunFinished, RunStarted, RunState,
    record_run_finished, record_run_started, run_postgres,
};
pub use redis::{CheckedRedisSink, RedisSinkConfig, run_redis};
