//! From polls to Kafka: posts, cursor and ledger entry of a poll in one transaction, so that a crash neither loses a post nor tells it twice.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use vigie_clock::SharedClock;
use vigie_daemon::{Component, ServiceError};
use vigie_kafka_client::{KafkaConfig, KafkaError, OutgoingRecord, Publisher, Start, read_to_end};
use vigie_schemas::{AuthorKeyRecord, Codec, CodecError, Cursor, Topic};

use crate::authors::Authors;
use crate::metrics::Metrics;
use crate::poll::Polled;

/// How many post ids are remembered over all sources, to tell what two sources both have.
const KNOWN: usize = 200_000;

/// How long a shutdown waits for a broker that does not answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// Publishes polls.
pub(crate) struct Ledger {
    pub(crate) kafka: KafkaConfig,
    pub(crate) codec: Codec,
    pub(crate) clock: SharedClock,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
    pub(crate) health: Component,
    pub(crate) shutdown: CancellationToken,
    pub(crate) known: Known,
    pub(crate) authors: Authors,
}

/// The ids of the posts published last.
#[derive(Debug, Default)]
pub(crate) struct Known {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Known {
    /// Adds an id; false if it was there.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// Reads the cursor of every source, once nothing that was published before can change it any more: a crashed predecessor's transaction may
/// be about to commit, and reading past it would tell its posts twice.
pub(crate) async fn read_settled_cursors(
    publisher: &Publisher,
    kafka: &KafkaConfig,
    codec: &Codec,
) -> Result<HashMap<String, Cursor>, ReadError> {
    publisher.claim().await?;
    read_cursors(kafka, codec).await
}

async fn read_cursors(kafka: &KafkaConfig, codec: &Codec) -> Result<HashMap<String, Cursor>, ReadError> {
    let kafka = kafka.clone();
    let reading = tokio::task::spawn_blocking(move || -> Result<HashMap<String, Option<bytes::Bytes>>, KafkaError> {
        let mut latest = HashMap::new();
        for record in read_to_end(&kafka, Topic::SourcesCursors.name(), &Start::Beginning)? {
            let record = record?;
            if let Some(key) = &record.key {
                latest.insert(String::from_utf8_lossy(key).into_owned(), record.value);
            }
        }
        Ok(latest)
    });
    let latest = reading.await.map_err(|e| ReadError::Failed(e.to_string()))??;
    let mut cursors = HashMap::new();
    for (source, value) in latest {
        let Some(value) = value else { continue };
        match codec.decode::<Cursor>(&value).await {
            Ok(cursor) => {
                cursors.insert(source, cursor);
            }
            Err(error) if error.is_retriable() => return Err(error.into()),
            // Reading the source anew is better than not reading it; downstream drops what it has seen.
            Err(error) => warn!(source, %error, "cursor unreadable, the source is read anew"),
        }
    }
    Ok(cursors)
}

/// Why cursors could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("reading cursors: {0}")]
    Failed(String),
}

impl ReadError {
    pub(crate) fn is_retriable(&self) -> bool {
        match self {
            Self::Kafka(error) => error.is_retriable(),
            Self::Codec(error) => error.is_retriable(),
            Self::Failed(_) => false,
        }
    }
}

impl Ledger {
    /// Publishes polls in one transaction; on return they are committed. Outages are waited out.
    pub(crate) async fn publish(&mut self, batch: &mut [Polled]) -> Result<(), ServiceError> {
        for polled in batch.iter_mut() {
            let before = polled.posts.len();
            polled.posts.retain(|post| self.known.insert(&post.post_id));
            self.metrics.duplicates.inc_by((before - polled.posts.len()) as u64);
            polled.record.posts_new = i64::try_from(polled.posts.len()).unwrap_or(i64::MAX);
        }
        let now = self.clock.now();
        let keys = self.authors.seal(batch.iter_mut().flat_map(|polled| &mut polled.posts), now);
        let shutdown = self.shutdown.clone();
        let out_of_patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            result = self.publish_until_done(batch, &keys) => result?,
            () = out_of_patience => return Err(ServiceError::unavailable("kafka or schema registry", "no answer until the end of the shutdown")),
        }
        self.authors.committed(&keys);
        self.health.ready();
        for polled in batch.iter() {
            self.metrics.published.with_label_values(&[&polled.record.kind]).inc_by(polled.posts.len() as u64);
        }
        Ok(())
    }

