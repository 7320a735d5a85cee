//! Up to where no window of an asset can come or be revised.
//!
//! A task closes windows in the order of time, those of all its assets together, and their final revisions are stored in that order. So where
//! any asset of a task has a final window, no window of this task that starts earlier can come: also none of an asset that was not
//! mentioned then. The task of an asset is the partition of its input. To a replay that has finished nothing comes at all.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use crate::store::runs::served::Served;
use crate::store::{Snapshot, StoreError};
use crate::time::{EARLIEST, UtcTime};

/// Nothing final is looked for further ahead: after a range that is past the first window looked at is final.
const AHEAD: i64 = 7 * 86_400;
/// How far event time may be ahead of the clock, as the topology has it.
const TOLERANCE: i64 = 3600;

/// The index by time is read from its end, over windows that are still open, to the first final one of the task.
const CLOSED: &str = "WITH named AS (SELECT a.asset, (SELECT l.input_partition FROM stored_windows w JOIN lineages l ON l.id = w.lineage_id \
       WHERE w.run_id = $1 AND w.asset = a.asset ORDER BY w.window_start DESC LIMIT 1) AS task FROM unnest($2::text[]) a (asset)), \
     tasks AS (SELECT task, (SELECT array_agg(id) FROM lineages WHERE input_partition = task) AS ids \
       FROM (SELECT DISTINCT task FROM named WHERE task IS NOT NULL) t), \
     bounds AS (SELECT task, (SELECT w.window_start + w.window_seconds * interval '1 second' FROM stored_windows w \
       WHERE w.run_id = $1 AND w.window_start >= $3 AND w.window_start < $4 AND w.final AND w.lineage_id = ANY(tasks.ids) \
       AND ($5::timestamptz IS NULL OR w.emitted_at <= $5) ORDER BY w.window_start DESC LIMIT 1) AS closed FROM tasks), \
     finished AS (SELECT $4::timestamptz AS closed FROM runs WHERE run_id = $1 AND state = 'finished' \
       AND ($5::timestamptz IS NULL OR finished_at <= $5)), \
     answer AS (SELECT asset, greatest(bounds.closed, finished.closed) AS closed FROM named LEFT JOIN bounds USING (task) \
       LEFT JOIN finished ON true) \
     SELECT asset, closed FROM answer WHERE closed IS NOT NULL";

/// Of each part of a range, in order, its end, and the time before which the windows of each asset were closed.
pub(crate) struct Closed(Vec<(UtcTime, BTreeMap<String, UtcTime>)>);

impl Closed {
    /// Up to where the windows of `asset` that start at `from` or later were closed; long before all data if they were not.
    pub(crate) fn until(&self, asset: &str, from: UtcTime) -> UtcTime {
        let mut until = UtcTime(EARLIEST);
        for (end, closed) in self.0.iter().filter(|(end, _)| *end > from) {
            let Some(time) = closed.get(asset) else { break };
            until = *time.min(end);
            if until < *end {
                break;
            }
        }
        until
    }
}

impl Snapshot {
    /// What was closed at `as_of`, or is, of a range. Looks no further back than `seconds` before the end of each part: enough where only
    /// all of it counts.
    pub(crate) async fn closed(
        &self,
        served: &Served,
        assets: &[&str],
        (range, seconds): ((UtcTime, UtcTime), i64),
        as_of: Option<UtcTime>,
    ) -> Result<Closed, StoreError> {
        let served = served.within(range);
        let parts = served.parts().iter().map(async |part| {
            let (from, to) = part.clip(range);
            Ok((to, self.closed_of(&part.run, assets, (from.max(to.plus(-seconds)), to), as_of).await?))
        });
        try_join_all(parts).await.map(Closed)
    }

    /// Of each asset the time before which its windows were closed; absent if that is before `from`, and right up to `to` only.
    async fn closed_of(
        &self,
        run: &str,
        assets: &[&str],
        (from, to): (UtcTime, UtcTime),
        as_of: Option<UtcTime>,
    ) -> Result<BTreeMap<String, UtcTime>, StoreError> {
        let before = to.plus(AHEAD);
        let before = as_of.map_or(before, |as_of| before.min(as_of.plus(TOLERANCE)));
        let rows = self.rows(CLOSED, &[&run, &assets, &from, &before, &as_of]).await?;
        rows.iter().map(|row| Ok((row.try_get("asset")?, row.try_get("closed")?))).collect()
    }
}
