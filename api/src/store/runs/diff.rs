//! Two runs side by side, over one range of time: each reads its rows by indexes that begin with run and time, and no others.

use serde::Serialize;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use vigie_schemas::LIVE_RUN;

use crate::insights::interval::half_width;
use crate::store::{Snapshot, StoreError};
use crate::time::{UtcTime, WINDOW_SECONDS};

/// How many posts each run has.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PostCounts {
    /// Of the run.
    pub run: i64,
    /// Of the other.
    pub with: i64,
    /// In both.
    pub both: i64,
    /// Only in the run, as those that came too late for the live one.
    pub only_run: i64,
    /// Only in the other.
    pub only_with: i64,
}

/// What two runs say of an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AssetDiff {
    /// Canonical id; `*` stands for all posts.
    pub asset: String,
    /// Posts in the windows of the run.
    pub posts: i64,
    /// Posts in those of the other.
    pub posts_with: i64,
    /// Place by posts among the assets of the run; null without posts, and for `*`.
    pub rank: Option<i64>,
    /// Its place in the other.
    pub rank_with: Option<i64>,
    /// Mean score of all scored posts of the run, -1 to 1.
    pub mean_score: Option<f64>,
    /// Of the other.
    pub mean_score_with: Option<f64>,
    /// Posts that both runs scored and give to the asset.
    pub scored_in_both: i64,
    /// Mean change of the score of those posts, from the other run to this.
    pub shift: Option<f64>,
    /// Lower end of the 95 % confidence interval of the shift (Student's t on the changes of each post); null for fewer than 5 posts.
    pub shift_low: Option<f64>,
    /// Upper end.
    pub shift_high: Option<f64>,
}

/// Posts whose label changed in the same way.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Flip {
    /// Label in the other run: negative, neutral, positive or unscored.
    pub label_with: String,
    /// Label in the run.
    pub label: String,
    /// How many.
    pub posts: i64,
}

/// A post whose label changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FlippedPost {
    /// The post.
    pub post_id: String,
    /// When it was published.
    pub published_at: UtcTime,
    /// The beginning of title and text.
    pub text: String,
    /// Label in the run.
    pub label: String,
    /// Score in the run.
    pub score: Option<f64>,
    /// Label in the other run.
    pub label_with: String,
    /// Score in the other run.
    pub score_with: Option<f64>,
}

/// The alerts that two runs raised.
///
/// Two alerts are about one event if they are of the same kind and asset, and what they look at overlaps or is two hours apart at most, the
/// longest time that the score of a window adds up.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AlertDiff {
    /// Alerts of the run.
    pub run: i64,
    /// Of the other.
    pub with: i64,
    /// Alerts of the run about an event that the other run has raised too.
    pub both: i64,
    /// Those of them that are about the same window and scale.
    pub same: i64,
    /// Only in the run.
    pub only_run: i64,
    /// Only in the other.
    pub only_with: i64,
    /// Windows of the run.
    pub windows_run: i64,
    /// Of the other.
    pub windows_with: i64,
    /// Windows of the run that have an anomaly score. A replay has none until it has seen enough of its range to know what is usual.
    pub judged_run: i64,
    /// Of the other.
    pub judged_with: i64,
    /// Those that are in one run only, newest first.
    pub changes: Vec<AlertChange>,
}

/// An alert in one run only.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AlertChange {
    /// The asset.
    pub asset: String,
    /// attention_spike or sentiment_drop.
    pub kind: String,
    /// Start of the window that brought it to light.
    pub window_start: UtcTime,
    /// Length of what was looked at, up to the end of that window.
    pub scale_seconds: i64,
    /// Whether it is the run that has it, or the other.
    pub fires_in_run: bool,
    /// Posts, or the mean score.
    pub value: f64,
    /// What was usual.
    pub expected: Option<f64>,
    /// 0 to 1; null for the mood of a window.
    pub anomaly_score: Option<f64>,
}

/// Two runs and the range in which they are compared.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) run: String,
    pub(crate) with: String,
    pub(crate) from: UtcTime,
    pub(crate) to: UtcTime,
}

/// A comparison may take this many times as long as another request.
pub(crate) const PATIENCE: u32 = 6;

