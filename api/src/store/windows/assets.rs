use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use futures_util::try_join;
use serde::Serialize;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::lineage::{Lineage, Offsets, widen};
use crate::store::row::columns;
use crate::store::runs::served::{Part, Served};
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// An asset that posts have mentioned; `*` stands for all posts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Asset {
    /// Canonical id, as BTC.
    pub asset: String,
    /// Start of its first window.
    pub first_window: UtcTime,
    /// Its latest window.
    pub latest_window: LatestWindow,
    /// Posts in the last hour before the newest time of the data; null if nothing at all was observed then.
    pub posts_1h: Option<i64>,
    /// Posts in the last 24 hours before the newest time of the data; null if nothing at all was observed then.
    pub posts_24h: Option<i64>,
    /// Mean score of the scored posts of these 24 hours, -1 to 1.
    pub mean_score_24h: Option<f64>,
}

/// The latest window of an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LatestWindow {
    /// The run that it comes from.
    pub run_id: String,
    /// Inclusive.
    pub start: UtcTime,
    /// Exclusive.
    pub end: UtcTime,
    /// A higher one replaces the lower ones.
    pub revision: i32,
    /// No revision follows.
    pub r#final: bool,
    /// Posts published in it.
    pub posts: i64,
    /// Mean score of its scored posts, -1 to 1.
    pub mean_score: Option<f64>,
    /// When it was computed.
    pub computed_at: UtcTime,
}

impl Snapshot {
    /// All assets by id, whether any of the windows looked at is of sample data, and what the last 24 hours stand on.
    pub(crate) async fn assets(
        &self,
        served: &Served,
        reached: UtcTime,
    ) -> Result<(Vec<Asset>, bool, Lineage), StoreError> {
        let day = (reached.plus(-86_400), reached);
        let parts = try_join_all(served.parts().iter().map(|part| self.assets_of(part, day))).await?;
        let (mut sample, mut offsets, mut all) = (false, Offsets::new(), BTreeMap::<String, Counted>::new());
        for part in parts {
            sample |= part.sample;
            part.offsets.into_iter().for_each(|(id, range)| widen(&mut offsets, id, range));
            for counted in part.counted {
                match all.get_mut(&counted.asset.asset) {
                    Some(earlier) => earlier.go_on(counted),
                    None => drop(all.insert(counted.asset.asset.clone(), counted)),
                }
            }
        }
        let mut assets = all.into_values().map(|counted| counted.asset).collect::<Vec<_>>();
        zero_where_observed(&mut assets);
        let lineage = self.lineages_of(vec![(Lineage::new(served, day), offsets)]).await?.pop();
        Ok((assets, sample, lineage.unwrap_or_else(|| Lineage::new(served, day))))
    }

    async fn assets_of(&self, part: &Part, day: (UtcTime, UtcTime)) -> Result<CountedPart, StoreError> {
        let (latest, (mut sums, offsets)) = try_join!(self.latest_windows(part), self.day_sums(part, day))?;
        let mut sample = false;
        let mut counted = Vec::with_capacity(latest.len());
        for row in &latest {
            sample |= row.try_get::<_, bool>("sample")?;
            let asset: String = row.try_get("asset")?;
            let sums = sums.remove(&asset).unwrap_or_default();
            sample |= sums.sample;
            let latest_window = columns!(row => LatestWindow {
                start, end, revision, r#final, posts, mean_score, computed_at;
                run_id: part.run.clone()
            });
            let asset = Asset {
                asset,
                first_window: row.try_get("first_window")?,
                latest_window,
                posts_1h: sums.posts_1h,
                posts_24h: sums.posts_24h,
                mean_score_24h: (sums.scored > 0).then(|| sums.score_sum / sums.scored as f64),
            };
            counted.push(Counted { asset, scored_24h: sums.scored });
        }
        Ok(CountedPart { counted, sample, offsets })
    }

    /// Of each asset of a part its first and its latest window.
    async fn latest_windows(&self, part: &Part) -> Result<Vec<Row>, StoreError> {
        let of = "FROM stored_windows w WHERE w.run_id = $1 AND w.asset = n.asset";
        // Within a part that has an end the table of assets does not tell, but the index does.
        let holds = part.holds("w.window_start");
        let (first, latest) = if holds.is_empty() {
            ("n.first_window".to_owned(), format!("{of} AND w.window_start = n.latest_window LIMIT 1"))
        } else {
            let edge = |order| format!("{of}{holds} ORDER BY w.window_start{order} LIMIT 1");
            (format!("(SELECT w.window_start {})", edge("")), edge(" DESC"))
        };
        let sql = format!(
            "SELECT n.asset, {first} AS first_window, w.window_start AS start, w.window_start + w.window_seconds * interval '1 second' AS \"end\", \
             w.revision, w.final, w.posts::bigint AS posts, w.mean_score, w.emitted_at AS computed_at, w.sample \
             FROM run_assets n CROSS JOIN LATERAL (SELECT w.* {latest}) w WHERE n.run_id = $1"
        );
        self.rows(&sql, &[&part.run]).await
    }

