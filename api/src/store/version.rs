use vigie_schemas::{LIVE_RUN, Topic};

use super::{Snapshot, Store, StoreError};

/// What the data of a moment is called: as long as the name stays, no answer changes.
///
/// The sink stores in one transaction its rows and, in `sink_offsets`, from where it goes on. So nothing that it writes is seen
/// without a new name, be it a revision of an old window, a backfill or an erasure, and no name is seen before its rows. Replays have
/// a name of their own. `None` where the sink has never been: then nothing is known of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    live: Option<String>,
    replays: Option<String>,
}

impl Versions {
    /// What the data of `run` is called.
    pub(crate) fn of(&self, run: &str) -> Option<&str> {
        if run == LIVE_RUN { self.live.as_deref() } else { self.replays.as_deref() }
    }
}

const LIVE: [Topic; 5] =
    [Topic::InsightsSentiment, Topic::InsightsTrends, Topic::InsightsAlerts, Topic::InsightsTerms, Topic::AuthorsKeys];
const REPLAYS: [Topic; 3] = [Topic::ReplaysSentiment, Topic::ReplaysTrends, Topic::AuthorsKeys];

/// Topics may have a prefix. Fetches are left out: no answer that is kept stands on them, and they come all the time.
const VERSIONS: &str = "SELECT md5(string_agg(o.name, ',' ORDER BY o.name) FILTER (WHERE o.topic LIKE ANY($1))) AS live, \
     md5(string_agg(o.name, ',' ORDER BY o.name) FILTER (WHERE o.topic LIKE ANY($2))) AS replays \
     FROM (SELECT topic, concat_ws(' ', sink, topic, partition, next_offset, updated_at) AS name FROM sink_offsets) o";

impl Snapshot {
    pub(super) async fn read_versions(&self) -> Result<Versions, StoreError> {
        let patterns = |topics: &[Topic]| topics.iter().map(|topic| format!("%{}", topic.name())).collect::<Vec<_>>();
        let rows = self.rows(VERSIONS, &[&patterns(&LIVE), &patterns(&REPLAYS)]).await?;
        let Some(row) = rows.first() else { return Ok(Versions::default()) };
        Ok(Versions { live: row.try_get("live")?, replays: row.try_get("replays")? })
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
