//! What a trends task keeps.
//!
//! | store | key | value |
//! |---|---|---|
//! | `windows` | window start, asset | [`WindowState`]; of the whole market, where it is spread, [its share](super::share) |
//! | `authors` | window start, asset, 0, author | posts of the author: a new author is one small changelog record, not a rewritten set |
//! | `posts` | window start, asset, 0, post | [`Counted`](super::counted::Counted), a day longer than its window: copies are found by its [index](super::copies) |
//! | `histories` | asset | [`AssetHistory`] |
//! | `progress` | `progress` | [`Progress`] |

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_streams::{ProcessorContext, ProcessorError, StoreSpec, WindowStore};

use super::copies;
use super::counting::POSTS;
use super::history::AssetHistory;
use super::progress::Progress;
use super::window::WindowState;
use crate::service::state::{decode, encode};

pub(crate) const WINDOWS: &str = "windows";
pub(crate) const AUTHORS: &str = "authors";
pub(crate) const HISTORIES: &str = "histories";
pub(crate) const PROGRESS: &str = "progress";

/// The stores' declarations.
pub(crate) fn specs() -> [StoreSpec; 5] {
    [
        StoreSpec::key_value(WINDOWS),
        StoreSpec::key_value(AUTHORS),
        StoreSpec::key_value(POSTS).indexed(copies::INDEX_VERSION, copies::index_keys),
        StoreSpec::key_value(HISTORIES),
        StoreSpec::key_value(PROGRESS),
    ]
}

type Result<T> = std::result::Result<T, ProcessorError>;

pub(crate) fn window(ctx: &mut ProcessorContext<'_>, start: Timestamp, asset: &str) -> Result<Option<WindowState>> {
    decode(WINDOWS, WindowStore::over(ctx.store(WINDOWS)).get(start, asset.as_bytes()))
}

pub(crate) fn put_window(
    ctx: &mut ProcessorContext<'_>,
    start: Timestamp,
    asset: &str,
    window: &WindowState,
) -> Result<()> {
    let value = encode(WINDOWS, window)?;
    WindowStore::over(ctx.store(WINDOWS)).put(start, asset.as_bytes(), value);
    Ok(())
}

/// Start and asset of the windows whose numbers differ from those of their last revision.
pub(crate) fn windows_due(ctx: &mut ProcessorContext<'_>) -> Result<BTreeSet<(Timestamp, String)>> {
    let mut due = BTreeSet::new();
    for (start, asset) in windows_in(ctx, Timestamp::MIN..Timestamp::from_millis(i64::MAX))? {
        if window(ctx, start, &asset)?.is_some_and(|window| window.is_due()) {
            due.insert((start, asset));
        }
    }
    Ok(due)
}

/// Start and asset of the windows that begin before `bound`, in the order of time.
pub(crate) fn windows_before(ctx: &mut ProcessorContext<'_>, bound: Timestamp) -> Result<Vec<(Timestamp, String)>> {
    windows_in(ctx, Timestamp::MIN..bound)
}

/// Start and asset of the windows that begin in `starts`, in the order of time.
pub(crate) fn windows_in(ctx: &mut ProcessorContext<'_>, starts: Range<Timestamp>) -> Result<Vec<(Timestamp, String)>> {
    let mut found = Vec::new();
    for (start, asset, _) in WindowStore::over(ctx.store(WINDOWS)).between(starts.start, starts.end) {
        let asset = String::from_utf8(asset.to_vec())
            .map_err(|error| ProcessorError::fatal(format!("store {WINDOWS} holds a key that is no asset: {error}")))?;
        found.push((start, asset));
    }
    Ok(found)
}

/// Deletes a window.
pub(crate) fn delete_window(ctx: &mut ProcessorContext<'_>, start: Timestamp, asset: &str) {
    WindowStore::over(ctx.store(WINDOWS)).delete(start, asset.as_bytes());
}

/// Deletes the authors of all windows that begin before `bound`.
pub(crate) fn delete_authors_before(ctx: &mut ProcessorContext<'_>, bound: Timestamp) {
    let mut authors = WindowStore::over(ctx.store(AUTHORS));
    let gone: Vec<(Timestamp, Bytes)> = authors.before(bound).map(|(start, key, _)| (start, key)).collect();
    for (start, key) in gone {
        authors.delete(start, &key);
    }
}

/// Deletes the posts of which nothing can be a copy any more, windows of `size` being closed that begin before `bound`.
pub(crate) fn delete_posts_before(ctx: &mut ProcessorContext<'_>, bound: Timestamp, size: Duration) {
    // The last post of a window is as old as its end.
    let kept = copies::COPIED_WITHIN.saturating_add(size);
    WindowStore::over(ctx.store(POSTS)).expire(bound.saturating_sub(kept));
}

pub(crate) fn history(ctx: &mut ProcessorContext<'_>, asset: &str) -> Result<Option<AssetHistory>> {
    decode(HISTORIES, ctx.store(HISTORIES).get(asset.as_bytes()))
}

pub(crate) fn put_history(ctx: &mut ProcessorContext<'_>, asset: &str, history: &AssetHistory) -> Result<()> {
    let value = encode(HISTORIES, history)?;
    ctx.store(HISTORIES).put(asset.as_bytes(), value);
    Ok(())
}

pub(crate) fn progress(ctx: &mut ProcessorContext<'_>) -> Result<Option<Progress>> {
    decode(PROGRESS, ctx.store(PROGRESS).get(PROGRESS.as_bytes()))
}

pub(crate) fn put_progress(ctx: &mut ProcessorContext<'_>, progress: &Progress) -> Result<()> {
    let value = encode(PROGRESS, progress)?;
    ctx.store(PROGRESS).put(PROGRESS.as_bytes(), value);
    Ok(())
}
