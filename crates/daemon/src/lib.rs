#![doc = include_str!("../README.md")]

mod context;
mod error;
mod health;
mod logging;
mod ops;
mod shutdown;

pub use context::Context;
pub use error::ServiceError;
pub use health::{Component, Health, HealthReport, State};
pub use logging::{LogConfig, LogFormat, init_logging};
pub use ops::{OpsConfig, ops_router, serve_ops};
pub use shutdown::spawn_signal_handler;
