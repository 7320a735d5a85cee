//! From topics to a store: the part that the sinks of PostgreSQL and Redis share.
//!
//! ```text
//!   poll ──▶ Buffer ──one batch at a time──▶ Writer: decode, dead letters, Sink::write (rows + offsets in one transaction)
//!    │         ▲                                │
//!    │         └──── settled: take the next ◀───┤
//!    │                                          └─▶ conflict: drop all, load the offsets again
//!    ├─ assigned: pause ─▶ load stored offsets ─▶ seek, resume
//!    └─ revoked: let the batch in hand finish ─▶ forget
//! ```
//!
//! Guarantees: each record is stored once, or is in the dead letter queue at least once. The store's offsets are the truth, those of the
//! consumer group are a hint for people. During an outage of the store the member goes on polling with its partitions paused, so it
//! keeps them, and writes the same batch when the store is back. If a commit's outcome is unknown, the repeated batch finds the offsets moved,
//! and reading goes on from there.

mod backoff;
mod buffer;
mod dead_letter;
mod loader;
mod metrics;
mod upkeep;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use vigie_daemon::{Component, Context, ServiceError};
use vigie_kafka_client::{
    Admin, Consumer, ConsumerOptions, Event, KafkaConfig, KafkaError, Publisher, Record, TopicPartition,
};
use vigie_schemas::{Codec, RegistryConfig};

use crate::config::BatchOptions;
use crate::driver::buffer::Buffer;
use crate::driver::dead_letter::DeadLetters;
use crate::driver::metrics::Metrics;
use crate::driver::upkeep::Check;
use crate::driver::writer::{Conflict, Writer};
use crate::sink::{Advance, Offsets, Sink};

/// No poll waits longer, so that a finished write or a shutdown is soon noticed.
const LONGEST_POLL: Duration = Duration::from_millis(50);
const SHORTEST_POLL: Duration = Duration::from_millis(2);
/// The batch in hand has so long when its partitions go or the service stops.
const DRAIN: Duration = Duration::from_secs(7);
/// A broker that answers lets a member go at once; for one that does not, the session ends by itself.
const LEAVE: Duration = Duration::from_secs(2);
const REVOKE: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(10);

/// What a sink reads.
pub(crate) struct Options {
    pub(crate) kafka: KafkaConfig,
    pub(crate) registry: RegistryConfig,
    pub(crate) topics: Vec<String>,
    pub(crate) batch: BatchOptions,
}

/// Feeds `sink` until the shutdown.
///
/// # Errors
/// [`ServiceError::Unavailable`] if Kafka or the schema registry is not there at the start.
pub(crate) async fn run<S: Sink>(
    options: Options,
    sink: S,
    health: Component,
    ctx: Context,
) -> Result<(), ServiceError> {
    let codec = Codec::connect(&options.registry, &options.kafka.topic_prefix)
        .await
        .map_err(|e| ServiceError::unavailable("schema registry", e))?;
    let metrics = Metrics::new(&ctx.metrics, sink.name()).map_err(ServiceError::failed)?;
    let dead_letters = DeadLetters::new(Publisher::new(&options.kafka, &format!("{}-dlq", sink.name())), sink.name());
    let clock = Arc::clone(&ctx.clock);
    let writer = Arc::new(Writer { sink, codec, dead_letters, metrics, health, clock });
    let handle = Handle::current();
    // The consumer blocks: it lives on a thread of its own.
    let thread = tokio::task::spawn_blocking(move || {
        options.kafka.ping(START).map_err(|e| ServiceError::unavailable("kafka", e))?;
        Driver::new(options, writer, handle, ctx)?.run()
    });
    thread.await.unwrap_or_else(|panicked| Err(ServiceError::failed(panicked)))
}

/// A batch that the writer has.
struct Flight {
    advances: BTreeMap<TopicPartition, Advance>,
    task: JoinHandle<Result<(), Conflict>>,
}

struct Driver<S> {
    options: Options,
    writer: Arc<Writer<S>>,
    handle: Handle,
    ctx: Context,
    admin: Arc<Admin>,
    buffer: Buffer,
    flight: Option<Flight>,
    /// Partitions whose offsets are being loaded.
    loading: BTreeSet<TopicPartition>,
    loader: Option<JoinHandle<Offsets>>,
    paused: BTreeSet<TopicPartition>,
    checker: Option<JoinHandle<Check>>,
    /// Kafka did not answer when it was last heard of.
    kafka_down: bool,
    upkeep_at: Duration,
}

