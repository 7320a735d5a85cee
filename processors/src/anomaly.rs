//! How unusual a count is, given only the counts before it.
//!
//! ```text
//! count x ─▶ t(x) = 2 √(x + 3/8) ─▶ residual to the level (median of the last 12) ─▶ quantiles of the last 288 residuals
//!       └──▶ sums over half an hour to two hours ─▶ held against those of two weeks ─▶ tail probability, score, alarm
//! ```
//!
//! - `t` makes the spread of counts independent of their level (Anscombe 1948): Poisson counts get standard deviation 1.
//! - The forecast, made before `x` is looked at, is the level plus the 10th, 50th and 90th percentile of the residuals,
//!   turned back into counts and not below 0.
//! - The tail probability (`anomaly/score.rs`) is that of as many posts in the last half hour, hour and two hours, by the sums of two weeks; the score is the
//!   same on a scale from 0 to 1. A fall is not rare; it shows in the quantiles. An alarm is raised once per event.
//! - One burst does not move the level, a median. A burst that lasts longer than half of the
//!   level's window (30 minutes of 5-minute counts) becomes the new level.
//!
//! **Guarantees.** Row t depends on rows up to t only. State is bounded (300 counts, 101 more and 656 sums) and serialisable; an
//! [`OnlineAnomaly`] that was stored and read back continues unchanged. Until [`WARM_UP`] counts were seen the
//! score is 0 and there is no forecast.

#[cfg(test)]
mod nab;
mod score;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use score::{Rarity, Verdict};

/// Counts before the first forecast: three hours of 5-minute windows.
pub const WARM_UP: usize = 36;

/// Counts whose median is the level: one hour of 5-minute windows.
const LEVEL: usize = 12;

/// Residuals that are remembered: one day of 5-minute windows.
const RESIDUALS: usize = 288;

/// What is said about one count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The tail probability `p` as `p₀ / (p₀ + p)`, `p₀ = 0.007`: from 0 (as expected, below, or still warming up) towards 1.
    pub score: f64,
    /// The probability of at least as many posts, by what was usual before; none while warming up.
    pub tail_probability: Option<f64>,
    /// Whether an alarm is raised: once per event.
    pub alarm: bool,
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

/// The detector of one series. It is stored as counts and sums of counts: whole numbers survive every text format exactly, which the
/// square roots derived from them would not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct OnlineAnomaly {
    /// The last `RESIDUALS + LEVEL` counts, oldest first: all that the residuals depend on.
    counts: VecDeque<f64>,
    /// The last residuals, oldest first.
    residuals: VecDeque<f64>,
    /// What the score remembers.
    rarity: Rarity,
}

/// How a detector is stored.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    /// The last counts and what the score remembers.
    Whole { counts: Vec<f64>, rarity: Rarity },
    /// The last counts alone, as before the score had a memory of its own; it begins with them.
    Counts(Vec<f64>),
}

impl OnlineAnomaly {
    /// A detector that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges the next count by those before it, with an alarm from a score of `alarm_from` on; then learns it. Bounded time and memory.
    pub fn update(&mut self, count: f64, alarm_from: f64) -> Result<Anomaly, InvalidCount> {
        check(count)?;
        let forecast = self.forecast();
        let verdict = self.rarity.update(count, alarm_from);
        self.learn(count);
        Ok(said(verdict, forecast))
    }

    /// Judges a count without learning it. `open` are the counts that come before it and are not learned yet: score and alarm take them as
    /// they are, so that one event is not reported once for each; the forecast is from what is learned.
    pub fn judge(&self, open: &[f64], count: f64, alarm_from: f64) -> Result<Anomaly, InvalidCount> {
        check(count)?;
        let mut rarity = self.rarity.clone();
        for earlier in open {
            check(*earlier)?;
            rarity.update(*earlier, alarm_from);
        }
        Ok(said(rarity.update(count, alarm_from), self.forecast()))
    }

