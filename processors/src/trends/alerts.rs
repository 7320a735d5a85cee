//! When a window deserves an alert. Pure.

use serde::{Deserialize, Serialize};
use vigie_schemas::{Alert, AlertKind, TrendInsight};

/// From when on a window is worth an alert.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertPolicy {
    /// Least anomaly score of a spike, 0 to 1. The score is made for 0.5: a sum of posts that a half hour in three days exceeds, once per event
    /// ([`crate::anomaly`]).
    pub min_anomaly_score: f64,
    /// Least posts of a spike, and least scored posts of a drop.
    pub min_posts: i64,
}

/// The alerts of a revision. `usual_score` is there if its mean score is an unusual drop from that.
pub fn alerts(policy: &AlertPolicy, insight: &TrendInsight, usual_score: Option<f64>) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let above_forecast = insight.expected_posts.is_some_and(|expected| insight.posts as f64 > expected);
    let anomalous = insight.anomaly_score.is_some_and(|score| score >= policy.min_anomaly_score);
    if anomalous && above_forecast && insight.posts >= policy.min_posts {
        alerts.push(alert(insight, AlertKind::AttentionSpike, insight.posts as f64, insight.expected_posts));
    }
    let scored = insight.negative + insight.neutral + insight.positive;
    if let (Some(usual), Some(mean)) = (usual_score, insight.mean_score)
        && scored >= policy.min_posts
    {
        alerts.push(alert(insight, AlertKind::SentimentDrop, mean, Some(usual)));
    }
    alerts
}

fn alert(insight: &TrendInsight, kind: AlertKind, value: f64, expected: Option<f64>) -> Alert {
    let TrendInsight { asset, window_start, lineage, .. } = insight;
    Alert {
        alert_id: format!("{}/{asset}/{kind}/{}", lineage.run_id, window_start),
        asset: asset.clone(),
        kind: kind.to_string(),
        window_start: *window_start,
        window_end: insight.window_end,
        value,
        expected,
        anomaly_score: (kind == AlertKind::AttentionSpike).then_some(insight.anomaly_score).flatten(),
        raised_at: insight.emitted_at,
        sample: insight.sample,
        run_id: lineage.run_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use vigie_clock::Timestamp;

    use super::*;
    use crate::fixtures::{lineage, mention};
    use crate::trends::window::{InsightHeader, WindowState};

    const POLICY: AlertPolicy = AlertPolicy { min_anomaly_score: 0.5, min_posts: 3 };

    fn insight(posts: usize, anomaly_score: Option<f64>, expected_posts: Option<f64>) -> TrendInsight {
        let mut window = WindowState { anomaly_score, expected_posts, ..WindowState::default() };
        (0..posts).for_each(|i| window.add(&mention("BTC", &format!("p{i}"), 0, Some(-0.5)), true, false, 0));
        window.insight(&InsightHeader {
            asset: "BTC",
            start: Timestamp::from_millis(0),
            end: Timestamp::from_millis(300_000),
            last: false,
            emitted_at: Timestamp::from_millis(9),
            run_id: &lineage(0, 0).run_id,
            input_topic: "t",
            input_partition: 0,
        })
    }

    #[test]
    fn a_spike_needs_score_posts_and_more_than_forecast() {
        let kinds = |insight| alerts(&POLICY, &insight, None).into_iter().map(|a| a.kind).collect::<Vec<_>>();
        assert_eq!(kinds(insight(5, Some(0.5), Some(1.0))), [AlertKind::AttentionSpike.as_str()]);
        assert!(kinds(insight(5, Some(0.95), Some(50.0))).is_empty());
        assert!(kinds(insight(5, Some(0.49), Some(1.0))).is_empty());
        assert!(kinds(insight(5, None, None)).is_empty());
        assert!(kinds(insight(2, Some(0.95), Some(1.0))).is_empty());
    }

    #[test]
    fn a_drop_says_what_was_usual() {
        let raised = alerts(&POLICY, &insight(3, None, None), Some(0.2));
        assert_eq!(raised.len(), 1);
        assert_eq!(
            (raised[0].kind.as_str(), raised[0].value, raised[0].expected),
            (AlertKind::SentimentDrop.as_str(), -0.5, Some(0.2))
        );
        assert!(alerts(&POLICY, &insight(2, None, None), Some(0.2)).is_empty());
    }

    #[test]
    fn the_same_alert_has_the_same_id() {
        let id = |emitted| {
            let insight =
                TrendInsight { emitted_at: Timestamp::from_millis(emitted), ..insight(5, Some(1.0), Some(1.0)) };
            alerts(&POLICY, &insight, None)[0].alert_id.clone()
        };
        assert_eq!(id(1), id(2));
        assert_eq!(id(1), "live/BTC/attention_spike/1970-01-01T00:00:00Z");
    }
}
