//! What is usual for an asset, learned from its windows in the order of time.
//!
//! ```text
//!        learned                │ settling │ open
//! ──┼─────┼─────┼─────┼─────┼───┴─┼─────┼──┴──┼────▶ event time
//!                           next              watermark
//! ```
//!
//! A window is learned once the watermark is past its end plus the settling time, so that posts which sources deliver some minutes late
//! are in. Windows from `next` on are judged by what was learned before them. A window without posts counts 0. A post that comes for a
//! learned window corrects the count that was learned; its mood is not learned again.
//!
//! With every window that is learned the inputs of a forecast of what follows it are at hand ([`Learned`]).
//!
//! On a first start the backlogs of many sources come in any order, and what is usual looks too low until all are in. So a history judges
//! open windows only once it has existed for [`TRUSTED_AFTER`], and learned ones if they were complete ([`Terms`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;
use vigie_streams::TumblingWindows;

use super::alerts::{self, AlertPolicy, Finding, Judgement};
use super::mood::Mood;
use super::progress::Completeness;
use super::signals::Signals;
use super::window::WindowState;
use crate::anomaly::{Anomaly, OnlineAnomaly};
use crate::forecast::{Features, ForecastHistory, NoForecast, WindowFacts};

/// Windows that are learned at once at most: of a longer silence only the last day counts.
const MAX_CATCH_UP: i64 = 288;

/// Windows before the judged one that are looked at though they are not learned yet: two hours, the longest that the score adds up.
pub const MAX_OPEN: u32 = 24;

pub use super::progress::TRUSTED_AFTER;

/// What is usual for an asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssetHistory {
    /// From when on, by the wall clock, it judges.
    trusted_from: Timestamp,
    /// Start of the first window that is not learned.
    next: Timestamp,
    attention: OnlineAnomaly,
    mood: Mood,
    /// Of states that were stored before there were forecasts it is empty, and fills from then on.
    #[serde(default)]
    forecasts: ForecastHistory,
    /// As with the forecasts.
    #[serde(default)]
    signals: Signals,
}

/// By what windows are judged as they are learned.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What is worth an alert.
    pub policy: AlertPolicy,
    /// Of windows that end by this no posts are missing, as far as can be known. Others are learned and not judged.
    pub complete_before: Timestamp,
    /// From when on windows are complete: an asset that was not seen since had no posts.
    pub complete_from: Option<Timestamp>,
}

impl Terms {
    /// As of `now`, when the windows `settled` settle.
    pub(crate) fn new(
        policy: AlertPolicy,
        complete: &mut Completeness,
        settled: &[(Timestamp, String)],
        now: Timestamp,
    ) -> Self {
        let complete_from = complete.from(settled.first().map(|(start, _)| *start), now);
        Self { policy, complete_before: complete.before(now), complete_from }
    }
}

/// What [`AssetHistory::learn`] did.
#[derive(Debug, Default)]
pub struct Learned {
    /// Whether any window was learned.
    pub any: bool,
    /// For each learned window that has posts, its start and the inputs of the forecast that follows it.
    pub rows: Vec<(Timestamp, Result<Features, NoForecast>)>,
    /// For each of them that was complete, what those before it made of it.
    pub judged: Vec<(Timestamp, Judgement)>,
    /// What deserves an alert and was not raised yet, with the start of the window that brought it to light.
    pub findings: Vec<(Timestamp, Finding)>,
}

impl AssetHistory {
    /// Knows nothing; learns from the window that starts at `first` on, and judges from `trusted_from` on.
    pub fn new(first: Timestamp, trusted_from: Timestamp) -> Self {
        Self {
            trusted_from,
            next: first,
            attention: OnlineAnomaly::new(),
            mood: Mood::default(),
            forecasts: ForecastHistory::default(),
            signals: Signals::default(),
        }
    }

