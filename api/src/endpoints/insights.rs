//! Numbers.

pub(crate) mod alerts;
pub(crate) mod assets;
pub(crate) mod market;
pub(crate) mod metric;
pub(crate) mod series;
pub(crate) mod stream;
pub(crate) mod terms;
pub(crate) mod trends;
