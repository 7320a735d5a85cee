//! How rare the posts of the last half hour, hour and two hours are among those of the last two weeks.
//!
//! ```text
//!   two weeks of half hours ──▶ S₁ S₂ S₃ …  sums of 1, 2 and 4 adjacent half hours: what is usual
//!   last 6, 12 and 24 counts ─▶ S           held against them
//! ```
//!
//! - **Probability.** Among `n` remembered sums, `g` of which are not below `S`, one as large comes with the probability `(1 + g) / (n + 1)`, as in
//!   conformal prediction (Vovk, Gammerman & Shafer 2005). Where only the twentieth part of them that is largest is left, ranks say little, and bursts of
//!   attention have heavy tails: that part is taken to follow a Pareto law (peaks over threshold, Pickands 1975, with the estimator of Hill 1975). With
//!   `u` the threshold and `b` the mean of `ln(S + 1) - ln(u + 1)` above it, `p = 0.05 exp(-(ln(S + 1) - ln(u + 1)) / b)`. `b` is at least that of a
//!   Poisson count at `u`, and its logarithm is shrunk towards that of 0.3 by the weight of four sums, so that a short memory does not make a small
//!   surprise large. The tail probability is the geometric mean of those of the three scales; more posts never make it larger.
//! - **Score.** `p₀ / (p₀ + p)` with `p₀ = 0.007`: 0.5 for a sum that a half hour in three days exceeds, 0.91 for one ten times rarer. It is
//!   the tail probability on another scale, whatever was said before.
//! - **Alarm.** Once per event: a score that reaches the one given raises an alarm, if some sum is larger than its `u` by a third. It silences others for
//!   [`SILENT`] counts, unless the powers of ten are twice its own; that is a new alarm.
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

/// The tail probability whose score is 0.5.
const HALF: f64 = 0.007;

/// Times the tail's threshold of an alarm: in a calm series much less is rare.
const LEAST_RISE: f64 = 4.0 / 3.0;

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
    alarm: LastAlarm,
}

/// The last alarm, while it silences others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LastAlarm(Option<Alarm>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Alarm {
    /// Counts learned since, that of the alarm included.
    age: u32,
    /// Its rarity in thousandths of a power of ten, a whole number for the sake of JSON.
    level: i64,
}

/// How unusual a count is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measure {
    /// Powers of ten of the tail probability; 0 while warming up.
    rarity: f64,
    /// Whether a sum is larger than the tail's threshold by [`LEAST_RISE`].
    risen: bool,
}

/// What is said of a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// 1 while warming up.
    pub(super) tail_probability: f64,
    /// From near 0 towards 1.
    pub(super) score: f64,
    /// Whether it raises an alarm.
    pub(super) alarm: bool,
}

impl LastAlarm {
    /// The verdict on the next count, with an alarm from a score of `alarm_from` on.
    pub(super) fn verdict(&mut self, measure: Measure, alarm_from: f64) -> Verdict {
        let Measure { rarity, risen } = measure;
        let tail_probability = 10.0_f64.powf(-rarity);
        let score = HALF / (HALF + tail_probability);
        let level = (rarity * 1000.0).round() as i64;
        self.0 = self.0.filter(|last| last.age < SILENT);
        let silenced = self.0.is_some_and(|last| level < GROWTH * last.level);
        let alarm = score >= alarm_from && risen && !silenced;
        if alarm {
            self.0 = Some(Alarm { age: 0, level });
        }
        if let Some(last) = &mut self.0 {
            last.age += 1;
        }
        Verdict { tail_probability, score, alarm }
    }
}

impl Rarity {
    /// Judges the next count, with an alarm from a score of `alarm_from` on; then learns it.
    pub(super) fn update(&mut self, count: f64, alarm_from: f64) -> Verdict {
        let verdict = self.alarm.verdict(self.measure(count), alarm_from);
        self.learn(count);
        verdict
    }

