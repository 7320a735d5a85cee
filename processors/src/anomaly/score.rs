//! How rare the posts of the last half hour, hour and two hours are among those of the last two weeks.
//!
//! ```text
//!   two weeks of half hours ──▶ S₁ S₂ S₃ …  sums of 1, 2 and 4 adjacent half hours: what is usual
//!   last 6, 12 and 24 counts ─▶ S           held against them
//! ```
//!
//! - **Tail.** Bursts of attention have heavy tails, so the twentieth part of the remembered sums that is largest is taken to follow a Pareto
//!   law (peaks over threshold, Pickands 1975, with the estimator of Hill 1975): with `u` the threshold and `b` the mean of
//!   `ln(S + 1) - ln(u + 1)` above it, a sum beyond `S` has the probability `p = 0.05 exp(-(ln(S + 1) - ln(u + 1)) / b)`. `b` is shrunk towards
//!   0.3 by the weight of four sums, so that a short memory does not make a small surprise large, and is at least that of a Poisson count at `u`.
//!   The rarity is `-log10 p`, 0 if `S` is not above `u`, as the mean of the three scales.
//! - **Score.** `p₀ / (p₀ + p)` for the rarity of `p`, with `p₀ = 10^-2.2`: 0.5 for a sum that a half hour in three days exceeds, 0.91 for one ten times
//!   rarer. From 0.5 on it is worth an alarm.
//! - **Once per event.** For [`SILENT`] counts after an alarm the score is halved, so that it stays below 0.5, unless the rarity is twice that of the
//!   alarm; that is a new alarm. Whoever alarms above 0.5 only, misses bursts that grow step by step.
//!
//! `models/trend/detector.py` is the same in Python; a test holds both against each other.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Counts before the first score: three hours of 5-minute windows.
const WARM_UP: usize = 36;

/// Counts of a block: half an hour of 5-minute windows.
const BLOCK: usize = 6;

/// Scales that are looked at: 1, 2 and 4 blocks.
const SCALES: usize = 3;

/// Latest counts that are kept as they came and can be corrected, at least: eight hours.
const RECENT: usize = 16 * BLOCK;

/// Blocks before those: two weeks with them.
const BLOCKS: usize = 14 * 48 - RECENT / BLOCK;

/// The tail is one of this many sums.
const TAIL: usize = 20;

/// Mean log excess of the tail where nothing is known, and its weight in sums.
const PRIOR_EXCESS: f64 = 0.3;
const PRIOR_WEIGHT: f64 = 4.0;

/// Powers of ten of an alarm.
const ALARM: f64 = 2.2;

/// Times the powers of ten of the last alarm that break its silence.
const GROWTH: i64 = 2;

/// Counts that an alarm silences the next for, its own included: 16 hours.
pub(super) const SILENT: u32 = 192;

/// What the score of a series remembers. All counts of posts, so that JSON keeps them exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rarity {
    /// Sums of [`BLOCK`] counts each, oldest first, older than `recent`.
    blocks: VecDeque<f64>,
    /// The latest counts, oldest first; the first one begins a block.
    recent: VecDeque<f64>,
    /// The last alarm, while it silences others.
    alarm: Option<Alarm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Alarm {
    /// Counts learned since, that of the alarm included.
    age: u32,
    /// Its rarity in thousandths of a power of ten, a whole number for the sake of JSON.
    level: i64,
}

impl Rarity {
    /// The score of the next count, 0 to 1; then learns it.
    pub(super) fn update(&mut self, count: f64) -> f64 {
        let rarity = self.rarity(count);
        self.alarm = self.alarm.filter(|alarm| alarm.age < SILENT);
        let silenced = self.alarm.is_some_and(|alarm| thousandths(rarity) < GROWTH * alarm.level);
        if rarity >= ALARM && !silenced {
            self.alarm = Some(Alarm { age: 0, level: thousandths(rarity) });
        }
        if let Some(alarm) = &mut self.alarm {
            alarm.age += 1;
        }
        self.learn(count);
        if silenced { 0.5 * score(rarity) } else { score(rarity) }
    }

