//! From polls to Kafka: posts, cursor and ledger entry of a poll in one transaction, so that a crash neither loses a post nor publishes it twice.
//!
//! Each partition that this replica owns has a writer: a task with the partition's own transactional id, which the next owner takes over before
//! it reads a cursor. A writer that was taken over, or does not know what became of a transaction, ends: its sources are
//! taken over again, from what is committed, if the group still says so.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use vigie_clock::SharedClock;
use vigie_daemon::{Component, ServiceError};
use vigie_kafka_client::{KafkaError, OutgoingRecord, Publisher};
use vigie_schemas::{AuthorKeyRecord, Codec, CodecError, RawPost, Topic};

use crate::lease::Lease;
use crate::poll::Polled;
use crate::poll::revise::remembered;
use crate::publish::authors::Authors;
use crate::publish::metrics::Metrics;

/// How many post ids are remembered over all sources, to recognise what two sources both have.
const KNOWN: usize = 200_000;

/// Posts of one transaction at most, unless a single poll brings more.
const BATCH_POSTS: usize = 5000;

/// Polls that wait for a writer at most; more wait with their posts in hand and hold a place among the polls under way.
const WAITING: usize = 64;

/// What all writers share.
pub(crate) struct Shared {
    pub(crate) codec: Codec,
    pub(crate) metrics: Metrics,
    pub(crate) health: Component,
    pub(crate) known: Mutex<Known>,
    pub(crate) authors: Mutex<Authors>,
    pub(crate) clock: SharedClock,
    pub(crate) lease: Arc<Lease>,
}

/// What a writer reports.
pub(crate) enum Report {
    /// These polls are committed; each with the serial number of its slot.
    Committed(Vec<(u64, Polled)>),
    /// The writer of this partition and number has ended, what it had in hand is not published or not known to be.
    Ended { partition: i32, writer: u64, reason: String },
    /// No writer will ever succeed.
    Hopeless(ServiceError),
}

