//! HTTP without what is asked for: parameters, formats, problems, limits, connections.

pub(crate) mod answer;
pub(crate) mod arrow;
pub(crate) mod connection;
pub(crate) mod cost;
pub(crate) mod cursor;
mod idle;
pub(crate) mod page;
pub(crate) mod params;
mod patient;
pub(crate) mod peers;
pub(crate) mod places;
pub(crate) mod problem;
pub(crate) mod proxies;
pub(crate) mod rate_limit;
pub(crate) mod table;
pub(crate) mod tls;
pub(crate) mod turns;
