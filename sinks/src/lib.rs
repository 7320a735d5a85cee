#![doc = include_str!("../README.md")]

mod config;
mod driver;
mod insight;
mod postgres;
mod redis;
mod sink;
#[cfg(test)]
mod testing;

pub use config::BatchOptions;
pub use postgres::migrations::{MigrateError, migrate};
pub use postgres::{
    CheckedPostgresSink, POSTGRES_GROUP, PostgresSinkConfig, PromotedRun, Promotion, Retention, RunError, RunFinished,
    RunStarted, RunState, SwitchError, promote, promoted_runs, record_run_finished, record_run_started, rollback,
    run_postgres,
};
pub use redis::{CheckedRedisSink, RedisSinkConfig, run_redis};
