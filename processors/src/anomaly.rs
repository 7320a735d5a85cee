//! How unusual a count is, given only the counts before it.
//!
//! ```text
//! count x ─▶ t(x) = 2 √(x + 3/8) ─▶ residual to the level (median of the last 12) ─▶ held against the last 288 residuals
//! ```
//!
//! - `t` makes the spread of counts independent of their level (Anscombe 1948): Poisson counts get standard deviation 1.
//! - The forecast, made before `x` is looked at, is the level plus the 10th, 50th and 90th percentile of the residuals,
//!   turned back into counts and not below 0.
//! - The score is about the upper tail. Excesses of residuals over their 90th percentile `u` follow roughly an exponential
//!   law (peaks over threshold: Pickands 1975; for streams Siffer et al. 2017, there with a Pareto law) of mean `b`, the mean of
//!   the excesses remembered, at least 0.5. A residual `r` is exceeded with probability `0.1 exp(-(r - u) / b)`; with
//!   `s = (r - u) / (b ln 10)`, its powers of ten beyond 0.1, the score is `s / (s + 4)`, or 0 if `r` is below `u`: 0.5
//!   for one in 10^5. A fall below the forecast does not score; it shows in the quantiles.
//! - One burst does not move the level, a median. A burst that lasts longer than half of the
//!   level's window (30 minutes of 5-minute counts) becomes the new level.
//!
//! **Guarantees.** Row t depends on rows up to t only. State is bounded (300 counts) and serialisable; an
//! [`OnlineAnomaly`] that was stored and read back goes on exactly as if it had not been. Until [`WARM_UP`] counts were seen the
//! score is 0 and there is no forecast.

mod csv;
mod score;

use std::collections::VecDeque;

pub use csv::{DetectError, detect_csv};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Counts before the first forecast: three hours of 5-minute windows.
pub const WARM_UP: usize = 36;

/// Counts whose median is the level: one hour of 5-minute windows.
const LEVEL: usize = 12;

/// Residuals that are remembered: one day of 5-minute windows.
const RESIDUALS: usize = 288;

/// What is said about one count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// From 0 (as expected, below, or still warming up) towards 1.
    pub score: f64,
    /// 10th percentile of the forecast, in counts; none while warming up.
    pub p10: Option<f64>,
    /// Median of the forecast.
    pub p50: Option<f64>,
    /// 90th percentile of the forecast.
    pub p90: Option<f64>,
}

/// A value that is no count.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("value {0} is no count, expected a finite number of 0 or more")]
pub struct InvalidCount(pub f64);

/// The detector of one series. It is stored as the list of its last counts, oldest first: whole numbers survive every
/// text format exactly, which the square roots derived from them would not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct OnlineAnomaly {
    /// The last `RESIDUALS + LEVEL` counts, oldest first: all that the residuals depend on.
    counts: VecDeque<f64>,
    /// The last residuals, oldest first.
    residuals: VecDeque<f64>,
}

impl OnlineAnomaly {
    /// A detector that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges the next count by those before it, then learns it. Bounded time and memory.
    pub fn update(&mut self, count: f64) -> Result<Anomaly, InvalidCount> {
        if !count.is_finite() || count < 0.0 {
            return Err(InvalidCount(count));
        }
        let level = self.level();
        let anomaly = match level {
            Some(level) if self.counts.len() >= WARM_UP => judge(&self.residuals, level, transform(count) - level),
            _ => Anomaly { score: 0.0, p10: None, p50: None, p90: None },
        };
        self.learn(count, level);
        Ok(anomaly)
    }

    /// Corrects a count that was learned `back` counts before the latest one (0 is the latest), as if it had been learned so. One that is
    /// remembered no longer stays as it was.
    pub fn correct(&mut self, back: usize, count: f64) -> Result<(), InvalidCount> {
        let Some(index) = self.counts.len().checked_sub(back + 1) else { return Ok(()) };
        let mut counts: Vec<f64> = self.counts.iter().copied().collect();
        counts[index] = count;
        *self = Self::try_from(counts)?;
        Ok(())
    }

    fn learn(&mut self, count: f64, level: Option<f64>) {
        if let Some(level) = level {
            push_bounded(&mut self.residuals, transform(count) - level, RESIDUALS);
        }
        push_bounded(&mut self.counts, count, RESIDUALS + LEVEL);
    }

    /// The median of the last transformed counts, none at the very start.
    fn level(&self) -> Option<f64> {
        median(self.counts.iter().rev().take(LEVEL).map(|count| transform(*count)))
    }
}

impl From<OnlineAnomaly> for Vec<f64> {
    fn from(detector: OnlineAnomaly) -> Self {
        detector.counts.into()
    }
}

impl TryFrom<Vec<f64>> for OnlineAnomaly {
    type Error = InvalidCount;

    fn try_from(counts: Vec<f64>) -> Result<Self, InvalidCount> {
        let mut detector = Self::new();
        for count in counts {
            if !count.is_finite() || count < 0.0 {
                return Err(InvalidCount(count));
            }
            let level = detector.level();
            detector.learn(count, level);
        }
        Ok(detector)
    }
}