    /// Corrects the count learned `back` counts before the latest. One that is remembered no longer stays, and so does an alarm.
    pub(super) fn correct(&mut self, back: usize, count: f64) {
        let index = self.recent.len().checked_sub(back + 1);
        if let Some(old) = index.and_then(|index| self.recent.get_mut(index)) {
            *old = count;
        }
    }

    pub(super) fn learn(&mut self, count: f64) {
        self.recent.push_back(count);
        if self.recent.len() < RECENT + BLOCK {
            return;
        }
        if self.blocks.len() == BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.push_back(self.recent.drain(..BLOCK).sum());
    }

    /// What that many posts are held against those before, as the mean of the scales.
    pub(super) fn measure(&self, count: f64) -> Measure {
        if self.blocks.is_empty() && self.recent.len() < WARM_UP {
            return Measure::default();
        }
        let recent: Vec<f64> = self.recent.iter().copied().collect();
        let mut sums: Vec<f64> = self.blocks.iter().copied().collect();
        sums.extend(recent.chunks_exact(BLOCK).map(|block| block.iter().sum::<f64>()));
        let mut measure = Measure::default();
        let mut blocks = 1;
        for _ in 0..SCALES {
            let sum = count + recent.iter().rev().take(blocks * BLOCK - 1).sum::<f64>();
            let (powers, risen) = tail(&mut sums.clone(), sum);
            measure.rarity += powers;
            measure.risen |= risen;
            // Twice as many blocks: each sum and the one that begins where it ends.
            sums = sums.iter().zip(sums.iter().skip(blocks)).map(|(one, next)| one + next).collect();
            blocks *= 2;
        }
        measure.rarity /= SCALES as f64;
        measure
    }
}