    /// Corrects the count of a window that was learned; true if it was.
    pub fn correct(&mut self, spec: &TumblingWindows, start: Timestamp, window: &WindowState) -> bool {
        let size = millis(spec);
        let windows = self.next.as_millis().saturating_sub(start.as_millis()) / size;
        // Counts are finite and not negative, so there is no error to handle.
        let _ = self.forecasts.correct(start.as_millis().div_euclid(size), facts(window));
        self.signals.correct(start.as_millis().div_euclid(size), window);
        match usize::try_from(windows) {
            // A count is finite and not negative, so there is no error to handle.
            Ok(windows @ 1..) => self.attention.correct(windows - 1, window.posts as f64).is_ok(),
            _ => false,
        }
    }

    /// Judges and learns all windows that end by `boundary`, in the order of time. `window` gives the state of the one that starts at a time.
    pub fn learn<E>(
        &mut self,
        spec: &TumblingWindows,
        boundary: Timestamp,
        terms: &Terms,
        mut window: impl FnMut(Timestamp) -> Result<Option<WindowState>, E>,
    ) -> Result<Learned, E> {
        let size = millis(spec);
        let waiting = boundary.as_millis().saturating_sub(self.next.as_millis()) / size;
        let mut learned = Learned::default();
        if waiting > MAX_CATCH_UP {
            let skipped = spec.size.saturating_mul(u32::try_from(waiting - MAX_CATCH_UP).unwrap_or(u32::MAX));
            self.next = self.next.saturating_add(skipped);
            learned.any = true;
        }
        while spec.starting_at(self.next).end <= boundary {
            let start = self.next;
            let index = start.as_millis().div_euclid(size);
            let found = window(start)?;
            let has_posts = found.is_some();
            let state = found.unwrap_or_default();
            // Counts are finite and not negative, so there is no error to handle.
            let anomaly = self.attention.update(state.posts as f64, terms.policy.min_anomaly_score).ok();
            let _ = self.forecasts.learn(index, facts(&state));
            let mean_score = state.mean_score();
            let drop_from = mean_score.and_then(|mean| self.mood.drop_from(mean, state.scored()));
            if let Some(mean_score) = mean_score {
                self.mood.update(mean_score);
            }
            if spec.starting_at(start).end > terms.complete_before {
                self.signals.forget();
            } else {
                let since = terms.complete_from.map_or(index, |from| from.as_millis().div_euclid(size));
                self.signals.learn(index, since, &state);
                if has_posts {
                    let judgement = judgement(anomaly, drop_from);
                    learned
                        .findings
                        .extend(self.findings(index, &state, &judgement, terms).map(|found| (start, found)));
                    learned.judged.push((start, judgement));
                }
            }
            if has_posts {
                learned.rows.push((start, Features::of(&self.forecasts)));
            }
            self.next = spec.starting_at(start).end;
            learned.any = true;
        }
        Ok(learned)
    }

    /// What the window just learned brings to light and was not raised yet: by itself, then together with those before it.
    fn findings(
        &mut self,
        index: i64,
        window: &WindowState,
        judgement: &Judgement,
        terms: &Terms,
    ) -> impl Iterator<Item = Finding> + use<> {
        let mut found = alerts::findings(&terms.policy, window, judgement);
        found.retain(|finding| !window.has_raised(finding.kind) && self.signals.is_news(index, finding));
        found.extend(self.signals.judge(&terms.policy, window.sample));
        found.into_iter()
    }

    /// What a window that was corrected after it was learned brings to light, with the start of the last learned window.
    pub fn findings_after_correction(
        &mut self,
        spec: &TumblingWindows,
        window: &WindowState,
        terms: &Terms,
    ) -> Vec<(Timestamp, Finding)> {
        let last = self.next.saturating_sub(spec.size);
        self.signals.judge(&terms.policy, window.sample).into_iter().map(|found| (last, found)).collect()
    }

    /// Whether a finding in the open window that starts at `start` was not raised yet; then it is taken as raised.
    pub fn is_news(&mut self, spec: &TumblingWindows, start: Timestamp, finding: &Finding) -> bool {
        self.signals.is_news(start.as_millis().div_euclid(millis(spec)), finding)
    }

    /// Whether the window that starts at `start` is learned, or was skipped.
    pub fn has_learned(&self, start: Timestamp) -> bool {
        start < self.next
    }

    /// Whether the history is old enough at `now`, by the wall clock.
    pub fn is_trusted(&self, now: Timestamp) -> bool {
        now >= self.trusted_from
    }

