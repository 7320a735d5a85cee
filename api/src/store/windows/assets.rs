use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::series::MEAN_SCORE;
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
    /// All assets by id, and whether any of the windows looked at is of sample data.
    pub(crate) async fn assets(&self, served: &Served, reached: UtcTime) -> Result<(Vec<Asset>, bool), StoreError> {
        let parts = try_join_all(served.parts().iter().map(|part| self.assets_of(part, reached))).await?;
        let sample = parts.iter().any(|(_, sample)| *sample);
        let mut all: BTreeMap<String, Counted> = BTreeMap::new();
        for counted in parts.into_iter().flat_map(|(counted, _)| counted) {
            match all.get_mut(&counted.asset.asset) {
                Some(earlier) => earlier.go_on(counted),
                None => drop(all.insert(counted.asset.asset.clone(), counted)),
            }
        }
        let mut assets = all.into_values().map(|counted| counted.asset).collect::<Vec<_>>();
        zero_where_observed(&mut assets);
        Ok((assets, sample))
    }

    async fn assets_of(&self, part: &Part, reached: UtcTime) -> Result<(Vec<Counted>, bool), StoreError> {
        let holds = part.holds("window_start");
        // The names by skipping from asset to asset in the primary key, not by reading all windows.
        // The last day in one pass over the table: asset by asset through the index takes twice as long.
        let sql = format!(
            "WITH RECURSIVE names AS ( \
               (SELECT asset FROM trend_windows WHERE run_id = $1{holds} ORDER BY asset LIMIT 1) UNION ALL \
               SELECT (SELECT w.asset FROM trend_windows w WHERE w.run_id = $1 AND w.asset > n.asset{holds} ORDER BY w.asset LIMIT 1) \
               FROM names n WHERE n.asset IS NOT NULL), \
             recent AS MATERIALIZED (SELECT asset, sum(posts)::bigint AS posts_24h, {MEAN_SCORE} AS mean_score_24h, bool_or(sample) AS sample, \
               (sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL))::bigint AS scored_24h, \
               (sum(posts) FILTER (WHERE window_start >= $2))::bigint AS posts_1h \
               FROM stored_windows WHERE run_id = $1 AND window_start >= $3 AND window_start < $4{holds} GROUP BY asset) \
             SELECT n.asset, latest.run_id, first.window_start AS first_window, latest.window_start, latest.window_end, latest.revision, \
               latest.final, latest.emitted_at, latest.posts, latest.mean_score, latest.sample OR coalesce(recent.sample, false) AS sample, \
               recent.posts_1h, recent.posts_24h, recent.mean_score_24h, recent.scored_24h \
             FROM names n \
             CROSS JOIN LATERAL (SELECT window_start FROM trend_windows WHERE run_id = $1 AND asset = n.asset{holds} \
               ORDER BY window_start LIMIT 1) first \
             CROSS JOIN LATERAL (SELECT * FROM trend_windows WHERE run_id = $1 AND asset = n.asset{holds} \
               ORDER BY window_start DESC LIMIT 1) latest \
             LEFT JOIN recent ON recent.asset = n.asset \
             ORDER BY n.asset"
        );
        let (hour, day) = (reached.plus(-3600), reached.plus(-86_400));
        let rows = self.rows(&sql, &[&part.run, &hour, &day, &reached]).await?;
        let mut sample = false;
        let mut assets = Vec::with_capacity(rows.len());
        for row in &rows {
            sample |= row.try_get::<_, bool>("sample")?;
            let asset = columns!(row => Asset {
                asset, first_window, posts_1h, posts_24h, mean_score_24h;
                latest_window: LatestWindow {
                    run_id: row.try_get("run_id")?,
                    start: row.try_get("window_start")?,
                    end: row.try_get("window_end")?,
                    revision: row.try_get("revision")?,
                    r#final: row.try_get("final")?,
                    posts: row.try_get("posts")?,
                    mean_score: row.try_get("mean_score")?,
                    computed_at: row.try_get("emitted_at")?,
                }
            });
            let scored_24h = row.try_get::<_, Option<i64>>("scored_24h")?.unwrap_or(0);
            assets.push(Counted { asset, scored_24h });
        }
        Ok((assets, sample))
    }
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
        let sum = |a: Option<i64>, b: Option<i64>| a.map_or(b, |a| Some(a + b.unwrap_or(0)));
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
