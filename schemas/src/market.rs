//! How the counting of the whole market is spread over tasks: where a mention goes, and what the tasks send each other.
#![expect(missing_docs, reason = "market_part.avsc documents the fields; two copies would drift")]

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

/// Where a mention of the whole market is counted that is spread over the partitions: all posts of an author in one place, so that the
/// authors of all places add up; a post without author by its id.
pub fn market_route(author_id: Option<&str>, post_id: &str) -> u32 {
    // FNV-1a. The partitioner hashes the key once more.
    author_id
        .unwrap_or(post_id)
        .bytes()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The key of a mention of the whole market on its `route`.
pub fn market_key(route: u32) -> String {
    format!("{MARKET_SHARE}{route:08x}")
}

/// How the keys of mentions begin that are spread; also the asset id under which a task counts its share of the whole market.
pub const MARKET_SHARE: &str = "*/";

/// What the tasks that share the counting of the whole market send each other: one of the four.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MarketPart {
    pub task: i32,
    pub window_start: Timestamp,
    pub post: Option<MarketPost>,
    pub copy: Option<MarketCopy>,
    pub counts: Option<String>,
    pub progress: Option<MarketProgress>,
}

/// A post among which copies are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarketPost {
    pub post_id: String,
    pub revision: i32,
    pub published_at: Timestamp,
    pub fingerprint: i64,
    pub band: i32,
    pub spam: bool,
    pub gone: bool,
}

/// That a post is a copy, or is none any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarketCopy {
    pub post_id: String,
    pub revision: i32,
    pub band: i32,
    pub is_copy: bool,
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarketProgress {
    pub watermark: Timestamp,
    pub of_copies: bool,
    pub idle: bool,
}

#[cfg(test)]
impl MarketPart {
    /// With every field.
    pub(crate) fn full() -> Self {
        let post_id = || "p".to_owned();
        let post = MarketPost {
            post_id: post_id(),
            revision: 2,
            published_at: Timestamp::from_millis(7),
            fingerprint: -1,
            band: 2,
            spam: true,
            gone: true,
        };
        Self {
            task: 3,
            window_start: Timestamp::from_millis(5),
            post: Some(post),
            copy: Some(MarketCopy { post_id: post_id(), revision: 2, band: 1, is_copy: true }),
            counts: Some("{}".to_owned()),
            progress: Some(MarketProgress { watermark: Timestamp::from_millis(9), of_copies: true, idle: true }),
        }
    }
}
