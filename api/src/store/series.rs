use std::collections::BTreeMap;

use tokio_postgres::Row;
use vigie_schemas::WHOLE_MARKET;

use super::next_hour::NEXT_HOUR;
use super::{Snapshot, StoreError};
use crate::insights::leaderboard::NextHour;
use crate::time::UtcTime;

/// Which windows, and how to put them together.
#[derive(Clone, Debug)]
pub(crate) struct SeriesQuery {
    pub(crate) run: String,
    pub(crate) asset: String,
    /// Multiples of the interval: `from` inclusive, `to` exclusive.
    pub(crate) from: UtcTime,
    pub(crate) to: UtcTime,
    /// Seconds, a multiple of the window's length.
    pub(crate) interval: i64,
    /// Only what was known at this time.
    pub(crate) as_of: Option<UtcTime>,
}

/// The windows of one interval of one asset, put together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) windows: i64,
    pub(crate) r#final: bool,
    pub(crate) revision: i32,
    pub(crate) posts: i64,
    /// Exact for a single window only: authors cannot be summed.
    pub(crate) unique_authors: i64,
    pub(crate) negative: i64,
    pub(crate) neutral: i64,
    pub(crate) positive: i64,
    pub(crate) mean_score: Option<f64>,
    pub(crate) anomaly_score: Option<f64>,
    pub(crate) expected_posts: Option<f64>,
    /// What was expected after the newest of the windows that has a forecast.
    pub(crate) next_hour: Option<NextHour>,
    /// `None` if any of the windows is of before they were counted.
    pub(crate) unique_posts: Option<i64>,
    pub(crate) spam_posts: Option<i64>,
    pub(crate) sample: bool,
}

impl SeriesQuery {
    /// The windows themselves: $1 run, $2 assets, $3 from, $4 to, $5 interval, $6 as of.
    pub(crate) fn windows(&self) -> &'static str {
        if self.as_of.is_some() {
            "SELECT DISTINCT ON (asset, window_start) * FROM trend_window_revisions \
             WHERE run_id = $1 AND asset = ANY($2) AND window_start >= $3 AND window_start < $4 AND emitted_at <= $6 \
             ORDER BY asset, window_start, revision DESC"
        } else {
            "SELECT * FROM trend_windows \
             WHERE run_id = $1 AND asset = ANY($2) AND window_start >= $3 AND window_start < $4 AND $6::timestamptz IS NULL"
        }
    }

    fn interval_text(&self) -> String {
        format!("{} seconds", self.interval)
    }
}

impl Snapshot {
    /// The buckets that have windows, of the asset and of the whole market, by their start.
    pub(crate) async fn buckets(
        &self,
        query: &SeriesQuery,
    ) -> Result<BTreeMap<String, BTreeMap<UtcTime, Bucket>>, StoreError> {
        let sql = format!(
            "WITH w AS ({}) \
             SELECT asset, date_bin($5::text::interval, window_start, '1970-01-01T00:00:00Z') AS bucket, count(*) AS windows, \
             bool_and(final) AS final, max(revision) AS revision, sum(posts)::bigint AS posts, \
             sum(unique_authors)::bigint AS unique_authors, sum(negative)::bigint AS negative, sum(neutral)::bigint AS neutral, \
             sum(positive)::bigint AS positive, {MEAN_SCORE} AS mean_score, max(anomaly_score) AS anomaly_score, \
             CASE WHEN count(expected_posts) = count(*) THEN sum(expected_posts) END AS expected_posts, bool_or(sample) AS sample, \
             {VOLUME}, {NEXT_HOUR} FROM w GROUP BY 1, 2",
            query.windows()
        );
        let mut buckets: BTreeMap<String, BTreeMap<UtcTime, Bucket>> = BTreeMap::new();
        for row in self.series_rows(&sql, query, &[&query.asset, WHOLE_MARKET]).await? {
            let of_asset = buckets.entry(row.try_get("asset")?).or_default();
            of_asset.insert(UtcTime(row.try_get("bucket")?), bucket(&row)?);
        }
        Ok(buckets)
    }

