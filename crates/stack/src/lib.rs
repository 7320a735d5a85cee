#![doc = include_str!("../README.md")]

mod check;
mod config;
mod data_dir;
mod error;
mod hold;
mod java;
mod kafka;
mod launch;
mod memory;
mod ports;
mod postgres;
mod program;
mod redis;
pub mod registry;
mod stack;
mod supervisor;
pub mod testing;
mod watchdog;

pub use check::check;
pub use config::{Endpoints, Ports, ServerKind, StackConfig};
pub use error::StackError;
pub use hold::hold;
pub use kafka::dump::{LogContent, dump_logs};
pub use memory::ServerMemory;
pub use stack::Stack;
pub use supervisor::{Phase, ServerHandle, Status};
