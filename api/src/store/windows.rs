//! Windows as they are, or as they were known at a time.

use crate::time::{UtcTime, WINDOW_SECONDS};

pub(crate) mod alerts;
pub(crate) mod assets;
pub(crate) mod closed;
pub(crate) mod leaderboard;
pub(crate) mod lineage;
pub(crate) mod next_hour;
pub(crate) mod series;
pub(crate) mod single;

/// The windows `w` for which `condition` holds, with the columns of `trend_windows`, as they were known at the time in the parameter
/// `as_of`: most windows had their last revision by then, and only of those that did not an earlier one is looked up.
pub(crate) fn known(condition: &str, as_of: &str, time: Option<UtcTime>) -> String {
    known_in(["trend_windows", "trend_window_revisions"], condition, as_of, time)
}

/// As [`known`], with the columns of `stored_windows`: the lineage is an id, and nothing is joined.
pub(crate) fn known_rows(condition: &str, as_of: &str, time: Option<UtcTime>) -> String {
    known_in(["stored_windows", "stored_window_revisions"], condition, as_of, time)
}

fn known_in([windows, revisions]: [&str; 2], condition: &str, as_of: &str, time: Option<UtcTime>) -> String {
    if time.is_none() {
        return format!("SELECT w.* FROM {windows} w WHERE {condition} AND {as_of}::timestamptz IS NULL");
    }
    format!(
        "SELECT w.* FROM {windows} w WHERE {condition} AND w.emitted_at <= {as_of} UNION ALL \
         SELECT r.* FROM {windows} w CROSS JOIN LATERAL (SELECT * FROM {revisions} r WHERE r.run_id = w.run_id \
         AND r.asset = w.asset AND r.window_start = w.window_start AND r.emitted_at <= {as_of} ORDER BY r.revision DESC LIMIT 1) r \
         WHERE {condition} AND w.emitted_at > {as_of}"
    )
}

/// Start of the interval of length $5 that holds a window. Intervals are counted as [`UtcTime::floor`] does.
pub(crate) const BUCKET: &str = "date_bin($5::text::interval, window_start, '1970-01-05T00:00:00Z'::timestamptz)";

/// Start of the window that holds `time`.
pub(crate) fn window_of(time: &str) -> String {
    format!("date_bin('{WINDOW_SECONDS} seconds', {time}, '1970-01-05T00:00:00Z'::timestamptz)")
}
