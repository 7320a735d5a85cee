//! Records as the processors write them.

use std::collections::BTreeMap;

use vigie_clock::Timestamp;
use vigie_schemas::{
    Alert, AssetMention, FetchRecord, Forecast, LIVE_RUN, Lineage, ScoredPost, TermExample, TermInsight, TrendInsight,
};

/// 2022-05-09T12:40:00Z, the start of a 5-minute window.
pub(crate) const T0: i64 = 1_652_100_000_000;
pub(crate) const WINDOW: i64 = 300_000;

pub(crate) fn lineage(offset: i64) -> Lineage {
    Lineage {
        run_id: LIVE_RUN.to_owned(),
        model_name: "words".to_owned(),
        model_version: "1".to_owned(),
        model_sha256: "00".to_owned(),
        assets_version: "1".to_owned(),
        input_topic: "posts.raw.v1".to_owned(),
        input_partition: 0,
        first_offset: offset,
        last_offset: offset,
    }
}

/// Post number `n`, about BTC, read from input offset `n`.
pub(crate) fn post(n: i64) -> ScoredPost {
    let mention = AssetMention { asset: "BTC".to_owned(), evidence: "ticker".to_owned(), ..AssetMention::default() };
    ScoredPost {
        post_id: format!("rss:{n}"),
        source: "sample".to_owned(),
        kind: "rss".to_owned(),
        url: Some(format!("https://example.org/{n}")),
        title: Some("BTC is up".to_owned()),
        excerpt: "It gained\nagain, and \u{1f680}.".to_owned(),
        published_at: Timestamp::from_millis(T0 + n * 1000),
        fetched_at: Timestamp::from_millis(T0 + n * 1000 + 1001),
        scored_at: Timestamp::from_millis(T0 + n * 1000 + 2000),
        language: Some("en".to_owned()),
        label: Some("positive".to_owned()),
        score: Some(0.5),
        p_negative: Some(0.125),
        p_neutral: Some(0.25),
        p_positive: Some(0.625),
        assets: vec![mention],
        sample: true,
        lineage: lineage(n),
        revision: 1,
        ..ScoredPost::default()
    }
}

/// A revision of the window number `n` after `T0`.
pub(crate) fn trend(asset: &str, n: i64, revision: i32, posts: i64) -> TrendInsight {
    let start = T0 + n * WINDOW;
    TrendInsight {
        asset: asset.to_owned(),
        window_start: Timestamp::from_millis(start),
        window_end: Timestamp::from_millis(start + WINDOW),
        revision,
        posts,
        unique_authors: posts,
        positive: posts,
        mean_score: (posts > 0).then_some(0.5),
        sources: BTreeMap::from([("sample".to_owned(), posts)]),
        emitted_at: Timestamp::from_millis(start + i64::from(revision) * 1000),
        sample: true,
        lineage: lineage(posts),
        no_forecast_reason: Some("settling".to_owned()),
        unique_posts: Some(posts),
        spam_posts: Some(0),
        tail_probability: Some(0.03125),
        ..TrendInsight::default()
    }
}

pub(crate) fn forecast() -> Forecast {
    Forecast {
        next_window_p10: 0.0,
        next_window_p50: 1.5,
        next_window_p90: 4.0,
        next_hour_p10: 8.0,
        next_hour_p50: 17.5,
        next_hour_p90: 40.0,
        doubling_probability: 0.125,
        model_name: "fortune".to_owned(),
        model_version: "1".to_owned(),
        model_sha256: "ab".to_owned(),
    }
}

pub(crate) fn alert(asset: &str, n: i64) -> Alert {
    let start = T0 + n * WINDOW;
    Alert {
        alert_id: format!("{LIVE_RUN}/{asset}/attention_spike/{start}"),
        asset: asset.to_owned(),
        kind: "attention_spike".to_owned(),
        window_start: Timestamp::from_millis(start),
        window_end: Timestamp::from_millis(start + WINDOW),
        value: 120.0,
        expected: Some(10.5),
        anomaly_score: Some(0.99),
        raised_at: Timestamp::from_millis(start + 1000),
        sample: true,
        run_id: LIVE_RUN.to_owned(),
        scale_seconds: Some(3600),
    }
}

pub(crate) fn term(term: &str, revision: i32, authors: i64) -> TermInsight {
    TermInsight {
        term: term.to_owned(),
        kind: "word".to_owned(),
        window_start: Timestamp::from_millis(T0),
        window_end: Timestamp::from_millis(T0 + 3_600_000),
        revision,
        significance: 3.5,
        authors,
        posts: authors,
        all_authors: 100,
        expected_authors: 0.5,
        first_seen: Timestamp::from_millis(T0 + 1),
        assets: vec!["LUNC".to_owned(), "UST".to_owned()],
        examples: vec![TermExample { post_id: "rss:1 ".to_owned(), published_at: Timestamp::from_millis(T0 + 1) }],
        emitted_at: Timestamp::from_millis(T0 + 2),
        run_id: LIVE_RUN.to_owned(),
        ..TermInsight::default()
    }
}

pub(crate) fn fetch(source: &str, n: i64, decision: &str) -> FetchRecord {
    FetchRecord {
        source: source.to_owned(),
        kind: "rss".to_owned(),
        url: format!("https://{source}.example/feed"),
        at: Timestamp::from_millis(T0 + n * 60_000),
        decision: decision.to_owned(),
        status: (decision == "fetched").then_some(200),
        bytes: 1000,
        posts_seen: 20,
        posts_new: i64::from(decision == "fetched"),
        duration_ms: 12,
        next_at: Timestamp::from_millis(T0 + (n + 1) * 60_000),
        reason: (decision == "failed").then(|| "connection refused".to_owned()),
        sample: true,
    }
}
