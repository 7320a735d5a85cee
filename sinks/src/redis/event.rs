//! What readers of the views get: JSON with the fields of the Avro records, times in RFC 3339.

use serde::Serialize;
use serde_json::{Value, json};
use vigie_clock::Timestamp;
use vigie_schemas::{Alert, ScoredPost, TrendInsight};

use crate::insight::Insight;

const TIMES: [&str; 8] =
    ["window_start", "window_end", "emitted_at", "raised_at", "published_at", "fetched_at", "scored_at", "deleted_at"];

/// The row of `write.lua` for an insight; `None` for those that no view shows.
pub(crate) fn row(insight: &Insight) -> Result<Option<Value>, serde_json::Error> {
    Ok(Some(match insight {
        Insight::Trend(trend) => trend_row(trend)?,
        Insight::Alert(alert) => alert_row(alert)?,
        Insight::Post(post) => post_row(post)?,
        Insight::Fetch(_) | Insight::AuthorKey(_) | Insight::DestroyedKey(_) => return Ok(None),
    }))
}

fn trend_row(trend: &TrendInsight) -> Result<Value, serde_json::Error> {
    let (start, end) = (millis(trend.window_start), millis(trend.window_end));
    Ok(json!(["trend", trend.asset, start, end, trend.revision, trend.posts, readable(trend)?]))
}

fn alert_row(alert: &Alert) -> Result<Value, serde_json::Error> {
    Ok(json!(["alert", alert.alert_id, millis(alert.raised_at), readable(alert)?]))
}

fn post_row(post: &ScoredPost) -> Result<Value, serde_json::Error> {
    // Sealed handles are for the history only.
    Ok(json!(["post", readable(&ScoredPost { author_sealed: None, ..post.clone() })?]))
}

fn millis(time: Timestamp) -> String {
    time.as_millis().to_string()
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
        let row = row(&Insight::Trend(Box::new(trend("BTC", 1_652_100_000_000, 3, 42)))).unwrap().unwrap();
        let data: Value = serde_json::from_str(row[6].as_str().unwrap()).unwrap();
        assert_eq!(row[2], "1652100000000");
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
        let row = row(&Insight::Post(Box::new(unscored))).unwrap().unwrap();
        let data: Value = serde_json::from_str(row[1].as_str().unwrap()).unwrap();
        assert!(data["score"].is_null());
        assert_eq!(data["post_id"], "rss:1");
        assert!(data["published_at"].as_str().unwrap().ends_with('Z'));
    }
}
