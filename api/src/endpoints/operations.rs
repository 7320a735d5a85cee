//! How it is going.

pub(crate) mod dead_letters;
pub(crate) mod diff;
pub(crate) mod runs;
pub(crate) mod sources;
