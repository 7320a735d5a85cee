//! What runs vigie: its sources, what failed, who may ask, and the authors' keys.

pub(crate) mod access;
pub(crate) mod authors;
pub(crate) mod dead_letters;
pub(crate) mod keys;
pub(crate) mod sources;