    async fn publish_until_done(&self, batch: &[Polled], keys: &[AuthorKeyRecord]) -> Result<(), ServiceError> {
        let mut pause = Duration::from_millis(200);
        let mut is_first = true;
        loop {
            let problem = match self.attempt(batch, keys).await {
                Ok(()) => return Ok(()),
                Err(Attempt::Hopeless(error)) => return Err(error),
                Err(Attempt::Later(problem)) => problem,
            };
            if std::mem::take(&mut is_first) {
                warn!(error = problem, "publishing failed, trying again until it succeeds");
            }
            self.metrics.publish_retries.inc();
            self.health.not_ready(problem);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn attempt(&self, batch: &[Polled], keys: &[AuthorKeyRecord]) -> Result<(), Attempt> {
        let records = self.encode(batch, keys).await.map_err(|error| {
            if error.is_retriable() {
                Attempt::Later(error.to_string())
            } else {
                Attempt::Hopeless(ServiceError::failed(error))
            }
        })?;
        match self.publisher.publish(records).await {
            Ok(_) => Ok(()),
            Err(KafkaError::Fenced { .. }) => {
                Err(Attempt::Hopeless(ServiceError::failed("another instance of the producers has taken over")))
            }
            Err(error @ KafkaError::Restore { .. }) => match self.is_committed(batch).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Attempt::Later(error.to_string())),
                Err(unknown) => Err(unknown),
            },
            Err(error @ KafkaError::Fatal { .. }) => Err(Attempt::Hopeless(ServiceError::failed(error))),
            Err(error) => Err(Attempt::Later(error.to_string())),
        }
    }

    /// After an unknown outcome: all of a transaction is visible or nothing, so that one cursor tells.
    async fn is_committed(&self, batch: &[Polled]) -> Result<bool, Attempt> {
        let Some(ours) = batch.iter().find(|polled| polled.changed).map(|polled| &polled.cursor) else {
            return Ok(true);
        };
        loop {
            match read_settled_cursors(&self.publisher, &self.kafka, &self.codec).await {
                Ok(cursors) => {
                    return Ok(cursors.get(&ours.source).is_some_and(|stored| stored.updated_at >= ours.updated_at));
                }
                Err(error) if !error.is_retriable() => return Err(Attempt::Hopeless(ServiceError::failed(error))),
                Err(error) => {
                    self.health.not_ready(error.to_string());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn encode(&self, batch: &[Polled], keys: &[AuthorKeyRecord]) -> Result<Vec<OutgoingRecord>, CodecError> {
        let (posts, cursors, fetches) =
            (Topic::PostsRaw.name(), Topic::SourcesCursors.name(), Topic::SourcesFetches.name());
        let authors = Topic::AuthorsKeys.name();
        let mut records = Vec::new();
        for key in keys {
            records.push(OutgoingRecord::new(authors, key.key(), self.codec.encode(authors, key).await?));
        }
        for polled in batch {
            for post in &polled.posts {
                let mut record =
                    OutgoingRecord::new(posts, post.post_id.clone(), self.codec.encode(posts, post).await?);
                record.timestamp = Some(post.fetched_at);
                records.push(record);
            }
            let source = &polled.record.source;
            if polled.changed {
                records.push(OutgoingRecord::new(
                    cursors,
                    source.clone(),
                    self.codec.encode(cursors, &polled.cursor).await?,
                ));
            }
            records.push(OutgoingRecord::new(
                fetches,
                source.clone(),
                self.codec.encode(fetches, &polled.record).await?,
            ));
        }
        Ok(records)
    }
}

/// Why an attempt to publish did not succeed.
enum Attempt {
    Later(String),
    Hopeless(ServiceError),
}