    /// Corrects the count learned `back` counts before the latest. One that is remembered no longer stays, and so does an alarm.
    pub(super) fn correct(&mut self, back: usize, count: f64) {
        let index = self.recent.len().checked_sub(back + 1);
        if let Some(old) = index.and_then(|index| self.recent.get_mut(index)) {
            *old = count;
        }
    }

    fn learn(&mut self, count: f64) {
        self.recent.push_back(count);
        if self.recent.len() < RECENT + BLOCK {
            return;
        }
        if self.blocks.len() == BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.push_back(self.recent.drain(..BLOCK).sum());
    }

    /// Powers of ten, as the mean of the scales; 0 while warming up.
    fn rarity(&self, count: f64) -> f64 {
        if self.blocks.is_empty() && self.recent.len() < WARM_UP {
            return 0.0;
        }
        let recent: Vec<f64> = self.recent.iter().copied().collect();
        let mut sums: Vec<f64> = self.blocks.iter().copied().collect();
        sums.extend(recent.chunks_exact(BLOCK).map(|block| block.iter().sum::<f64>()));
        let mut rarity = 0.0;
        let mut blocks = 1;
        for _ in 0..SCALES {
            let sum = count + recent.iter().rev().take(blocks * BLOCK - 1).sum::<f64>();
            rarity += tail(&mut sums.clone(), sum);
            // Twice as many blocks: each sum and the one that begins where it ends.
            sums = sums.iter().zip(sums.iter().skip(blocks)).map(|(one, next)| one + next).collect();
            blocks *= 2;
        }
        rarity / SCALES as f64
    }
}

/// Powers of ten of the probability that a sum exceeds `sum`, held against `usual`; 0 if that is not above the tail's threshold.
fn tail(usual: &mut [f64], sum: f64) -> f64 {
    let beyond = usual.len().div_ceil(TAIL);
    let Some(at) = usual.len().checked_sub(beyond + 1) else { return 0.0 };
    // Most sums are usual, and to see that needs no selection.
    if usual.iter().filter(|one| **one >= sum).count() > beyond {
        return 0.0;
    }
    let (_, &mut threshold, largest) = usual.select_nth_unstable_by(at, f64::total_cmp);
    let base = threshold.ln_1p();
    let excesses: f64 = largest.iter().map(|one| one.ln_1p() - base).sum();
    let mean = (excesses + PRIOR_WEIGHT * PRIOR_EXCESS) / (beyond as f64 + PRIOR_WEIGHT);
    // Half a standard deviation of a Poisson count, on the scale of logarithms.
    let least = 0.5 / (threshold + 0.375).sqrt();
    let excess = (sum.ln_1p() - base) / mean.max(least);
    (usual.len() as f64 / beyond as f64).log10() + excess * std::f64::consts::LOG10_E
}

/// From 0 towards 1, 0.5 for an alarm; 0 for what is usual.
fn score(rarity: f64) -> f64 {
    if rarity <= 0.0 {
        return 0.0;
    }
    1.0 / (1.0 + 10.0_f64.powf(ALARM - rarity))
}

