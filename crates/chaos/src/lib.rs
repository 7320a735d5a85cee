#![doc = include_str!("../README.md")]

mod check;
mod error;
mod evidence;
mod fault;
mod faults;
mod options;
mod posts;
mod replay;
mod report;
mod run;
mod wire;
mod world;

pub use error::ChaosError;
pub use fault::FaultKind;
pub use options::{Options, ReplayOptions};
pub use report::{FaultReport, LatencyReport, Progress, ReplayReport, Report, RunReport};
pub use run::run;
pub use world::busy::load_average;
