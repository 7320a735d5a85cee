//! What a backfill writes: each page with its position in one transaction, under an id of its own that a second backfill of the source takes away.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{KafkaConfig, KafkaError, Publisher};
use vigie_schemas::{AuthorKeyRecord, Codec, Cursor};

use crate::authors::Authors;
use crate::cursors::{TakeError, read_cursors};
use crate::poll::Polled;
use crate::publisher::encode;

/// The way of a backfill to Kafka.
pub(super) struct Output {
    pub(super) kafka: KafkaConfig,
    pub(super) codec: Codec,
    pub(super) publisher: Publisher,
    pub(super) authors: Authors,
    pub(super) clock: SharedClock,
    pub(super) shutdown: CancellationToken,
}

impl Output {
    /// The cursors of these keys, once nothing that an earlier run left open can change them any more.
    pub(super) async fn cursors(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<std::collections::HashMap<String, Cursor>, TakeError> {
        self.publisher.claim().await?;
        read_cursors(&self.kafka, &self.codec, keys.into_iter().collect::<HashSet<_>>()).await
    }

    /// Publishes a page; on return it is committed. Outages are waited out until the shutdown.
    pub(super) async fn publish(&mut self, mut page: Polled) -> Result<(), ServiceError> {
        let keys = self.authors.seal(page.posts.iter_mut(), self.clock.now());
        let mut pause = Duration::from_millis(200);
        loop {
            let problem = match self.attempt(&page, &keys).await {
                Ok(()) => {
                    self.authors.committed(&keys);
                    return Ok(());
                }
                Err(Attempt::Hopeless(error)) => return Err(error),
                Err(Attempt::Later(problem)) => problem,
            };
            warn!(error = problem, "page not published, trying again until it is");
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(ServiceError::unavailable("kafka or schema registry", problem)),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn attempt(&self, page: &Polled, keys: &[AuthorKeyRecord]) -> Result<(), Attempt> {
        let records = encode(&self.codec, std::iter::once(page), keys, None).await.map_err(|error| {
            if error.is_retriable() {
                Attempt::Later(error.to_string())
            } else {
                Attempt::Hopeless(ServiceError::failed(error))
            }
        })?;
        match self.publisher.publish(records).await {
            Ok(_) => Ok(()),
            Err(KafkaError::Fenced { .. }) => {
                Err(Attempt::Hopeless(ServiceError::failed("another backfill of this source has taken over")))
            }
            Err(error @ KafkaError::Restore { .. }) => self.settle(page, error).await,
            Err(error @ KafkaError::Fatal { .. }) => Err(Attempt::Hopeless(ServiceError::failed(error))),
            Err(error) => Err(Attempt::Later(error.to_string())),
        }
    }

    /// After an unknown outcome: all of a transaction is visible or nothing, so that the position tells.
    async fn settle(&self, page: &Polled, error: KafkaError) -> Result<(), Attempt> {
        let ours = &page.cursor;
        match self.cursors([ours.source.clone()]).await {
            Ok(cursors) if cursors.get(&ours.source).is_some_and(|stored| stored.updated_at >= ours.updated_at) => {
                Ok(())
            }
            Ok(_) => Err(Attempt::Later(error.to_string())),
            // What became of it is not known: the next run reads it from the position.
            Err(unknown) => Err(Attempt::Hopeless(ServiceError::unavailable("kafka", unknown))),
        }
    }
}

/// Why an attempt to publish did not succeed.
enum Attempt {
    Later(String),
    Hopeless(ServiceError),
}
