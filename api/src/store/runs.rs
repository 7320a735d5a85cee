use serde::Serialize;
use utoipa::ToSchema;
use vigie_schemas::SERVED_RUN;

use super::{Snapshot, StoreError};
use crate::http::page::Page;
use crate::store::row::columns;
use crate::time::{EARLIEST, LATEST, UtcTime};
use served::Part;

pub(crate) mod diff;
pub(crate) mod ground;
pub(crate) mod served;
pub(crate) mod version;

/// A computation over posts: `live`, or a replay.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    /// Give it as `run=` to read its results.
    pub run_id: String,
    /// What it read.
    pub topic: String,
    /// Of this time on.
    pub from_time: Option<UtcTime>,
    /// Before this time.
    pub to_time: Option<UtcTime>,
    /// With which model.
    pub model: String,
    /// running, paused, finished, failed, interrupted or cancelled.
    pub state: String,
    /// When it began.
    pub started_at: UtcTime,
    /// When it ended.
    pub finished_at: Option<UtcTime>,
    /// Posts that it scored.
    pub posts: Option<i64>,
    /// How far a replay is, as its process last said: phase (starting, scoring or counting), what is done of how much, speed, and seconds left.
    #[schema(value_type = Option<Object>)]
    pub progress: Option<serde_json::Value>,
    /// When its process was last heard of.
    pub heard_at: Option<UtcTime>,
    /// For which times it answers where no run is asked for: `live` for all that no promoted run answers for.
    pub served: Vec<ServedRange>,
    /// More about it.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// A range of event time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ServedRange {
    /// Inclusive; null: all earlier times.
    pub from: Option<UtcTime>,
    /// Exclusive; null: all later times.
    pub to: Option<UtcTime>,
}

impl Snapshot {
    /// Newest first, by start time and id.
    pub(crate) async fn runs(&self, page: &Page) -> Result<Vec<Run>, StoreError> {
        let sql = "SELECT * FROM runs WHERE started_at <= $1 AND (started_at < $1 OR run_id > $2) \
                   ORDER BY started_at DESC, run_id LIMIT $3";
        let (time, id) = page.begin(UtcTime(LATEST));
        let rows = self.rows(sql, &[&time, &id, &page.rows()]).await?;
        let served = self.served(SERVED_RUN, None);
        rows.iter()
            .map(|row| {
                let run_id: String = row.try_get("run_id")?;
                let own = served.parts().iter().filter(|part| part.run == run_id);
                let range = |part: &Part| ServedRange {
                    from: Some(part.from).filter(|from| from.0 > EARLIEST),
                    to: Some(part.to).filter(|to| to.0 < LATEST),
                };
                let served = own.map(range).collect();
                Ok(columns!(row => Run {
                    topic, from_time, to_time, model, state, started_at, finished_at, posts, progress, heard_at,
                    detail;
                    run_id: run_id,
                    served: served
                }))
            })
            .collect()
    }
}
