//! What a backfill writes: each page with its position in one transaction, under an id of its own that a second backfill of the source takes away.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use vigie_clock::SharedClock;
use vigie_daemon::ServiceError;
use vigie_kafka_client::{KafkaConfig, KafkaError, Publisher};
use vigie_schemas::{AuthorKeyRecord, Codec, Cursor};

use crate::poll::Polled;
use crate::publish::authors::Authors;
use crate::publish::cursors::{TakeError, read_cursors};
use crate::publish::publisher::encode;

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
        let mut is_unsettled = false;
        loop {
            // After a failure the id is claimed again, and what became of the page is read.
            let outcome = match is_unsettled {
                true => self.is_committed(&page).await,
                false => Ok(false),
            };
            let outcome = match outcome {
                Ok(false) => self.attempt(&page, &keys).await,
                other => other.map(drop),
            };
            let problem = match outcome {
                Ok(()) => {
                    self.authors.committed(&keys);
                    if page.left_out > 0 {
                        warn!(source = page.record.source, posts = page.left_out, "posts of a long answer left out");
                    }
                    return Ok(());
                }
                Err(Attempt::Hopeless(error)) => return Err(error),
                Err(Attempt::Later(problem)) => problem,
            };
            is_unsettled = true;
            warn!(error = problem, "page not published, trying again");
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
            Err(error @ KafkaError::Fatal { .. }) => Err(Attempt::Hopeless(ServiceError::failed(error))),
            Err(error) => Err(Attempt::Later(error.to_string())),
        }
    }

    /// Whether a page is there: all of a transaction is visible or nothing, so that the position shows it.
    async fn is_committed(&self, page: &Polled) -> Result<bool, Attempt> {
        let ours = &page.cursor;
        let cursors = self.cursors([ours.source.clone()]).await.map_err(|error| Attempt::Later(error.to_string()))?;
        match cursors.get(&ours.source).map(|stored| stored.updated_at.cmp(&ours.updated_at)) {
            Some(Ordering::Equal) => Ok(true),
            Some(Ordering::Greater) => {
                Err(Attempt::Hopeless(ServiceError::failed("another backfill of this source has taken over")))
            }
            Some(Ordering::Less) | None => Ok(false),
        }
    }
}

/// Why an attempt to publish did not succeed.
enum Attempt {
    Later(String),
    Hopeless(ServiceError),
}
