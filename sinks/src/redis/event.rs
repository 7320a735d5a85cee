//! What readers of the events get: JSON with the fields of the Avro records, times in RFC 3339.

use serde::Serialize;
use serde_json::Value;
use vigie_clock::Timestamp;
use vigie_schemas::ScoredPost;
use vigie_schemas::redis::{ALERT, POST, TREND};

use crate::insight::Insight;

const TIMES: [&str; 8] =
    ["window_start", "window_end", "emitted_at", "raised_at", "published_at", "fetched_at", "scored_at", "deleted_at"];

/// The event that announces an insight, its type and its JSON; `None` for those of which nobody hears.
pub(crate) fn of(insight: &Insight) -> Result<Option<(&'static str, String)>, serde_json::Error> {
    Ok(Some(match insight {
        Insight::Trend(trend) => (TREND, readable(trend)?),
        Insight::Alert(alert) => (ALERT, readable(alert)?),
        // Sealed handles are for the history only.
        Insight::Post(post) => (POST, readable(&ScoredPost { author_sealed: None, ..(**post).clone() })?),
        Insight::Term(_)
        | Insight::Fetch(_)
        | Insight::AuthorKey(_)
        | Insight::DestroyedKey(_)
        | Insight::DeadLetter(_)
        | Insight::Redriven(_) => return Ok(None),
    }))
}

fn readable<T: Serialize>(record: &T) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(record)?;
    if let Some(fields) = value.as_object_mut() {
        for name in TIMES {
            if let Some(field) = fields.get_mut(name)
                && let Some(millis) = field.as_i64()
            {
                *field = Value::String(Timestamp::from_millis(millis).to_string());
            }
        }
    }
    serde_json::to_string(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{post, trend};

    #[test]
    fn a_trend_has_the_fields_of_its_record_with_readable_times() {
        let (kind, json) = of(&Insight::Trend(Box::new(trend("BTC", 1_652_100_000_000, 3, 42)))).unwrap().unwrap();
        let data: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(kind, "trend");
        assert_eq!(data["window_start"], "2022-05-09T12:40:00Z");
        assert_eq!(data["window_end"], "2022-05-09T12:45:00Z");
        assert_eq!((data["revision"].as_i64(), data["posts"].as_i64()), (Some(3), Some(42)));
        assert_eq!(data["lineage"]["run_id"], "live");
        assert!(data["final"].is_boolean() && data["mean_score"].is_f64() && data["anomaly_score"].is_null());
    }

    #[test]
    fn a_post_keeps_null_where_nothing_is_known() {
        let mut unscored = post("rss:1", 0);
        unscored.score = None;
        let (_, json) = of(&Insight::Post(Box::new(unscored))).unwrap().unwrap();
        let data: Value = serde_json::from_str(&json).unwrap();
        assert!(data["score"].is_null());
        assert_eq!(data["post_id"], "rss:1");
        assert!(data["published_at"].as_str().unwrap().ends_with('Z'));
    }
}
