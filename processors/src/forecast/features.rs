//! The model's inputs. `models/trend/forecast/features.py` defines them; `golden.json` beside it holds both sides to the same numbers.
//!
//! All are functions of a [`ForecastHistory`]. `relative(value, base)` is `log((value + 0.5) / (base + 0.5))`, and the level is the mean of the
//! last day's windows:
//!
//! | inputs | what |
//! |---|---|
//! | 12 | posts of each of the last 12 windows, relative to the level |
//! | 8 | their sums over the last 2, 3, 6, 12, 24, 36, 72 and 144 windows |
//! | 3 x 3 | median, roughness (mean step of the Anscombe-transformed counts) and highest of 12, 72 and 288 windows |
//! | 1 | how long ago the day's highest was |
//! | 9 | the coming hour on the last seven days: against the hour before it, and against the level |
//! | 3 | the week's hours: mean against the level, spread and roughness of the last day's hours |
//! | 3 | the level itself, windows and hours of history |
//! | 5 | posts per author and mood of the last hour, as far as they are known |

use super::history::{DAY, DAYS, ForecastHistory, HOUR};
use super::{LEAST_WINDOWS, NoForecast};

/// Inputs of one row.
pub const FEATURES: usize = 50;

const HOUR_I: i64 = HOUR as i64;
const DAY_I: i64 = DAY as i64;
/// Ratios between two hours are cut here: e² is some seven times.
const MOST_RATIO: f64 = 2.0;

/// One row of the model's input, and the level that its answer is relative to.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The inputs.
    pub values: [f32; FEATURES],
    /// Posts per window, the mean of the last day.
    pub level: f64,
}

impl Features {
    /// The inputs for a forecast that follows the last window of `history`.
    pub fn of(history: &ForecastHistory) -> Result<Self, NoForecast> {
        if history.windows() < LEAST_WINDOWS {
            return Err(NoForecast::ShortHistory);
        }
        let recent: Vec<f64> = history.newest_first().collect();
        let level = (recent.iter().sum::<f64>() + 0.5) / recent.len() as f64;
        let mut row = Row { values: [0.0; FEATURES], filled: 0 };
        push_recent(&mut row, &recent, level);
        push_season(&mut row, history, HOUR as f64 * level);
        push_hours(&mut row, history, HOUR as f64 * level);
        row.push((level + 0.05).ln());
        row.push(recent.len() as f64 / DAY as f64);
        row.push(whole_hours(history) as f64 / (24 * DAYS) as f64);
        push_people(&mut row, history, &recent);
        debug_assert_eq!(row.filled, FEATURES);
        Ok(Self { values: row.values, level })
    }
}

struct Row {
    values: [f32; FEATURES],
    filled: usize,
}

impl Row {
    fn push(&mut self, value: f64) {
        if let Some(place) = self.values.get_mut(self.filled) {
            *place = value as f32;
        }
        self.filled += 1;
    }
}

fn relative(value: f64, base: f64) -> f64 {
    ((value + 0.5) / (base + 0.5)).ln()
}

/// `recent` is the newest first.
fn push_recent(row: &mut Row, recent: &[f64], level: f64) {
    let last = |windows: usize| &recent[..windows.min(recent.len())];
    for posts in last(HOUR) {
        row.push(relative(*posts, level));
    }
    for windows in [2, 3, 6, 12, 24, 36, 72, 144] {
        let part = last(windows);
        row.push(relative(part.iter().sum(), level * part.len() as f64));
    }
    for windows in [12, 72, 288] {
        row.push(relative(median(last(windows)), level));
    }
    let transformed = |posts: f64| 2.0 * (posts + 0.375).sqrt();
    for windows in [12, 72, 288] {
        let part = last(windows);
        let steps: f64 = part.windows(2).map(|two| (transformed(two[0]) - transformed(two[1])).abs()).sum();
        row.push((steps / (part.len() - 1) as f64 + 0.1).ln());
    }
    for windows in [12, 72, 288] {
        row.push(relative(last(windows).iter().copied().fold(0.0, f64::max), level));
    }
    let highest = recent.iter().copied().fold(0.0, f64::max);
    let since = recent.iter().position(|posts| *posts == highest).unwrap_or(0);
    row.push(since as f64 / DAY as f64);
}

/// The hour that is to come, as it was on each of the last seven days: its change from the hour before, and its height against `base`.
fn push_season(row: &mut Row, history: &ForecastHistory, base: f64) {
    let mut ratios = Vec::with_capacity(DAYS);
    let mut heights = Vec::with_capacity(DAYS);
    let (mut ahead_sum, mut behind_sum) = (0.0, 0.0);
    for day in 1..=DAYS as i64 {
        let first = history.next() - DAY_I * day;
        if (first.div_euclid(HOUR_I) - 1) * HOUR_I < history.start() {
            break;
        }
        let (ahead, behind) = (spanning(history, first), spanning(history, first - HOUR_I));
        ratios.push(relative(ahead, behind).clamp(-MOST_RATIO, MOST_RATIO));
        heights.push(relative(ahead, base));
        ahead_sum += ahead;
        behind_sum += behind;
    }
    row.push(ratios.len() as f64 / DAYS as f64);
    if ratios.is_empty() {
        (0..8).for_each(|_| row.push(0.0));
        return;
    }
    let known = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / known;
    let spread = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / known;
    let of_day = |values: &[f64], day: usize| values.get(day - 1).copied().unwrap_or(0.0);
    row.push(mean);
    row.push(relative(ahead_sum, behind_sum));
    row.push(spread.sqrt());
    row.push(of_day(&ratios, 1));
    row.push(of_day(&ratios, DAYS));
    row.push(heights.iter().sum::<f64>() / known);
    row.push(of_day(&heights, 1));
    row.push(of_day(&heights, DAYS));
}

