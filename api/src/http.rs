//! HTTP without what is asked for: parameters, formats, problems, limits, connections.

pub(crate) mod answer;
pub(crate) mod connection;
pub(crate) mod cursor;
pub(crate) mod params;
pub(crate) mod problem;
pub(crate) mod rate_limit;
pub(crate) mod table;
