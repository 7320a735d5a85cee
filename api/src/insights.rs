//! What the numbers mean: pure functions of counts.

pub(crate) mod leaderboard;
pub(crate) mod mood;
