//! Every (window, asset) on `insights.trends.v1`: its revisions go up by one, and the last equals the oracle.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie_kafka_client::{Admin, KafkaConfig, TopicPartition};
use vigie_schemas::{SyncCodec, Topic, TrendInsight};

use super::Violations;
use super::ledger::each;
use crate::check::oracle::{Counts, Expected, Key};
use crate::error::ChaosError;

/// How often a transaction that is open is looked at again, and the pause between: longer than any that goes on.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(200);

/// What the topic holds.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    pub(crate) revisions: u64,
    pub(crate) violations: Violations,
}

struct Latest {
    revision: i32,
    last: bool,
    counts: Counts,
}

/// Windows that begin before `closed_before` must be final.
pub(crate) fn check(
    kafka: &KafkaConfig,
    codec: &SyncCodec,
    expected: &Expected,
    closed_before: i64,
) -> Result<Revisions, ChaosError> {
    let mut latest: BTreeMap<Key, Latest> = BTreeMap::new();
    let mut found = Revisions::default();
    each(kafka, codec, Topic::InsightsTrends.name(), |_, insight: TrendInsight| {
        found.revisions += 1;
        let key = (insight.asset.clone(), insight.window_start.as_millis());
        let before = latest.get(&key).map_or((0, false), |latest| (latest.revision, latest.last));
        if insight.revision != before.0 + 1 {
            found.violations.add(format!("window {key:?}: revision {} follows on {}", insight.revision, before.0));
        }
        if before.1 {
            found.violations.add(format!("window {key:?}: revision {} comes after the final one", insight.revision));
        }
        let (revision, last, counts) = (insight.revision, insight.r#final, Counts::from(&insight));
        latest.insert(key, Latest { revision, last, counts });
    })?;
    for key in expected.windows.keys().chain(latest.keys().filter(|key| !expected.windows.contains_key(*key))) {
        let (is, should) = (latest.get(key), expected.windows.get(key));
        if is.map(|latest| &latest.counts) != should {
            let is = is.map(|latest| &latest.counts);
            found.violations.add(format!("window {key:?} is {is:?}, expected {should:?}"));
        }
        if is.is_some_and(|latest| latest.last != (key.1 < closed_before)) {
            found.violations.add(format!("window {key:?} is final or not, and should be the other"));
        }
    }
    Ok(found)
}

/// No transaction is open: every partition can be read to its end.
pub(crate) fn stable(kafka: &KafkaConfig) -> Result<Violations, ChaosError> {
    let mut violations = Violations::default();
    let admin = Admin::new(kafka)?;
    for (topic, partitions) in admin.list_topics()? {
        for partition in 0..partitions {
            let at = TopicPartition::new(&topic, partition);
            let (_, end) = admin.watermarks(&at)?;
            // The producers go on: what was open a moment ago is soon closed, and the log is longer then. What hangs stays.
            let mut stable = admin.stable_watermarks(&at)?.1;
            for _ in 0..LOOKS {
                if stable >= end {
                    break;
                }
                std::thread::sleep(PAUSE);
                stable = admin.stable_watermarks(&at)?.1;
            }
            if stable < end {
                violations.add(format!("{at} can be read up to {stable} of {end}: a transaction hangs"));
            }
        }
    }
    Ok(violations)
}