    /// Corrects a count that was learned `back` counts before the latest one (0 is the latest): forecasts and scores are as if it had been learned
    /// so, and so are alarms but for those that were raised by then. One that is remembered no longer stays as it was.
    pub fn correct(&mut self, back: usize, count: f64) -> Result<(), InvalidCount> {
        check(count)?;
        let Some(index) = self.counts.len().checked_sub(back + 1) else { return Ok(()) };
        self.rarity.correct(back, count);
        self.counts[index] = count;
        self.derive_residuals();
        Ok(())
    }

    /// The residuals that the counts give.
    fn derive_residuals(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        self.residuals.clear();
        counts.into_iter().for_each(|count| self.learn(count));
    }

    /// The forecast of the next count, without a score.
    fn forecast(&self) -> Anomaly {
        match self.level() {
            Some(level) if self.counts.len() >= WARM_UP => forecast(&self.residuals, level),
            _ => Anomaly { score: 0.0, tail_probability: None, alarm: false, p10: None, p50: None, p90: None },
        }
    }

    fn learn(&mut self, count: f64) {
        if let Some(level) = self.level() {
            push_bounded(&mut self.residuals, transform(count) - level, RESIDUALS);
        }
        push_bounded(&mut self.counts, count, RESIDUALS + LEVEL);
    }

    /// The median of the last transformed counts, none at the very start.
    fn level(&self) -> Option<f64> {
        median(self.counts.iter().rev().take(LEVEL).map(|count| transform(*count)))
    }
}

impl From<OnlineAnomaly> for Stored {
    fn from(detector: OnlineAnomaly) -> Self {
        Self::Whole { counts: detector.counts.into(), rarity: detector.rarity }
    }
}

impl TryFrom<Stored> for OnlineAnomaly {
    type Error = InvalidCount;

    fn try_from(stored: Stored) -> Result<Self, InvalidCount> {
        let mut detector = Self::new();
        match stored {
            Stored::Whole { counts, rarity } => {
                counts.iter().try_for_each(|count| check(*count))?;
                detector.counts = counts.into();
                detector.derive_residuals();
                detector.rarity = rarity;
            }
            Stored::Counts(counts) => {
                for count in counts {
                    detector.update(count, f64::INFINITY)?;
                }
            }
        }
        Ok(detector)
    }
}

fn check(count: f64) -> Result<(), InvalidCount> {
    if count.is_finite() && count >= 0.0 { Ok(()) } else { Err(InvalidCount(count)) }
}

/// The forecast with the verdict on what came, once there are both.
fn said(verdict: Verdict, forecast: Anomaly) -> Anomaly {
    if forecast.p50.is_none() {
        return forecast;
    }
    let Verdict { tail_probability, score, alarm } = verdict;
    Anomaly { score, tail_probability: Some(tail_probability), alarm, ..forecast }
}