    /// Distinct known authors in each bucket, counted from the posts.
    pub(crate) async fn unique_authors(&self, query: &SeriesQuery) -> Result<BTreeMap<UtcTime, i64>, StoreError> {
        let from = if query.asset == WHOLE_MARKET {
            "posts p WHERE $2::text[] = '{*}'"
        } else {
            "post_assets a JOIN posts p USING (run_id, published_at, post_id) WHERE a.asset = ANY($2) AND a.published_at >= $3 AND a.published_at < $4"
        };
        let sql = format!(
            "SELECT date_bin($5::text::interval, p.published_at, '1970-01-01T00:00:00Z') AS bucket, count(DISTINCT p.author_id) AS authors \
             FROM {from} AND p.run_id = $1 AND p.published_at >= $3 AND p.published_at < $4 \
             AND ($6::timestamptz IS NULL OR p.scored_at <= $6) GROUP BY 1"
        );
        let rows = self.series_rows(&sql, query, &[&query.asset]).await?;
        rows.iter().map(|row| Ok((UtcTime(row.try_get("bucket")?), row.try_get("authors")?))).collect()
    }

    /// Posts of each bucket by source.
    pub(crate) async fn series_sources(
        &self,
        query: &SeriesQuery,
    ) -> Result<BTreeMap<UtcTime, BTreeMap<String, i64>>, StoreError> {
        let sql = format!(
            "WITH w AS ({}) SELECT date_bin($5::text::interval, window_start, '1970-01-01T00:00:00Z') AS bucket, s.key AS source, \
             sum(s.value::bigint)::bigint AS posts FROM w CROSS JOIN LATERAL jsonb_each_text(w.sources) s GROUP BY 1, 2",
            query.windows()
        );
        let mut sources: BTreeMap<UtcTime, BTreeMap<String, i64>> = BTreeMap::new();
        for row in self.series_rows(&sql, query, &[&query.asset]).await? {
            let bucket = UtcTime(row.try_get("bucket")?);
            sources.entry(bucket).or_default().insert(row.try_get("source")?, row.try_get("posts")?);
        }
        Ok(sources)
    }

    pub(super) async fn series_rows(
        &self,
        sql: &str,
        query: &SeriesQuery,
        assets: &[&str],
    ) -> Result<Vec<Row>, StoreError> {
        let as_of = query.as_of.map(|time| time.0);
        self.rows(sql, &[&query.run, &assets, &query.from.0, &query.to.0, &query.interval_text(), &as_of]).await
    }
}

/// The mean over all scored posts of a group of windows, from the means of the windows.
pub(crate) const MEAN_SCORE: &str = "sum(mean_score * (negative + neutral + positive)) \
    / nullif(sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL), 0)::double precision";

/// The unique and the spam volume of a group of windows; null if any of them does not know it.
pub(crate) const VOLUME: &str = "CASE WHEN count(unique_posts) = count(*) THEN sum(unique_posts)::bigint END AS unique_posts, \
    CASE WHEN count(spam_posts) = count(*) THEN sum(spam_posts)::bigint END AS spam_posts";

fn bucket(row: &Row) -> Result<Bucket, StoreError> {
    Ok(Bucket {
        windows: row.try_get("windows")?,
        r#final: row.try_get("final")?,
        revision: row.try_get("revision")?,
        posts: row.try_get("posts")?,
        unique_authors: row.try_get("unique_authors")?,
        negative: row.try_get("negative")?,
        neutral: row.try_get("neutral")?,
        positive: row.try_get("positive")?,
        mean_score: row.try_get("mean_score")?,
        anomaly_score: row.try_get("anomaly_score")?,
        expected_posts: row.try_get("expected_posts")?,
        next_hour: NextHour::read(row)?,
        unique_posts: row.try_get("unique_posts")?,
        spam_posts: row.try_get("spam_posts")?,
        sample: row.try_get("sample")?,
    })
}
