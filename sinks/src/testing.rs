//! Records for the tests of this crate.

#[path = "../tests/real_servers/records.rs"]
#[expect(dead_code, reason = "the tests against real servers use more of it")]
mod records;
#[path = "../tests/real_servers/topics.rs"]
pub(crate) mod topics;

use vigie_clock::Timestamp;
use vigie_schemas::{AssetMention, ScoredPost, TrendInsight};

/// A positive post about BTC and ETH, read from `offset`.
pub(crate) fn post(post_id: &str, offset: i64) -> ScoredPost {
    let mention = |asset: &str| AssetMention {
        asset: asset.to_owned(),
        evidence: "ticker".to_owned(),
        ..AssetMention::default()
    };
    ScoredPost {
        post_id: post_id.to_owned(),
        author_id: Some("00ff".to_owned()),
        title: Some("BTC and ETH are up".to_owned()),
        excerpt: "Both gained today.".to_owned(),
        assets: vec![mention("BTC"), mention("ETH")],
        ..records::post(offset)
    }
}

/// A revision of the window of `asset` that starts at `start` ms.
pub(crate) fn trend(asset: &str, start: i64, revision: i32, posts: i64) -> TrendInsight {
    TrendInsight {
        window_start: Timestamp::from_millis(start),
        window_end: Timestamp::from_millis(start + records::WINDOW),
        emitted_at: Timestamp::from_millis(start + i64::from(revision) * 1000),
        ..records::trend(asset, 0, revision, posts)
    }
}
