//! What sentiment is usual for an asset: an exponentially weighted mean and mean absolute deviation of its windows' mean scores.

use serde::{Deserialize, Serialize};

use super::alerts::MIN_DROP;

/// Weight of a new window: the last twenty or so windows with posts decide.
const ALPHA: f64 = 0.05;
/// Windows needed before anything is called unusual.
const MIN_WINDOWS: u32 = 12;
/// A drop is at least this many times the usual deviation.
const DEVIATIONS: f64 = 3.0;
/// Variance of one post's score about the mood, and how surely a drop must be more than chance, as `-ln p` by a normal law: one window a month.
const VARIANCE: f64 = 0.35;
const EVIDENCE: f64 = 9.0;

/// The usual sentiment of an asset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mood {
    windows: u32,
    mean: f64,
    deviation: f64,
}

impl Mood {
    /// Learns the mean score of a window that has ended.
    pub fn update(&mut self, mean_score: f64) {
        self.windows = self.windows.saturating_add(1);
        // Plain averages until there are enough values for the exponential ones: no bias towards the first.
        let alpha = ALPHA.max(1.0 / f64::from(self.windows));
        let error = mean_score - self.mean;
        self.mean += alpha * error;
        if self.windows > 1 {
            self.deviation += alpha * (error.abs() - self.deviation);
        }
    }

    /// The usual mean score if `mean_score`, of that many posts, lies unusually far below it.
    pub fn drop_from(&self, mean_score: f64, scored: i64) -> Option<f64> {
        let depth = self.mean - mean_score;
        let unusual = self.windows >= MIN_WINDOWS && depth >= MIN_DROP.max(DEVIATIONS * self.deviation);
        let evident = depth * depth * scored as f64 >= 2.0 * VARIANCE * EVIDENCE;
        (unusual && evident).then_some(self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm(windows: u32) -> Mood {
        let mut mood = Mood::default();
        (0..windows).for_each(|i| mood.update(if i % 2 == 0 { 0.15 } else { 0.05 }));
        mood
    }

    #[test]
    fn a_deep_fall_is_a_drop_and_a_rise_is_not() {
        let mood = calm(40);
        assert!(mood.drop_from(-0.4, 40).is_some_and(|usual| (usual - 0.1).abs() < 0.03));
        assert_eq!(mood.drop_from(0.0, 40), None);
        assert_eq!(mood.drop_from(0.9, 40), None);
        assert_eq!(mood.drop_from(-0.4, 10), None, "ten posts say little");
    }

    #[test]
    fn without_a_history_nothing_is_unusual() {
        assert_eq!(calm(11).drop_from(-1.0, 40), None);
        assert_eq!(Mood::default().drop_from(-1.0, 40), None);
    }

    #[test]
    fn a_moody_asset_needs_a_deeper_fall() {
        let mut mood = Mood::default();
        (0..60).for_each(|i| mood.update(if i % 2 == 0 { 0.6 } else { -0.4 }));
        assert_eq!(mood.drop_from(-0.5, 40), None);
    }
}
