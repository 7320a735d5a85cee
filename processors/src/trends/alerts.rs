//! When a window deserves an alert. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;
use vigie_schemas::{Alert, AlertKind};
use vigie_streams::TumblingWindows;

use super::window::WindowState;

/// A drop of the mood is at least this deep, on the scale from -1 to 1.
pub(crate) const MIN_DROP: f64 = 0.25;

/// From when on a window is worth an alert.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertPolicy {
    /// Least anomaly score of an alert, 0 to 1. In one window 0.5 is a sum of posts that a half hour in three days exceeds; it is raised once
    /// per event ([`crate::anomaly`]). On longer scales 0.5 is what chance exceeds once in a hundred months per asset (the module `signals`).
    pub min_anomaly_score: f64,
    /// Least posts of a spike, and least scored posts of a drop.
    pub min_posts: i64,
}

/// A window held against what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// 0 to 1; `None` until there is enough history.
    pub anomaly_score: Option<f64>,
    /// The probability of at least as many posts; `None` until there is enough history.
    pub tail_probability: Option<f64>,
    /// Whether the score is worth an alert and none was raised about the same event.
    pub alarm: bool,
    /// Median forecast of posts; `None` until there is enough history.
    pub expected_posts: Option<f64>,
    /// The usual mean score, if the window's is an unusual drop from it.
    pub drop_from: Option<f64>,
}

impl Judgement {
    /// Writes what a revision says of it.
    pub(crate) fn write(&self, window: &mut WindowState) {
        (window.anomaly_score, window.tail_probability) = (self.anomaly_score, self.tail_probability);
        window.expected_posts = self.expected_posts;
    }
}

/// What is unusual about a span of windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// In which way.
    pub kind: AlertKind,
    /// Length of the span in windows.
    pub windows: i64,
    /// Posts, or the mean score.
    pub value: f64,
    /// The same, as expected.
    pub expected: Option<f64>,
    /// 0 to 1; none for the mood of one window.
    pub score: Option<f64>,
    /// Posts and their windows, or the sum of scores in millionths and their posts.
    pub(crate) level: (i64, i64),
    /// Whether it is about sample data.
    pub(crate) sample: bool,
}

/// What one window shows by itself.
pub(crate) fn findings(policy: &AlertPolicy, window: &WindowState, judgement: &Judgement) -> Vec<Finding> {
    let mut found = Vec::new();
    let Judgement { anomaly_score, alarm, expected_posts, drop_from, .. } = *judgement;
    let above_forecast = expected_posts.is_some_and(|expected| window.posts as f64 > expected);
    if alarm && above_forecast && window.posts >= policy.min_posts {
        found.push(Finding {
            kind: AlertKind::AttentionSpike,
            windows: 1,
            value: window.posts as f64,
            expected: expected_posts,
            score: anomaly_score,
            level: (window.posts, 1),
            sample: window.sample,
        });
    }
    if let (Some(_), Some(mean)) = (drop_from, window.mean_score())
        && window.scored() >= policy.min_posts
    {
        found.push(Finding {
            kind: AlertKind::SentimentDrop,
            windows: 1,
            value: mean,
            expected: drop_from,
            score: None,
            level: (window.score_micros, window.scored()),
            sample: window.sample,
        });
    }
    found
}

/// The alert of a finding about `asset` that was made in the window which starts at `start`.
pub(crate) fn alert(
    finding: &Finding,
    spec: &TumblingWindows,
    (start, asset): (Timestamp, &str),
    run_id: &str,
    raised_at: Timestamp,
) -> Alert {
    let scale: Duration = spec.size.saturating_mul(u32::try_from(finding.windows).unwrap_or(u32::MAX));
    Alert {
        alert_id: format!("{run_id}/{asset}/{}/{start}", finding.kind),
        asset: asset.to_owned(),
        kind: finding.kind.to_string(),
        window_start: start,
        window_end: spec.starting_at(start).end,
        value: finding.value,
        expected: finding.expected,
        anomaly_score: finding.score,
        raised_at,
        sample: finding.sample,
        run_id: run_id.to_owned(),
        scale_seconds: i64::try_from(scale.as_secs()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::mention;

    const POLICY: AlertPolicy = AlertPolicy { min_anomaly_score: 0.5, min_posts: 3 };

    fn window(posts: usize) -> WindowState {
        let mut window = WindowState::default();
        (0..posts).for_each(|i| window.add(&mention("BTC", &format!("p{i}"), 0, Some(-0.5)), true, false, 0));
        window
    }

    fn of(
        posts: usize,
        anomaly_score: Option<f64>,
        expected_posts: Option<f64>,
        drop_from: Option<f64>,
    ) -> Vec<Finding> {
        let alarm = anomaly_score.is_some_and(|score| score >= POLICY.min_anomaly_score);
        let judgement = Judgement { anomaly_score, alarm, expected_posts, drop_from, ..Judgement::default() };
        findings(&POLICY, &window(posts), &judgement)
    }

    #[test]
    fn a_spike_needs_score_posts_and_more_than_forecast() {
        let kinds = |found: Vec<Finding>| found.into_iter().map(|found| found.kind).collect::<Vec<_>>();
        assert_eq!(kinds(of(5, Some(0.5), Some(1.0), None)), [AlertKind::AttentionSpike]);
        assert!(kinds(of(5, Some(0.95), Some(50.0), None)).is_empty());
        assert!(kinds(of(5, Some(0.49), Some(1.0), None)).is_empty());
        assert!(kinds(of(5, None, None, None)).is_empty());
        assert!(kinds(of(2, Some(0.95), Some(1.0), None)).is_empty());
    }

    #[test]
    fn a_drop_says_what_was_usual() {
        let found = of(3, None, None, Some(0.2));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].value, found[0].expected), (AlertKind::SentimentDrop, -0.5, Some(0.2)));
        assert!(of(2, None, None, Some(0.2)).is_empty());
    }

    #[test]
    fn the_same_alert_has_the_same_id_and_says_its_scale() {
        let spec = TumblingWindows { size: Duration::from_secs(300), grace: Duration::ZERO };
        let at = |millis| {
            let finding = of(5, Some(1.0), Some(1.0), None)[0];
            alert(&finding, &spec, (Timestamp::from_millis(0), "BTC"), "live", Timestamp::from_millis(millis))
        };
        assert_eq!(at(1).alert_id, at(2).alert_id);
        assert_eq!(at(1).alert_id, "live/BTC/attention_spike/1970-01-01T00:00:00Z");
        assert_eq!(at(1).scale_seconds, Some(300));
    }
}