impl<S: Sink> Driver<S> {
    fn new(options: Options, writer: Arc<Writer<S>>, handle: Handle, ctx: Context) -> Result<Self, ServiceError> {
        let admin = Arc::new(Admin::new(&options.kafka).map_err(ServiceError::failed)?);
        let buffer = Buffer::new(options.batch);
        let upkeep_at = ctx.clock.monotonic() + upkeep::INTERVAL;
        Ok(Self {
            options,
            writer,
            handle,
            ctx,
            admin,
            buffer,
            flight: None,
            loading: BTreeSet::new(),
            loader: None,
            paused: BTreeSet::new(),
            checker: None,
            kafka_down: false,
            upkeep_at,
        })
    }

    fn run(mut self) -> Result<(), ServiceError> {
        let name = self.writer.sink.name();
        let options = ConsumerOptions::new(name, &self.options.topics);
        loop {
            let mut consumer = Consumer::new(&self.options.kafka, &options).map_err(ServiceError::failed)?;
            self.writer.health.ready();
            let outcome = self.consume(&mut consumer);
            leave(consumer);
            match outcome {
                Ok(()) => return Ok(()),
                Err(error @ KafkaError::Fatal { .. }) => return Err(ServiceError::failed(error)),
                Err(error) => warn!(sink = name, %error, "consumer replaced"),
            }
            self.release_all();
        }
    }

    /// Until the shutdown (`Ok`), or an error after which the consumer is of no more use.
    fn consume(&mut self, consumer: &mut Consumer) -> Result<(), KafkaError> {
        let name = self.writer.sink.name();
        info!(sink = name, topics = self.options.topics.len(), "consuming");
        while !self.ctx.shutdown.is_cancelled() {
            match consumer.poll(self.poll_time()) {
                Ok(events) => events.into_iter().for_each(|event| self.handle(event)),
                Err(error) if error.is_retriable() => {
                    debug!(sink = name, %error, "poll failed for now");
                    self.writer.health.not_ready(error.to_string());
                    self.kafka_down = true;
                    std::thread::sleep(LONGEST_POLL);
                }
                Err(error) => return Err(error),
            }
            self.finish_loading(consumer)?;
            self.finish_flight();
            self.launch();
            self.regulate(consumer);
            self.upkeep(consumer);
        }
        self.drain(consumer);
        Ok(())
    }

