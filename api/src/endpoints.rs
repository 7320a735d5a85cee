//! One file per resource: parameters in, answer out.

pub(crate) mod alerts;
pub(crate) mod assets;
pub(crate) mod authors;
pub(crate) mod dashboard;
pub(crate) mod dead_letters;
pub(crate) mod diff;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod market;
pub(crate) mod metric;
pub(crate) mod posts;
pub(crate) mod resource;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod series;
pub(crate) mod sources;
pub(crate) mod stream;
pub(crate) mod terms;
pub(crate) mod trends;
