//! How each fault is made.

pub(crate) mod brokers;
pub(crate) mod clock;
pub(crate) mod commits;
pub(crate) mod coordinators;
pub(crate) mod members;
pub(crate) mod registry;
pub(crate) mod requests;
pub(crate) mod state;
pub(crate) mod stores;
