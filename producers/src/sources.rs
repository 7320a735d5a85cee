//! The list of sources.

pub mod catalogue;
