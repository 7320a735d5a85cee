//! More partitions for the live run: `vigie topics migrate`.
//!
//! | application | source | state, and to whom it belongs |
//! |---|---|---|
//! | `vigie-sentiment` | `posts.raw.v1` | posts that were seen: to the task of the post |
//! | `vigie-trends` | `posts.mentions.v1` | windows, their authors and posts, histories: to the task of the asset. How far time has come: to each |
//! | `vigie-terms` | `insights.sentiment.v1`, `posts.terms.v1` | all of it stays with task 0, which counts for all |
//!
//! A whole market that is [shared](crate::trends) lies by task, not by key, and is refused.

use std::sync::Arc;

use serde::Serialize;
use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{Admin, KafkaConfig, TopicPartition};
use vigie_schemas::Topic;
use vigie_streams::{
    Owner, PlainDeadLetters, Processor, ProcessorContext, ProcessorError, Record, StoreSpec, StreamsApp, StreamsConfig,
    StreamsOptions, Topology, WindowStore,
};

use crate::sentiment;
use crate::service::{kafka_error, streams_error};
use crate::trends::{self, stores, terms};

/// What was done for one application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grown {
    /// The application.
    pub application: &'static str,
    /// Tasks that are new, and were given their state now.
    pub new_tasks: usize,
    /// Entries of its stores that moved.
    pub moved_entries: usize,
}

type Owners = for<'k> fn(&str, &'k [u8]) -> Owner<'k>;

struct Application {
    id: &'static str,
    name: &'static str,
    sources: &'static [Topic],
    stores: Vec<StoreSpec>,
    owner: Owners,
}

fn applications() -> [Application; 3] {
    [
        Application {
            id: sentiment::APPLICATION_ID,
            name: sentiment::TOPOLOGY,
            sources: &[Topic::PostsRaw],
            stores: sentiment::stores().into(),
            owner: |_, post| Owner::Key(post),
        },
        Application {
            id: trends::APPLICATION_ID,
            name: trends::TOPOLOGY,
            sources: &[Topic::PostsMentions],
            stores: stores::specs().into(),
            owner: asset_of,
        },
        Application {
            id: trends::TERMS_APPLICATION_ID,
            name: terms::TOPOLOGY,
            sources: &[Topic::InsightsSentiment, Topic::PostsTerms],
            stores: terms::stores::specs().into(),
            owner: |_, _| Owner::Here,
        },
    ]
}

/// The asset in a key of the stores of trends: alone, after a window's start, or there with more behind a zero byte.
fn asset_of<'k>(store: &str, key: &'k [u8]) -> Owner<'k> {
    if store == stores::PROGRESS {
        return Owner::Everywhere;
    }
    if store == stores::HISTORIES {
        return Owner::Key(key);
    }
    let Some((_, key)) = WindowStore::parts(key) else { return Owner::Here };
    Owner::Key(key.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// Processes nothing: it is never asked to.
struct Idle;

impl Processor for Idle {
    fn process(&mut self, _: &[Record], _: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        Err(ProcessorError::fatal("records came while state was moved"))
    }
}

/// Gives the topics of posts and insights, and the state that is kept of them, `partitions` partitions. Neither producers nor processors
/// may run. Blocks; called again after a failure it goes on.
///
/// # Errors
/// [`ServiceError`]: what runs, lags, or is no multiple; nothing was changed then.
pub fn grow(kafka: &KafkaConfig, partitions: i32, clock: &SharedClock) -> Result<Vec<Grown>, ServiceError> {
    let admin = Admin::new(kafka).map_err(kafka_error)?;
    refuse_shared_market(&admin)?;
    let apps = applications().map(|of| {
        let mut builder = Topology::builder(of.name).processor(|_| Box::new(Idle));
        builder = of.sources.iter().fold(builder, |builder, source| builder.source(source.name()));
        let topology = of.stores.into_iter().fold(builder, |builder, store| builder.store(store)).build();
        let config = StreamsConfig::new(kafka.clone(), of.id, &StreamsOptions::default());
        let registry = prometheus::Registry::new();
        topology.map(|topology| {
            (
                of.id,
                of.owner,
                StreamsApp::new(config, topology, Arc::new(PlainDeadLetters), Arc::clone(clock), &registry),
            )
        })
    });
    let apps = apps.into_iter().collect::<Result<Vec<_>, _>>().map_err(ServiceError::failed)?;
    // Each refuses by itself, but what one would refuse is not to be found after another was changed.
    for (_, _, app) in &apps {
        app.may_grow(partitions).map_err(streams_error)?;
    }
    let mut grown = Vec::new();
    for (application, owner, app) in &apps {
        let growth = app.grow(partitions, owner).map_err(streams_error)?;
        grown.push(Grown { application, new_tasks: growth.tasks, moved_entries: growth.entries });
    }
    for topic in Topic::ALL.into_iter().filter(|topic| *topic != Topic::SourcesCursors) {
        let wanted = topic.partitions_of(partitions);
        if admin.partitions(topic.name()).map_err(kafka_error)?.is_some_and(|found| found < wanted) {
            admin.add_partitions(topic.name(), wanted).map_err(kafka_error)?;
        }
    }
    Ok(grown)
}

fn refuse_shared_market(admin: &Admin) -> Result<(), ServiceError> {
    let topic = Topic::TrendsMarket.name();
    let Some(_) = admin.partitions(topic).map_err(kafka_error)? else { return Ok(()) };
    match admin.watermarks(&TopicPartition::new(topic, 0)).map_err(kafka_error)? {
        (_, 0) => Ok(()),
        _ => Err(ServiceError::failed(
            "the whole market is shared (VIGIE_SPREAD_MARKET_FROM), expected one task that counts it: what tasks share lies by their number",
        )),
    }
}

#[cfg(test)]
mod tests {
    use vigie_clock::Timestamp;
    use vigie_streams::KeyValueStore;

    use super::*;

    #[test]
    fn entries_of_trends_belong_to_their_asset() {
        let mut store = KeyValueStore::default();
        let mut windows = WindowStore::over(&mut store);
        for key in [&b"BTC"[..], b"BTC\0reddit:1"] {
            // Zero bytes in the start are none of the key's.
            windows.put(Timestamp::from_millis(1), key, "");
        }
        for (key, _) in store.iter() {
            for name in [stores::WINDOWS, stores::AUTHORS] {
                assert_eq!(asset_of(name, &key), Owner::Key(b"BTC"));
            }
        }
        assert_eq!(asset_of(stores::HISTORIES, b"*"), Owner::Key(b"*"));
        assert_eq!(asset_of(stores::PROGRESS, b"progress"), Owner::Everywhere);
    }
}
