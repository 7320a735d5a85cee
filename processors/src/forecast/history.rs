//! What the forecaster remembers of a series.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::anomaly::InvalidCount;

/// Windows that are remembered one by one: a day.
pub(super) const DAY: usize = 288;
/// Windows in an hour.
pub(super) const HOUR: usize = 12;
/// Days of hours that are remembered.
pub(super) const DAYS: usize = 7;
/// Hours of the clock that seven days and the hour that was going on before them touch.
const HOURS: usize = 24 * DAYS + 2;
/// A count beyond this is taken as this.
const CEILING: f64 = 1e9;

/// Windows before the first forecast: an hour.
pub const LEAST_WINDOWS: usize = HOUR;

/// What is known of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WindowFacts {
    /// Posts.
    pub posts: f64,
    /// Distinct known authors, if any is known.
    pub authors: Option<f64>,
    /// Sum of the scores, each from -1 to 1, over the scored posts.
    pub score_sum: f64,
    /// Scored posts.
    pub scored: f64,
}

/// The windows of one series up to now, in the order of time. Windows are numbered since 1970. Bounded: a day of windows, a week of hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForecastHistory {
    /// The first window.
    start: i64,
    /// The one after the last.
    next: i64,
    /// Posts of the last day's windows, oldest first.
    recent: VecDeque<f64>,
    /// Posts by hour of the clock, oldest first; the last is that of the last window.
    hours: VecDeque<f64>,
    /// Authors of the last hour's windows, oldest first.
    authors: VecDeque<Option<f64>>,
    /// Sums of scores and scored posts of the last hour's windows, oldest first.
    scores: VecDeque<(f64, f64)>,
}

impl ForecastHistory {
    /// Learns window `index`. Windows that were left out since the last one had no posts. One before the last is not learned.
    pub fn learn(&mut self, index: i64, facts: WindowFacts) -> Result<(), InvalidCount> {
        let facts = checked(facts)?;
        if self.recent.is_empty() {
            (self.start, self.next) = (index, index);
        }
        if index < self.next {
            return Ok(());
        }
        let remembered = (HOURS * HOUR) as i64;
        if index - self.next > remembered {
            // After such a silence nothing from before counts; the hours are those of the silence.
            let start = self.start;
            *self = Self { start, next: index - remembered, ..Self::default() };
        }
        while self.next < index {
            self.push(WindowFacts::default());
        }
        self.push(facts);
        Ok(())
    }

    /// Corrects a window that was learned, as far as it is remembered.
    pub fn correct(&mut self, index: i64, facts: WindowFacts) -> Result<(), InvalidCount> {
        let facts = checked(facts)?;
        let Some(back) = self.next.checked_sub(index + 1).and_then(|back| usize::try_from(back).ok()) else {
            return Ok(());
        };
        let Some(posts) = from_end(&mut self.recent, back) else { return Ok(()) };
        let change = facts.posts - *posts;
        *posts = facts.posts;
        let hours_back = (self.next - 1).div_euclid(HOUR as i64) - index.div_euclid(HOUR as i64);
        if let Some(hour) = usize::try_from(hours_back).ok().and_then(|back| from_end(&mut self.hours, back)) {
            *hour += change;
        }
        if let Some(authors) = from_end(&mut self.authors, back) {
            *authors = facts.authors;
        }
        if let Some(scores) = from_end(&mut self.scores, back) {
            *scores = (facts.score_sum, facts.scored);
        }
        Ok(())
    }

    /// Windows learned, as far as they are remembered: at most a day.
    pub fn windows(&self) -> usize {
        self.recent.len()
    }

    fn push(&mut self, facts: WindowFacts) {
        push_bounded(&mut self.recent, facts.posts, DAY);
        push_bounded(&mut self.authors, facts.authors, HOUR);
        push_bounded(&mut self.scores, (facts.score_sum, facts.scored), HOUR);
        match self.hours.back_mut() {
            Some(hour) if self.next.rem_euclid(HOUR as i64) != 0 => *hour += facts.posts,
            _ => push_bounded(&mut self.hours, facts.posts, HOURS),
        }
        self.next += 1;
    }

