//! What the terms task keeps.
//!
//! | store | key | value |
//! |---|---|---|
//! | `posts` | start of the hour, post | [`Kept`], until its day is closed |
//! | `told` | start of the window, scale, term | revision, and a hash of what it said |
//! | `baselines` | scale, number of the block | what was [learned](super::baseline::Learned); cells of the [sketch](super::baseline) |
//! | `progress` | `progress` | [`Progress`] |

use std::collections::BTreeMap;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_streams::{ProcessorContext, ProcessorError, StoreSpec, WindowStore};

use super::baseline::{BLOCKS, Baseline};
use super::index::Kept;
use super::windows::{Scale, WindowId};
use crate::service::state::{decode, encode};
use crate::trends::progress::Progress;

const POSTS: &str = "posts";
const REPORTED: &str = "told";
const BASELINES: &str = "baselines";
const PROGRESS: &str = "progress";

/// The stores' declarations.
pub(crate) fn specs() -> [StoreSpec; 4] {
    [POSTS, REPORTED, BASELINES, PROGRESS].map(StoreSpec::key_value)
}

type Result<T> = std::result::Result<T, ProcessorError>;

fn hour(time: Timestamp) -> Timestamp {
    time.window_start(Scale::Hour.size())
}

pub(super) fn post(ctx: &mut ProcessorContext<'_>, published_at: Timestamp, post_id: &str) -> Result<Option<Kept>> {
    decode(POSTS, WindowStore::over(ctx.store(POSTS)).get(hour(published_at), post_id.as_bytes()))
}

pub(super) fn put_post(ctx: &mut ProcessorContext<'_>, post_id: &str, kept: &Kept) -> Result<()> {
    let value = encode(POSTS, kept)?;
    WindowStore::over(ctx.store(POSTS)).put(hour(kept.published_at), post_id.as_bytes(), value);
    Ok(())
}

pub(super) fn delete_post(ctx: &mut ProcessorContext<'_>, published_at: Timestamp, post_id: &str) {
    WindowStore::over(ctx.store(POSTS)).delete(hour(published_at), post_id.as_bytes());
}

/// Those published from `from` on and before `to`, both the start of an hour.
pub(super) fn posts(ctx: &mut ProcessorContext<'_>, from: Timestamp, to: Timestamp) -> Result<Vec<(String, Kept)>> {
    let store = WindowStore::over(ctx.store(POSTS));
    let read = |(_, key, value): (Timestamp, Bytes, Bytes)| {
        let kept = decode(POSTS, Some(value))?.ok_or_else(|| ProcessorError::fatal("a post without value"))?;
        Ok((String::from_utf8_lossy(&key).into_owned(), kept))
    };
    store.between(from, to).map(read).collect()
}

/// Deletes the posts that were published before `bound`.
pub(super) fn expire_posts(ctx: &mut ProcessorContext<'_>, bound: Timestamp) {
    WindowStore::over(ctx.store(POSTS)).expire(bound);
}

/// Revision, and a hash of what it said.
pub(super) type Said = (i32, u64);

fn reported_key(scale: Scale, term: &str) -> Vec<u8> {
    [&[scale as u8], term.as_bytes()].concat()
}

/// What was reported of the terms of a window.
pub(super) fn reported(ctx: &mut ProcessorContext<'_>, (start, scale): WindowId) -> Result<BTreeMap<String, Said>> {
    let mut reported = BTreeMap::new();
    let after = Timestamp::from_millis(start.as_millis() + 1);
    for (_, key, value) in WindowStore::over(ctx.store(REPORTED)).between(start, after) {
        if let Some(term) = key.strip_prefix(&[scale as u8])
            && let Some(said) = decode(REPORTED, Some(value))?
        {
            reported.insert(String::from_utf8_lossy(term).into_owned(), said);
        }
    }
    Ok(reported)
}

pub(super) fn put_reported(
    ctx: &mut ProcessorContext<'_>,
    (start, scale): WindowId,
    term: &str,
    said: Said,
) -> Result<()> {
    let value = encode(REPORTED, &said)?;
    WindowStore::over(ctx.store(REPORTED)).put(start, &reported_key(scale, term), value);
    Ok(())
}

pub(super) fn delete_reported(ctx: &mut ProcessorContext<'_>, (start, scale): WindowId, term: &str) {
    WindowStore::over(ctx.store(REPORTED)).delete(start, &reported_key(scale, term));
}

/// Behind the last block is what was learned.
fn block_key(scale: Scale, block: usize) -> [u8; 3] {
    let [high, low] = (block as u16).to_be_bytes();
    [scale as u8, high, low]
}

pub(super) fn load_baseline(ctx: &mut ProcessorContext<'_>, scale: Scale, baseline: &mut Baseline) -> Result<()> {
    let store = ctx.store(BASELINES);
    let learned = decode(BASELINES, store.get(&block_key(scale, BLOCKS)))?;
    baseline.load(learned.unwrap_or_default(), (0..BLOCKS).map(|block| store.get(&block_key(scale, block))));
    Ok(())
}

pub(super) fn put_baseline(ctx: &mut ProcessorContext<'_>, scale: Scale, baseline: &Baseline) -> Result<()> {
    let store = ctx.store(BASELINES);
    let (learned, blocks) = baseline.to_blocks();
    store.put(block_key(scale, BLOCKS), encode(BASELINES, &learned)?);
    for (block, bytes) in blocks.enumerate() {
        if let Some(bytes) = bytes {
            store.put(block_key(scale, block), bytes);
        }
    }
    Ok(())
}

pub(super) fn progress(ctx: &mut ProcessorContext<'_>) -> Result<Progress> {
    Ok(decode(PROGRESS, ctx.store(PROGRESS).get(PROGRESS.as_bytes()))?.unwrap_or_default())
}

pub(super) fn put_progress(ctx: &mut ProcessorContext<'_>, progress: &Progress) -> Result<()> {
    let value = encode(PROGRESS, progress)?;
    ctx.store(PROGRESS).put(PROGRESS, value);
    Ok(())
}
