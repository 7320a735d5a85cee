//! For tests: a driver that runs a topology without a broker.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use vigie_clock::{Clock, ManualClock, Timestamp};
use vigie_kafka_client::{Committed, OutgoingRecord, Record, TopicPartition};

use crate::error::ProcessorError;
use crate::metrics::StreamsMetrics;
use crate::processor::core::Output;
use crate::processor::dead_letter::{DeadLetterEncoder, PlainDeadLetters};
use crate::snapshot::{StateDir, StateDirParts};
use crate::store::database::Memory;
use crate::task::{InputStart, StreamTask, TaskParts};
use crate::topology::Topology;

/// A write to a store: the key, and the value or a deletion.
type Change = (Bytes, Option<Bytes>);

/// Runs a topology without a broker, under a manual clock.
///
/// It drives the same tasks as a stream thread does. Outputs appear in [`read`](Self::read) only after [`commit`](Self::commit), and
/// state survives a [`restart`](Self::restart) only as far as it was committed, by way of a changelog.
pub struct TopologyTestDriver {
    topology: Topology,
    clock: ManualClock,
    encoder: Arc<dyn DeadLetterEncoder>,
    idle_after: Duration,
    tasks: BTreeMap<i32, StreamTask>,
    next_offset: BTreeMap<TopicPartition, i64>,
    committed: BTreeMap<TopicPartition, Committed>,
    /// By store and partition: the log, as it was written.
    changelogs: BTreeMap<(usize, i32), Vec<Change>>,
    outputs: Vec<OutgoingRecord>,
    input: BTreeMap<TopicPartition, Vec<Record>>,
    late: u64,
    disk: Option<(StateDir, StreamsMetrics)>,
}

impl TopologyTestDriver {
    /// Runs `topology` on `clock`; dead letters carry the original value.
    pub fn new(topology: Topology, clock: ManualClock) -> Self {
        Self {
            topology,
            clock,
            encoder: Arc::new(PlainDeadLetters),
            idle_after: Duration::from_secs(30),
            tasks: BTreeMap::new(),
            next_offset: BTreeMap::new(),
            committed: BTreeMap::new(),
            changelogs: BTreeMap::new(),
            outputs: Vec::new(),
            input: BTreeMap::new(),
            late: 0,
            disk: None,
        }
    }

    /// Keeps the stores in databases below `folder`, with `memory` bytes for all of them. A [`restart`](Self::restart) goes on from there.
    #[must_use]
    pub fn on_disk(mut self, folder: &Path, memory: u64) -> Self {
        let dir = StateDir::new(StateDirParts {
            root: folder.to_owned(),
            application: self.topology.name().to_owned(),
            instance: "test".to_owned(),
            topology: self.topology.fingerprint().into(),
            max_age: Duration::MAX,
            interval: Duration::MAX,
            disk: Some(Arc::new(Memory::new(memory))),
            clock: Arc::new(self.clock.clone()),
        });
        self.disk = Some((dir, StreamsMetrics::new(&Registry::new(), self.topology.name())));
        self
    }

    /// Writes dead letters with `encoder`.
    #[must_use]
    pub fn with_dead_letters(mut self, encoder: Arc<dyn DeadLetterEncoder>) -> Self {
        self.encoder = encoder;
        self
    }

    /// Gives the processor one record.
    ///
    /// # Errors
    /// The processor's.
    pub fn pipe(
        &mut self,
        topic: &str,
        partition: i32,
        key: Option<Bytes>,
        value: Option<Bytes>,
        timestamp: Timestamp,
    ) -> Result<(), ProcessorError> {
        self.pipe_batch(topic, partition, [(key, value, timestamp)])
    }

    /// Gives the processor records of one partition, as one poll would bring them.
    ///
    /// # Errors
    /// The processor's.
    pub fn pipe_batch(
        &mut self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = (Option<Bytes>, Option<Bytes>, Timestamp)>,
    ) -> Result<(), ProcessorError> {
        let at = TopicPartition::new(topic, partition);
        let shared: Arc<str> = topic.into();
        let next = self.next_offset.entry(at.clone()).or_default();
        let mut batch = Vec::new();
        for (key, value, timestamp) in records {
            let topic = Arc::clone(&shared);
            batch.push(Record { topic, partition, offset: *next, timestamp, key, value, headers: Vec::new() });
            *next += 1;
        }
        self.input.entry(at).or_default().extend(batch.iter().cloned());
        self.task(partition).process(&batch)
    }

    /// Moves the clock and punctuates every task.
    ///
    /// # Errors
    /// The processor's.
    pub fn advance(&mut self, by: Duration) -> Result<(), ProcessorError> {
        self.clock.advance(by);
        self.tasks.values_mut().try_for_each(StreamTask::punctuate)
    }