/// Windows of both runs: $1 and $2 in [$3, $4).
const WINDOWS: &str = "w AS (SELECT *, run_id = $1 AS own FROM stored_windows
    WHERE run_id IN ($1, $2) AND window_start >= $3 AND window_start < $4)";
/// Posts that both runs have, as (post_id, post_key, published_at, label, score, label_with, score_with).
const BOTH: &str = "both_runs AS (SELECT a.post_id, a.post_key, a.published_at, coalesce(a.label::text, 'unscored') AS label,
        a.score::double precision AS score, coalesce(b.label::text, 'unscored') AS label_with,
        b.score::double precision AS score_with
    FROM stored_posts a JOIN stored_posts b ON b.run_id = $2 AND b.published_at = a.published_at AND b.post_key = a.post_key
    WHERE a.run_id = $1 AND a.published_at >= $3 AND a.published_at < $4 AND b.published_at >= $3 AND b.published_at < $4
      AND a.deleted_at IS NULL AND b.deleted_at IS NULL)";
/// The alerts of each, which of them the other run has raised too, and whether of the same window and scale.
const ALERTS: &str = "a AS (SELECT r.own, asset, kind, window_start, window_end, value, expected, anomaly_score, alert_id,
        coalesce(scale_seconds, extract(epoch FROM window_end - window_start)::bigint) AS scale
        FROM alerts JOIN (VALUES (true, $1::text), (false, $2::text)) r (own, run) ON run_id = r.run
        WHERE window_start >= $3 AND window_start < $4),
    e AS (SELECT *, window_end - scale * interval '1 second' AS begins FROM a),
    compared AS (SELECT e.*, EXISTS (SELECT FROM e o WHERE o.own <> e.own AND o.asset = e.asset AND o.kind = e.kind
            AND o.begins <= e.window_end + interval '2 hours' AND e.begins <= o.window_end + interval '2 hours') AS in_both,
        EXISTS (SELECT FROM e o WHERE o.own <> e.own AND o.asset = e.asset AND o.kind = e.kind AND o.window_start = e.window_start
            AND o.scale = e.scale) AS is_same FROM e)";

impl Snapshot {
    /// Where a replay can be compared with another run: the range of both, or `None` if one of them is not there.
    pub(crate) async fn pair(&self, run: &str, with: &str) -> Result<Option<Pair>, StoreError> {
        let Some((mut from, mut to)) = self.range(run).await? else { return Ok(None) };
        if with != LIVE_RUN {
            let Some(other) = self.range(with).await? else { return Ok(None) };
            (from, to) = (from.max(other.0), to.min(other.1));
        }
        // Both runs are read as a whole. Of a run that PostgreSQL has not analysed yet it expects one row, and would compare each with each.
        let sql = "SELECT set_config('enable_nestloop', 'off', true), set_config('work_mem', '64MB', true), \
             set_config('statement_timeout', (setting::bigint * $1)::text, true) FROM pg_settings WHERE name = 'statement_timeout'";
        self.rows(sql, &[&i64::from(PATIENCE)]).await?;
        Ok(Some(Pair { run: run.to_owned(), with: with.to_owned(), from, to }))
    }

