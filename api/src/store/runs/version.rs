use std::sync::Arc;

use tokio_postgres::types::Json;
use vigie_schemas::{LIVE_RUN, SERVED_RUN, Switch, Topic};

use crate::store::{Snapshot, Store, StoreError};

/// What the data of a moment is called: as long as the name stays, no answer changes.
///
/// The sink stores in one transaction its rows and, in `sink_offsets`, from where it goes on. So nothing that it writes is seen
/// without a new name, be it a revision of an old window, a backfill or an erasure, and no name is seen before its rows. Replays have
/// a name of their own; what is served is called as the live data until a run is promoted, and then after both and the switches.
/// `None` where the sink has never been: then nothing is known of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    live: Option<String>,
    replays: Option<String>,
    served: Option<String>,
    switches: Arc<[Switch]>,
}

impl Versions {
    /// What the data of `run` is called.
    pub(crate) fn of(&self, run: &str) -> Option<&str> {
        match run {
            SERVED_RUN => self.served.as_deref(),
            LIVE_RUN => self.live.as_deref(),
            _ => self.replays.as_deref(),
        }
    }

    /// Which runs were promoted.
    pub(crate) fn switches(&self) -> &Arc<[Switch]> {
        &self.switches
    }
}

const LIVE: [Topic; 5] =
    [Topic::InsightsSentiment, Topic::InsightsTrends, Topic::InsightsAlerts, Topic::InsightsTerms, Topic::AuthorsKeys];
const REPLAYS: [Topic; 4] = [Topic::ReplaysSentiment, Topic::ReplaysTrends, Topic::ReplaysAlerts, Topic::AuthorsKeys];

/// Topics may have a prefix. Fetches are left out: no answer that is kept stands on them, and they come all the time.
/// Switches are read along, so that a snapshot is never without its own.
const VERSIONS: &str = "WITH v AS (SELECT md5(string_agg(o.name, ',' ORDER BY o.name) FILTER (WHERE o.topic LIKE ANY($1))) AS live, \
     md5(string_agg(o.name, ',' ORDER BY o.name) FILTER (WHERE o.topic LIKE ANY($2))) AS replays \
     FROM (SELECT topic, concat_ws(' ', sink, topic, partition, next_offset, updated_at) AS name FROM sink_offsets) o), \
     s AS (SELECT json_agg(json_build_object('id', id, 'run_id', run_id, 'from', (extract(epoch FROM from_time) * 1000)::bigint, 'to', (extract(epoch FROM to_time) * 1000)::bigint, \
       'promoted_at', (extract(epoch FROM promoted_at) * 1000)::bigint, 'rolled_back_at', (extract(epoch FROM rolled_back_at) * 1000)::bigint) ORDER BY id) AS switches FROM served_runs) \
     SELECT live, replays, switches, CASE WHEN switches IS NULL THEN live ELSE live || md5(concat_ws(' ', replays, switches::text)) END AS served FROM v, s";

impl Snapshot {
    pub(in crate::store) async fn read_versions(&self) -> Result<Versions, StoreError> {
        let patterns = |topics: &[Topic]| topics.iter().map(|topic| format!("%{}", topic.name())).collect::<Vec<_>>();
        let rows = self.rows(VERSIONS, &[&patterns(&LIVE), &patterns(&REPLAYS)]).await?;
        let Some(row) = rows.first() else { return Ok(Versions::default()) };
        let switches: Option<Json<Vec<Switch>>> = row.try_get("switches")?;
        Ok(Versions {
            live: row.try_get("live")?,
            replays: row.try_get("replays")?,
            served: row.try_get("served")?,
            switches: switches.map(|Json(switches)| switches.into()).unwrap_or_default(),
        })
    }
}

impl Snapshot {
    /// Answers with these switches, whatever happened since.
    pub(crate) fn pin(&mut self, switches: &Arc<[Switch]>) {
        self.versions.switches.clone_from(switches);
    }
}

impl Store {
    /// What the data is called now.
    pub(crate) async fn versions(&self) -> Result<Versions, StoreError> {
        let snapshot = self.snapshot().await?;
        let versions = snapshot.versions.clone();
        snapshot.end().await;
        Ok(versions)
    }
}
