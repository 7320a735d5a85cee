//! Events that are too slow or too thin for one window: more posts, or a worse mood, over an hour, six hours or a day than is usual for the asset.
//!
//! ```text
//! windows ─▶ the last 12, 72 and 288 of them: what is held against ...
//!       └──▶ blocks of 72 (6 h), those of 7 days before: ... what is usual, and how much it varies from block to block
//! ```
//!
//! - **Attention.** Posts of a span are taken to be negative binomial. Their mean is the rate of the seven days before, with [`PRIOR_POSTS`] posts in
//!   [`PRIOR_WINDOWS`] windows added, so that nothing is impossible where nothing was seen. The variance is `m + m² (φ + 1/T)`: `φ` is what the
//!   blocks of that length had, shrunk towards a usual one; `T`, the posts that the mean stands on, says how well it is known.
//! - **Mood.** The mean score of a span is taken to be normal, about that of the seven days before. The variance is that of sums of scores in blocks of
//!   that length, per post, so posts that echo each other count for less.
//! - **Evidence** is the Chernoff bound of the tail (Chernoff 1952): not below the probability under these laws, and it needs no special function.
//!   The score is `p₀ / (p₀ + p)`, with `p₀` such that each scale would raise [`FALSE_PER_MONTH`] alerts per asset and month by chance.
//! - **Once per event.** An alert of a kind opens an event, which lasts until nothing was found on any scale for a day. Within it there is another alert
//!   only for twice the posts and [`GROWTH`] times the posts per time, or a mood that is lower by [`MIN_DROP`] again. Posts per time are the lower the longer the
//!   scale, so a longer scale does not repeat what a shorter one has raised.
//!
//! Sums are of whole numbers and corrected by what comes late, as long as a window is among the last [`WINDOWS`]. With windows of another length than
//! 5 minutes all these durations stretch with them. State is bounded: 131 sums.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use vigie_schemas::AlertKind;

use super::alerts::{AlertPolicy, Finding, MIN_DROP};
use super::window::WindowState;

/// Windows that are remembered one by one: six hours.
const WINDOWS: usize = 72;
/// Windows of an hour, and hours that are remembered.
const HOUR: i64 = 12;
const HOURS: usize = 26;
/// Windows of a block, blocks that say what is usual, and those that are remembered.
const BLOCK: i64 = 72;
const USUAL: usize = 28;
const BLOCKS: usize = USUAL + 5;
const DAY: i64 = 4 * BLOCK;
const MONTH: f64 = 30.0 * DAY as f64;

/// Posts and time that are added to what was seen.
const PRIOR_POSTS: f64 = 1.0;
const PRIOR_WINDOWS: f64 = DAY as f64;
/// Relative variance of the posts in a block where nothing is known, and its weight in blocks.
const PRIOR_SPREAD: f64 = 0.5;
const PRIOR_BLOCKS: f64 = 8.0;
/// Least posts over what is usual, as a factor.
const LEAST_RISE: f64 = 2.0;
/// Variance of a post's score where nothing is known, and its weight in posts.
const PRIOR_VARIANCE: f64 = 0.35;
const PRIOR_SCORES: f64 = 10.0;
/// Variance of the mean score of a span whatever the number of posts.
const DRIFT: f64 = 0.0016;

/// Alerts per asset, kind, scale and month that chance alone would raise.
const FALSE_PER_MONTH: f64 = 0.01;
/// How much faster the posts of an event must come to be raised again.
const GROWTH: f64 = 4.0;

/// A span that is looked at.
struct Scale {
    /// Its length in windows.
    windows: i64,
    /// The newest blocks, which it may overlap.
    overlaps: usize,
}

const SCALES: [Scale; 3] =
    [Scale { windows: HOUR, overlaps: 2 }, Scale { windows: BLOCK, overlaps: 2 }, Scale { windows: DAY, overlaps: 5 }];

/// What some windows counted: posts, scored posts, and the sum of their scores in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally(i64, i64, i64);

