#![doc = include_str!("../README.md")]

mod busy;
mod check;
mod drain;
mod error;
mod evidence;
mod fault;
mod faults;
mod feed;
mod feeder;
mod fleet;
mod http;
mod options;
mod oracle;
mod posts;
mod proxy;
mod redis;
mod report;
mod run;
mod service;
mod world;

pub use busy::load_average;
pub use error::ChaosError;
pub use fault::FaultKind;
pub use options::Options;
pub use report::{FaultReport, Report};
pub use run::{Progress, run};
