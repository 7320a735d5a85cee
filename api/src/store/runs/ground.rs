use futures_util::future::try_join_all;
use vigie_schemas::{LIVE_RUN, SERVED_RUN};

use super::served::{Part, Served};
use crate::http::problem::Problem;
use crate::store::{Snapshot, StoreError};
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

/// As [`Ground`], of a part; `None` if it does not know the asset.
struct GroundOfPart {
    extent: Option<Extent>,
    asset: Option<String>,
}

/// The whole market needs no mention.
fn ground_sql(part: &Part) -> String {
    let known = |asset: &str| {
        [("stored_windows", "window_start"), ("post_assets", "published_at"), ("alerts", "window_start")]
            .map(|(table, time)| {
                format!("EXISTS (SELECT FROM {table} WHERE run_id = $1 AND asset = {asset}{})", part.holds(time))
            })
            .join(" OR ")
    };
    let windows = format!("FROM stored_windows WHERE run_id = $1{}", part.holds("window_start"));
    format!(
        "SELECT (SELECT window_start {windows} ORDER BY window_start LIMIT 1) AS oldest, \
         (SELECT window_start + window_seconds * interval '1 second' {windows} ORDER BY window_start DESC LIMIT 1) AS newest, \
         EXISTS (SELECT FROM runs WHERE run_id = $1) AS recorded, \
         CASE WHEN $2 = '*' OR {} THEN $2::text WHEN {} THEN upper($2) END AS asset",
        known("$2"),
        known("upper($2)")
    )
}

impl Snapshot {
    /// Where `asset` is to be found in what `served` has, in whatever case it is asked for. A problem if there is no such run, or if none
    /// of its posts mentions the asset.
    pub(crate) async fn ground(&self, served: &Served, asset: &str) -> Result<Ground, Problem> {
        let parts = served.parts();
        let grounds = try_join_all(parts.iter().map(|part| self.ground_of(part, asset))).await?;
        let extents = || grounds.iter().filter_map(|ground| ground.extent);
        let extent = extents().next().zip(extents().next_back());
        let extent = extent.map(|(first, last)| Extent { oldest: first.oldest, newest: last.newest });
        // As it is written, if any part knows it so.
        let mut found: Vec<String> = grounds.into_iter().filter_map(|ground| ground.asset).collect();
        found.sort_by_key(|found| found != asset);
        match found.into_iter().next() {
            Some(asset) => Ok(Ground { extent, asset }),
            None => {
                let shown: String = asset.chars().take(64).collect();
                let run = if let [part] = parts { &part.run } else { SERVED_RUN };
                let detail = format!(
                    "no post of run {run:?} mentions an asset {shown:?}, see /v1/assets for those that are known"
                );
                Err(Problem::not_found(detail))
            }
        }
    }

    async fn ground_of(&self, part: &Part, asset: &str) -> Result<GroundOfPart, Problem> {
        let run = &part.run;
        let rows = self.rows(&ground_sql(part), &[run, &asset]).await?;
        let row = rows.first().ok_or_else(Problem::internal)?;
        let time = |name: &str| row.try_get::<_, Option<jiff::Timestamp>>(name).map_err(StoreError::from);
        let extent = time("oldest")?.zip(time("newest")?);
        let extent = extent.map(|(oldest, newest)| Extent { oldest: oldest.into(), newest: newest.into() });
        let recorded: bool = row.try_get("recorded").map_err(StoreError::from)?;
        // The live run has no data until the first post came through: that is no error.
        if extent.is_none() && run != LIVE_RUN && !recorded {
            return Err(Problem::not_found(format!("there is no run {run:?}, see /v1/runs")));
        }
        Ok(GroundOfPart { extent, asset: row.try_get("asset").map_err(StoreError::from)? })
    }

    /// How far the data of `served` reaches. A problem if there is no such run.
    pub(crate) async fn extent(&self, served: &Served) -> Result<Option<Extent>, Problem> {
        Ok(self.ground(served, vigie_schemas::WHOLE_MARKET).await?.extent)
    }
}