    /// Of each asset what its windows of the day that ends at `day.1` add up to: whole hours from the table of hours, but for the last one,
    /// which is listed by itself; and the offsets of all.
    async fn day_sums(
        &self,
        part: &Part,
        day: (UtcTime, UtcTime),
    ) -> Result<(BTreeMap<String, Sums>, Offsets), StoreError> {
        let last_hour = day.1.plus(-HOUR);
        let (from, to) = part.clip(day);
        let hours_from = from.ceil(HOUR).min(to);
        let hours_to = to.min(last_hour).floor(HOUR).max(hours_from);
        let windows = |from: &str, to: &str| {
            format!(
                "SELECT asset, lineage_id, posts, CASE WHEN window_start >= $6 THEN posts END AS posts_1h, \
                 CASE WHEN mean_score IS NOT NULL THEN negative + neutral + positive END AS scored, \
                 mean_score * (negative + neutral + positive) AS score_sum, sample, first_offset, last_offset \
                 FROM stored_windows WHERE run_id = $1 AND window_start >= {from} AND window_start < {to}"
            )
        };
        let sql = format!(
            "SELECT asset, lineage_id, sum(posts)::bigint AS posts_24h, sum(posts_1h)::bigint AS posts_1h, sum(scored)::bigint AS scored, \
             sum(score_sum) AS score_sum, bool_or(sample) AS sample, min(first_offset) AS first_offset, max(last_offset) AS last_offset FROM ( \
               SELECT asset, lineage_id, posts, NULL::integer AS posts_1h, scored, score_sum, sample, first_offset, last_offset \
               FROM stored_hours WHERE run_id = $1 AND hour >= $3 AND hour < $4 UNION ALL {} UNION ALL {}) c GROUP BY 1, 2",
            windows("$2", "$3"),
            windows("$4", "$5")
        );
        let rows = self.rows(&sql, &[&part.run, &from, &hours_from, &hours_to, &to, &last_hour]).await?;
        let (mut all, mut offsets, mut mixed) = (BTreeMap::<String, Sums>::new(), Offsets::new(), false);
        for row in &rows {
            let sums = all.entry(row.try_get("asset")?).or_default();
            sums.posts_24h = sum(sums.posts_24h, row.try_get("posts_24h")?);
            sums.posts_1h = sum(sums.posts_1h, row.try_get("posts_1h")?);
            sums.scored += row.try_get::<_, Option<i64>>("scored")?.unwrap_or(0);
            sums.score_sum += row.try_get::<_, Option<f64>>("score_sum")?.unwrap_or(0.0);
            sums.sample |= row.try_get::<_, bool>("sample")?;
            match row.try_get("lineage_id")? {
                Some(id) => widen(&mut offsets, id, (row.try_get("first_offset")?, row.try_get("last_offset")?)),
                None => mixed = true,
            }
        }
        if mixed {
            for row in self.rows(MIXED, &[&part.run, &hours_from, &hours_to]).await? {
                widen(&mut offsets, row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
            }
        }
        Ok((all, offsets))
    }
}

const HOUR: i64 = 3600;

/// The offsets by lineage of the windows of those hours that have several.
const MIXED: &str = "SELECT w.lineage_id, min(w.first_offset), max(w.last_offset) FROM stored_hours h CROSS JOIN LATERAL ( \
       SELECT * FROM stored_windows w WHERE w.run_id = $1 AND w.asset = h.asset AND w.window_start >= h.hour \
       AND w.window_start < h.hour + interval '1 hour' OFFSET 0) w \
     WHERE h.run_id = $1 AND h.hour >= $2 AND h.hour < $3 AND h.lineage_id IS NULL GROUP BY 1";

/// What some windows of an asset add up to.
#[derive(Default)]
struct Sums {
    posts_1h: Option<i64>,
    posts_24h: Option<i64>,
    scored: i64,
    score_sum: f64,
    sample: bool,
}

/// The assets of a part, and the offsets of their last 24 hours.
struct CountedPart {
    counted: Vec<Counted>,
    sample: bool,
    offsets: Offsets,
}

/// Null only where both are.
fn sum(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.map_or(b, |a| Some(a + b.unwrap_or(0)))
}

/// An asset as one run or several have counted it.
struct Counted {
    asset: Asset,
    /// Posts that the mean of the last 24 hours is taken of.
    scored_24h: i64,
}

impl Counted {
    /// Takes in what the run of a later time has counted.
    fn go_on(&mut self, later: Self) {
        let total = |counted: &Self| counted.asset.mean_score_24h.unwrap_or(0.0) * counted.scored_24h as f64;
        let (total, scored) = (total(self) + total(&later), self.scored_24h + later.scored_24h);
        self.asset.mean_score_24h = (scored > 0).then(|| total / scored as f64);
        self.scored_24h = scored;
        self.asset.posts_1h = sum(self.asset.posts_1h, later.asset.posts_1h);
        self.asset.posts_24h = sum(self.asset.posts_24h, later.asset.posts_24h);
        self.asset.latest_window = later.asset.latest_window;
    }
}

/// No window of an asset where the whole market has one: nobody mentioned it, and that is known.
fn zero_where_observed(assets: &mut [Asset]) {
    let Some(market) = assets.iter().find(|a| a.asset == vigie_schemas::WHOLE_MARKET) else { return };
    let (hour, day) = (market.posts_1h.map(|_| 0), market.posts_24h.map(|_| 0));
    for asset in assets {
        asset.posts_1h = asset.posts_1h.or(hour);
        asset.posts_24h = asset.posts_24h.or(day);
    }
}
