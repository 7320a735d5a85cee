//! What replays have taken so far.

use serde::Serialize;

use super::{RunError, Runs};

/// How fast earlier runs were.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pace {
    /// Posts scored and counted in a second.
    pub posts_per_second: f64,
    /// The runs of which this is the mean.
    pub runs: Vec<String>,
    /// Whether they were of the model that was asked for.
    pub same_model: bool,
}

/// Runs with less are no measure: most of their time is the start.
const LEAST_POSTS: i64 = 100;

impl Runs {
    /// How fast the last runs were, up to five: those of the model with this hash, or else of any; none if there was none to speak of.
    ///
    /// # Errors
    /// [`RunError::Postgres`].
    pub async fn pace(&self, model_sha256: &str) -> Result<Option<Pace>, RunError> {
        let sql = "WITH done AS (
                SELECT run_id, started_at, (detail -> 'work' ->> 'posts')::bigint AS posts,
                    (detail -> 'work' ->> 'seconds')::double precision AS seconds,
                    coalesce(detail ->> 'model_sha256' = $1, false) AS same
                FROM runs WHERE state = 'finished' AND detail -> 'work' IS NOT NULL),
            latest AS (
                SELECT * FROM done WHERE posts >= $2 AND seconds > 0 AND same = (SELECT bool_or(same) FROM done WHERE posts >= $2)
                ORDER BY started_at DESC LIMIT 5)
            SELECT bool_and(same), array_agg(run_id ORDER BY started_at DESC), sum(posts)::double precision / sum(seconds)
            FROM latest HAVING count(*) > 0";
        let row = self.client.query_opt(sql, &[&model_sha256, &LEAST_POSTS]).await.map_err(|e| self.failed(e))?;
        let pace = |row: tokio_postgres::Row| {
            Ok(Pace { same_model: row.try_get(0)?, runs: row.try_get(1)?, posts_per_second: row.try_get(2)? })
        };
        row.map(pace).transpose().map_err(|e| self.failed(e))
    }

    /// Bytes that the database takes for a post, with its share of windows and indexes: the size of the tables by the posts in them, as the
    /// planner counts them. None where it has not counted any.
    ///
    /// # Errors
    /// [`RunError::Postgres`].
    pub async fn bytes_per_post(&self) -> Result<Option<f64>, RunError> {
        let sql = "SELECT sum(pg_total_relation_size(c.oid))::double precision
                / nullif(sum(c.reltuples) FILTER (WHERE i.inhparent = 'stored_posts'::regclass AND c.reltuples > 0), 0)
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE c.relkind = 'r' AND i.inhparent IN ('stored_posts'::regclass, 'post_assets'::regclass,
                'stored_windows'::regclass, 'stored_window_revisions'::regclass)";
        let row = self.client.query_one(sql, &[]).await.map_err(|e| self.failed(e))?;
        row.try_get(0).map_err(|e| self.failed(e))
    }
}
