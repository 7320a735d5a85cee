//! Up to where no window of an asset can come or be revised.
//!
//! A task closes windows in the order of time, those of all its assets together, and their final revisions are stored in that order. So where
//! any asset of a task has a final window, no window of this task that starts earlier can come: also none of an asset that was not
//! mentioned then. The task of an asset is the partition of its input. To a replay that has finished nothing comes at all.

use std::collections::BTreeMap;

use super::{Snapshot, StoreError};
use crate::time::UtcTime;

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

impl Snapshot {
    /// Of each asset the time before which its windows were closed at `as_of`, or are; not told if that is before `from`, and right up
    /// to `to` only.
    pub(crate) async fn closed(
        &self,
        run: &str,
        assets: &[&str],
        (from, to): (UtcTime, UtcTime),
        as_of: Option<UtcTime>,
    ) -> Result<BTreeMap<String, UtcTime>, StoreError> {
        let before = to.plus(AHEAD);
        let before = as_of.map_or(before, |as_of| before.min(as_of.plus(TOLERANCE)));
        let as_of = as_of.map(|time| time.0);
        let rows = self.rows(CLOSED, &[&run, &assets, &from.0, &before.0, &as_of]).await?;
        rows.iter().map(|row| Ok((row.try_get("asset")?, UtcTime(row.try_get("closed")?)))).collect()
    }
}
