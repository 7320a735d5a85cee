//! Records for the tests of this crate.

use std::collections::BTreeMap;

use vigie_clock::Timestamp;
use vigie_schemas::{AssetMention, LIVE_RUN, Lineage, ScoredPost, TrendInsight};

fn lineage(offset: i64) -> Lineage {
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

/// A positive post about BTC and ETH, read from `offset`.
pub(crate) fn post(post_id: &str, offset: i64) -> ScoredPost {
    let published = 1_652_100_000_000 + offset * 1000;
    let mention = |asset: &str| AssetMention { asset: asset.to_owned(), evidence: "ticker".to_owned() };
    ScoredPost {
        post_id: post_id.to_owned(),
        source: "sample".to_owned(),
        kind: "rss".to_owned(),
        url: Some(format!("https://example.org/{offset}")),
        author_id: Some("00ff".to_owned()),
        title: Some("BTC and ETH are up".to_owned()),
        excerpt: "Both gained today.".to_owned(),
        published_at: Timestamp::from_millis(published),
        fetched_at: Timestamp::from_millis(published + 1000),
        scored_at: Timestamp::from_millis(published + 2000),
        language: Some("en".to_owned()),
        label: Some("positive".to_owned()),
        score: Some(0.5),
        p_negative: Some(0.125),
        p_neutral: Some(0.25),
        p_positive: Some(0.625),
        unscored_reason: None,
        assets: vec![mention("BTC"), mention("ETH")],
        sample: true,
        lineage: lineage(offset),
        revision: 1,
        fingerprint: None,
        spam_score: None,
        spam_reasons: Vec::new(),
        deleted_at: None,
        author_sealed: None,
    }
}

/// A revision of the window of `asset` that starts at `start` ms.
pub(crate) fn trend(asset: &str, start: i64, revision: i32, posts: i64) -> TrendInsight {
    TrendInsight {
        asset: asset.to_owned(),
        window_start: Timestamp::from_millis(start),
        window_end: Timestamp::from_millis(start + 300_000),
        revision,
        r#final: false,
        posts,
        unique_authors: posts,
        negative: 0,
        neutral: 0,
        positive: posts,
        mean_score: Some(0.5),
        anomaly_score: None,
        expected_posts: None,
        sources: BTreeMap::from([("sample".to_owned(), posts)]),
        emitted_at: Timestamp::from_millis(start + i64::from(revision) * 1000),
        sample: true,
        lineage: lineage(posts),
        forecast: None,
        no_forecast_reason: Some("settling".to_owned()),
        unique_posts: Some(posts),
        spam_posts: Some(0),
    }
}
