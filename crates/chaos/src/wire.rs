//! As much of the protocols of services and stores as checks need.

pub(crate) mod http;
pub(crate) mod redis;
