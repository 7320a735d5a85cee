//! Whether an asset is talked up or down, and how sure that is. Pure functions of counts.
//!
//! Of `n` scored posts in the period, some are positive, some neutral, some negative. Posts of one author are not independent,
//! so the counts are first scaled to the number of voices (distinct authors; a post without a known author is a voice of its own).
//! With a Jeffreys prior, the shares follow a Dirichlet distribution with parameters a = count + 1/2 each, A their sum. The net
//! mood p_positive - p_negative then has
//!
//! ```text
//!   mean = (a_positive - a_negative) / A
//!   variance = ((a_positive + a_negative) / A - mean^2) / (A + 1)
//! ```
//!
//! In the normal approximation: P(bullish) = P(net > 0.05), P(bearish) = P(net < -0.05), P(neutral) is the rest. The direction is
//! the likeliest of the three, the confidence its probability, and the interval mean ± 1.96 standard deviations. With fewer
//! voices than asked for the direction is `unknown` and the rest null.
//! (Gelman et al., Bayesian Data Analysis, 3rd edition, 3.4 and appendix A.)

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Net mood up to which an asset counts as neutral.
pub(crate) const NEUTRAL_MARGIN: f64 = 0.05;

/// Scored posts by label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opinions {
    pub(crate) negative: i64,
    pub(crate) neutral: i64,
    pub(crate) positive: i64,
    /// Distinct authors, and posts without one.
    pub(crate) voices: i64,
}

/// Where an asset's mood points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// More positive than negative posts.
    Bullish,
    /// Neither.
    Neutral,
    /// More negative than positive posts.
    Bearish,
    /// Too few voices to judge.
    Unknown,
}

/// An estimate of the net mood.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Mood {
    /// Where it points.
    pub direction: Direction,
    /// Probability of the direction, 0 to 1.
    pub confidence: Option<f64>,
    /// Share of positive minus share of negative posts, estimated, -1 to 1.
    pub net: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// Probability of each direction.
    pub probabilities: Option<DirectionProbabilities>,
}

/// They add up to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct DirectionProbabilities {
    /// Of net > 0.05.
    pub bullish: f64,
    /// Of the rest.
    pub neutral: f64,
    /// Of net < -0.05.
    pub bearish: f64,
}

/// Estimates the mood from at least `min_voices` voices.
pub(crate) fn estimate(opinions: Opinions, min_voices: i64) -> Mood {
    let posts = opinions.negative + opinions.neutral + opinions.positive;
    if posts == 0 || opinions.voices < min_voices {
        return Mood {
            direction: Direction::Unknown,
            confidence: None,
            net: None,
            interval: None,
            probabilities: None,
        };
    }
    let scale = (opinions.voices as f64 / posts as f64).min(1.0);
    let shape = |count: i64| count as f64 * scale + 0.5;
    let (negative, neutral, positive) = (shape(opinions.negative), shape(opinions.neutral), shape(opinions.positive));
    let total = negative + neutral + positive;
    let mean = (positive - negative) / total;
    let deviation = (((positive + negative) / total - mean * mean) / (total + 1.0)).sqrt();
    let bullish = normal_cdf((mean - NEUTRAL_MARGIN) / deviation);
    let bearish = normal_cdf((-NEUTRAL_MARGIN - mean) / deviation);
    let neutral = (1.0 - bullish - bearish).max(0.0);
    let (direction, confidence) =
        [(Direction::Bullish, bullish), (Direction::Neutral, neutral), (Direction::Bearish, bearish)]
            .into_iter()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or((Direction::Unknown, 0.0));
    Mood {
        direction,
        confidence: Some(confidence),
        net: Some(mean),
        interval: Some([(mean - 1.96 * deviation).max(-1.0), (mean + 1.96 * deviation).min(1.0)]),
        probabilities: Some(DirectionProbabilities { bullish, neutral, bearish }),
    }
}

/// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: error below 1.5e-7.
fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let polynomial =
        ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t + 0.254_829_592) * t;
    let tail = 0.5 * polynomial * (-z * z).exp();
    if x >= 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mood(negative: i64, neutral: i64, positive: i64, voices: i64) -> Mood {
        estimate(Opinions { negative, neutral, positive, voices }, 10)
    }

    #[test]
    fn normal_distribution_is_right_at_known_points() {
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.0, 0.158_655_3), (1.96, 0.975_002_1), (-3.0, 0.001_349_9)] {
            assert!((normal_cdf(x) - p).abs() < 2e-7, "{x}");
        }
    }

    #[test]
    fn too_few_voices_are_unknown_not_neutral() {
        for opinions in [mood(0, 0, 0, 0), mood(0, 0, 9, 9), mood(0, 0, 5000, 3)] {
            assert_eq!((opinions.direction, opinions.confidence, opinions.net), (Direction::Unknown, None, None));
        }
    }

    #[test]
    fn direction_follows_the_majority_and_confidence_grows_with_voices() {
        let few = mood(2, 10, 8, 20);
        let many = mood(20, 100, 80, 200);
        assert_eq!((few.direction, many.direction), (Direction::Bullish, Direction::Bullish));
        assert!(many.confidence > few.confidence);
        assert_eq!(mood(80, 100, 20, 200).direction, Direction::Bearish);
        assert_eq!(mood(100, 2000, 100, 2200).direction, Direction::Neutral);
    }

    #[test]
    fn one_loud_author_does_not_make_a_mood_certain() {
        let crowd = mood(0, 0, 1000, 1000);
        let loud = mood(0, 0, 1000, 10);
        assert!(loud.confidence < crowd.confidence);
        let width = |m: &Mood| m.interval.map(|[low, high]| high - low).unwrap();
        assert!(width(&loud) > 5.0 * width(&crowd));
    }

    #[test]
    fn probabilities_add_up_and_mirror() {
        let (up, down) = (mood(3, 20, 17, 40), mood(17, 20, 3, 40));
        let (p, q) = (up.probabilities.unwrap(), down.probabilities.unwrap());
        assert!((p.bullish + p.neutral + p.bearish - 1.0).abs() < 1e-9);
        assert!((p.bullish - q.bearish).abs() < 1e-9 && (up.net.unwrap() + down.net.unwrap()).abs() < 1e-9);
    }
}
