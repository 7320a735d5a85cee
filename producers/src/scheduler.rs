//! Asks every source when it is due, and publishes what comes.
//!
//! ```text
//!   due ─▶ poll (many at once) ─▶ publish (one transaction for the polls that are there) ─▶ committed ─▶ due again
//! ```
//!
//! A source is not asked again before its last poll is committed, so that there is never more than one poll of a source under way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};
use vigie_clock::Timestamp;
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::Publisher;
use vigie_schemas::{Codec, Cursor};

use crate::config::Config;
use crate::fetcher::Fetcher;
use crate::metrics::Metrics;
use crate::poll::{Polled, fresh_cursor, poll};
use crate::publisher::{Known, Ledger, read_settled_cursors};
use crate::source::SourceConfig;

/// How long a start waits for Kafka and the registry.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// How long a stop waits for polls under way: what they would have brought is read again after the next start.
const DRAIN: Duration = Duration::from_secs(2);

/// Posts of one transaction at most, unless a single poll brings more.
const BATCH_POSTS: usize = 5000;

/// The state of one source.
struct Slot {
    source: Arc<SourceConfig>,
    cursor: Cursor,
}

/// Polls sources and publishes posts until shutdown.
///
/// # Errors
/// [`ServiceError::Config`] with every mistake of the configuration, [`ServiceError::Unavailable`] if Kafka or the registry does not answer at the
/// start. Later outages are waited out.
pub async fn run(config: Config, ctx: Context) -> Result<(), ServiceError> {
    let (sources, authors) = config.resolve_with_authors()?;
    let fetcher =
        Fetcher::new(config.fetcher(), ctx.clock.clone()).map_err(|e| ServiceError::Config(vec![e.to_string()]))?;
    let health = ctx.health.component("producers");
    let metrics = Metrics::register(&ctx.metrics)?;
    metrics.sources.set(i64::try_from(sources.len()).unwrap_or(i64::MAX));
    let publisher = Publisher::exclusive(&config.kafka, "producers");
    let Some((codec, cursors)) = connect(&config, &publisher, &ctx).await? else { return Ok(()) };

    let mut known = Known::default();
    let mut slots: Vec<Slot> = Vec::new();
    for source in sources {
        let cursor = cursors.get(&source.id).cloned().unwrap_or_else(|| fresh_cursor(&source));
        for id in &cursor.recent_ids {
            known.insert(id);
        }
        slots.push(Slot { source: Arc::new(source), cursor });
    }
    if config.keyring.is_absent() {
        warn!("no keyring: handles of authors are not kept, not even under seal");
    }
    info!(sources = slots.len(), resumed = cursors.len(), "producers started");
    let ledger = Ledger {
        publisher,
        kafka: config.kafka.clone(),
        codec,
        clock: ctx.clock.clone(),
        metrics,
        health: health.clone(),
        shutdown: ctx.shutdown.clone(),
        known,
        authors,
    };
    health.ready();
    let result = Scheduler::new(slots, ledger, Arc::new(fetcher), config.concurrency, ctx).run().await;
    if let Err(error) = &result {
        health.failed(error.to_string());
    }
    result
}