/// Powers of ten of the probability of a sum as large as `sum`, held against `usual`, and whether it is larger by [`LEAST_RISE`]; 0 with too few of them.
fn tail(usual: &mut [f64], sum: f64) -> (f64, bool) {
    let beyond = usual.len().div_ceil(TAIL);
    let Some(at) = usual.len().checked_sub(beyond + 1) else { return (0.0, false) };
    let as_large = usual.iter().filter(|one| **one >= sum).count();
    if as_large > beyond {
        return (-((1 + as_large) as f64 / (1 + usual.len()) as f64).log10(), false);
    }
    let (_, &mut threshold, largest) = usual.select_nth_unstable_by(at, f64::total_cmp);
    let base = threshold.ln_1p();
    // Half a standard deviation of a Poisson count, on the scale of logarithms.
    let least = 0.5 / (threshold + 0.375).sqrt();
    let own = largest.iter().map(|one| one.ln_1p() - base).sum::<f64>() / beyond as f64;
    let weighted = beyond as f64 * own.max(least).ln() + PRIOR_WEIGHT * PRIOR_EXCESS.ln();
    let mean = (weighted / (beyond as f64 + PRIOR_WEIGHT)).exp().max(least);
    let excess = (sum.ln_1p() - base) / mean;
    let powers = (usual.len() as f64 / beyond as f64).log10() + excess * std::f64::consts::LOG10_E;
    (powers, sum + 1.0 >= LEAST_RISE * (threshold + 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The series of `models/trend/golden.csv` with what `models/trend/detector.py` says of it.
    const GOLDEN: &str = include_str!("../../../models/trend/golden.csv");

    fn learn(rarity: &mut Rarity, counts: impl IntoIterator<Item = f64>) -> Vec<Verdict> {
        counts.into_iter().map(|count| rarity.update(count, 0.5)).collect()
    }

    fn verdicts(counts: impl IntoIterator<Item = f64>) -> Vec<Verdict> {
        learn(&mut Rarity::default(), counts)
    }

    #[test]
    fn the_reference_in_python_says_the_same() {
        let rows: Vec<[f64; 3]> = GOLDEN
            .lines()
            .skip(1)
            .map(|line| {
                let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
                cells.try_into().unwrap()
            })
            .collect();
        let verdicts = verdicts(rows.iter().map(|[count, ..]| *count));
        for (row, (verdict, [count, score, alarm])) in verdicts.iter().zip(&rows).enumerate() {
            assert!((verdict.score - score).abs() < 1e-6, "row {row}, count {count}: {verdict:?}, expected {score}");
            assert_eq!(f64::from(u8::from(verdict.alarm)), *alarm, "row {row}, count {count}: {verdict:?}");
        }
        let alarms = verdicts.iter().filter(|verdict| verdict.alarm).count();
        let odd = verdicts.iter().filter(|verdict| verdict.score >= 0.5).count();
        assert!(rows.len() > 5000 && (3..30).contains(&alarms) && odd > 2 * alarms, "{alarms} alarms, {odd} odd rows");
    }

    #[test]
    fn a_tail_probability_is_how_often_a_sum_so_large_comes() {
        // Lehmer's generator; one count in a thousand is 1000, one in 500 is 500 or more, and so on.
        let mut state = 20_150_226_u64;
        let mut drawn = || {
            state = state * 48_271 % 2_147_483_647;
            (1000 / (1 + state % 1000)) as f64
        };
        let verdicts = verdicts((0..60 * 288).map(|_| drawn()));
        let judged = &verdicts[14 * 288..];
        for (level, least, most) in [(0.5, 0.9, 1.1), (0.1, 0.6, 1.2), (0.01, 0.7, 1.4), (0.001, 0.0, 2.0)] {
            let rarer = judged.iter().filter(|verdict| verdict.tail_probability <= level).count() as f64;
            let ratio = rarer / judged.len() as f64 / level;
            assert!((least..=most).contains(&ratio), "{level}: {ratio}");
        }
    }

    #[test]
    fn an_event_is_raised_once_unless_it_grows_much() {
        let quiet = |row: usize| [20.0, 23.0, 18.0, 21.0, 25.0, 17.0, 22.0][row % 7];
        let alarms = |event: &[f64]| {
            let series = (0..900).map(quiet).chain(event.iter().copied()).chain((0..100).map(quiet));
            verdicts(series).iter().filter(|verdict| verdict.alarm).count()
        };
        assert_eq!(alarms(&[]), 0);
        assert_eq!(alarms(&[60.0; 20]), 1);
        assert_eq!(alarms(&[60.0, 70.0, 60.0, 600.0, 500.0]), 2);
    }

    #[test]
    fn the_next_event_is_raised_once_the_silence_is_over() {
        let quiet = |row: usize| [20.0, 23.0, 18.0, 21.0, 25.0, 17.0, 22.0][row % 7];
        let second = |pause: usize| {
            let mut rarity = Rarity::default();
            learn(&mut rarity, (0..900).map(quiet));
            assert!(rarity.update(300.0, 0.5).alarm);
            learn(&mut rarity, (1..pause).map(quiet));
            rarity.update(300.0, 0.5)
        };
        let (before, after) = (second(SILENT as usize - 1), second(SILENT as usize));
        assert!(!before.alarm && before.score > 0.5 && after.alarm, "{before:?}, {after:?}");
    }

    #[test]
    fn a_corrected_count_is_as_if_it_had_been_learned_so() {
        let mut corrected = Rarity::default();
        let mut right = Rarity::default();
        for row in 0..400 {
            let count = f64::from(row % 9);
            corrected.update(if row == 350 { 0.0 } else { count }, 0.5);
            right.update(count, 0.5);
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
            let whole = verdicts(counts.iter().copied().map(f64::from));
            let truncated = verdicts(past.clone().map(f64::from));
            let otherwise = verdicts(past.chain(other).map(f64::from));
            prop_assert_eq!(&whole[..cut], &truncated[..]);
            prop_assert_eq!(&otherwise[..cut], &truncated[..]);
        }

        #[test]
        fn more_posts_are_not_less_rare(counts in prop::collection::vec(0_u32..300, 40..300), count in 0_u32..2000, more in 0_u32..2000) {
            let mut rarity = Rarity::default();
            learn(&mut rarity, counts.into_iter().map(f64::from));
            prop_assert!(rarity.measure(f64::from(count)).rarity <= rarity.measure(f64::from(count + more)).rarity);
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
