//! Weighted sentiment: whether an unusual number of people say the same. A pure function of counts.
//!
//! Of each interval X = unique posts x mean score. Of X at the time t, the z-score among all X of the [`LOOKBACK`] that ends with t:
//!
//! ```text
//!   (X_t - mean) / standard deviation, both of the X in (t - 30 days, t]
//! ```
//!
//! As Santiment defines it (<https://academy.santiment.net/metrics/sentiment-metrics/weighted-sentiment-metrics/>), who leave the length open.

use crate::time::UtcTime;

/// In seconds.
pub(crate) const LOOKBACK: i64 = 30 * 86_400;
/// Fewer values are too few to say what is usual.
const MIN_VALUES: usize = 10;

/// X of an interval: 0 if nobody mentioned the asset, unknown if it is unknown how many did or what they meant.
pub(crate) fn x(unique_posts: Option<i64>, mean_score: Option<f64>) -> Option<f64> {
    match unique_posts? {
        0 => Some(0.0),
        posts => Some(posts as f64 * mean_score?),
    }
}

/// The weighted sentiment of each interval of `xs`, which are in the order of their starts; unknown without an X, with fewer than ten in the
/// lookback, or where they are all the same.
pub(crate) fn weighted(xs: &[(UtcTime, Option<f64>)]) -> Vec<Option<f64>> {
    let (mut oldest, mut count, mut sum, mut squares) = (0, 0_usize, 0.0, 0.0);
    let mut scores = Vec::with_capacity(xs.len());
    for (start, value) in xs {
        if let Some(value) = value {
            (count, sum, squares) = (count + 1, sum + value, squares + value * value);
        }
        while xs[oldest].0.seconds() <= start.seconds() - LOOKBACK {
            if let Some(value) = xs[oldest].1 {
                (count, sum, squares) = (count - 1, sum - value, squares - value * value);
            }
            oldest += 1;
        }
        let mean = sum / count as f64;
        let variance = squares / count as f64 - mean * mean;
        // What is left of equal values is rounding.
        let varies = count >= MIN_VALUES && variance > 1e-9 * (squares / count as f64);
        scores.push(value.filter(|_| varies).map(|value| (value - mean) / variance.sqrt()));
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_z_score_among_the_last_thirty_days() {
        let day = |n: i64| UtcTime::from_seconds(n * 86_400);
        let value = |n: i64| (n % 7 != 3).then(|| ((n * 37 % 11) as f64 - 5.0) * n as f64);
        let xs: Vec<_> = (0..80).map(|n| (day(n), value(n))).collect();
        for (n, score) in (0..80).zip(weighted(&xs)) {
            let mut known = Vec::new();
            for earlier in 0..=n {
                if n - earlier < 30 {
                    known.extend(value(earlier));
                }
            }
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            let variance = known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / known.len() as f64;
            let expected = value(n).filter(|_| known.len() >= 10).map(|x| (x - mean) / variance.sqrt());
            match (score, expected) {
                (Some(score), Some(expected)) => assert!((score - expected).abs() < 1e-9, "{n}: {score} {expected}"),
                other => assert_eq!(other.0, other.1, "{n}"),
            }
        }
    }

    #[test]
    fn what_does_not_vary_has_none() {
        let xs: Vec<_> = (0..40).map(|n| (UtcTime::from_seconds(n * 3600), Some(0.1))).collect();
        assert!(weighted(&xs).iter().all(Option::is_none));
        assert_eq!(
            (x(Some(0), None), x(Some(2), None), x(None, Some(0.5)), x(Some(4), Some(0.5))),
            (Some(0.0), None, None, Some(2.0))
        );
    }
}