/// A partition's way to Kafka.
pub(crate) struct PartitionWriter {
    pub(crate) number: u64,
    /// Takes polls; the writer ends when all of these are gone and everything is published.
    pub(crate) inbox: mpsc::Sender<(u64, Polled)>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl PartitionWriter {
    /// Opens the writer of `partition`, which `publisher` has claimed.
    pub(crate) fn open(
        number: u64,
        partition: i32,
        publisher: Publisher,
        shared: Arc<Shared>,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Self {
        let (inbox, polls) = mpsc::channel(WAITING);
        let stop = CancellationToken::new();
        let worker = Worker { number, partition, publisher, shared, reports, stop: stop.clone() };
        Self { number, inbox, stop, task: tokio::spawn(worker.run(polls)) }
    }

    /// Ends it after the transaction under way, if there is one. What waits is dropped.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }

    /// Ends it once everything that was polled is published.
    pub(crate) async fn finish(self) {
        drop(self.inbox);
        let _ = self.task.await;
    }

    /// Ends it at once: what is under way is not waited for, and refused if its outcome is another's matter by now.
    pub(crate) fn abandon(self) {
        self.task.abort();
    }
}

struct Worker {
    number: u64,
    partition: i32,
    publisher: Publisher,
    shared: Arc<Shared>,
    reports: mpsc::UnboundedSender<Report>,
    stop: CancellationToken,
}

/// Why polls were not published.
enum Refused {
    /// The partition has to be taken over again: it is another's, or the outcome of the transaction is unknown.
    End(String),
    Hopeless(ServiceError),
}

/// The ids of the posts published last, as cursors remember them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Known {
    /// Adds an id.
    pub(crate) fn insert(&mut self, id: &str) {
        let id = remembered(id);
        if !self.ids.insert(id.clone()) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    fn contains(&self, id: &str) -> bool {
        self.ids.contains(&remembered(id))
    }
}

impl Worker {
    async fn run(self, mut polls: mpsc::Receiver<(u64, Polled)>) {
        loop {
            let first = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                next = polls.recv() => next,
            };
            let Some(first) = first else { return };
            let mut posts = first.1.posts.len();
            let mut batch = vec![first];
            while posts < BATCH_POSTS
                && let Ok(next) = polls.try_recv()
            {
                posts += next.1.posts.len();
                batch.push(next);
            }
            let report = match self.publish(&mut batch).await {
                Ok(()) => Report::Committed(batch),
                Err(Refused::Hopeless(error)) => Report::Hopeless(error),
                Err(Refused::End(reason)) => Report::Ended { partition: self.partition, writer: self.number, reason },
            };
            let goes_on = matches!(report, Report::Committed(_));
            // Nobody listens after a stop that ran out of patience.
            if self.reports.send(report).is_err() || !goes_on {
                return;
            }
        }
    }

    /// Publishes polls in one transaction; on return they are committed.
    async fn publish(&self, batch: &mut [(u64, Polled)]) -> Result<(), Refused> {
        // Only what is committed is known to the other writers: what this one fails to publish must not be missing from them.
        let mut ours = HashSet::new();
        {
            let known = self.shared.known.lock();
            for (_, polled) in batch.iter_mut() {
                let before = polled.posts.len();
                let mut is_news = |name: String| !known.contains(&name) && ours.insert(name);
                polled.posts.retain(|post| {
                    let is_new = is_news(post.post_id.clone());
                    // Another source may have published it before it was edited.
                    revision_of(post).is_some_and(&mut is_news) || is_new
                });
                polled.edited.retain(|post| revision_of(post).is_none_or(&mut is_news));
                self.shared.metrics.duplicates.inc_by((before - polled.posts.len()) as u64);
                polled.record.posts_new = i64::try_from(polled.posts.len()).unwrap_or(i64::MAX);
            }
        }
        let posts = batch.iter_mut().flat_map(|(_, polled)| polled.posts.iter_mut().chain(&mut polled.edited));
        let keys = self.shared.authors.lock().seal(posts, self.shared.clock.now());
        self.transact(batch, &keys).await?;
        self.shared.authors.lock().committed(&keys);
        let mut known = self.shared.known.lock();
        for (_, polled) in batch.iter() {
            for post in polled.posts.iter().chain(&polled.edited) {
                known.insert(&post.post_id);
                if let Some(revision) = revision_of(post) {
                    known.insert(&revision);
                }
            }
            let published = self.shared.metrics.published.with_label_values(&[&polled.record.kind]);
            published.inc_by(polled.posts.len() as u64);
            if polled.left_out > 0 {
                warn!(source = polled.record.source, posts = polled.left_out, "posts of a long answer left out");
                let left_out = self.shared.metrics.left_out.with_label_values(&[&polled.record.kind]);
                left_out.inc_by(polled.left_out as u64);
            }
        }
        Ok(())
    }

    async fn transact(&self, batch: &[(u64, Polled)], keys: &[AuthorKeyRecord]) -> Result<(), Refused> {
        let records = self.encode_until_done(batch, keys).await?;
        // A poll that slept knows less than whoever polled meanwhile.
        if !self.shared.lease.holds() {
            return Err(Refused::End("no longer a member of the group".to_owned()));
        }
        match self.publisher.publish(records).await {
            Ok(_) => Ok(()),
            Err(error @ KafkaError::Fatal { .. }) => Err(Refused::Hopeless(ServiceError::failed(error))),
            Err(error) => {
                if matches!(error, KafkaError::Fenced { .. }) {
                    self.shared.metrics.fenced.inc();
                }
                // Also where nothing was written: trying again would be a claim, which is for those whom the group still trusts.
                Err(Refused::End(error.to_string()))
            }
        }
    }

    /// Waits for a registry that is away.
    async fn encode_until_done(
        &self,
        batch: &[(u64, Polled)],
        keys: &[AuthorKeyRecord],
    ) -> Result<Vec<OutgoingRecord>, Refused> {
        let mut pause = Duration::from_millis(200);
        let mut is_first = true;
        loop {
            let problem =
                match encode(&self.shared.codec, batch.iter().map(|(_, polled)| polled), keys, Some(self.partition))
                    .await
                {
                    Ok(records) => {
                        if !is_first {
                            self.shared.health.ready();
                        }
                        return Ok(records);
                    }
                    Err(error) if error.is_retriable() => error.to_string(),
                    Err(error) => return Err(Refused::Hopeless(ServiceError::failed(error))),
                };
            if std::mem::take(&mut is_first) {
                warn!(partition = self.partition, error = problem, "registry not available, publishing waits");
            }
            self.shared.metrics.publish_retries.inc();
            self.shared.health.not_ready(problem.clone());
            tokio::select! {
                () = self.stop.cancelled() => return Err(Refused::End(problem)),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// The name of an edit of a post, by which an edit that two sources have is recognised.
fn revision_of(post: &RawPost) -> Option<String> {
    post.edited_at.map(|at| format!("{} {}", post.post_id, at.as_millis()))
}

/// The records of polls and of the data keys that seal their authors; their cursors in `partition`, or wherever the client puts them.
pub(crate) async fn encode<'a>(
    codec: &Codec,
    batch: impl Iterator<Item = &'a Polled>,
    keys: &[AuthorKeyRecord],
    partition: Option<i32>,
) -> Result<Vec<OutgoingRecord>, CodecError> {
    let (posts, cursors, fetches) =
        (Topic::PostsRaw.name(), Topic::SourcesCursors.name(), Topic::SourcesFetches.name());
    let mut records = Vec::new();
    let authors = Topic::AuthorsKeys.name();
    for key in keys {
        records.push(OutgoingRecord::new(authors, key.key(), codec.encode(authors, key).await?));
    }
    for polled in batch {
        for post in polled.posts.iter().chain(&polled.edited) {
            let mut record = OutgoingRecord::new(posts, post.post_id.clone(), codec.encode(posts, post).await?);
            record.timestamp = Some(post.fetched_at);
            records.push(record);
        }
        for id in &polled.deleted {
            records.push(OutgoingRecord { value: None, ..OutgoingRecord::new(posts, id.clone(), bytes::Bytes::new()) });
        }
        let source = &polled.record.source;
        if polled.changed {
            let cursor = codec.encode(cursors, &polled.cursor).await?;
            let mut record = OutgoingRecord::new(cursors, source.clone(), cursor);
            record.partition = partition;
            records.push(record);
        }
        records.push(OutgoingRecord::new(fetches, source.clone(), codec.encode(fetches, &polled.record).await?));
    }
    Ok(records)
}