fn judge(residuals: &VecDeque<f64>, level: f64, residual: f64) -> Anomaly {
    let mut sorted: Vec<f64> = residuals.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let forecast = |p: f64| Some(transform_back(level + quantile(&sorted, p)));
    Anomaly { score: score::upper_tail(&sorted, residual), p10: forecast(0.1), p50: forecast(0.5), p90: forecast(0.9) }
}

/// Anscombe's variance-stabilising transform of a count.
fn transform(count: f64) -> f64 {
    2.0 * (count + 0.375).sqrt()
}

/// The algebraic inverse of [`transform`], not below 0.
fn transform_back(transformed: f64) -> f64 {
    let half = transformed.max(0.0) / 2.0;
    (half * half - 0.375).max(0.0)
}

/// Quantile by linear interpolation between order statistics (type 7 of Hyndman & Fan 1996); `sorted` is not empty.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let below = position.floor();
    let low = sorted[below as usize];
    let high = sorted[(below as usize + 1).min(sorted.len() - 1)];
    low + (high - low) * (position - below)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| quantile(&sorted, 0.5))
}

fn push_bounded(queue: &mut VecDeque<f64>, value: f64, bound: usize) {
    if queue.len() == bound {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quiet, slightly irregular series.
    fn quiet(detector: &mut OnlineAnomaly, rows: usize) -> Anomaly {
        let mut last = None;
        for row in 0..rows {
            last = Some(detector.update([20.0, 23.0, 18.0, 21.0, 25.0, 17.0][row % 6]).unwrap());
        }
        last.unwrap()
    }

    #[test]
    fn there_is_no_verdict_before_the_warm_up_and_one_after() {
        let mut detector = OnlineAnomaly::new();
        assert_eq!(quiet(&mut detector, WARM_UP), Anomaly { score: 0.0, p10: None, p50: None, p90: None });
        let first = detector.update(20.0).unwrap();
        let (Some(p10), Some(p50), Some(p90)) = (first.p10, first.p50, first.p90) else { panic!("{first:?}") };
        assert!(p10 <= p50 && p50 <= p90 && (15.0..26.0).contains(&p50), "{first:?}");
    }

    #[test]
    fn a_burst_scores_high_and_a_fall_does_not() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 300);
        assert!(detector.clone().update(400.0).unwrap().score > 0.8);
        assert!(detector.clone().update(26.0).unwrap().score < 0.05);
        assert!(detector.update(0.0).unwrap().score == 0.0);
    }

    #[test]
    fn one_burst_does_not_blind_the_detector_to_the_next() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 300);
        assert!(detector.update(400.0).unwrap().score > 0.8);
        quiet(&mut detector, 30);
        assert!(detector.update(400.0).unwrap().score > 0.6);
    }

    #[test]
    fn a_silent_series_is_no_anomaly_and_its_first_posts_are_mild() {
        let mut detector = OnlineAnomaly::new();
        for _ in 0..100 {
            assert!(detector.update(0.0).unwrap().score == 0.0);
        }
        assert!(detector.clone().update(1.0).unwrap().score < 0.25);
        assert!(detector.update(50.0).unwrap().score > 0.5);
    }

    #[test]
    fn a_stored_detector_goes_on_as_if_it_had_not_been_stored() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 421);
        let stored = serde_json::to_vec(&detector).unwrap();
        let mut restored: OnlineAnomaly = serde_json::from_slice(&stored).unwrap();
        assert_eq!(detector.update(77.0).unwrap(), restored.update(77.0).unwrap());
        assert_eq!(detector, restored);
        assert!(stored.len() < 4 * 1024, "{} bytes", stored.len());
    }

    #[test]
    fn what_is_no_count_is_refused_and_changes_nothing() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 50);
        let before = detector.clone();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(detector.update(bad).is_err());
        }
        assert_eq!(detector, before);
    }

    proptest::proptest! {
        #[test]
        fn a_detector_stored_at_any_time_is_the_same(
            counts in proptest::collection::vec(0_u32..5000, 0..700)
        ) {
            let mut detector = OnlineAnomaly::new();
            for count in counts {
                detector.update(f64::from(count)).unwrap();
            }
            let stored = serde_json::to_string(&detector).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<OnlineAnomaly>(&stored).unwrap(), detector);
        }

        #[test]
        fn the_score_is_in_range_and_the_quantiles_are_ordered(
            counts in proptest::collection::vec(0.0_f64..1e9, 0..400)
        ) {
            let mut detector = OnlineAnomaly::new();
            for count in counts {
                let anomaly = detector.update(count).unwrap();
                proptest::prop_assert!((0.0..=1.0).contains(&anomaly.score));
                if let (Some(p10), Some(p50), Some(p90)) = (anomaly.p10, anomaly.p50, anomaly.p90) {
                    proptest::prop_assert!(0.0 <= p10 && p10 <= p50 && p50 <= p90);
                }
            }
            proptest::prop_assert!(detector.counts.len() <= LEVEL + RESIDUALS && detector.residuals.len() <= RESIDUALS);
        }
    }
}
