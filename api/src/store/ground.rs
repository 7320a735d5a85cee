use vigie_schemas::LIVE_RUN;

use super::{Snapshot, StoreError};
use crate::http::problem::Problem;
use crate::time::UtcTime;

/// How far the data of a run reaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Start of the oldest window.
    pub(crate) oldest: UtcTime,
    /// End of the newest window, which may still be going on.
    pub(crate) newest: UtcTime,
}

impl Extent {
    /// Up to where time has passed: "now", for archives play the past; but never later than the wall clock's `now`.
    pub(crate) fn reached(self, now: UtcTime) -> UtcTime {
        self.newest.min(now)
    }
}

/// What a question is about, as the data has it.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// `None` if the run has no data yet.
    pub(crate) extent: Option<Extent>,
    /// The asset's id.
    pub(crate) asset: String,
}

impl Ground {
    /// As [`Extent::reached`]; the wall clock's `now` where there is no data.
    pub(crate) fn reached(&self, now: UtcTime) -> UtcTime {
        self.extent.map_or(now, |extent| extent.reached(now))
    }
}

/// The whole market needs no mention.
fn ground_sql() -> String {
    let known = |asset: &str| {
        ["stored_windows", "post_assets", "alerts"]
            .map(|table| format!("EXISTS (SELECT FROM {table} WHERE run_id = $1 AND asset = {asset})"))
            .join(" OR ")
    };
    format!(
        "SELECT (SELECT window_start FROM stored_windows WHERE run_id = $1 ORDER BY window_start LIMIT 1) AS oldest, \
         (SELECT window_start + window_seconds * interval '1 second' FROM stored_windows WHERE run_id = $1 ORDER BY window_start DESC LIMIT 1) AS newest, \
         EXISTS (SELECT FROM runs WHERE run_id = $1) AS recorded, \
         CASE WHEN $2 = '*' OR {} THEN $2::text WHEN {} THEN upper($2) END AS asset",
        known("$2"),
        known("upper($2)")
    )
}

impl Snapshot {
    /// Where `asset` of `run` is to be found, in whatever case it is asked for. A problem if there is no such run, or if none of its
    /// posts mentions the asset.
    pub(crate) async fn ground(&self, run: &str, asset: &str) -> Result<Ground, Problem> {
        let rows = self.rows(&ground_sql(), &[&run, &asset]).await?;
        let row = rows.first().ok_or_else(Problem::internal)?;
        let time = |name: &str| row.try_get::<_, Option<jiff::Timestamp>>(name).map_err(StoreError::from);
        let extent = time("oldest")?.zip(time("newest")?);
        let extent = extent.map(|(oldest, newest)| Extent { oldest: oldest.into(), newest: newest.into() });
        let recorded: bool = row.try_get("recorded").map_err(StoreError::from)?;
        // The live run has no data until the first post came through: that is no error.
        if extent.is_none() && run != LIVE_RUN && !recorded {
            return Err(Problem::not_found(format!("there is no run {run:?}, see /v1/runs")));
        }
        match row.try_get("asset").map_err(StoreError::from)? {
            Some(asset) => Ok(Ground { extent, asset }),
            None => {
                let shown: String = asset.chars().take(64).collect();
                let detail = format!(
                    "no post of run {run:?} mentions an asset {shown:?}, see /v1/assets for those that are known"
                );
                Err(Problem::not_found(detail))
            }
        }
    }

    /// How far the data of `run` reaches. A problem if there is no such run.
    pub(crate) async fn extent(&self, run: &str) -> Result<Option<Extent>, Problem> {
        Ok(self.ground(run, vigie_schemas::WHOLE_MARKET).await?.extent)
    }
}
