//! Records for unit tests.

use vigie_clock::Timestamp;
use vigie_schemas::{LIVE_RUN, Lineage, Mention, RawPost};

pub(crate) fn lineage(partition: i32, offset: i64) -> Lineage {
    Lineage {
        run_id: LIVE_RUN.into(),
        model_name: "lexicon".into(),
        model_version: "1".into(),
        model_sha256: "00".into(),
        assets_version: "1".into(),
        input_topic: "posts.raw.v1".into(),
        input_partition: partition,
        first_offset: offset,
        last_offset: offset,
    }
}

pub(crate) fn raw_post(post_id: &str, author: &str, text: &str, published_at: i64) -> RawPost {
    RawPost {
        post_id: post_id.into(),
        source: "r-bitcoin".into(),
        kind: "reddit".into(),
        author: Some(author.into()),
        text: text.into(),
        published_at: Timestamp::from_millis(published_at),
        fetched_at: Timestamp::from_millis(published_at),
        ..RawPost::default()
    }
}

/// A mention published `seconds` after the epoch, labelled by the sign of its score.
pub(crate) fn mention(asset: &str, post_id: &str, seconds: i64, score: Option<f64>) -> Mention {
    let label = score.map(|score| match score {
        s if s < 0.0 => "negative",
        s if s > 0.0 => "positive",
        _ => "neutral",
    });
    Mention {
        asset: asset.into(),
        post_id: post_id.into(),
        source: "r-bitcoin".into(),
        author_id: Some(format!("author of {post_id}")),
        published_at: Timestamp::from_millis(seconds * 1000),
        label: label.map(Into::into),
        score,
        lineage: lineage(0, 0),
        revision: 1,
        ..Mention::default()
    }
}
