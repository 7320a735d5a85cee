//! What the numbers mean: pure functions of counts.

pub(crate) mod conviction;
pub(crate) mod interval;
pub(crate) mod leaderboard;
pub(crate) mod mood;