    /// Commits: outputs become readable, state and positions become durable.
    ///
    /// # Errors
    /// The processor's, from the punctuation before the commit.
    pub fn commit(&mut self) -> Result<(), ProcessorError> {
        for task in self.tasks.values_mut() {
            task.punctuate()?;
            self.outputs.extend(task.outputs().iter().map(outgoing));
            for (store, key, value) in task.changes() {
                let log = self.changelogs.entry((store, task.id().partition)).or_default();
                log.push((key.clone(), value.cloned()));
            }
            self.committed.extend(task.offsets());
            let partition = task.id().partition;
            for ((store, _), log) in self.changelogs.iter().filter(|((_, of), _)| *of == partition) {
                task.logged_to(*store, Some(log.len() as i64));
            }
            self.late += task.committed().late;
            task.save().expect("the folder can be written");
            assert_eq!(task.distrust(), None, "every record is accounted for");
        }
        Ok(())
    }

    /// Aborts: everything since the last commit is dropped, and the records since then are processed again.
    ///
    /// # Errors
    /// The processor's.
    pub fn abort(&mut self) -> Result<(), ProcessorError> {
        self.tasks.values_mut().for_each(StreamTask::aborted);
        self.replay()
    }

    /// As a crash and a new start: tasks are made afresh from the changelogs and committed offsets, and the records after those
    /// are processed again.
    ///
    /// # Errors
    /// The processor's.
    pub fn restart(&mut self) -> Result<(), ProcessorError> {
        let partitions: Vec<i32> = std::mem::take(&mut self.tasks).into_keys().collect();
        for partition in partitions {
            self.task(partition);
        }
        self.replay()
    }

    /// Takes the committed records of a sink (or of a dead-letter topic) that were not taken before.
    pub fn read(&mut self, sink: &str) -> Vec<OutgoingRecord> {
        let (taken, kept) = std::mem::take(&mut self.outputs).into_iter().partition(|record| record.topic == sink);
        self.outputs = kept;
        taken
    }

    /// The committed writes of a store's changelog in one partition, in order.
    pub fn changelog(&self, store: &str, partition: i32) -> Vec<(Bytes, Option<Bytes>)> {
        let index = self.topology.stores.iter().position(|spec| spec.name == store);
        index.and_then(|index| self.changelogs.get(&(index, partition))).cloned().unwrap_or_default()
    }

    /// The watermark of a task; `None` while unknown.
    pub fn watermark(&self, partition: i32) -> Option<Timestamp> {
        self.tasks.get(&partition)?.watermark()
    }

    /// How many late records were counted in committed work.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The time on the driver's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Processes the input after the committed offsets.
    fn replay(&mut self) -> Result<(), ProcessorError> {
        for (at, records) in &self.input {
            let from = self.committed.get(at).map_or(0, |committed| committed.offset);
            let from = records.partition_point(|record| record.offset < from);
            if let Some(task) = self.tasks.get_mut(&at.partition) {
                task.process(&records[from..])?;
            }
        }
        Ok(())
    }

    fn task(&mut self, partition: i32) -> &mut StreamTask {
        let Self { topology, clock, encoder, idle_after, tasks, committed, changelogs, disk, .. } = self;
        tasks.entry(partition).or_insert_with(|| {
            let start = |topic: &Arc<str>| {
                let committed = committed.get(&TopicPartition::new(&**topic, partition)).cloned();
                let Committed { offset, metadata } =
                    committed.unwrap_or(Committed { offset: 0, metadata: String::new() });
                InputStart { topic: Arc::clone(topic), offset, metadata, stop: i64::MAX }
            };
            let mut task = StreamTask::new(TaskParts {
                topology,
                partition,
                inputs: topology.sources.iter().map(start).collect(),
                clock: Arc::new(clock.clone()),
                encoder: Arc::clone(encoder),
                idle_after: *idle_after,
            });
            let mut from = vec![0; topology.stores.len()];
            if let Some((dir, metrics)) = disk {
                let end = |store| changelogs.get(&(store, partition)).map_or(0, |log| log.len() as i64);
                let logs: Vec<_> = (0..from.len()).map(|store| (0, end(store))).collect();
                let point = dir.restore_point(&mut task, &logs, metrics).expect("the folder can be written");
                from = point.map_or(from, |(from, _)| from);
            }
            for (store, from) in from.into_iter().enumerate() {
                let log = changelogs.entry((store, partition)).or_default();
                for (key, value) in &log[from as usize..] {
                    task.restore_record(store, key.clone(), value.clone());
                }
                task.logged_to(store, Some(log.len() as i64));
            }
            task.save().expect("the folder can be written");
            task.start().expect("the stores can be read");
            assert_eq!(task.distrust(), None, "restored stores agree");
            task
        })
    }
}

fn outgoing(output: &Output) -> OutgoingRecord {
    OutgoingRecord {
        topic: output.topic.to_string(),
        partition: output.partition,
        key: output.key.clone(),
        value: output.value.clone(),
        timestamp: Some(output.timestamp),
        headers: output.headers.clone(),
    }
}
