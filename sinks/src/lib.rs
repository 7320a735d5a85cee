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
    CheckedPostgresSink, POSTGRES_GROUP, POSTGRES_TOPICS, Pace, PostgresSinkConfig, PromotedRun, Promotion, Retention,
    RunError, RunFinished, RunRow, RunStarted, Runs, SwitchError, promote, promoted_runs, rollback, run_postgres,
};
pub use redis::{CheckedRedisSink, REDIS_TOPICS, RedisSinkConfig, run_redis};
