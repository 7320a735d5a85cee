use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::Json;
use vigie_schemas::WHOLE_MARKET;

use super::next_hour::NEXT_HOUR;
use crate::insights::leaderboard::NextHour;
use crate::store::row::columns;
use crate::store::runs::served::Served;
use crate::store::windows::{self, BUCKET};
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// Which windows, and how to put them together.
#[derive(Clone, Debug)]
pub(crate) struct SeriesQuery {
    pub(crate) served: Served,
    pub(crate) assets: Vec<String>,
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
    /// The lowest of the windows.
    pub(crate) tail_probability: Option<f64>,
    pub(crate) expected_posts: Option<f64>,
    /// What was expected after the newest of the windows that has a forecast.
    pub(crate) next_hour: Option<NextHour>,
    /// `None` if any of the windows dates from before they were counted.
    pub(crate) unique_posts: Option<i64>,
    pub(crate) spam_posts: Option<i64>,
    /// When the newest of the windows was emitted.
    pub(crate) computed_at: UtcTime,
    pub(crate) sample: bool,
}

/// What a weighted sentiment is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conviction {
    pub(crate) unique_posts: Option<i64>,
    pub(crate) mean_score: Option<f64>,
}

/// By asset and start of the interval.
pub(crate) type ByAsset<T> = BTreeMap<String, BTreeMap<UtcTime, T>>;

const WANTED: &str = "w.run_id = $1 AND w.asset = ANY($2) AND w.window_start >= $3 AND w.window_start < $4";

impl SeriesQuery {
    /// The windows themselves: $1 run, $2 assets, $3 from, $4 to, $5 interval, $6 as of.
    pub(crate) fn windows(&self) -> String {
        windows::known(WANTED, "$6", self.as_of)
    }

    /// As [`SeriesQuery::windows`], with the columns of `stored_windows`.
    pub(crate) fn rows(&self) -> String {
        windows::known_rows(WANTED, "$6", self.as_of)
    }

    /// The assets and the whole market.
    pub(crate) fn with_market(&self) -> Vec<&str> {
        let market = (!self.assets.iter().any(|asset| asset == WHOLE_MARKET)).then_some(WHOLE_MARKET);
        self.assets.iter().map(String::as_str).chain(market).collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.assets.iter().map(String::as_str).collect()
    }

    fn interval_text(&self) -> String {
        format!("{} seconds", self.interval)
    }
}

impl Snapshot {
    /// The buckets that have windows, of the assets and of the whole market.
    pub(crate) async fn buckets(&self, query: &SeriesQuery) -> Result<ByAsset<Bucket>, StoreError> {
        let sql = format!(
            "WITH w AS ({}) \
             SELECT asset, {BUCKET} AS bucket, count(*) AS windows, \
             bool_and(final) AS final, max(revision) AS revision, sum(posts)::bigint AS posts, \
             sum(unique_authors)::bigint AS unique_authors, sum(negative)::bigint AS negative, sum(neutral)::bigint AS neutral, \
             sum(positive)::bigint AS positive, {MEAN_SCORE} AS mean_score, max(anomaly_score) AS anomaly_score, \
             min(tail_probability) AS tail_probability, \
             CASE WHEN count(expected_posts) = count(*) THEN sum(expected_posts) END AS expected_posts, bool_or(sample) AS sample, \
             max(emitted_at) AS computed_at, {VOLUME}, {NEXT_HOUR} FROM w GROUP BY 1, 2",
            query.windows()
        );
        self.by_asset(&sql, query, &query.with_market(), bucket).await
    }

    /// Unique volume and mean score of the buckets that have windows, of the assets and of the whole market.
    pub(crate) async fn convictions(&self, query: &SeriesQuery) -> Result<ByAsset<Conviction>, StoreError> {
        let sql = format!(
            "WITH w AS ({}) SELECT asset, {BUCKET} AS bucket, {MEAN_SCORE} AS mean_score, {VOLUME} FROM w GROUP BY 1, 2",
            query.windows()
        );
        let read = |row: &Row| Ok(columns!(row => Conviction { unique_posts, mean_score }));
        self.by_asset(&sql, query, &query.with_market(), read).await
    }