    /// Judges the window that starts at `start`; `None` if it is learned already, or the history is too young at `now`. `earlier` gives the state of
    /// the windows between the last that is learned and this one; the score needs the last [`MAX_OPEN`] of them at most.
    pub fn judge<E>(
        &self,
        spec: &TumblingWindows,
        (start, window): (Timestamp, &WindowState),
        policy: &AlertPolicy,
        now: Timestamp,
        mut earlier: impl FnMut(Timestamp) -> Result<Option<WindowState>, E>,
    ) -> Result<Option<Judgement>, E> {
        if self.has_learned(start) || !self.is_trusted(now) {
            return Ok(None);
        }
        let mut open = Vec::new();
        let reach = spec.size.saturating_mul(MAX_OPEN);
        let mut at = self.next.max(start.saturating_sub(reach));
        while at < start {
            open.push(earlier(at)?.map_or(0.0, |window| window.posts as f64));
            at = spec.starting_at(at).end;
        }
        let anomaly = self.attention.judge(&open, window.posts as f64, policy.min_anomaly_score).ok();
        Ok(Some(judgement(anomaly, window.mean_score().and_then(|mean| self.mood.drop_from(mean, window.scored())))))
    }
}

fn judgement(anomaly: Option<Anomaly>, drop_from: Option<f64>) -> Judgement {
    let expected_posts = anomaly.and_then(|anomaly| anomaly.p50);
    let anomaly = anomaly.filter(|_| expected_posts.is_some());
    Judgement {
        anomaly_score: anomaly.map(|anomaly| anomaly.score),
        tail_probability: anomaly.and_then(|anomaly| anomaly.tail_probability),
        alarm: anomaly.is_some_and(|anomaly| anomaly.alarm),
        expected_posts,
        drop_from,
    }
}

fn millis(spec: &TumblingWindows) -> i64 {
    i64::try_from(spec.size.as_millis()).unwrap_or(i64::MAX)
}

/// A window without posts has no authors and no mood to be known.
fn facts(window: &WindowState) -> WindowFacts {
    WindowFacts {
        posts: window.posts as f64,
        authors: (window.authors > 0).then_some(window.authors as f64),
        score_sum: window.score_micros as f64 / 1e6,
        scored: window.scored() as f64,
    }
}