impl Tally {
    fn of(window: &WindowState) -> Self {
        Self(window.posts, window.scored(), window.score_micros)
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1, self.2 + other.2)
    }

    fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1, self.2 - other.2)
    }

    fn posts(self) -> f64 {
        self.0 as f64
    }

    fn scored(self) -> f64 {
        self.1 as f64
    }

    fn score(self) -> f64 {
        self.2 as f64 / 1e6
    }
}

/// An event that was raised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Raised {
    /// The window in which it was raised last.
    at: i64,
    /// The last window in which it was found.
    found: i64,
    /// Posts, or the sum of scores in millionths, and the windows, or scored posts, that they are of.
    value: i64,
    of: i64,
}

/// What is remembered of an asset. Windows are numbered since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Signals {
    /// The first window of which all posts are known.
    since: i64,
    last: Option<i64>,
    windows: VecDeque<Tally>,
    hours: VecDeque<Tally>,
    blocks: VecDeque<Tally>,
    spike: Option<Raised>,
    drop: Option<Raised>,
}

impl Signals {
    /// Learns window `index`; those left out since the last had no posts. `since` is the first window of which all posts are known.
    pub(crate) fn learn(&mut self, index: i64, since: i64, window: &WindowState) {
        if self.last.is_none_or(|last| last - index >= 0) {
            *self = Self { since: since.min(index), spike: self.spike, drop: self.drop, ..Self::default() };
        }
        let last = self.last.replace(index);
        let tally = Tally::of(window);
        push(&mut self.windows, WINDOWS, 1, last, index, tally);
        push(&mut self.hours, HOURS, HOUR, last, index, tally);
        push(&mut self.blocks, BLOCKS, BLOCK, last, index, tally);
    }

    /// Forgets all windows, as posts of them were missing.
    pub(crate) fn forget(&mut self) {
        *self = Self { spike: self.spike, drop: self.drop, ..Self::default() };
    }

    /// Corrects a window that was learned, if it is among the last ones.
    pub(crate) fn correct(&mut self, index: i64, window: &WindowState) {
        let Some(last) = self.last.filter(|last| index <= *last && index >= self.since) else { return };
        let Some(old) = from_end(&mut self.windows, last - index) else { return };
        let change = Tally::of(window).minus(*old);
        *old = old.plus(change);
        for (ring, width) in [(&mut self.hours, HOUR), (&mut self.blocks, BLOCK)] {
            if let Some(bucket) = from_end(ring, last.div_euclid(width) - index.div_euclid(width)) {
                *bucket = bucket.plus(change);
            }
        }
    }

    /// What the last learned window brings to light on the longer scales and was not raised yet; it is taken as raised. `sample` is passed on.
    pub(crate) fn judge(&mut self, policy: &AlertPolicy, sample: bool) -> Vec<Finding> {
        let Some(last) = self.last else { return Vec::new() };
        let mut found = Vec::new();
        for scale in &SCALES {
            let Some(span) = self.span(scale, last) else { continue };
            let findings = [span.attention(policy), span.mood(policy)];
            for finding in findings.into_iter().flatten() {
                let finding = Finding { sample, ..finding };
                if self.is_news(last, &finding) {
                    found.push(finding);
                }
            }
        }
        found
    }

    /// Whether a finding in window `index` was not raised yet; then it is taken as raised.
    pub(crate) fn is_news(&mut self, index: i64, finding: &Finding) -> bool {
        let (value, of) = finding.level;
        let raised = match finding.kind {
            AlertKind::AttentionSpike => &mut self.spike,
            AlertKind::SentimentDrop => &mut self.drop,
        };
        let rate = |value: i64, of: i64| value as f64 / of.max(1) as f64;
        if let Some(open) = raised.as_mut().filter(|open| index - open.found <= DAY) {
            let (now, before) = (rate(value, of), rate(open.value, open.of));
            let grown = match finding.kind {
                AlertKind::AttentionSpike if finding.windows == 1 => open.of == 1 || now >= GROWTH * before,
                AlertKind::AttentionSpike => now >= GROWTH * before && value >= 2 * open.value,
                AlertKind::SentimentDrop => now <= before - 1e6 * MIN_DROP,
            };
            if !grown || index == open.at {
                open.found = open.found.max(index);
                return false;
            }
        }
        *raised = Some(Raised { at: index, found: index, value, of });
        true
    }

