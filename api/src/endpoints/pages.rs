//! For people, and for clients that find their way.

pub(crate) mod dashboard;
pub(crate) mod resource;
