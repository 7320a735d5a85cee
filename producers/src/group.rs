//! The replicas that share the sources: who owns which, what is due, how partitions change hands.

pub(crate) mod membership;
mod plan;
mod reload;
mod replica;
mod scheduler;
mod slots;
mod takeover;

pub use membership::GROUP;
pub use replica::run;