    /// What a scale shows after window `last`; `None` if too little is known of what was before.
    fn span(&self, scale: &Scale, last: i64) -> Option<Span> {
        let end = (last.div_euclid(BLOCK) + 1 - scale.overlaps as i64) * BLOCK;
        let begin = self.since.max(end - USUAL as i64 * BLOCK);
        let known = end - begin;
        if known < DAY + scale.windows {
            return None;
        }
        let usual: Vec<Tally> = self.blocks.iter().rev().skip(scale.overlaps).take(USUAL).copied().collect();
        let (now, windows): (Tally, i64) = match scale.windows {
            DAY => (sum(self.hours.iter().rev().take(24)), 23 * HOUR + last.rem_euclid(HOUR) + 1),
            windows => (sum(self.windows.iter().rev().take(windows as usize)), windows),
        };
        let windows = windows.min(last + 1 - self.since);
        let parts: Vec<Tally> = match scale.windows {
            HOUR => self.hours.iter().rev().skip(2).copied().collect(),
            BLOCK => usual.clone(),
            _ => usual.chunks_exact(4).map(|day| sum(day.iter())).collect(),
        };
        Some(Span { scale: scale.windows, windows, now, usual: sum(usual.iter()), known, parts })
    }
}

/// The windows of a scale beside what is usual.
struct Span {
    /// Windows of the scale, and those of them that are looked at.
    scale: i64,
    windows: i64,
    now: Tally,
    /// What the windows before counted, and how many they are.
    usual: Tally,
    known: i64,
    /// What spans of about this length counted.
    parts: Vec<Tally>,
}

impl Span {
    fn attention(&self, policy: &AlertPolicy) -> Option<Finding> {
        let seen = self.usual.posts() + PRIOR_POSTS;
        let mean = self.windows as f64 * seen / (self.known as f64 + PRIOR_WINDOWS);
        let posts = self.now.posts();
        if self.now.0 < policy.min_posts || posts < LEAST_RISE * mean {
            return None;
        }
        let shape = 1.0 / (self.spread() + 1.0 / seen);
        let exponent = posts * (posts / mean).ln() - (posts + shape) * ((posts + shape) / (mean + shape)).ln();
        let score = self.score(exponent, policy)?;
        Some(Finding {
            kind: AlertKind::AttentionSpike,
            windows: self.scale,
            value: posts,
            expected: Some(mean),
            score: Some(score),
            level: (self.now.0, self.windows),
            sample: false,
        })
    }

    fn mood(&self, policy: &AlertPolicy) -> Option<Finding> {
        let scored = self.now.scored();
        if self.now.1 < policy.min_posts {
            return None;
        }
        let known = self.usual.scored() + PRIOR_SCORES;
        let (usual, mean) = (self.usual.score() / known, self.now.score() / scored);
        let depth = usual - mean;
        if depth < MIN_DROP {
            return None;
        }
        let squares: f64 = self.parts.iter().map(|part| (part.score() - part.scored() * usual).powi(2)).sum();
        let scores: f64 = self.parts.iter().map(|part| part.scored()).sum();
        let per_post = (squares + PRIOR_SCORES * PRIOR_VARIANCE) / (scores + PRIOR_SCORES);
        let variance = per_post.max(PRIOR_VARIANCE) * (1.0 / scored + 1.0 / known) + DRIFT;
        let score = self.score(depth * depth / (2.0 * variance), policy)?;
        Some(Finding {
            kind: AlertKind::SentimentDrop,
            windows: self.scale,
            value: mean,
            expected: Some(usual),
            score: Some(score),
            level: (self.now.2, self.now.1),
            sample: false,
        })
    }

