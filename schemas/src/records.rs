//! The record types, one for each schema in `avro/`. Fields are documented there.
#![expect(missing_docs, reason = "the .avsc files document the fields; two copies would drift")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

/// A post as its source published it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawPost {
    pub post_id: String,
    pub source: String,
    pub kind: String,
    pub url: Option<String>,
    pub author: Option<String>,
    pub title: Option<String>,
    pub text: String,
    pub parent_id: Option<String>,
    pub declared_language: Option<String>,
    pub published_at: Timestamp,
    pub published_at_estimated: bool,
    pub fetched_at: Timestamp,
    pub sample: bool,
}

/// One asset that a post mentions, and what gave it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetMention {
    pub asset: String,
    pub evidence: String,
}

/// What a number stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    pub run_id: String,
    pub model_name: String,
    pub model_version: String,
    pub model_sha256: String,
    pub assets_version: String,
    pub input_topic: String,
    pub input_partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
}

/// The run id of what is computed as posts come in.
pub const LIVE_RUN: &str = "live";

/// A post with its language, assets and sentiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredPost {
    pub post_id: String,
    pub source: String,
    pub kind: String,
    pub url: Option<String>,
    pub author_id: Option<String>,
    pub title: Option<String>,
    pub excerpt: String,
    pub published_at: Timestamp,
    pub fetched_at: Timestamp,
    pub scored_at: Timestamp,
    pub language: Option<String>,
    pub label: Option<String>,
    pub score: Option<f64>,
    pub p_negative: Option<f64>,
    pub p_neutral: Option<f64>,
    pub p_positive: Option<f64>,
    pub unscored_reason: Option<String>,
    pub assets: Vec<AssetMention>,
    pub sample: bool,
    pub lineage: Lineage,
}

/// The asset id under which every post is counted once.
pub const WHOLE_MARKET: &str = "*";

/// One post mentions one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mention {
    pub asset: String,
    pub post_id: String,
    pub source: String,
    pub author_id: Option<String>,
    pub published_at: Timestamp,
    pub label: Option<String>,
    pub score: Option<f64>,
    pub sample: bool,
    pub lineage: Lineage,
}

/// One revision of one window of one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrendInsight {
    pub asset: String,
    pub window_start: Timestamp,
    pub window_end: Timestamp,
    pub revision: i32,
    pub r#final: bool,
    pub posts: i64,
    pub unique_authors: i64,
    pub negative: i64,
    pub neutral: i64,
    pub positive: i64,
    pub mean_score: Option<f64>,
    pub anomaly_score: Option<f64>,
    pub expected_posts: Option<f64>,
    pub sources: BTreeMap<String, i64>,
    pub emitted_at: Timestamp,
    pub sample: bool,
    pub lineage: Lineage,
}

/// Something about an asset that deserves a look now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub alert_id: String,
    pub asset: String,
    pub kind: String,
    pub window_start: Timestamp,
    pub window_end: Timestamp,
    pub value: f64,
    pub expected: Option<f64>,
    pub anomaly_score: Option<f64>,
    pub raised_at: Timestamp,
    pub sample: bool,
    pub run_id: String,
}

/// One decision of the fetcher about one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchRecord {
    pub source: String,
    pub kind: String,
    pub url: String,
    pub at: Timestamp,
    pub decision: String,
    pub status: Option<i32>,
    pub bytes: i64,
    pub posts_seen: i64,
    pub posts_new: i64,
    pub duration_ms: i64,
    pub next_at: Timestamp,
    pub reason: Option<String>,
    pub sample: bool,
}

/// How far a source has been read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    pub source: String,
    pub url: String,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub position: Option<String>,
    pub recent_ids: Vec<String>,
    pub next_at: Timestamp,
    pub failures: i32,
    pub updated_at: Timestamp,
}

/// A record that a stage could not process, with the reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Timestamp,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub key: Option<Vec<u8>>,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub value: Option<Vec<u8>>,
    pub stage: String,
    pub reason: String,
    pub detail: String,
    pub failed_at: Timestamp,
}
