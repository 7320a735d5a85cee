//! The record types, one for each schema in `avro/`. Fields are documented there.
#![expect(missing_docs, reason = "the .avsc files document the fields; two copies would drift")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

use crate::audit::AuditRecord;
use crate::dead_letters::DeadLetter;
use crate::market::MarketPart;
use crate::terms::{TermInsight, TermPost};

/// A post as its source published it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    pub edited_at: Option<Timestamp>,
    pub author_id: Option<String>,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub author_sealed: Option<Vec<u8>>,
    pub quoted: Option<String>,
}

/// One asset that a post mentions, and the evidence for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetMention {
    pub asset: String,
    pub evidence: String,
    pub label: Option<String>,
    pub score: Option<f64>,
}

/// What a number stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    pub revision: i32,
    pub fingerprint: Option<i64>,
    pub spam_score: Option<f64>,
    pub spam_reasons: Vec<String>,
    pub deleted_at: Option<Timestamp>,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub author_sealed: Option<Vec<u8>>,
}

impl ScoredPost {
    /// Label and score that count for an asset that the post mentions: those towards it, or the post's where there are none.
    pub fn mood<'a>(&'a self, mention: &'a AssetMention) -> (Option<&'a str>, Option<f64>) {
        match mention.score {
            Some(score) => (mention.label.as_deref(), Some(score)),
            None => (self.label.as_deref(), self.score),
        }
    }
}

/// How long the windows are that everything is counted in.
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// The asset id under which every post is counted once.
pub const WHOLE_MARKET: &str = "*";

/// One post mentions one asset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    pub revision: i32,
    pub retracted: bool,
    pub fingerprint: Option<i64>,
    pub spam: bool,
}

/// What is expected after a window, made from the windows up to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    pub next_window_p10: f64,
    pub next_window_p50: f64,
    pub next_window_p90: f64,
    pub next_hour_p10: f64,
    pub next_hour_p50: f64,
    pub next_hour_p90: f64,
    pub doubling_probability: f64,
    pub model_name: String,
    pub model_version: String,
    pub model_sha256: String,
}

/// One revision of one window of one asset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    pub forecast: Option<Forecast>,
    pub no_forecast_reason: Option<String>,
    pub unique_posts: Option<i64>,
    pub spam_posts: Option<i64>,
    pub tail_probability: Option<f64>,
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
    pub scale_seconds: Option<i64>,
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
    pub moved_to: Option<String>,
    pub validated_by: Option<String>,
    pub rhythm: Option<String>,
}

/// A data key of one author, wrapped; or that the author has been erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorKeyRecord {
    pub author_id: String,
    pub dek_id: Option<String>,
    pub kek_id: Option<String>,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub wrapped_key: Option<Vec<u8>>,
    pub at: Timestamp,
}

/// Stands in for the data key's id in the key of the record that an author has been erased.
const ERASED: &str = "erased";

impl AuthorKeyRecord {
    /// That this author has been erased.
    pub fn erasure(author_id: String, at: Timestamp) -> Self {
        Self { author_id, dek_id: None, kek_id: None, wrapped_key: None, at }
    }

    /// The record's key on its topic.
    pub fn key(&self) -> String {
        format!("{}/{}", self.author_id, self.dek_id.as_deref().unwrap_or(ERASED))
    }

    /// Author and data key that a record's key names; no data key if it stands for an erasure. `None` if it is no such key.
    pub fn parse_key(key: &[u8]) -> Option<(&str, Option<&str>)> {
        let (author_id, dek_id) = std::str::from_utf8(key).ok()?.rsplit_once('/')?;
        Some((author_id, (dek_id != ERASED).then_some(dek_id)))
    }
}

/// A record type and the Avro schema that it is written with.
pub trait AvroRecord: Serialize + serde::de::DeserializeOwned + Send + Sync {
    /// The schema, as JSON.
    const SCHEMA: &'static str;
}

macro_rules! avro_records {
    ($($record:ident => $file:literal),+ $(,)?) => {
        $(impl AvroRecord for $record {
            const SCHEMA: &'static str = include_str!(concat!("../avro/", $file));
        })+
    };
}

avro_records! {
    RawPost => "raw_post.avsc",
    ScoredPost => "scored_post.avsc",
    Mention => "mention.avsc",
    MarketPart => "market_part.avsc",
    TrendInsight => "trend_insight.avsc",
    Alert => "alert.avsc",
    TermPost => "term_post.avsc",
    TermInsight => "term_insight.avsc",
    FetchRecord => "fetch_record.avsc",
    Cursor => "cursor.avsc",
    AuthorKeyRecord => "author_key.avsc",
    AuditRecord => "audit.avsc",
    DeadLetter => "dead_letter.avsc",
}

#[cfg(test)]
mod tests {
    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::writer::datum::GenericDatumWriter;
    use apache_avro::{Schema, from_value, to_value};

    use super::*;