    fn poll_time(&self) -> Duration {
        if self.flight.is_some() {
            return if self.buffer.is_full() { SHORTEST_POLL } else { LONGEST_POLL / 5 };
        }
        if self.loader.is_some() {
            return SHORTEST_POLL;
        }
        self.buffer.due_in(self.ctx.clock.monotonic()).unwrap_or(LONGEST_POLL).clamp(SHORTEST_POLL, LONGEST_POLL)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Records(records) => self.take_in(records),
            Event::Assigned(partitions) => {
                info!(sink = self.writer.sink.name(), partitions = partitions.len(), "partitions assigned");
                self.load(partitions);
            }
            Event::Revoked(partitions) | Event::Lost(partitions) => self.release(&partitions),
        }
    }

    fn take_in(&mut self, records: Vec<Record>) {
        let now = self.ctx.clock.monotonic();
        for record in records {
            self.buffer.accept(record, now);
        }
    }

    /// Starts to load the offsets of `partitions`, and of those that were still loading.
    fn load(&mut self, partitions: Vec<TopicPartition>) {
        self.buffer.forget(&partitions);
        self.loading.extend(partitions);
        if let Some(loader) = self.loader.take() {
            loader.abort();
        }
        if self.loading.is_empty() {
            return;
        }
        let (writer, admin) = (Arc::clone(&self.writer), Arc::clone(&self.admin));
        let partitions = self.loading.iter().cloned().collect();
        self.loader = Some(self.handle.spawn(async move { loader::load(&writer, &admin, partitions).await }));
    }

    fn finish_loading(&mut self, consumer: &Consumer) -> Result<(), KafkaError> {
        let Some(loader) = self.loader.take_if(|loader| loader.is_finished()) else { return Ok(()) };
        let Ok(offsets) = self.handle.block_on(loader) else {
            self.load(Vec::new());
            return Ok(());
        };
        for (partition, &next) in &offsets {
            match consumer.seek(partition, next) {
                Ok(()) => {}
                Err(error) if error.is_retriable() => {
                    debug!(sink = self.writer.sink.name(), %partition, %error, "seek failed for now");
                    self.load(Vec::new());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.loading.retain(|partition| !offsets.contains_key(partition));
        self.buffer.activate(&offsets);
        self.writer.health.ready();
        Ok(())
    }

    /// Hands the next batch to the writer, if it is due and the writer is free.
    fn launch(&mut self) {
        let now = self.ctx.clock.monotonic();
        if self.flight.is_some() || self.buffer.due_in(now) != Some(Duration::ZERO) {
            return;
        }
        self.launch_now(now);
    }

    fn launch_now(&mut self, now: Duration) {
        let Some(batch) = self.buffer.take(now) else { return };
        let advances = batch.advances.clone();
        let writer = Arc::clone(&self.writer);
        let task = self.handle.spawn(async move { writer.settle(&batch).await });
        self.flight = Some(Flight { advances, task });
    }

    fn finish_flight(&mut self) {
        let Some(flight) = self.flight.take_if(|flight| flight.task.is_finished()) else { return };
        let outcome = self.handle.block_on(flight.task);
        self.land(&flight.advances, matches!(outcome, Ok(Ok(()))));
    }

    /// `false`: the store holds something else than the buffer believes, or nobody knows.
    fn land(&mut self, advances: &BTreeMap<TopicPartition, Advance>, settled: bool) {
        if settled {
            self.buffer.settled(advances);
        } else {
            let partitions = self.buffer.stored().into_keys().collect();
            self.load(partitions);
        }
    }

    /// Waits for the batch in hand; gives it up after `patience`.
    fn await_flight(&mut self, patience: Duration) {
        let Some(mut flight) = self.flight.take() else { return };
        let outcome = self.handle.block_on(async {
            let outcome = timeout(patience, &mut flight.task).await;
            if outcome.is_err() {
                flight.task.abort();
                let _ = (&mut flight.task).await; // its transaction is rolled back once the task is gone
            }
            outcome
        });
        self.land(&flight.advances, matches!(outcome, Ok(Ok(Ok(())))));
    }

    fn release(&mut self, partitions: &[TopicPartition]) {
        info!(sink = self.writer.sink.name(), partitions = partitions.len(), "partitions released");
        self.await_flight(REVOKE);
        self.buffer.forget(partitions);
        for partition in partitions {
            self.loading.remove(partition);
            self.paused.remove(partition);
            let labels = [partition.topic.as_str(), &partition.partition.to_string()];
            let _ = self.writer.metrics.lag.remove_label_values(&labels); // not there if it was never measured
        }
        if self.loader.is_some() {
            self.load(Vec::new());
        }
    }

    fn release_all(&mut self) {
        let partitions: Vec<TopicPartition> = self.buffer.stored().into_keys().chain(self.loading.clone()).collect();
        self.release(&partitions);
    }

    /// Pauses what cannot be taken in now, resumes what can.
    fn regulate(&mut self, consumer: &Consumer) {
        let mut wanted = self.loading.clone();
        if self.buffer.is_full() {
            wanted.extend(self.buffer.stored().into_keys());
        }
        if wanted == self.paused {
            return;
        }
        let stop: Vec<TopicPartition> = wanted.difference(&self.paused).cloned().collect();
        let go: Vec<TopicPartition> = self.paused.difference(&wanted).cloned().collect();
        for (partitions, outcome) in [(&stop, consumer.pause(&stop)), (&go, consumer.resume(&go))] {
            if let Err(error) = outcome {
                // Not assigned yet, or not any more: the next round finds out.
                debug!(sink = self.writer.sink.name(), partitions = partitions.len(), %error, "not paused or resumed");
                return;
            }
        }
        self.paused = wanted;
    }

    /// Writes what has been read, as far as the time allows; what is left is read again by the next owner.
    fn drain(&mut self, consumer: &Consumer) {
        let deadline = self.ctx.clock.monotonic() + DRAIN;
        loop {
            let now = self.ctx.clock.monotonic();
            self.await_flight(deadline.saturating_sub(now));
            if now >= deadline || self.loader.is_some() {
                break;
            }
            self.launch_now(now);
            if self.flight.is_none() {
                break;
            }
        }
        if let Some(loader) = self.loader.take() {
            loader.abort();
        }
        if let Some(checker) = self.checker.take() {
            checker.abort();
        }
        self.commit_hint(consumer, &self.buffer.stored());
        info!(sink = self.writer.sink.name(), "drained");
    }
}

/// Leaves the group, without waiting for a broker that does not answer: the client would wait for a minute.
fn leave(consumer: Consumer) {
    let (done, left) = std::sync::mpsc::channel();
    let leaving = std::thread::Builder::new().name("leave-group".to_owned()).spawn(move || {
        consumer.close();
        let _ = done.send(()); // nobody waits any more
    });
    if leaving.is_ok() && left.recv_timeout(LEAVE).is_err() {
        debug!("the group has not answered, left silently");
    }
}
