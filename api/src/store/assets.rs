use serde::Serialize;
use utoipa::ToSchema;

use super::series::MEAN_SCORE;
use super::{Snapshot, StoreError};
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
    pub(crate) async fn assets(&self, run: &str, reached: UtcTime) -> Result<(Vec<Asset>, bool), StoreError> {
        // The names by skipping from asset to asset in the primary key, not by reading all windows.
        // The last day in one pass over the table: asset by asset through the index takes twice as long.
        let sql = format!(
            "WITH RECURSIVE names AS ( \
               (SELECT asset FROM trend_windows WHERE run_id = $1 ORDER BY asset LIMIT 1) UNION ALL \
               SELECT (SELECT w.asset FROM trend_windows w WHERE w.run_id = $1 AND w.asset > n.asset ORDER BY w.asset LIMIT 1) \
               FROM names n WHERE n.asset IS NOT NULL), \
             recent AS MATERIALIZED (SELECT asset, sum(posts)::bigint AS posts_24h, {MEAN_SCORE} AS mean_score_24h, bool_or(sample) AS sample, \
               (sum(posts) FILTER (WHERE window_start >= $2))::bigint AS posts_1h \
               FROM stored_windows WHERE run_id = $1 AND window_start >= $3 AND window_start < $4 GROUP BY asset) \
             SELECT n.asset, first.window_start AS first_window, latest.window_start, latest.window_end, latest.revision, \
               latest.final, latest.emitted_at, latest.posts, latest.mean_score, latest.sample OR coalesce(recent.sample, false) AS sample, \
               recent.posts_1h, recent.posts_24h, recent.mean_score_24h \
             FROM names n \
             CROSS JOIN LATERAL (SELECT window_start FROM trend_windows WHERE run_id = $1 AND asset = n.asset \
               ORDER BY window_start LIMIT 1) first \
             CROSS JOIN LATERAL (SELECT * FROM trend_windows WHERE run_id = $1 AND asset = n.asset \
               ORDER BY window_start DESC LIMIT 1) latest \
             LEFT JOIN recent ON recent.asset = n.asset \
             ORDER BY n.asset"
        );
        let (hour, day) = (reached.plus(-3600), reached.plus(-86_400));
        let rows = self.rows(&sql, &[&run, &hour.0, &day.0, &reached.0]).await?;
        let mut sample = false;
        let mut assets = Vec::with_capacity(rows.len());
        for row in &rows {
            sample |= row.try_get::<_, bool>("sample")?;
            assets.push(Asset {
                asset: row.try_get("asset")?,
                first_window: UtcTime(row.try_get("first_window")?),
                latest_window: LatestWindow {
                    start: UtcTime(row.try_get("window_start")?),
                    end: UtcTime(row.try_get("window_end")?),
                    revision: row.try_get("revision")?,
                    r#final: row.try_get("final")?,
                    posts: row.try_get("posts")?,
                    mean_score: row.try_get("mean_score")?,
                    computed_at: UtcTime(row.try_get("emitted_at")?),
                },
                posts_1h: row.try_get("posts_1h")?,
                posts_24h: row.try_get("posts_24h")?,
                mean_score_24h: row.try_get("mean_score_24h")?,
            });
        }
        zero_where_observed(&mut assets);
        Ok((assets, sample))
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
