#![doc = include_str!("../README.md")]

mod check;
mod error;
mod evidence;
mod fault;
mod faults;
mod options;
mod posts;
mod report;
mod run;
mod wire;
mod world;

pub use error::ChaosError;
pub use fault::FaultKind;
pub use options::Options;
pub use report::{FaultReport, Report};
pub use run::{Progress, run};
pub use world::busy::load_average;