    /// The relative variance of posts beyond that of a Poisson law, by the method of moments.
    fn spread(&self) -> f64 {
        let count = self.parts.len() as f64;
        let mean = self.parts.iter().map(|part| part.posts()).sum::<f64>() / count.max(1.0);
        let squares: f64 = self.parts.iter().map(|part| (part.posts() - mean).powi(2) - mean).sum();
        // Blocks with less than a post say little.
        let weight = mean / (mean + 1.0);
        let own = if mean > 0.0 { weight * squares.max(0.0) / (mean * mean) } else { 0.0 };
        (own + PRIOR_BLOCKS * PRIOR_SPREAD) / (weight * count + PRIOR_BLOCKS)
    }

    /// The score of a tail of `exp(-exponent)`, if it is worth an alert.
    fn score(&self, exponent: f64, policy: &AlertPolicy) -> Option<f64> {
        let alarm = (FALSE_PER_MONTH * self.scale as f64 / MONTH).ln();
        let score = 1.0 / (1.0 + (-exponent - alarm).exp());
        (score >= policy.min_anomaly_score).then_some(score)
    }
}

/// Adds window `index` to the newest bucket of a ring, after empty ones for the time since window `last`.
fn push(ring: &mut VecDeque<Tally>, keep: usize, width: i64, last: Option<i64>, index: i64, tally: Tally) {
    let passed = last.map_or(1, |last| index.div_euclid(width) - last.div_euclid(width));
    for _ in 0..passed.min(keep as i64) {
        if ring.len() == keep {
            ring.pop_front();
        }
        ring.push_back(Tally::default());
    }
    if let Some(newest) = ring.back_mut() {
        *newest = newest.plus(tally);
    }
}

fn from_end(ring: &mut VecDeque<Tally>, back: i64) -> Option<&mut Tally> {
    let at = ring.len().checked_sub(usize::try_from(back).ok()? + 1)?;
    ring.get_mut(at)
}

