use std::collections::BTreeMap;

use super::next_hour::NEXT_HOUR;
use super::series::VOLUME;
use super::{Snapshot, StoreError};
use crate::insights::leaderboard::{AssetTotals, NextHour, SLICES, Slice, Span};
use crate::insights::mood::Opinions;

impl Snapshot {
    /// What was counted for each asset in the slices of `span`, and whether any of it is sample data.
    pub(crate) async fn totals(
        &self,
        run: &str,
        span: Span,
    ) -> Result<(BTreeMap<String, AssetTotals>, bool), StoreError> {
        let sql = format!(
            "SELECT asset, (extract(epoch FROM window_start - $2::timestamptz)::bigint / $4)::integer AS slice, count(*) AS windows, \
            sum(posts)::bigint AS posts, sum(negative)::bigint AS negative, sum(neutral)::bigint AS neutral, \
            sum(positive)::bigint AS positive, \
            (sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL))::bigint AS scored, \
            sum(mean_score * (negative + neutral + positive)) AS score_sum, max(anomaly_score) AS anomaly_score, \
            CASE WHEN count(expected_posts) = count(*) THEN sum(expected_posts) END AS expected_posts, \
            bool_and(final) AS final, bool_or(sample) AS sample, {VOLUME}, {NEXT_HOUR} \
            FROM trend_windows WHERE run_id = $1 AND window_start >= $2 AND window_start < $3 GROUP BY 1, 2"
        );
        let rows = self.rows(&sql, &[&run, &span.previous_start().0, &span.end.0, &span.slice_seconds()]).await?;
        let mut sample = false;
        let mut totals: BTreeMap<String, AssetTotals> = BTreeMap::new();
        for row in &rows {
            sample |= row.try_get::<_, bool>("sample")?;
            let at: i32 = row.try_get("slice")?;
            let slice = Slice {
                windows: row.try_get("windows")?,
                posts: row.try_get("posts")?,
                unique_posts: row.try_get("unique_posts")?,
                spam_posts: row.try_get("spam_posts")?,
                negative: row.try_get("negative")?,
                neutral: row.try_get("neutral")?,
                positive: row.try_get("positive")?,
                scored: row.try_get::<_, Option<i64>>("scored")?.unwrap_or(0),
                score_sum: row.try_get::<_, Option<f64>>("score_sum")?.unwrap_or(0.0),
                anomaly_score: row.try_get("anomaly_score")?,
                expected_posts: row.try_get("expected_posts")?,
                r#final: row.try_get("final")?,
                next_hour: NextHour::read(row)?,
            };
            let slices = totals.entry(row.try_get("asset")?).or_insert_with(|| vec![None; SLICES]);
            if let Some(place) = usize::try_from(at).ok().and_then(|at| slices.get_mut(at)) {
                *place = Some(slice);
            }
        }
        Ok((totals, sample))
    }

    /// Scored posts by asset and label in the current period of `span`, with the number of voices behind them.
    pub(crate) async fn opinions(&self, run: &str, span: Span) -> Result<BTreeMap<String, Opinions>, StoreError> {
        // A post without a known author counts as a voice of its own.
        let counts = "count(*) FILTER (WHERE p.label = 'negative') AS negative, count(*) FILTER (WHERE p.label = 'neutral') AS neutral, \
            count(*) FILTER (WHERE p.label = 'positive') AS positive, \
            count(DISTINCT p.author_id) + count(*) FILTER (WHERE p.author_id IS NULL) AS voices FROM";
        let sql = format!(
            "SELECT a.asset, {counts} post_assets a JOIN posts p USING (run_id, published_at, post_id) \
               WHERE a.run_id = $1 AND a.published_at >= $2 AND a.published_at < $3 AND p.published_at >= $2 AND p.published_at < $3 AND p.label IS NOT NULL GROUP BY a.asset \
             UNION ALL SELECT '*', {counts} posts p \
               WHERE p.run_id = $1 AND p.published_at >= $2 AND p.published_at < $3 AND p.label IS NOT NULL HAVING count(*) > 0"
        );
        let rows = self.rows(&sql, &[&run, &span.start().0, &span.end.0]).await?;
        let mut opinions = BTreeMap::new();
        for row in &rows {
            let of_asset = Opinions {
                negative: row.try_get("negative")?,
                neutral: row.try_get("neutral")?,
                positive: row.try_get("positive")?,
                voices: row.try_get("voices")?,
            };
            opinions.insert(row.try_get("asset")?, of_asset);
        }
        Ok(opinions)
    }
}