/// Waits for Kafka and the registry; `None` if the shutdown came first.
async fn connect(
    config: &Config,
    publisher: &Publisher,
    ctx: &Context,
) -> Result<Option<(Codec, HashMap<String, Cursor>)>, ServiceError> {
    let begun = ctx.clock.monotonic();
    let reading = async {
        loop {
            let problem = match Codec::connect(&config.registry, &config.kafka.topic_prefix).await {
                Ok(codec) => match read_settled_cursors(publisher, &config.kafka, &codec).await {
                    Ok(cursors) => return Ok((codec, cursors)),
                    Err(error) => ("kafka", error.to_string()),
                },
                Err(error) => ("schema registry", error.to_string()),
            };
            if ctx.clock.monotonic().saturating_sub(begun) > START_PATIENCE {
                return Err(ServiceError::unavailable(problem.0, problem.1));
            }
            debug!(service = problem.0, error = problem.1, "not available yet");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = ctx.shutdown.cancelled() => Ok(None),
        result = reading => result.map(Some),
    }
}

struct Scheduler {
    slots: Vec<Slot>,
    /// When each idle source is due, in wall-clock milliseconds.
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
    ledger: Ledger,
    fetcher: Arc<Fetcher>,
    concurrency: usize,
    ctx: Context,
    polls: JoinSet<()>,
    failing: usize,
}

impl Scheduler {
    fn new(slots: Vec<Slot>, ledger: Ledger, fetcher: Arc<Fetcher>, concurrency: usize, ctx: Context) -> Self {
        let due = slots.iter().enumerate().map(|(n, slot)| Reverse((slot.cursor.next_at, n))).collect();
        Self { slots, due, ledger, fetcher, concurrency, ctx, polls: JoinSet::new(), failing: 0 }
    }

    async fn run(mut self) -> Result<(), ServiceError> {
        let (finished, mut results) = mpsc::channel::<(usize, Polled)>(self.concurrency);
        while !self.ctx.shutdown.is_cancelled() {
            let wait = self.start_due(&finished);
            tokio::select! {
                () = self.ctx.shutdown.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
                Some(first) = results.recv() => self.publish(first, &mut results).await?,
            }
            while self.polls.try_join_next().is_some() {}
        }
        self.drain(finished, results).await
    }

    /// Starts the polls that are due; returns how long to wait for the next.
    fn start_due(&mut self, finished: &mpsc::Sender<(usize, Polled)>) -> Duration {
        let now = self.ctx.clock.now();
        while let Some(Reverse((at, n))) = self.due.peek().copied() {
            if self.polls.len() >= self.concurrency {
                // A finished poll wakes the loop.
                return Duration::from_secs(60);
            }
            if at > now {
                return at.since(now).min(Duration::from_secs(60));
            }
            self.due.pop();
            let (source, cursor) = (Arc::clone(&self.slots[n].source), self.slots[n].cursor.clone());
            let (fetcher, clock, finished) = (Arc::clone(&self.fetcher), self.ctx.clock.clone(), finished.clone());
            self.polls.spawn(async move {
                let polled = poll(&source, &cursor, &fetcher, &*clock).await;
                // The receiver is gone only after a drain that gave up on us.
                let _ = finished.send((n, polled)).await;
            });
        }
        Duration::from_secs(60)
    }

    /// Publishes `first` and whatever else is there, in one transaction.
    async fn publish(
        &mut self,
        first: (usize, Polled),
        more: &mut mpsc::Receiver<(usize, Polled)>,
    ) -> Result<(), ServiceError> {
        let mut posts = first.1.posts.len();
        let (mut indices, mut batch) = (vec![first.0], vec![first.1]);
        while posts < BATCH_POSTS
            && let Ok((n, polled)) = more.try_recv()
        {
            posts += polled.posts.len();
            indices.push(n);
            batch.push(polled);
        }
        self.ledger.publish(&mut batch).await?;
        for (n, polled) in indices.into_iter().zip(batch) {
            self.account(n, &polled);
            self.slots[n].cursor = polled.cursor;
            self.due.push(Reverse((self.slots[n].cursor.next_at, n)));
        }
        Ok(())
    }

    fn account(&mut self, n: usize, polled: &Polled) {
        let record = &polled.record;
        let metrics = &self.ledger.metrics;
        metrics.fetches.with_label_values(&[&record.kind, &record.decision]).inc();
        metrics.bytes.with_label_values(&[&record.kind]).inc_by(u64::try_from(record.bytes).unwrap_or_default());
        metrics.fetch_seconds.with_label_values(&[&record.kind]).observe(record.duration_ms as f64 / 1000.0);
        let (was, is) = (self.slots[n].cursor.failures > 0, polled.cursor.failures > 0);
        self.failing = self.failing + usize::from(is && !was) - usize::from(was && !is && self.failing > 0);
        metrics.failing.set(i64::try_from(self.failing).unwrap_or(i64::MAX));
        if is && !was {
            let reason = record.reason.as_deref().unwrap_or_default();
            warn!(source = record.source, decision = record.decision, reason, next_at = %record.next_at, "source failing");
        } else if was && !is {
            info!(source = record.source, "source answers again");
        }
    }

    /// Gives polls under way a moment, publishes what came, and drops the rest, which nobody has been told of.
    async fn drain(
        mut self,
        finished: mpsc::Sender<(usize, Polled)>,
        mut results: mpsc::Receiver<(usize, Polled)>,
    ) -> Result<(), ServiceError> {
        drop(finished);
        let deadline = tokio::time::sleep(DRAIN);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = &mut deadline => break,
                next = results.recv() => match next {
                    Some(first) => self.publish(first, &mut results).await?,
                    None => break,
                },
            }
        }
        self.polls.abort_all();
        info!("producers stopped");
        Ok(())
    }
}
