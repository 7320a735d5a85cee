//! Taking partitions over: first their predecessor is fenced, then its cursors are read, which nothing can change any more.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use vigie_kafka_client::{Admin, KafkaConfig, Publisher};
use vigie_schemas::{Codec, Cursor, Topic};

use crate::lease::Lease;
use crate::publish::cursors::{TakeError, read_cursors};

/// What to take.
pub(crate) struct Takeover {
    /// Partitions whose predecessor may still be at work.
    pub(crate) claim: BTreeSet<i32>,
    /// Sources whose cursors are needed.
    pub(crate) sources: HashSet<String>,
}

/// What was taken.
pub(crate) struct Taken {
    /// How many partitions the topic has.
    pub(crate) partitions: i32,
    /// The publishers of the claimed partitions.
    pub(crate) publishers: HashMap<i32, Publisher>,
    /// The sources that were asked for.
    pub(crate) sources: HashSet<String>,
    /// Those of them that have a cursor.
    pub(crate) cursors: HashMap<String, Cursor>,
}

/// How many partitions the cursors have.
pub(crate) async fn partitions(kafka: &KafkaConfig) -> Result<i32, TakeError> {
    let kafka = kafka.clone();
    let asking = tokio::task::spawn_blocking(move || Admin::new(&kafka)?.partitions(Topic::SourcesCursors.name()));
    let topic = Topic::SourcesCursors.name();
    let missing = || TakeError::Failed(format!("there is no topic {topic}, expected an existing one"));
    asking.await.map_err(|e| TakeError::Failed(e.to_string()))??.ok_or_else(missing)
}

/// Takes over.
pub(crate) async fn take(
    takeover: Takeover,
    kafka: KafkaConfig,
    codec: Codec,
    lease: Arc<Lease>,
) -> Result<Taken, TakeError> {
    let count = partitions(&kafka).await?;
    let mut claims = JoinSet::new();
    for partition in takeover.claim {
        let publisher = Publisher::exclusive(&kafka, &format!("producers-{partition}"));
        // Who was asleep for too long must not fence its successor.
        if !lease.holds() {
            return Err(TakeError::NotAMember);
        }
        claims.spawn(async move {
            let claimed = publisher.claim().await;
            claimed.map(|()| (partition, publisher))
        });
    }
    let mut publishers = HashMap::new();
    while let Some(claimed) = claims.join_next().await {
        let (partition, publisher) = claimed.map_err(|e| TakeError::Failed(e.to_string()))??;
        publishers.insert(partition, publisher);
    }
    let cursors = read_cursors(&kafka, &codec, takeover.sources.clone()).await?;
    Ok(Taken { partitions: count, publishers, sources: takeover.sources, cursors })
}
