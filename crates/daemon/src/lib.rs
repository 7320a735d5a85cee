#![doc = include_str!("../README.md")]

mod context;
mod error;
mod health;
mod logging;
mod metrics;
mod mistake;
mod ops;
mod secret;
mod shutdown;
pub mod units;

pub use context::Context;
pub use error::{ServiceError, chain};
pub use health::{Component, Health, HealthReport, State};
pub use logging::{AUDIT, LogConfig, LogFormat, init_logging};
pub use metrics::Metrics;
pub use mistake::{Check, Mistake};
pub use ops::{OpsConfig, ops_router, serve_ops};
pub use secret::{FromSecret, Secret, SecretArg};
pub use shutdown::spawn_signal_handler;
