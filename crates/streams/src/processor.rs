//! What an application writes: a processor, and what it can do while it processes.

pub(crate) mod account;
pub(crate) mod core;
pub(crate) mod dead_letter;
pub(crate) mod per_record;
pub(crate) mod punctuation;
pub(crate) mod watermark;
pub(crate) mod window;

use std::time::Duration;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_kafka_client::{Headers, Record};

use account::Outcome;
use core::{Core, Output, TaskId};
use dead_letter::DeadLetter;
use per_record::{ErrorPolicy, RecordError};
use punctuation::Punctuation;

use crate::error::ProcessorError;
use crate::store::KeyValueStore;

/// The logic of one task: it sees the records of one partition of each source topic, in order, and nothing of other tasks.
///
/// After an aborted commit the task gets a *new* processor, its stores are as of the last commit, and the records since then come
/// again: what a processor keeps in its own fields must be a cache, or be rebuilt from a store.
pub trait Processor: Send {
    /// Processes records of one partition, in offset order.
    ///
    /// # Errors
    /// Only if the processor itself cannot go on. A bad record goes to [`ProcessorContext::dead_letter`].
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError>;

    /// Called after each batch, before each commit, and at least each commit interval: the place to act on passing time. See
    /// [`Every`](crate::Every) for what should happen less often.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let _ = (at, ctx);
        Ok(())
    }

    /// Called once when the task has been restored: whether its stores agree with each other. A disagreement, in words, is reported as records
    /// that are [not accounted for](crate::TopologyBuilder::accounted); the task goes on.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn audit(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<Option<String>, ProcessorError> {
        let _ = ctx;
        Ok(None)
    }
}

/// What a processor can do. All of it takes effect with the next commit, or not at all.
pub struct ProcessorContext<'a> {
    core: &'a mut Core,
    /// The input partition whose records are being processed; none during a punctuation.
    input: Option<usize>,
    /// The clocks when the batch began: near enough for most of what each of its records asks.
    wall_clock: Timestamp,
    monotonic: Duration,
}

impl<'a> ProcessorContext<'a> {
    pub(crate) fn new(core: &'a mut Core, input: Option<usize>) -> Self {
        let (wall_clock, monotonic) = (core.clock.now(), core.clock.monotonic());
        Self { core, input, wall_clock, monotonic }
    }

    /// Writes a record to a sink, to the partition that the key's hash chooses.
    ///
    /// # Panics
    /// If the topology does not declare `sink`.
    pub fn forward(&mut self, sink: &str, key: Option<Bytes>, value: Option<Bytes>, timestamp: Timestamp) {
        self.forward_with(sink, None, key, value, timestamp, Headers::new());
    }

    /// As [`forward`](Self::forward), with a partition and headers.
    ///
    /// # Panics
    /// If the topology does not declare `sink`.
    pub fn forward_with(
        &mut self,
        sink: &str,
        partition: Option<i32>,
        key: Option<Bytes>,
        value: Option<Bytes>,
        timestamp: Timestamp,
        headers: Headers,
    ) {
        let topic = self.core.sink(sink);
        self.core.outputs.push(Output { topic, partition, key, value, timestamp, headers });
    }

    /// Sets `record` aside on `<topic>.dlq`, in the same transaction that moves past it. `reason` is a short, stable word for the
    /// kind of failure, `detail` says what exactly was wrong.
    pub fn dead_letter(&mut self, record: &Record, reason: &str, detail: &str) {
        let core = &mut *self.core;
        let topic = core.sink(&dead_letter::dead_letter_topic(&record.topic));
        let failed_at = core.clock.now();
        let stage = &*core.id.topology;
        let letter = DeadLetter { record, stage, reason, detail, failed_at };
        match core.encoder.encode(&letter) {
            Ok(value) => {
                let headers = dead_letter::headers(&letter);
                let key = record.key.clone();
                core.counts.dead_letters += 1;
                core.account.settle(Outcome::DeadLetter, 1);
                core.outputs.push(Output {
                    topic,
                    partition: None,
                    key,
                    value: Some(value),
                    timestamp: failed_at,
                    headers,
                });
            }
            // Moving past the record without keeping it would lose it.
            Err(why) => core.failure = Some(ProcessorError::Retry(format!("dead letter not encoded: {why}"))),
        }
    }

    /// Does with `record`, which cannot be processed, what the topology's [`ErrorPolicy`] says.
    ///
    /// # Errors
    /// If the policy is not to move on. Return it.
    pub fn reject(&mut self, record: &Record, error: &RecordError) -> Result<(), ProcessorError> {
        let failed = || format!("record {}@{}: {error}", record.topic_partition(), record.offset);
        match self.core.policy {
            ErrorPolicy::DeadLetter => {
                self.dead_letter(record, error.reason, &error.detail);
                Ok(())
            }
            ErrorPolicy::Retry => Err(ProcessorError::Retry(failed())),
            ErrorPolicy::Fail => Err(ProcessorError::Fatal(failed())),
        }
    }

    /// The store `name`.
    ///
    /// # Panics
    /// If the topology does not declare it.
    pub fn store(&mut self, name: &str) -> &mut KeyValueStore {
        self.core.store(name)
    }

    /// Reports the event time of a record of the current batch. It moves stream time and the watermark, unless it is absurdly far
    /// ahead of the wall clock ([`Watermark::MAX_AHEAD`](crate::Watermark::MAX_AHEAD)): then it returns `false`.
    pub fn observe_event_time(&mut self, time: Timestamp) -> bool {
        let Some(input) = self.input else { return false };
        let core = &mut *self.core;
        // What was ahead of the clock when the batch began need not be so any more.
        let accepted = core.watermark.observe(input, time, self.wall_clock)
            || core.watermark.observe(input, time, core.clock.now());
        if accepted {
            core.watermark.advance(self.monotonic);
        } else {
            core.counts.refused_times += 1;
        }
        accepted
    }

    /// Events before this are late; `None` while unknown.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.core.watermark.watermark()
    }

    /// The highest event time seen; `None` before the first.
    pub fn stream_time(&self) -> Option<Timestamp> {
        self.core.watermark.stream_time()
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// The partition of the source topics that this task processes.
    pub fn partition(&self) -> i32 {
        self.core.id.partition
    }

    /// The task's name.
    pub fn task_id(&self) -> &TaskId {
        &self.core.id
    }

    /// Says what became of `records` of the current batch. Late ones and dead letters say so themselves.
    pub fn settle(&mut self, outcome: Outcome, records: u64) {
        self.core.account.settle(outcome, records);
    }

    /// Counts the `events` that one record brought after their window was closed.
    pub fn count_late_events(&mut self, events: u64) {
        self.core.counts.late += events;
        self.settle(Outcome::Late, 1);
    }

    /// Counts `records` that came after their window was closed.
    pub fn count_late(&mut self, records: u64) {
        self.core.counts.late += records;
        self.settle(Outcome::Late, records);
    }
}