    fn round_trip<T: AvroRecord + PartialEq + std::fmt::Debug>(record: &T) {
        let schema = Schema::parse_str(T::SCHEMA).unwrap();
        let value = to_value(record).unwrap().resolve(&schema).unwrap();
        let mut bytes = Vec::new();
        GenericDatumWriter::builder(&schema).build().unwrap().write_value(&mut bytes, value).unwrap();
        let read = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut bytes.as_slice()).unwrap();
        assert_eq!(&from_value::<T>(&read).unwrap(), record);
    }

    fn lineage() -> Lineage {
        Lineage {
            run_id: LIVE_RUN.to_owned(),
            model_name: "m".to_owned(),
            model_version: "1".to_owned(),
            model_sha256: "ab".to_owned(),
            assets_version: "1".to_owned(),
            input_topic: "posts.raw.v1".to_owned(),
            input_partition: 3,
            first_offset: 7,
            last_offset: 9,
        }
    }

    #[test]
    fn every_record_type_fits_its_schema() {
        let time = Timestamp::from_millis(1_652_100_000_123);
        let text = || "t".to_owned();
        round_trip(&RawPost {
            post_id: text(),
            source: text(),
            kind: text(),
            url: None,
            author: Some(text()),
            title: None,
            text: "to the moon 🚀".to_owned(),
            parent_id: None,
            declared_language: None,
            published_at: time,
            published_at_estimated: true,
            fetched_at: time,
            sample: true,
            edited_at: Some(time),
            author_id: Some(text()),
            author_sealed: Some(vec![1, 0, 255]),
            quoted: Some("q".into()),
        });
        round_trip(&ScoredPost {
            post_id: text(),
            source: text(),
            kind: text(),
            url: Some(text()),
            author_id: None,
            title: None,
            excerpt: text(),
            published_at: time,
            fetched_at: time,
            scored_at: time,
            language: None,
            label: None,
            score: Some(-0.5),
            p_negative: Some(0.5),
            p_neutral: None,
            p_positive: None,
            unscored_reason: None,
            assets: vec![AssetMention {
                asset: "BTC".to_owned(),
                evidence: "cashtag".to_owned(),
                ..AssetMention::default()
            }],
            sample: false,
            lineage: lineage(),
            revision: 2,
            fingerprint: Some(i64::MIN),
            spam_score: Some(0.5),
            spam_reasons: vec![text()],
            deleted_at: Some(time),
            author_sealed: None,
        });
        for dek_id in [Some(text()), None] {
            let key = AuthorKeyRecord {
                author_id: "a1".to_owned(),
                kek_id: dek_id.clone(),
                wrapped_key: dek_id.as_ref().map(|_| vec![0, 255]),
                dek_id: dek_id.clone(),
                at: time,
            };
            round_trip(&key);
            assert_eq!(AuthorKeyRecord::parse_key(key.key().as_bytes()), Some(("a1", dek_id.as_deref())));
        }
        round_trip(&Mention {
            asset: text(),
            post_id: text(),
            source: text(),
            author_id: None,
            published_at: time,
            label: None,
            score: None,
            sample: false,
            lineage: lineage(),
            revision: 2,
            retracted: true,
            fingerprint: Some(-1),
            spam: true,
        });
        round_trip(&TermPost { fingerprint: Some(-1), assets: vec![text()], ..TermPost::default() });
        round_trip(&TermInsight::full());
        round_trip(&AuditRecord { subject: Some(text()), detail: [(text(), text())].into(), ..AuditRecord::default() });
        round_trip(&MarketPart::full());
        round_trip(&MarketPart::default());
        round_trip(&TrendInsight {
            asset: text(),
            window_start: time,
            window_end: time,
            revision: 2,
            r#final: true,
            posts: 3,
            unique_authors: 2,
            negative: 1,
            neutral: 1,
            positive: 1,
            mean_score: None,
            anomaly_score: Some(0.25),
            expected_posts: None,
            sources: BTreeMap::from([("a".to_owned(), 3)]),
            emitted_at: time,
            sample: false,
            lineage: lineage(),
            forecast: Some(Forecast {
                next_window_p10: 0.0,
                next_window_p50: 1.5,
                next_window_p90: 4.0,
                next_hour_p10: 8.0,
                next_hour_p50: 17.5,
                next_hour_p90: 40.0,
                doubling_probability: 0.125,
                model_name: text(),
                model_version: text(),
                model_sha256: text(),
            }),
            no_forecast_reason: None,
            unique_posts: Some(2),
            spam_posts: None,
            tail_probability: Some(0.02),
        });
        round_trip(&Alert {
            alert_id: text(),
            asset: text(),
            kind: text(),
            window_start: time,
            window_end: time,
            value: 1.0,
            expected: None,
            anomaly_score: None,
            raised_at: time,
            sample: false,
            run_id: text(),
            scale_seconds: Some(3600),
        });
        round_trip(&FetchRecord {
            source: text(),
            kind: text(),
            url: text(),
            at: time,
            decision: text(),
            status: Some(304),
            bytes: 0,
            posts_seen: 1,
            posts_new: 0,
            duration_ms: 12,
            next_at: time,
            reason: None,
            sample: false,
        });
        round_trip(&Cursor {
            source: text(),
            url: text(),
            etag: Some("\"x\"".to_owned()),
            last_modified: None,
            position: None,
            recent_ids: vec![text()],
            next_at: time,
            failures: 0,
            updated_at: time,
            moved_to: Some(text()),
            validated_by: None,
            rhythm: None,
        });
        round_trip(&DeadLetter {
            topic: text(),
            partition: 0,
            offset: 4,
            timestamp: time,
            key: Some(vec![0, 255]),
            value: None,
            stage: text(),
            reason: text(),
            detail: text(),
            failed_at: time,
            version: Some(text()),
        });
    }
}
