//! Series whose intervals are single windows: the rows as they are stored. Nothing is grouped by the database, and nothing joined.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::lineage::{Lineage, Offsets, widen};
use super::series::{Bucket, ByAsset, SeriesQuery};
use crate::insights::leaderboard::NextHour;
use crate::store::{Snapshot, StoreError};
use crate::time::{UtcTime, WINDOW_SECONDS};

/// What every point and its lineage need; read by position.
const COUNTS: &str = "asset, window_start, final, revision, posts, unique_authors, negative, neutral, positive, mean_score, unique_posts, \
    spam_posts, emitted_at, sample, lineage_id, first_offset, last_offset";
/// What only some metrics need, behind [`COUNTS`].
const FORECASTS: &str = ", window_seconds, anomaly_score, tail_probability, expected_posts, next_hour_p10, next_hour_p50, next_hour_p90, \
    doubling_probability";

impl Snapshot {
    /// The windows of the assets and of the whole market, and the lineage of each asset at the start of the range. Anomaly and forecasts are left out unless asked for.
    pub(crate) async fn single_windows(
        &self,
        query: &SeriesQuery,
        forecasts: bool,
    ) -> Result<(ByAsset<Bucket>, ByAsset<Lineage>), StoreError> {
        debug_assert_eq!(query.interval, WINDOW_SECONDS);
        let more = if forecasts { FORECASTS } else { "" };
        // The length of an interval is no question here, but a parameter of every series.
        let sql = format!("SELECT {COUNTS}{more} FROM ({}) w WHERE $5::text <> ''", query.rows());
        let mut buckets: ByAsset<Bucket> = BTreeMap::new();
        let mut offsets: BTreeMap<String, Offsets> = BTreeMap::new();
        for row in self.series_rows(&sql, query, &query.with_market()).await? {
            let asset: &str = row.try_get(0)?;
            let (lineage, first, last): (i32, i64, i64) = (row.try_get(14)?, row.try_get(15)?, row.try_get(16)?);
            let bucket = bucket(&row, forecasts)?;
            if !buckets.contains_key(asset) {
                buckets.insert(asset.to_owned(), BTreeMap::new());
                offsets.insert(asset.to_owned(), BTreeMap::new());
            }
            if let (Some(buckets), Some(offsets)) = (buckets.get_mut(asset), offsets.get_mut(asset)) {
                buckets.insert(row.try_get(1)?, bucket);
                widen(offsets, lineage, (first, last));
            }
        }
        let empty = || Lineage::new(&query.served, (query.from, query.to));
        let of_asset = |asset: &String| (empty(), offsets.remove(asset).unwrap_or_default());
        let lineages = self.lineages_of(query.assets.iter().map(of_asset).collect()).await?;
        let by_asset = query.assets.iter().zip(lineages);
        let by_asset = by_asset.map(|(asset, lineage)| (asset.clone(), BTreeMap::from([(query.from, lineage)])));
        Ok((buckets, by_asset.collect()))
    }
}

/// As a group of one window.
fn bucket(row: &Row, forecasts: bool) -> Result<Bucket, StoreError> {
    let count = |at: usize| row.try_get::<_, i32>(at).map(i64::from);
    let known = |at: usize| row.try_get::<_, Option<i32>>(at).map(|count| count.map(i64::from));
    let number = |at: usize| match forecasts {
        true => row.try_get::<_, Option<f32>>(at).map(|number| number.map(f64::from)),
        false => Ok(None),
    };
    let (negative, neutral, positive) = (count(6)?, count(7)?, count(8)?);
    // The mean of a mean weighted by its posts, digit for digit as the database takes it of several.
    let scored = (negative + neutral + positive) as f64;
    let mean_score = row.try_get::<_, Option<f64>>(9)?.filter(|_| scored > 0.0).map(|mean| mean * scored / scored);
    let next_hour = match (number(21)?, number(22)?, number(23)?, number(24)?) {
        (Some(p10), Some(p50), Some(p90), Some(doubling_probability)) => {
            let from = row.try_get::<_, UtcTime>(1)?.plus(i64::from(row.try_get::<_, i32>(17)?));
            Some(NextHour { from, p10, p50, p90, doubling_probability })
        }
        _ => None,
    };
    Ok(Bucket {
        windows: 1,
        r#final: row.try_get(2)?,
        revision: row.try_get(3)?,
        posts: count(4)?,
        unique_authors: count(5)?,
        negative,
        neutral,
        positive,
        mean_score,
        anomaly_score: number(18)?,
        tail_probability: number(19)?,
        expected_posts: number(20)?,
        next_hour,
        unique_posts: known(10)?,
        spam_posts: known(11)?,
        computed_at: row.try_get(12)?,
        sample: row.try_get(13)?,
    })
}