fn forecast(residuals: &VecDeque<f64>, level: f64) -> Anomaly {
    let mut sorted: Vec<f64> = residuals.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let forecast = |p: f64| Some(transform_back(level + quantile(&sorted, p)));
    let (p10, p50, p90) = (forecast(0.1), forecast(0.5), forecast(0.9));
    Anomaly { score: 0.0, tail_probability: None, alarm: false, p10, p50, p90 }
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
    use super::score::SILENT;
    use super::*;

    /// A quiet, slightly irregular series.
    fn quiet(detector: &mut OnlineAnomaly, rows: usize) -> Anomaly {
        let mut last = None;
        for row in 0..rows {
            last = Some(detector.update([20.0, 23.0, 18.0, 21.0, 25.0, 17.0][row % 6], 0.5).unwrap());
        }
        last.unwrap()
    }

    #[test]
    fn there_is_no_verdict_before_the_warm_up_and_one_after() {
        let mut detector = OnlineAnomaly::new();
        let nothing = Anomaly { score: 0.0, tail_probability: None, alarm: false, p10: None, p50: None, p90: None };
        assert_eq!(quiet(&mut detector, WARM_UP), nothing);
        let first = detector.update(20.0, 0.5).unwrap();
        let (Some(p10), Some(p50), Some(p90)) = (first.p10, first.p50, first.p90) else { panic!("{first:?}") };
        assert!(p10 <= p50 && p50 <= p90 && (15.0..26.0).contains(&p50), "{first:?}");
    }

    #[test]
    fn a_burst_scores_high_and_a_fall_does_not() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 300);
        assert!(detector.clone().update(400.0, 0.5).unwrap().score > 0.8);
        assert!(detector.clone().update(26.0, 0.5).unwrap().score < 0.2);
        assert!(detector.update(0.0, 0.5).unwrap().score < 0.01);
    }

    #[test]
    fn one_burst_does_not_blind_the_detector_to_the_next() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 300);
        assert!(detector.update(400.0, 0.5).unwrap().alarm);
        quiet(&mut detector, SILENT as usize);
        assert!(detector.update(400.0, 0.5).unwrap().alarm);
    }

    #[test]
    fn a_silent_series_is_no_anomaly_and_its_first_posts_are_mild() {
        let mut detector = OnlineAnomaly::new();
        for _ in 0..100 {
            assert!(detector.update(0.0, 0.5).unwrap().score < 0.01);
        }
        assert!(detector.clone().update(1.0, 0.5).unwrap().score < 0.25);
        assert!(detector.update(50.0, 0.5).unwrap().score > 0.5);
    }

    #[test]
    fn a_stored_detector_goes_on_as_if_it_had_not_been_stored() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 421);
        let stored = serde_json::to_vec(&detector).unwrap();
        let mut restored: OnlineAnomaly = serde_json::from_slice(&stored).unwrap();
        assert_eq!(detector.update(77.0, 0.5).unwrap(), restored.update(77.0, 0.5).unwrap());
        assert_eq!(detector, restored);
        assert!(stored.len() < 4 * 1024, "{} bytes", stored.len());
    }

    #[test]
    fn a_detector_stored_as_counts_alone_is_read() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 200);
        let counts = serde_json::to_vec(&detector.counts).unwrap();
        let mut restored: OnlineAnomaly = serde_json::from_slice(&counts).unwrap();
        assert_eq!(restored, detector);
        assert!(restored.update(400.0, 0.5).unwrap().score > 0.5);
        assert!(serde_json::from_str::<OnlineAnomaly>("[1.0, -2.0]").is_err());
    }

    #[test]
    fn open_counts_are_looked_at_and_not_learned() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 300);
        let before = detector.clone();
        let alone = detector.judge(&[], 300.0, 0.5).unwrap();
        let after_a_burst = detector.judge(&[300.0], 300.0, 0.5).unwrap();
        assert!(alone.alarm && !after_a_burst.alarm && after_a_burst.score > 0.5, "{alone:?} {after_a_burst:?}");
        assert_eq!((alone.p10, alone.p50, alone.p90), (after_a_burst.p10, after_a_burst.p50, after_a_burst.p90));
        assert!(detector.judge(&[-1.0], 1.0, 0.5).is_err() && detector.judge(&[], f64::NAN, 0.5).is_err());
        assert_eq!(detector, before);
        assert_eq!(detector.update(300.0, 0.5).unwrap(), alone);
    }

    #[test]
    fn what_is_no_count_is_refused_and_changes_nothing() {
        let mut detector = OnlineAnomaly::new();
        quiet(&mut detector, 50);
        let before = detector.clone();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(detector.update(bad, 0.5).is_err());
        }
        assert_eq!(detector, before);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn a_detector_stored_at_any_time_is_the_same(
            counts in proptest::collection::vec(0_u32..5000, 0..700)
        ) {
            let mut detector = OnlineAnomaly::new();
            for count in counts {
                detector.update(f64::from(count), 0.5).unwrap();
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
                let anomaly = detector.update(count, 0.5).unwrap();
                proptest::prop_assert!((0.0..=1.0).contains(&anomaly.score));
                if let (Some(p10), Some(p50), Some(p90)) = (anomaly.p10, anomaly.p50, anomaly.p90) {
                    proptest::prop_assert!(0.0 <= p10 && p10 <= p50 && p50 <= p90);
                }
            }
            proptest::prop_assert!(detector.counts.len() <= LEVEL + RESIDUALS && detector.residuals.len() <= RESIDUALS);
        }
    }
}
