//! The screen of `vigie status`.

use std::fmt::Write;

use serde_json::Value;
use vigie_clock::Timestamp;

use super::{Latency, Status};
use crate::output::count;

/// Sources that are named at most; the rest is counted.
const SOURCES: usize = 10;

pub(super) fn draw(status: &Status, now: Timestamp) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let waiting: Vec<_> = status.services.iter().filter_map(|(name, why)| Some((name, why.as_ref()?))).collect();
    let verdict = if status.ready { "ready" } else { "NOT READY" };
    let sample = if status.sample { ", on sample data" } else { "" };
    rows.push(("pipeline", format!("{verdict}{sample}, {}", now.to_string().split('.').next().unwrap_or_default())));
    let names = || status.services.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    rows.push((
        "services",
        format!("{} of {} ready: {}", status.services.len() - waiting.len(), status.services.len(), names()),
    ));
    rows.extend(waiting.into_iter().map(|(name, why)| ("", format!("{name}: {why}"))));
    let behind: Vec<String> = status.lag.iter().filter(|(_, n)| **n > 0).map(|(t, n)| format!("{n} in {t}")).collect();
    let age = status.lag_seconds.filter(|seconds| *seconds > 0.0).map(|s| format!(", {s:.1} s")).unwrap_or_default();
    rows.push(("lag", if behind.is_empty() { "none".to_owned() } else { behind.join(", ") + &age }));
    let standby = &status.standby;
    if standby.copies > 0 {
        let copies = if standby.copies == 1 { "copy" } else { "copies" };
        rows.push((
            "standby",
            format!("{} {copies} of tasks, at most {} behind", standby.copies, count(standby.lag, "record")),
        ));
    }
    let latency = status.latency_seconds.as_ref();
    rows.push((
        "latency",
        latency.map_or_else(
            || "no post scored yet".to_owned(),
            |l| {
                let (Latency { p50, p95, of }, scored) = (l, count(status.posts, "post"));
                format!(
                    "p50 {p50:.2} s, p95 {p95:.2} s from fetch to score, of the newest {of}; {scored} since the start"
                )
            },
        ),
    ));
    let letters: Vec<String> =
        status.dead_letters.iter().filter(|(_, n)| **n > 0).map(|(s, n)| format!("{n} by {s}")).collect();
    rows.push((
        "dead letters",
        if letters.is_empty() { "none".to_owned() } else { format!("{} (see vigie dlq list)", letters.join(", ")) },
    ));
    rows.push(("sources", format!("{} of {} healthy", status.sources.healthy, status.sources.total)));
    if status.sources.file_rejected {
        rows.push(("", "the changed file of sources has mistakes and is not used; the log lists them".to_owned()));
    }
    let failing = &status.sources.failing;
    rows.extend(failing.iter().take(SOURCES).map(|(id, why)| ("", format!("{id}: {why}"))));
    if failing.len() > SOURCES {
        rows.push(("", format!("and {} more", failing.len() - SOURCES)));
    }
    rows.push(("last alert", status.last_alert.as_ref().map_or_else(|| "none".to_owned(), alert)));
    let mut text = String::new();
    for (name, words) in rows {
        let _ = writeln!(text, "{name:<13} {words}");
    }
    text.trim_end().to_owned()
}

fn alert(alert: &Value) -> String {
    let word = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| alert[name].as_f64().map(|n| format!("{n:.2}"));
    let usual = number("expected").map(|usual| format!(" (usual {usual})")).unwrap_or_default();
    let value = number("value").unwrap_or_default();
    format!("{} of {}: {value}{usual}, at {}", word("kind"), word("asset"), word("raised_at"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::{Metrics, Sources};
    use super::*;

    #[test]
    fn a_screen_shows_what_is_wrong_and_how_fast_things_go() {
        let mut status = Status {
            ready: false,
            services: BTreeMap::from([("sink".to_owned(), None), ("trends".to_owned(), Some("restoring".to_owned()))]),
            latency_seconds: Some(Latency { p50: 0.25, p95: 1.5, of: 7 }),
            sources: Sources { total: 2, healthy: 1, ..Sources::default() },
            last_alert: Some(
                json!({"kind": "attention_spike", "asset": "SOL", "value": 90.0, "expected": 12.5, "raised_at": "2026-01-01T00:00:00Z"}),
            ),
            ..Status::default()
        };
        let mut metrics = Metrics::default();
        metrics.add("vigie_sentiment_posts_total 1\nvigie_sinks_lag_records{topic=\"t.v1\"} 12\nvigie_streams_lag_seconds 3.5\nvigie_streams_standby_tasks 2\nvigie_streams_standby_lag_records{partition=\"1\"} 3\nvigie_trends_dead_letters_total{reason=\"x\"} 4\nvigie_producers_sources_file_invalid 1\n");
        status.take(&metrics);
        status.take_sources(&json!({"total": 2, "healthy": 1, "sample": true, "sources": [
            {"source": "good", "health": "ok"}, {"source": "bad", "health": "failing", "decision": "failed", "reason": "http 500"}]}));
        assert_eq!(
            draw(&status, Timestamp::from_millis(0)),
            "pipeline      NOT READY, on sample data, 1970-01-01T00:00:00Z\n\
             services      1 of 2 ready: sink, trends\n              trends: restoring\n\
             lag           12 in t.v1, 3.5 s\n\
             standby       2 copies of tasks, at most 3 records behind\n\
             latency       p50 0.25 s, p95 1.50 s from fetch to score, of the newest 7; 1 post since the start\n\
             dead letters  4 by trends (see vigie dlq list)\n\
             sources       1 of 2 healthy\n              the changed file of sources has mistakes and is not used; the log lists them\n              bad: failing, failed http 500\n\
             last alert    attention_spike of SOL: 90.00 (usual 12.50), at 2026-01-01T00:00:00Z"
        );
    }
}