fn sum<'t>(tallies: impl Iterator<Item = &'t Tally>) -> Tally {
    tallies.fold(Tally::default(), |sum, tally| sum.plus(*tally))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::mention;

    const POLICY: AlertPolicy = AlertPolicy { min_anomaly_score: 0.5, min_posts: 10 };

    fn window(posts: i64, score: f64) -> WindowState {
        let mut window = WindowState::default();
        (0..posts).for_each(|i| window.add(&mention("LUNA", &format!("p{i}"), 0, Some(score)), true, false, 0));
        window
    }

    /// Learns `windows` from `first` on, a post of a score in each of those whose number `every` divides; kind, hours and value of what is found.
    fn talk(
        signals: &mut Signals,
        windows: std::ops::Range<i64>,
        every: i64,
        score: f64,
    ) -> Vec<(AlertKind, i64, f64)> {
        let mut found = Vec::new();
        for index in windows {
            signals.learn(index, 0, &window(i64::from(index % every == 0), score));
            found
                .extend(signals.judge(&POLICY, false).into_iter().map(|one| (one.kind, one.windows / HOUR, one.value)));
        }
        found
    }

    #[test]
    fn an_asset_that_nobody_knew_is_raised_once_though_no_window_has_two_posts() {
        let mut signals = Signals::default();
        assert_eq!(talk(&mut signals, 10 * DAY..10 * DAY + 1, 1, 0.0), []);
        // Then 72 posts a day, for three days.
        let found = talk(&mut signals, 10 * DAY + 1..13 * DAY, 4, 0.0);
        assert_eq!(found, [(AlertKind::AttentionSpike, 6, 10.0)]);
    }

    #[test]
    fn without_a_past_nothing_is_unusual() {
        let mut signals = Signals::default();
        for index in 10 * DAY..12 * DAY {
            signals.learn(index, 10 * DAY, &window(1, -0.9));
            assert_eq!(signals.judge(&POLICY, false), [], "window {index}");
        }
    }

    #[test]
    fn what_is_usual_is_no_event_and_its_end_is_none() {
        let mut signals = Signals::default();
        assert_eq!(talk(&mut signals, 0..20 * DAY, 6, 0.1), []);
        assert_eq!(talk(&mut signals, 20 * DAY..22 * DAY, 1000, 0.1), []);
    }

    #[test]
    fn a_mood_that_sinks_is_raised_once_and_again_when_it_sinks_as_much_again() {
        let mut signals = Signals::default();
        assert_eq!(talk(&mut signals, 0..10 * DAY, 6, 0.2), []);
        let sinking = talk(&mut signals, 10 * DAY..11 * DAY, 6, -0.3);
        let kinds: Vec<_> = sinking.iter().map(|one| one.0).collect();
        assert_eq!(kinds, [AlertKind::SentimentDrop], "{sinking:?}");
        let worse = talk(&mut signals, 11 * DAY..12 * DAY, 6, -0.6);
        assert_eq!(worse.len(), 1, "{worse:?}");
        assert_eq!(talk(&mut signals, 12 * DAY..13 * DAY, 6, -0.6), []);
    }

    #[test]
    fn what_one_window_raised_is_not_raised_again_by_a_longer_scale() {
        let mut signals = Signals::default();
        talk(&mut signals, 0..10 * DAY, 12, 0.0);
        let burst = window(80, 0.0);
        let mut silent = signals.clone();
        signals.learn(10 * DAY, 0, &burst);
        assert_eq!(signals.judge(&POLICY, false).len(), 1, "nothing was raised");
        silent.learn(10 * DAY, 0, &burst);
        let finding = Finding {
            kind: AlertKind::AttentionSpike,
            windows: 1,
            value: 80.0,
            expected: None,
            score: None,
            level: (80, 1),
            sample: false,
        };
        assert!(silent.is_news(10 * DAY, &finding));
        assert!(!silent.is_news(10 * DAY, &finding), "one alert of a kind in a window");
        assert_eq!(silent.judge(&POLICY, false), []);
        assert_eq!(talk(&mut silent, 10 * DAY + 1..12 * DAY, 12, 0.0), []);
    }

    #[test]
    fn windows_of_which_posts_were_missing_are_forgotten() {
        let mut signals = Signals::default();
        talk(&mut signals, 0..10 * DAY, 1000, 0.0);
        signals.forget();
        for index in 10 * DAY..11 * DAY {
            signals.learn(index, index, &window(1, 0.0));
            assert_eq!(signals.judge(&POLICY, false), [], "window {index}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_corrected_window_is_as_if_it_had_been_learned_so(
            first in -900_i64..900, posts in prop::collection::vec(0_i64..4, 1..900), back in 0_usize..80, other in 0_i64..9
        ) {
            let learned = |posts: &[i64]| {
                let mut signals = Signals::default();
                for (index, posts) in (first..).zip(posts) {
                    signals.learn(index, first, &window(*posts, -0.25));
                }
                signals
            };
            let mut corrected = learned(&posts);
            let at = posts.len().saturating_sub(back + 1);
            corrected.correct(first + at as i64, &window(other, -0.25));
            let mut right = posts.clone();
            if posts.len() - 1 - at < WINDOWS {
                right[at] = other;
            }
            prop_assert_eq!(&corrected, &learned(&right));
            let stored = serde_json::to_string(&corrected).unwrap();
            prop_assert!(stored.len() < 2500, "{} bytes", stored.len());
            prop_assert_eq!(&serde_json::from_str::<Signals>(&stored).unwrap(), &corrected);
        }

        #[test]
        fn windows_that_are_left_out_are_empty(first in -900_i64..900, gap in 1_i64..3000) {
            let mut skipped = Signals::default();
            skipped.learn(first, first, &window(3, 0.5));
            let mut filled = skipped.clone();
            (first + 1..first + gap).for_each(|index| filled.learn(index, first, &WindowState::default()));
            skipped.learn(first + gap, first, &window(2, 0.5));
            filled.learn(first + gap, first, &window(2, 0.5));
            prop_assert_eq!(skipped, filled);
        }
    }
}