    /// The range that a replay was asked for, or else that of its windows. The live run has none: it has all of history.
    async fn range(&self, run: &str) -> Result<Option<(UtcTime, UtcTime)>, StoreError> {
        let sql = "SELECT coalesce(from_time, (SELECT min(window_start) FROM stored_windows WHERE run_id = $1)),
                coalesce(to_time, (SELECT max(window_start) + interval '1 second' FROM stored_windows WHERE run_id = $1))
            FROM runs WHERE run_id = $1 AND run_id <> $2";
        let rows = self.rows(sql, &[&run, &LIVE_RUN]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let times: (Option<jiff::Timestamp>, Option<jiff::Timestamp>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(times.0.zip(times.1).map(|(from, to)| (UtcTime(from), UtcTime(to).ceil(WINDOW_SECONDS))))
    }

    /// How many posts each has; `both` of them are in both.
    pub(crate) async fn post_counts(&self, pair: &Pair, both: i64) -> Result<PostCounts, StoreError> {
        let of = |run: &str| {
            format!(
                "(SELECT count(*) FROM stored_posts WHERE run_id = {run} AND published_at >= $3 AND published_at < $4 AND deleted_at IS NULL)"
            )
        };
        let rows = self.compared(&format!("SELECT {}, {}", of("$1"), of("$2")), pair, &[]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Unavailable("no counts".to_owned()))?;
        let (run, with): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok(PostCounts { run, with, both, only_run: run - both, only_with: with - both })
    }

    /// `*` first, then by posts in either run, most first.
    pub(crate) async fn asset_diffs(&self, pair: &Pair, limit: i64) -> Result<Vec<AssetDiff>, StoreError> {
        let of = |own: &str| {
            format!(
                "coalesce(sum(posts) FILTER (WHERE {own}), 0)::bigint, \
                 sum(mean_score * (negative + neutral + positive)) FILTER (WHERE {own}) \
                 / nullif(sum(negative + neutral + positive) FILTER (WHERE {own} AND mean_score IS NOT NULL), 0)"
            )
        };
        let rank = |posts: &str| {
            format!(
                "CASE WHEN asset <> '*' AND {posts} > 0 THEN rank() OVER (PARTITION BY asset = '*' ORDER BY {posts} DESC) END"
            )
        };
        let sql = format!(
            "WITH {WINDOWS}, {BOTH},
            counts (asset, posts, mean, posts_with, mean_with) AS (SELECT asset, {}, {} FROM w GROUP BY 1),
            ranked AS (SELECT *, {} AS rank, {} AS rank_with FROM counts),
            pairs AS (SELECT '*' AS asset, score - score_with AS change FROM both_runs
                UNION ALL SELECT a.asset, (a.score - b.score)::double precision FROM post_assets a
                JOIN post_assets b ON b.run_id = $2 AND b.asset = a.asset AND b.published_at = a.published_at AND b.post_key = a.post_key
                WHERE a.run_id = $1 AND a.published_at >= $3 AND a.published_at < $4 AND b.published_at >= $3 AND b.published_at < $4),
            shifts AS (SELECT asset, count(change) AS n, avg(change) AS shift, stddev_samp(change) AS deviation FROM pairs GROUP BY 1)
            SELECT r.*, coalesce(n, 0) AS n, shift, deviation FROM ranked r LEFT JOIN shifts USING (asset)
            ORDER BY asset = '*' DESC, greatest(posts, posts_with) DESC, asset LIMIT $5",
            of("own"),
            of("NOT own"),
            rank("posts"),
            rank("posts_with")
        );
        let rows = self.compared(&sql, pair, &[&limit]).await?;
        rows.iter()
            .map(|row| {
                let (n, shift): (i64, Option<f64>) = (row.try_get("n")?, row.try_get("shift")?);
                let deviation: Option<f64> = row.try_get("deviation")?;
                let half = deviation.and_then(|deviation| half_width(n, deviation));
                Ok(AssetDiff {
                    asset: row.try_get("asset")?,
                    posts: row.try_get("posts")?,
                    posts_with: row.try_get("posts_with")?,
                    rank: row.try_get("rank")?,
                    rank_with: row.try_get("rank_with")?,
                    mean_score: row.try_get("mean")?,
                    mean_score_with: row.try_get("mean_with")?,
                    scored_in_both: n,
                    shift,
                    shift_low: shift.zip(half).map(|(shift, half)| shift - half),
                    shift_high: shift.zip(half).map(|(shift, half)| shift + half),
                })
            })
            .collect()
    }

    /// The posts of both by their labels, also those that did not change; most posts first.
    pub(crate) async fn labels(&self, pair: &Pair) -> Result<Vec<Flip>, StoreError> {
        let sql = format!(
            "WITH {BOTH} SELECT label_with, label, count(*) AS posts FROM both_runs GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        );
        let flip = |row: &tokio_postgres::Row| {
            Ok(Flip { label_with: row.try_get(0)?, label: row.try_get(1)?, posts: row.try_get(2)? })
        };
        self.compared(&sql, pair, &[]).await?.iter().map(flip).collect()
    }

    /// Those whose score changed most.
    pub(crate) async fn flipped_posts(&self, pair: &Pair, limit: i64) -> Result<Vec<FlippedPost>, StoreError> {
        let sql = format!(
            "WITH {BOTH}, flipped AS (SELECT * FROM both_runs WHERE label <> label_with \
                ORDER BY abs(score - score_with) DESC NULLS LAST, post_id LIMIT $5) \
             SELECT f.*, left(concat_ws(': ', p.title, p.excerpt), 200) AS text FROM flipped f \
             JOIN stored_posts p ON p.run_id = $1 AND p.published_at = f.published_at AND p.post_key = f.post_key \
               AND p.published_at >= $3 AND p.published_at < $4 \
             ORDER BY abs(f.score - f.score_with) DESC NULLS LAST, f.post_id"
        );
        let rows = self.compared(&sql, pair, &[&limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(FlippedPost {
                    post_id: row.try_get("post_id")?,
                    published_at: UtcTime(row.try_get("published_at")?),
                    text: row.try_get("text")?,
                    label: row.try_get("label")?,
                    score: row.try_get("score")?,
                    label_with: row.try_get("label_with")?,
                    score_with: row.try_get("score_with")?,
                })
            })
            .collect()
    }

    /// `None` if one of them has not raised its alerts: it goes on, has failed, or is of a version that raised none.
    pub(crate) async fn alert_diff(&self, pair: &Pair, limit: i64) -> Result<Option<AlertDiff>, StoreError> {
        let sql = "SELECT count(*) FROM runs WHERE run_id IN ($1, $2) AND run_id <> $3 AND detail->'alerts' IS NULL";
        let rows = self.rows(sql, &[&pair.run, &pair.with, &LIVE_RUN]).await?;
        let without: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        if without > 0 {
            return Ok(None);
        }
        let windows = |run: &str, name: &str| {
            let of = |what: &str| {
                format!(
                    "(SELECT count({what}) FROM stored_windows WHERE run_id = {run} AND window_start >= $3 AND window_start < $4)"
                )
            };
            format!("{} AS windows_{name}, {} AS judged_{name}", of("*"), of("anomaly_score"))
        };
        let sql = format!(
            "WITH {ALERTS} SELECT count(*) FILTER (WHERE own) AS run, count(*) FILTER (WHERE NOT own) AS with, \
                count(*) FILTER (WHERE own AND in_both) AS both, count(*) FILTER (WHERE own AND is_same) AS same, \
                count(*) FILTER (WHERE own AND NOT in_both) AS only_run, count(*) FILTER (WHERE NOT own AND NOT in_both) AS only_with, \
                {}, {} FROM compared",
            windows("$1", "run"),
            windows("$2", "with")
        );
        let rows = self.compared(&sql, pair, &[]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Unavailable("no counts".to_owned()))?;
        let sql = format!(
            "WITH {ALERTS} SELECT * FROM compared WHERE NOT in_both ORDER BY window_start DESC, asset, kind, own DESC LIMIT $5"
        );
        let change = |row: &tokio_postgres::Row| {
            Ok::<_, StoreError>(AlertChange {
                asset: row.try_get("asset")?,
                kind: row.try_get("kind")?,
                window_start: UtcTime(row.try_get("window_start")?),
                scale_seconds: row.try_get("scale")?,
                fires_in_run: row.try_get("own")?,
                value: row.try_get("value")?,
                expected: row.try_get("expected")?,
                anomaly_score: row.try_get("anomaly_score")?,
            })
        };
        Ok(Some(AlertDiff {
            run: row.try_get("run")?,
            with: row.try_get("with")?,
            both: row.try_get("both")?,
            same: row.try_get("same")?,
            only_run: row.try_get("only_run")?,
            only_with: row.try_get("only_with")?,
            windows_run: row.try_get("windows_run")?,
            windows_with: row.try_get("windows_with")?,
            judged_run: row.try_get("judged_run")?,
            judged_with: row.try_get("judged_with")?,
            changes: self.compared(&sql, pair, &[&limit]).await?.iter().map(change).collect::<Result<_, _>>()?,
        }))
    }

    /// The parameters $1 to $4 are the pair's.
    async fn compared(
        &self,
        sql: &str,
        pair: &Pair,
        more: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let own: [&(dyn ToSql + Sync); 4] = [&pair.run, &pair.with, &pair.from.0, &pair.to.0];
        self.rows(sql, &[&own[..], more].concat()).await
    }
}
