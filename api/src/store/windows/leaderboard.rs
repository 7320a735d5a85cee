use std::collections::BTreeMap;

use super::next_hour::NEXT_HOUR;
use super::series::VOLUME;
use crate::insights::leaderboard::{AssetTotals, NextHour, SLICES, Slice, Span};
use crate::store::row::columns;
use crate::store::runs::served::Served;
use crate::store::{Snapshot, StoreError, windows};
use crate::time::UtcTime;

impl Snapshot {
    /// What was counted for each asset in the slices of `span`, as known at `as_of`, and whether any of it is sample data.
    pub(crate) async fn totals(
        &self,
        served: &Served,
        span: Span,
        as_of: Option<UtcTime>,
    ) -> Result<(BTreeMap<String, AssetTotals>, bool), StoreError> {
        let sql = format!(
            "SELECT asset, (extract(epoch FROM window_start - $2::timestamptz)::bigint / $4)::integer AS slice, count(*) AS windows, \
            sum(posts)::bigint AS posts, sum(negative)::bigint AS negative, sum(neutral)::bigint AS neutral, \
            sum(positive)::bigint AS positive, \
            (sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL))::bigint AS scored, \
            sum(mean_score * (negative + neutral + positive)) AS score_sum, max(anomaly_score) AS anomaly_score, \
            CASE WHEN count(expected_posts) = count(*) THEN sum(expected_posts) END AS expected_posts, \
            bool_and(final) AS final, bool_or(sample) AS sample, max(emitted_at) AS computed_at, {VOLUME}, {NEXT_HOUR} \
            FROM ({}) w GROUP BY 1, 2",
            windows::known("w.run_id = $1 AND w.window_start >= $2 AND w.window_start < $3", "$5", as_of)
        );
        let (from, step) = (span.previous_start(), span.slice_seconds());
        let served = served.within((span.previous_start(), span.end));
        let rows = self.rows_of(&served, &sql, &[&from, &span.end, &step, &as_of]).await?;
        let mut sample = false;
        let mut totals: BTreeMap<String, AssetTotals> = BTreeMap::new();
        for row in &rows {
            sample |= row.try_get::<_, bool>("sample")?;
            let at: i32 = row.try_get("slice")?;
            let slice = columns!(row => Slice {
                windows, posts, unique_posts, spam_posts, negative, neutral, positive, anomaly_score, expected_posts,
                r#final, computed_at;
                scored: row.try_get::<_, Option<i64>>("scored")?.unwrap_or(0),
                score_sum: row.try_get::<_, Option<f64>>("score_sum")?.unwrap_or(0.0),
                next_hour: NextHour::read(row)?
            });
            let slices = totals.entry(row.try_get("asset")?).or_insert_with(|| vec![None; SLICES]);
            if let Some(place) = usize::try_from(at).ok().and_then(|at| slices.get_mut(at)) {
                *place = Some(slice);
            }
        }
        Ok((totals, sample))
    }

    /// Distinct authors of scored posts by asset in the current period of `span`, of the posts that were scored by `as_of`.
    pub(crate) async fn voices(
        &self,
        served: &Served,
        span: Span,
        as_of: Option<UtcTime>,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        // A post without a known author counts as a voice of its own.
        let counts = "count(DISTINCT p.author) + count(*) FILTER (WHERE p.author IS NULL) AS voices FROM";
        let known = "p.published_at >= $2 AND p.published_at < $3 AND p.label IS NOT NULL \
            AND ($4::timestamptz IS NULL OR p.scored_at <= $4)";
        let sql = format!(
            "SELECT a.asset, {counts} post_assets a JOIN posts p USING (run_id, published_at, post_key) \
               WHERE a.run_id = $1 AND a.published_at >= $2 AND a.published_at < $3 AND {known} GROUP BY a.asset \
             UNION ALL SELECT '*', {counts} posts p WHERE p.run_id = $1 AND {known} HAVING count(*) > 0"
        );
        let served = served.within((span.start(), span.end));
        let rows = self.rows_of(&served, &sql, &[&span.start(), &span.end, &as_of]).await?;
        rows.iter().map(|row| Ok((row.try_get("asset")?, row.try_get("voices")?))).collect()
    }
}