/// Posts in the hour that begins with window `first`, each hour of the clock taken as even.
fn spanning(history: &ForecastHistory, first: i64) -> f64 {
    let (hour, part) = (first.div_euclid(HOUR_I), first.rem_euclid(HOUR_I));
    (history.hour(hour) * (HOUR_I - part) as f64 + history.hour(hour + 1) * part as f64) / HOUR as f64
}

/// Whole hours of the clock since the history began, a week at most.
fn whole_hours(history: &ForecastHistory) -> i64 {
    let newest = history.next().div_euclid(HOUR_I) - 1;
    let oldest = -(-history.start()).div_euclid(HOUR_I);
    (newest - oldest + 1).clamp(0, (24 * DAYS) as i64)
}

fn push_hours(row: &mut Row, history: &ForecastHistory, base: f64) {
    let hours = whole_hours(history);
    if hours == 0 {
        (0..3).for_each(|_| row.push(0.0));
        return;
    }
    let newest = history.next().div_euclid(HOUR_I) - 1;
    let total: f64 = (0..hours).map(|back| history.hour(newest - back)).sum();
    row.push(relative(total / hours as f64, base));
    let logs: Vec<f64> = (0..hours.min(24)).map(|back| (history.hour(newest - back) + 0.5).ln()).collect();
    let day = logs.len() as f64;
    let squares: f64 = logs.iter().map(|log| log * log).sum();
    row.push((squares / day - (logs.iter().sum::<f64>() / day).powi(2)).max(0.0).sqrt());
    let steps: f64 = logs.windows(2).map(|two| (two[1] - two[0]).abs()).sum();
    row.push(if logs.len() > 1 { steps / (day - 1.0) } else { 0.0 });
}

/// Posts per author and mood of the last hour, as far as they are known.
fn push_people(row: &mut Row, history: &ForecastHistory, recent: &[f64]) {
    let (mut posts, mut people) = (0.0, 0.0);
    for (authors, count) in history.authors().zip(recent) {
        if let Some(authors) = authors {
            posts += count;
            people += authors;
        }
    }
    let known = people > 0.0;
    row.push(f64::from(u8::from(known)));
    row.push(if known { relative(posts, people) } else { 0.0 });
    let sum = |windows: usize| {
        history.scores().take(windows).fold((0.0, 0.0), |(sum, scored), one| (sum + one.0, scored + one.1))
    };
    let ((hour, scored), (near, near_scored)) = (sum(HOUR), sum(3));
    let mood = if scored > 0.0 { hour / scored } else { 0.0 };
    row.push(f64::from(u8::from(scored > 0.0)));
    row.push(mood);
    row.push(if near_scored > 0.0 { near / near_scored - mood } else { 0.0 });
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
}

#[cfg(test)]
mod tests {
    use super::super::WindowFacts;
    use super::*;

    fn learn(history: &mut ForecastHistory, index: i64, posts: f64) {
        history.learn(index, WindowFacts { posts, ..WindowFacts::default() }).unwrap();
    }

    #[test]
    fn less_than_an_hour_is_too_short() {
        let mut history = ForecastHistory::default();
        (0..11).for_each(|index| learn(&mut history, index, 3.0));
        assert_eq!(Features::of(&history), Err(NoForecast::ShortHistory));
        learn(&mut history, 11, 3.0);
        assert!(Features::of(&history).is_ok());
    }

    #[test]
    fn rows_of_series_of_any_size_are_finite() {
        for posts in [0.0, 1.0, 1e9, f64::MAX] {
            let mut history = ForecastHistory::default();
            for index in 0..2500 {
                learn(&mut history, index, if index % 97 == 0 { posts } else { 0.0 });
                if let Ok(row) = Features::of(&history) {
                    assert!(row.values.iter().all(|value| value.is_finite()), "{posts} at {index}: {row:?}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn what_comes_later_changes_no_row(
            first in -3000_i64..3000, posts in proptest::collection::vec(0_u32..500, 1..900), cut in 0_usize..900
        ) {
            let cut = cut.min(posts.len());
            let mut whole = ForecastHistory::default();
            let mut rows = Vec::new();
            for (index, posts) in (first..).zip(&posts) {
                learn(&mut whole, index, f64::from(*posts));
                rows.push(Features::of(&whole));
            }
            let mut truncated = ForecastHistory::default();
            for (at, posts) in posts[..cut].iter().enumerate() {
                learn(&mut truncated, first + at as i64, f64::from(*posts));
                proptest::prop_assert_eq!(&Features::of(&truncated), &rows[at]);
            }
        }
    }
}