    /// The first window.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The window after the last.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Posts of the last day's windows, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = f64> {
        self.recent.iter().rev().copied()
    }

    /// Posts in an hour of the clock, numbered since 1970; 0 beyond what is remembered.
    pub(super) fn hour(&self, number: i64) -> f64 {
        let last = (self.next - 1).div_euclid(HOUR as i64);
        let back = usize::try_from(last - number).ok();
        back.and_then(|back| self.hours.len().checked_sub(back + 1)).map_or(0.0, |at| self.hours[at])
    }

    /// Authors of the last hour's windows, the newest first.
    pub(super) fn authors(&self) -> impl Iterator<Item = Option<f64>> {
        self.authors.iter().rev().copied()
    }

    /// Sums of scores and scored posts of the last hour's windows, the newest first.
    pub(super) fn scores(&self) -> impl Iterator<Item = (f64, f64)> {
        self.scores.iter().rev().copied()
    }
}

/// The facts within reason: counts are finite and not negative, and none is beyond [`CEILING`].
fn checked(facts: WindowFacts) -> Result<WindowFacts, InvalidCount> {
    if !facts.posts.is_finite() || facts.posts < 0.0 {
        return Err(InvalidCount(facts.posts));
    }
    let sane = facts.scored.is_finite() && facts.scored > 0.0 && facts.score_sum.is_finite();
    let (scored, score_sum) = if sane { (facts.scored, facts.score_sum) } else { (0.0, 0.0) };
    Ok(WindowFacts {
        posts: facts.posts.min(CEILING),
        authors: facts.authors.filter(|authors| authors.is_finite() && *authors >= 0.0),
        score_sum: score_sum.clamp(-scored, scored),
        scored,
    })
}

fn from_end<T>(queue: &mut VecDeque<T>, back: usize) -> Option<&mut T> {
    let at = queue.len().checked_sub(back + 1)?;
    queue.get_mut(at)
}

fn push_bounded<T>(queue: &mut VecDeque<T>, value: T, bound: usize) {
    if queue.len() == bound {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::super::Features;
    use super::*;

    fn facts(posts: f64) -> WindowFacts {
        WindowFacts { posts, authors: Some(posts), score_sum: posts / 4.0, scored: posts }
    }

    fn series(first: i64, posts: &[u32]) -> ForecastHistory {
        let mut history = ForecastHistory::default();
        for (index, posts) in (first..).zip(posts) {
            history.learn(index, facts(f64::from(*posts))).unwrap();
        }
        history
    }

    #[test]
    fn what_is_no_count_is_refused_and_changes_nothing() {
        let mut history = series(7, &[1, 2, 3]);
        let before = history.clone();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(history.learn(10, facts(bad)).is_err());
            assert!(history.correct(9, facts(bad)).is_err());
        }
        assert_eq!(history, before);
        history.learn(10, facts(f64::MAX)).unwrap();
        assert_eq!(history.newest_first().next(), Some(CEILING));
    }

    #[test]
    fn windows_that_are_left_out_are_empty_and_a_long_silence_forgets_the_rest() {
        let mut gap = series(5, &[4; 20]);
        gap.learn(40, facts(2.0)).unwrap();
        let mut filled: Vec<u32> = vec![4; 20];
        filled.extend([0; 15]);
        filled.push(2);
        let filled = series(5, &filled);
        assert_eq!(gap.newest_first().collect::<Vec<_>>(), filled.newest_first().collect::<Vec<_>>());
        assert_eq!(gap.hours, filled.hours);
        gap.learn(1_000_000, facts(2.0)).unwrap();
        assert_eq!((gap.windows(), gap.hours.len()), (DAY, HOURS));
        assert_eq!(gap.hours.iter().sum::<f64>(), 2.0);
    }

    proptest::proptest! {
        #[test]
        fn a_corrected_history_is_that_of_the_corrected_counts(
            first in -3000_i64..3000, posts in proptest::collection::vec(0_u32..500, 1..700), back in 0_usize..300, other in 0_u32..500
        ) {
            let mut corrected = series(first, &posts);
            let at = posts.len().saturating_sub(back + 1);
            corrected.correct(first + at as i64, facts(f64::from(other))).unwrap();
            let mut counts = posts.clone();
            if posts.len() - 1 - at < DAY {
                counts[at] = other;
            }
            proptest::prop_assert_eq!(corrected, series(first, &counts));
        }

        #[test]
        fn a_history_stored_at_any_time_is_the_same(
            first in -3000_i64..3000, posts in proptest::collection::vec(0_u32..5000, 0..2500)
        ) {
            let history = series(first, &posts);
            let stored = serde_json::to_string(&history).unwrap();
            proptest::prop_assert!(stored.len() < 8 * 1024, "{} bytes", stored.len());
            let restored: ForecastHistory = serde_json::from_str(&stored).unwrap();
            proptest::prop_assert_eq!(Features::of(&restored), Features::of(&history));
            proptest::prop_assert_eq!(restored, history);
        }
    }
}