/// Up to where windows are learned, given the watermark.
pub fn boundary(watermark: Timestamp, spec: &TumblingWindows, settle: Duration) -> Timestamp {
    // A window is dropped when it is closed, so it must have been learned by then.
    watermark.saturating_sub(settle.min(spec.grace))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::fixtures::mention;

    const SPEC: TumblingWindows = TumblingWindows { size: Duration::from_secs(300), grace: Duration::from_secs(3600) };

    const NOW: Timestamp = Timestamp::from_millis(0);

    const TERMS: Terms = Terms {
        policy: AlertPolicy { min_anomaly_score: 0.5, min_posts: 10 },
        complete_before: Timestamp::from_millis(i64::MAX),
        complete_from: None,
    };

    fn start(window: i64) -> Timestamp {
        Timestamp::from_millis(window * 300_000)
    }

    fn window(posts: usize, score: f64) -> WindowState {
        let mut state = WindowState::default();
        (0..posts).for_each(|i| state.add(&mention("BTC", &format!("p{i}"), 0, Some(score)), true, false, 0));
        state
    }

    fn learn(history: &mut AssetHistory, boundary: Timestamp, posts: usize) -> usize {
        let mut asked = 0;
        let learned = history.learn(&SPEC, boundary, &TERMS, |_| {
            asked += 1;
            Ok::<_, Infallible>((posts > 0).then(|| window(posts, 0.1)))
        });
        let learned = learned.unwrap();
        assert_eq!(learned.any, asked > 0);
        assert_eq!(learned.rows.len(), if posts > 0 { asked } else { 0 });
        asked
    }

    /// Judges with no window between.
    fn judge(history: &AssetHistory, start: Timestamp, window: &WindowState, now: Timestamp) -> Option<Judgement> {
        history.judge(&SPEC, (start, window), &TERMS.policy, now, |_| Ok::<_, Infallible>(None)).unwrap()
    }

    #[test]
    fn a_window_is_learned_once_it_has_ended_before_the_boundary() {
        let mut history = AssetHistory::new(start(0), NOW);
        assert_eq!(learn(&mut history, Timestamp::from_millis(299_999), 4), 0);
        assert_eq!(learn(&mut history, start(3), 4), 3);
        assert_eq!(learn(&mut history, start(3), 4), 0);
        assert_eq!(judge(&history, start(2), &window(1, 0.0), NOW), None);
        assert!(judge(&history, start(3), &window(1, 0.0), NOW).is_some());
    }

    #[test]
    fn judgement_is_null_without_history_and_finds_bursts_and_drops_with_it() {
        let mut history = AssetHistory::new(start(0), NOW);
        assert_eq!(judge(&history, start(0), &window(50, -0.9), NOW), Some(Judgement::default()));
        learn(&mut history, start(100), 4);
        let burst = judge(&history, start(100), &window(400, -0.9), NOW).unwrap();
        assert!(burst.anomaly_score.unwrap() > 0.9, "{burst:?}");
        assert!((burst.expected_posts.unwrap() - 4.0).abs() < 0.5, "{burst:?}");
        assert!((burst.drop_from.unwrap() - 0.1).abs() < 1e-6);
        let usual = judge(&history, start(100), &window(4, 0.1), NOW).unwrap();
        assert!(usual.anomaly_score.unwrap() < 0.1 && usual.drop_from.is_none());
    }

    #[test]
    fn posts_that_come_after_their_window_was_learned_correct_what_is_usual() {
        let mut in_time = AssetHistory::new(start(0), NOW);
        learn(&mut in_time, start(100), 4);
        // The same posts, of which three quarters come only when all windows are learned.
        let mut late = AssetHistory::new(start(0), NOW);
        learn(&mut late, start(100), 1);
        assert!((0..100).all(|n| late.correct(&SPEC, start(n), &window(4, 0.1))));
        let expected =
            |history: &AssetHistory| judge(history, start(100), &window(9, 0.1), NOW).unwrap().expected_posts;
        assert_eq!(expected(&late), expected(&in_time));
        assert!(!late.correct(&SPEC, start(100), &window(4, 0.1)), "an open window is not learned");
    }

    #[test]
    fn a_burst_over_open_windows_is_raised_once() {
        let mut history = AssetHistory::new(start(0), NOW);
        learn(&mut history, start(100), 4);
        let judge = |n: i64, posts: usize, before: usize| {
            let burst = |at: Timestamp| Ok::<_, Infallible>((at >= start(100)).then(|| window(before, 0.1)));
            history.judge(&SPEC, (start(n), &window(posts, 0.1)), &TERMS.policy, NOW, burst).unwrap().unwrap()
        };
        assert!(judge(100, 200, 0).alarm);
        let second = judge(101, 200, 200);
        assert!(
            !second.alarm && second.anomaly_score.unwrap() >= 0.5,
            "as unusual, and the window before has raised it"
        );
        assert!(judge(101, 200, 4).alarm, "the window before was quiet");
        assert!(judge(100_000, 200, 4).alarm, "far ahead, and not all windows between are asked for");
    }

    #[test]
    fn a_young_history_does_not_judge() {
        let trusted = NOW.saturating_add(TRUSTED_AFTER);
        let history = AssetHistory::new(start(0), trusted);
        assert_eq!(judge(&history, start(0), &window(50, 0.0), NOW), None);
        assert!(judge(&history, start(0), &window(50, 0.0), trusted).is_some());
    }

    #[test]
    fn a_long_silence_is_learned_as_its_last_day() {
        let mut history = AssetHistory::new(start(0), NOW);
        assert_eq!(learn(&mut history, start(100_000), 0), 288);
        assert_eq!(judge(&history, start(99_999), &window(1, 0.0), NOW), None);
    }

    #[test]
    fn windows_are_learned_before_they_are_dropped() {
        let watermark = start(1000);
        assert_eq!(boundary(watermark, &SPEC, Duration::from_secs(600)), start(998));
        assert_eq!(boundary(watermark, &SPEC, Duration::from_secs(86_400)), start(1000 - 12));
    }
}