fn thousandths(rarity: f64) -> i64 {
    (rarity * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The series of `models/trend/golden.csv` with the scores that `models/trend/detector.py` gives.
    const GOLDEN: &str = include_str!("../../../models/trend/golden.csv");

    /// Learns the counts; their scores.
    fn learn(rarity: &mut Rarity, counts: impl IntoIterator<Item = f64>) -> Vec<f64> {
        counts.into_iter().map(|count| rarity.update(count)).collect()
    }

    fn scores(counts: impl IntoIterator<Item = f64>) -> Vec<f64> {
        learn(&mut Rarity::default(), counts)
    }

    #[test]
    fn the_reference_in_python_gives_the_same_scores() {
        let rows: Vec<(f64, f64)> = GOLDEN
            .lines()
            .skip(1)
            .map(|line| line.split_once(',').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap())
            .collect();
        let scores = scores(rows.iter().map(|(count, _)| *count));
        for (row, (score, (count, expected))) in scores.iter().zip(&rows).enumerate() {
            assert!((score - expected).abs() < 1e-6, "row {row}, count {count}: {score}, expected {expected}");
        }
        let alarms = rows.iter().filter(|(_, score)| *score >= 0.5).count();
        assert!(rows.len() > 5000 && (3..30).contains(&alarms), "{} rows, {alarms} alarms", rows.len());
    }

    #[test]
    fn an_event_is_told_once_unless_it_grows_much() {
        let quiet = |row: usize| [20.0, 23.0, 18.0, 21.0, 25.0, 17.0, 22.0][row % 7];
        let alarms = |event: &[f64]| {
            let series = (0..900).map(quiet).chain(event.iter().copied()).chain((0..100).map(quiet));
            scores(series).iter().filter(|score| **score >= 0.5).count()
        };
        assert_eq!(alarms(&[]), 0);
        assert_eq!(alarms(&[60.0; 20]), 1);
        assert_eq!(alarms(&[60.0, 70.0, 60.0, 600.0, 500.0]), 2);
    }

    #[test]
    fn the_next_event_is_told_once_the_silence_is_over() {
        let quiet = |row: usize| [20.0, 23.0, 18.0, 21.0, 25.0, 17.0, 22.0][row % 7];
        let second = |pause: usize| {
            let mut rarity = Rarity::default();
            learn(&mut rarity, (0..900).map(quiet));
            assert!(rarity.update(300.0) >= 0.5);
            learn(&mut rarity, (1..pause).map(quiet));
            rarity.update(300.0)
        };
        assert!(second(SILENT as usize - 1) < 0.5);
        assert!(second(SILENT as usize) >= 0.5);
    }

    #[test]
    fn a_corrected_count_is_as_if_it_had_been_learned_so() {
        let mut corrected = Rarity::default();
        let mut right = Rarity::default();
        for row in 0..400 {
            let count = f64::from(row % 9);
            corrected.update(if row == 350 { 0.0 } else { count });
            right.update(count);
        }
        assert_ne!(corrected, right);
        corrected.correct(399 - 350, 350.0 % 9.0);
        assert_eq!(corrected, right);
        corrected.correct(399, 1e6);
        assert_eq!(corrected, right, "what is in a sum stays");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_future_changes_nothing(
            counts in prop::collection::vec(0_u32..300, 1..400), other in prop::collection::vec(0_u32..9000, 0..50), cut in 0_usize..400
        ) {
            let cut = cut.min(counts.len());
            let past = counts[..cut].iter().copied();
            let whole = scores(counts.iter().copied().map(f64::from));
            let truncated = scores(past.clone().map(f64::from));
            let otherwise = scores(past.chain(other).map(f64::from));
            prop_assert_eq!(&whole[..cut], &truncated[..]);
            prop_assert_eq!(&otherwise[..cut], &truncated[..]);
        }

        #[test]
        fn more_posts_are_not_less_rare(counts in prop::collection::vec(0_u32..300, 40..300), count in 0_u32..2000, more in 0_u32..2000) {
            let mut rarity = Rarity::default();
            learn(&mut rarity, counts.into_iter().map(f64::from));
            prop_assert!(rarity.rarity(f64::from(count)) <= rarity.rarity(f64::from(count + more)));
        }
    }

    #[test]
    fn state_is_bounded() {
        let mut rarity = Rarity::default();
        learn(&mut rarity, (0..3 * 14 * 288).map(|row| f64::from(row % 50)));
        assert_eq!(rarity.blocks.len(), BLOCKS);
        assert!(rarity.recent.len() < RECENT + BLOCK);
        let stored = serde_json::to_string(&rarity).unwrap();
        assert!(stored.len() < 6 * 1024, "{} bytes", stored.len());
        assert_eq!(serde_json::from_str::<Rarity>(&stored).unwrap(), rarity);
    }
}
