#![doc = include_str!("../README.md")]

mod answer;
mod app;
mod auth;
mod cache;
mod config;
mod connection;
mod cursor;
mod endpoints;
mod events;
mod leaderboard;
mod metrics;
mod middleware;
mod mood;
mod params;
mod problem;
mod rate_limit;
mod redis;
mod router;
mod service;
mod store;
mod time;

pub use auth::{AuthConfig, AuthMode, Scope, TokenSecret, issue_token};
pub use config::{Checked, Config, PostgresUrl, RedisUrl};
pub use endpoints::docs::openapi_json;
pub use service::{bind, router, run, run_with_listener};
