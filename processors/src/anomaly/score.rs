//! How far a residual lies in the upper tail of those before it.

use super::quantile;

/// Powers of ten beyond the 90th percentile that score 0.5.
const HALF_SCORE: f64 = 4.0;

/// Least mean excess of the tail, in transformed counts: half a standard deviation of a Poisson count.
const LEAST_EXCESS: f64 = 0.5;

/// From 0 (not above the 90th percentile) towards 1; `sorted` holds the residuals before this one and is not empty.
pub(super) fn upper_tail(sorted: &[f64], residual: f64) -> f64 {
    let threshold = quantile(sorted, 0.9);
    // Over the tenth that should exceed, not over those that do: with ties at the threshold one burst may be alone there.
    let excess = sorted.iter().map(|one| (one - threshold).max(0.0)).sum::<f64>() / (0.1 * sorted.len() as f64);
    let beyond = ((residual - threshold) / (excess.max(LEAST_EXCESS) * std::f64::consts::LN_10)).max(0.0);
    beyond / (beyond + HALF_SCORE)
}
