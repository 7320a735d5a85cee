//! Adding up what the tasks counted.

use std::time::Duration;

use vigie_clock::Timestamp;
use vigie_schemas::{MarketCopy, WHOLE_MARKET};
use vigie_streams::{ProcessorContext, ProcessorError, WindowStore};

use super::bounds::Bounds;
use super::copies::{self, Marks};
use crate::service::state::{decode, encode};
use crate::trends::stores;
use crate::trends::window::WindowState;

pub(super) const SHARES: &str = "shares";
pub(super) const COPIES: &str = "copies";

/// The share that takes the copies off what is unique.
const OF_COPIES: i32 = -1;
/// From one start to what is behind it.
const ONE: Duration = Duration::from_millis(1);

/// Takes in the counts of `task` that were read at `offset`; returns how many posts there are more than before.
pub(super) fn take_in_share(
    ctx: &mut ProcessorContext<'_>,
    start: Timestamp,
    task: i32,
    counts: WindowState,
    offset: i64,
) -> Result<i64, ProcessorError> {
    let before = share(ctx, start, task)?.unwrap_or_default();
    // Offsets are those of the topic that is read here.
    let offsets = Some(before.offsets.map_or((offset, offset), |(first, _)| (first, offset)));
    let more = counts.posts - before.posts;
    put_share(ctx, start, task, &WindowState { offsets, ..counts })?;
    Ok(more)
}

/// Notes what was found out of a post.
pub(super) fn take_in_copy(
    ctx: &mut ProcessorContext<'_>,
    start: Timestamp,
    copy: &MarketCopy,
) -> Result<bool, ProcessorError> {
    let mut store = WindowStore::over(ctx.store(COPIES));
    let key = copy.post_id.as_bytes();
    let mut marks: Marks = decode(COPIES, store.get(start, key))?.unwrap_or_default();
    let change = copies::mark(&mut marks, copy);
    match marks.is_empty() {
        true => store.delete(start, key),
        false => store.put(start, key, encode(COPIES, &marks)?),
    }
    let Some(is_copy) = change else { return Ok(false) };
    let mut off = share(ctx, start, OF_COPIES)?.unwrap_or_default();
    off.unique += if is_copy { -1 } else { 1 };
    put_share(ctx, start, OF_COPIES, &off)?;
    Ok(true)
}

/// Adds the shares of a window up. What was emitted of it, and how it was judged, stays.
pub(super) fn add_up(ctx: &mut ProcessorContext<'_>, start: Timestamp) -> Result<(), ProcessorError> {
    let shares = shares(ctx, start)?;
    let mut window = stores::window(ctx, start, WHOLE_MARKET)?.unwrap_or_default();
    window.add_up(&shares);
    stores::put_window(ctx, start, WHOLE_MARKET, &window)
}

/// Drops what is not needed any more of closed windows: the copies; and the shares, once their task has closed the window too.
pub(super) fn forget(ctx: &mut ProcessorContext<'_>, closed_before: Timestamp, tasks: &Bounds) {
    WindowStore::over(ctx.store(COPIES)).expire(closed_before);
    let mut store = WindowStore::over(ctx.store(SHARES));
    let gone: Vec<_> = store
        .before(closed_before)
        .map(|(start, key, _)| (start, key))
        .filter(|(start, key)| task_of(key).is_none_or(|task| task == OF_COPIES || *start < tasks.closed_by(task)))
        .collect();
    gone.into_iter().for_each(|(start, key)| store.delete(start, &key));
}

/// The first window whose numbers are not the sum of its shares, in words.
pub(super) fn disagreement(ctx: &mut ProcessorContext<'_>) -> Result<Option<String>, ProcessorError> {
    for (start, _) in stores::windows_before(ctx, Timestamp::from_millis(i64::MAX))? {
        let shares = shares(ctx, start)?;
        let Some(window) = stores::window(ctx, start, WHOLE_MARKET)? else { continue };
        let mut sum = window.clone();
        sum.add_up(&shares);
        let copies = WindowStore::over(ctx.store(COPIES)).between(start, start.saturating_add(ONE)).count() as i64;
        let taken_off = share(ctx, start, OF_COPIES)?.map_or(0, |off| -off.unique);
        if sum != window || copies != taken_off {
            let (posts, found) = (window.posts, sum.posts);
            return Ok(Some(format!(
                "window {start} of {WHOLE_MARKET} counts {posts} posts and {taken_off} copies, in shares are {found} and {copies}"
            )));
        }
    }
    Ok(None)
}

fn shares(ctx: &mut ProcessorContext<'_>, start: Timestamp) -> Result<Vec<WindowState>, ProcessorError> {
    let store = WindowStore::over(ctx.store(SHARES));
    let found = store.between(start, start.saturating_add(ONE)).map(|(_, _, value)| decode(SHARES, Some(value)));
    found.filter_map(Result::transpose).collect()
}

fn share(ctx: &mut ProcessorContext<'_>, start: Timestamp, task: i32) -> Result<Option<WindowState>, ProcessorError> {
    decode(SHARES, WindowStore::over(ctx.store(SHARES)).get(start, &task.to_be_bytes()))
}

fn put_share(
    ctx: &mut ProcessorContext<'_>,
    start: Timestamp,
    task: i32,
    share: &WindowState,
) -> Result<(), ProcessorError> {
    let value = encode(SHARES, share)?;
    WindowStore::over(ctx.store(SHARES)).put(start, &task.to_be_bytes(), value);
    Ok(())
}

fn task_of(key: &[u8]) -> Option<i32> {
    key.try_into().ok().map(i32::from_be_bytes)
}
