//! Taking a run out of the database.

use std::collections::BTreeMap;

use tokio_postgres::Error;

use super::{RunError, Runs};
use crate::postgres::NAME;

/// Each finds its rows by an index that begins with the run.
const TABLES: [&str; 6] =
    ["post_assets", "stored_posts", "stored_windows", "stored_window_revisions", "alerts", "runs"];

impl Runs {
    /// Deletes all that is stored of a run, and returns how many rows that were, by table. What its topics still hold comes back if the sink has
    /// not read it yet.
    ///
    /// # Errors
    /// [`RunError::Postgres`]; [`RunError::Served`] for a run that is served.
    pub async fn remove(&mut self, run_id: &str) -> Result<BTreeMap<&'static str, u64>, RunError> {
        let url = self.url.clone();
        let deleted = self.delete(run_id).await.map_err(|source| RunError::Postgres { url, source })?;
        deleted.ok_or_else(|| RunError::Served(run_id.to_owned()))
    }

    /// `None` if it is served.
    async fn delete(&mut self, run_id: &str) -> Result<Option<BTreeMap<&'static str, u64>>, Error> {
        let transaction = self.client.transaction().await?;
        // No promotion comes in between: it takes the run's row.
        transaction.execute("SELECT FROM runs WHERE run_id = $1 FOR UPDATE", &[&run_id]).await?;
        let served = "SELECT FROM served_runs WHERE run_id = $1 AND rolled_back_at IS NULL";
        if !transaction.query(served, &[&run_id]).await?.is_empty() {
            return Ok(None);
        }
        let mut deleted = BTreeMap::new();
        for table in TABLES {
            let sql = format!("DELETE FROM {table} WHERE run_id = $1");
            deleted.insert(table, transaction.execute(&sql, &[&run_id]).await?);
        }
        // Another version of the data, for those who keep answers of it.
        transaction.execute("UPDATE sink_offsets SET updated_at = clock_timestamp()", &[]).await?;
        transaction.commit().await?;
        Ok(Some(deleted))
    }

    /// Up to where the sink has read `topic`, by partition.
    ///
    /// # Errors
    /// [`RunError::Postgres`].
    pub async fn sink_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>, RunError> {
        let sql = "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic = $2";
        let rows = self.client.query(sql, &[&NAME, &topic]).await.map_err(|e| self.failed(e))?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, _>>()
            .map_err(|e| self.failed(e))
    }
}
