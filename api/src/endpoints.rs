//! One file per resource: parameters in, answer out.

pub(crate) mod access;
pub(crate) mod insights;
pub(crate) mod operations;
pub(crate) mod pages;
pub(crate) mod posts;