    /// Distinct known authors in each bucket, counted from the posts that the windows count. Posts that came when their window was closed
    /// are stored, but not counted: of each window as many posts are looked at as it counts, those that were scored first.
    pub(crate) async fn unique_authors(&self, query: &SeriesQuery) -> Result<ByAsset<i64>, StoreError> {
        let range =
            |post: &str| format!("{post}.run_id = $1 AND {post}.published_at >= $3 AND {post}.published_at < $4");
        let (of_post, of_asset, window) = (range("p"), range("a"), windows::window_of("m.published_at"));
        let sql = format!(
            "WITH w AS ({}), m AS (\
               SELECT a.asset, p.published_at, p.post_id, p.scored_at, p.author FROM post_assets a \
               JOIN posts p USING (run_id, published_at, post_key) \
               WHERE a.asset = ANY($2) AND {of_asset} AND {of_post} AND p.deleted_at IS NULL UNION ALL \
               SELECT '*', p.published_at, p.post_id, p.scored_at, p.author FROM posts p \
               WHERE '*' = ANY($2) AND {of_post} AND p.deleted_at IS NULL), \
             counted AS (SELECT m.asset, {window} AS window_start, array_agg(m.author ORDER BY m.scored_at, m.post_id) AS authors \
               FROM m GROUP BY 1, 2) \
             SELECT asset, {BUCKET} AS bucket, count(DISTINCT author) AS authors FROM w JOIN counted USING (asset, window_start) \
             CROSS JOIN LATERAL unnest(counted.authors[:w.posts::integer]) author GROUP BY 1, 2",
            query.windows()
        );
        self.by_asset(&sql, query, &query.names(), |row| Ok(row.try_get("authors")?)).await
    }

    /// Posts of each bucket by source.
    pub(crate) async fn series_sources(
        &self,
        query: &SeriesQuery,
    ) -> Result<ByAsset<BTreeMap<String, i64>>, StoreError> {
        let sql = format!(
            "WITH w AS ({}), s AS (SELECT asset, {BUCKET} AS bucket, s.key AS source, sum(s.value::bigint)::bigint AS posts \
             FROM w CROSS JOIN LATERAL jsonb_each_text(w.sources) s GROUP BY 1, 2, 3) \
             SELECT asset, bucket, jsonb_object_agg(source, posts) AS sources FROM s GROUP BY 1, 2",
            query.windows()
        );
        let read = |row: &Row| Ok(row.try_get::<_, Json<BTreeMap<String, i64>>>("sources")?.0);
        self.by_asset(&sql, query, &query.names(), read).await
    }

    async fn by_asset<T>(
        &self,
        sql: &str,
        query: &SeriesQuery,
        assets: &[&str],
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<ByAsset<T>, StoreError> {
        let mut found: ByAsset<T> = BTreeMap::new();
        for row in self.series_rows(sql, query, assets).await? {
            found.entry(row.try_get("asset")?).or_default().insert(row.try_get("bucket")?, read(&row)?);
        }
        Ok(found)
    }

    pub(super) async fn series_rows(
        &self,
        sql: &str,
        query: &SeriesQuery,
        assets: &[&str],
    ) -> Result<Vec<Row>, StoreError> {
        let served = query.served.within((query.from, query.to));
        self.rows_of(&served, sql, &[&assets, &query.from, &query.to, &query.interval_text(), &query.as_of]).await
    }
}

/// The mean over all scored posts of a group of windows, from the means of the windows.
pub(crate) const MEAN_SCORE: &str = "sum(mean_score * (negative + neutral + positive)) \
    / nullif(sum(negative + neutral + positive) FILTER (WHERE mean_score IS NOT NULL), 0)::double precision";

/// The unique and the spam volume of a group of windows; null if any of them does not know it.
pub(crate) const VOLUME: &str = "CASE WHEN count(unique_posts) = count(*) THEN sum(unique_posts)::bigint END AS unique_posts, \
    CASE WHEN count(spam_posts) = count(*) THEN sum(spam_posts)::bigint END AS spam_posts";

fn bucket(row: &Row) -> Result<Bucket, StoreError> {
    Ok(columns!(row => Bucket {
        windows, r#final, revision, posts, unique_authors, negative, neutral, positive, mean_score, anomaly_score,
        tail_probability, expected_posts, computed_at, unique_posts, spam_posts, sample;
        next_hour: NextHour::read(row)?
    }))
}
