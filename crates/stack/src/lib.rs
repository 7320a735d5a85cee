#![doc = include_str!("../README.md")]

mod config;
mod data_dir;
mod environment;
mod error;
mod ports;
mod servers;
mod stack;
mod supervisor;
pub mod testing;
mod watchdog;

pub use config::{Endpoints, IssuerConfig, Ports, ServerKind, StackConfig, TlsConfig, TlsPorts};
pub use error::StackError;
pub use servers::kafka::dump::{LogContent, dump_logs};
pub use servers::{check, registry};
pub use stack::Stack;
pub use stack::hold::hold;
pub use stack::memory::ServerMemory;
pub use supervisor::{Phase, ServerHandle, Status};
