//! Terms that rise: what is counted of a post, and what is reported of a term.
#![expect(missing_docs, reason = "the .avsc files document the fields; two copies would drift")]

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

/// The words of a post, for the task that counts terms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TermPost {
    pub post_id: String,
    pub revision: i32,
    pub published_at: Timestamp,
    pub input_partition: i32,
    pub author: i64,
    pub words: String,
    pub fingerprint: Option<i64>,
    pub assets: Vec<String>,
    pub gone: bool,
    pub sample: bool,
}

/// A term that more authors use in a window than was to be expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TermInsight {
    pub term: String,
    pub kind: String,
    pub window_start: Timestamp,
    pub window_end: Timestamp,
    pub revision: i32,
    pub r#final: bool,
    pub significance: f64,
    pub authors: i64,
    pub posts: i64,
    pub all_authors: i64,
    pub expected_authors: f64,
    pub first_seen: Timestamp,
    pub asset: Option<String>,
    pub assets: Vec<String>,
    pub examples: Vec<TermExample>,
    pub emitted_at: Timestamp,
    pub sample: bool,
    pub run_id: String,
}

/// A post with a term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TermExample {
    pub post_id: String,
    pub published_at: Timestamp,
}

#[cfg(test)]
impl TermInsight {
    /// With every field.
    pub(crate) fn full() -> Self {
        let at = Timestamp::from_millis(7);
        Self {
            asset: Some("LUNC".to_owned()),
            assets: vec!["UST".to_owned()],
            examples: vec![TermExample { post_id: "p".to_owned(), published_at: at }],
            first_seen: at,
            significance: 3.5,
            r#final: true,
            ..Self::default()
        }
    }
}
