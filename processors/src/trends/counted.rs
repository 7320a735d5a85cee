//! What is kept of a mention that was counted, and under which key.

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;
use vigie_schemas::Mention;

/// Scores are summed in whole millionths, so that their sum does not depend on the order.
pub(crate) const MICROS: f64 = 1_000_000.0;

/// What is kept of a counted mention. Names are short, as there is one for each mention of 30 hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    #[serde(rename = "r")]
    pub(crate) revision: i32,
    #[serde(rename = "t")]
    pub(crate) published_at: Timestamp,
    #[serde(rename = "s")]
    pub(crate) source: String,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    /// With its score, in millionths.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<(Label, i64)>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<i64>,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) spam: bool,
    #[serde(rename = "c", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) copy: bool,
}

impl Counted {
    pub(crate) fn of(mention: &Mention, copy: bool) -> Self {
        Self {
            revision: mention.revision,
            published_at: mention.published_at,
            source: mention.source.clone(),
            author: mention.author_id.clone(),
            label: Label::of(mention),
            fingerprint: mention.fingerprint,
            spam: mention.spam,
            copy,
        }
    }

    /// Whether it is part of the unique volume.
    pub(crate) fn is_unique(&self) -> bool {
        !self.spam && !self.copy
    }
}

/// The key of an asset's post. No asset holds a zero byte.
pub(crate) fn post_key(asset: &str, post_id: &str) -> Vec<u8> {
    [asset.as_bytes(), post_id.as_bytes()].join(&0)
}

/// Asset and post of a key.
pub(crate) fn key_parts(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once('\0')
}

/// What a post thinks, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Label {
    #[serde(rename = "n")]
    Negative,
    #[serde(rename = "o")]
    Neutral,
    #[serde(rename = "p")]
    Positive,
}

impl Label {
    /// The label of a valid mention, with `round(score * 1e6)`.
    pub(crate) fn of(mention: &Mention) -> Option<(Self, i64)> {
        let (label, score) = mention.label.as_deref().zip(mention.score)?;
        let label = match label.parse().ok()? {
            vigie_schemas::Label::Negative => Self::Negative,
            vigie_schemas::Label::Neutral => Self::Neutral,
            vigie_schemas::Label::Positive => Self::Positive,
        };
        Some((label, micros(score)))
    }
}

pub(crate) fn micros(score: f64) -> i64 {
    (score * MICROS).round() as i64
}
