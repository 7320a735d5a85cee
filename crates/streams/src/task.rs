//! A task: the processor, stores and positions of one partition number. It knows nothing of Kafka: a stream thread, or the test
//! driver, feeds it records and carries what it staged away.
//!
//! ```text
//!              load_store()?, restore_record()*     process(), punctuate()
//!              ┌────┐                              ┌────┐
//!              ▼    │                              ▼    │
//!   new() ──▶ RESTORING ────────── start() ──────▶ RUNNING ──── drop: revoked, lost, shut down
//!                                                  │     ▲
//!                   committed(): staged is real    │     │   aborted(): staged is dropped, new processor,
//!                                                  └─────┘   positions and watermark as of the last commit
//! ```

pub(crate) mod disk;
pub(crate) mod header;
pub(crate) mod mark;
pub(crate) mod metadata;
mod on_disk;
pub(crate) mod restoring;
mod roll_back;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::{SharedClock, Timestamp};
use vigie_kafka_client::{Committed, Record, TopicPartition};

use disk::TaskDisk;
use mark::{Mark, Position};
use metadata::Metadata;

use crate::error::ProcessorError;
use crate::processor::account::Account;
use crate::processor::core::{Core, Counts, Output, TaskId};
use crate::processor::dead_letter::DeadLetterEncoder;
use crate::processor::punctuation::Punctuation;
use crate::processor::watermark::Watermark;
use crate::processor::{Processor, ProcessorContext};
use crate::store::window::WindowStore;
use crate::store::{KeyValueStore, StoreKind};
use crate::topology::Topology;

/// Where a task begins in one input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputStart {
    pub(crate) topic: Arc<str>,
    /// The next offset to process.
    pub(crate) offset: i64,
    /// What was committed beside it; empty if nothing was.
    pub(crate) metadata: String,
    /// Records from this offset on are not processed.
    pub(crate) stop: i64,
}

#[derive(Debug)]
struct Input {
    topic: Arc<str>,
    position: i64,
    committed: i64,
    stop: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Restoring,
    Running,
}

/// What a task is made of.
pub(crate) struct TaskParts<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) partition: i32,
    pub(crate) inputs: Vec<InputStart>,
    pub(crate) clock: SharedClock,
    pub(crate) encoder: Arc<dyn DeadLetterEncoder>,
    pub(crate) idle_after: Duration,
}

pub(crate) struct StreamTask {
    state: State,
    topology: Topology,
    /// Made when it is first needed, as a copy needs none, and again after an abort.
    processor: Option<Box<dyn Processor>>,
    core: Core,
    inputs: Vec<Input>,
    committed_watermark: Watermark,
    idle_after: Duration,
    incarnation: u64,
    fingerprint: Arc<str>,
    /// The last commit.
    mark: Mark,
    /// What a torn commit wrote, by store: the next commit takes it back.
    repairs: Vec<(usize, Bytes)>,
    /// A torn commit was left out, and nothing committed since.
    rolled_back: bool,
    /// What the processor found wrong when the task was restored.
    disagreement: Option<String>,
    /// By store: what it holds is what the changelog says below this offset. `None` if that is not known.
    logged: Vec<Option<i64>>,
    /// Where the stores are, if not in memory.
    disk: Option<TaskDisk>,
}

impl StreamTask {
    pub(crate) fn new(parts: TaskParts<'_>) -> Self {
        let id = parts.topology.task_id(parts.partition);
        let mut watermark = Watermark::new(parts.inputs.len(), parts.idle_after, parts.clock.monotonic());
        for (index, input) in parts.inputs.iter().enumerate() {
            watermark.restore(index, Metadata::parse(&input.metadata).times);
        }
        let mut mark = Mark::committed(&parts.inputs).unwrap_or_default();
        mark.stores.resize(parts.topology.stores.len(), 0);
        let incarnation = metadata::incarnation(parts.inputs.iter().map(|input| &*input.metadata));
        let inputs = parts.inputs.into_iter();
        let inputs =
            inputs.map(|i| Input { topic: i.topic, position: i.offset, committed: i.offset, stop: i.stop }).collect();
        let stores: Vec<_> = parts.topology.stores.iter().map(|spec| (spec.name.clone(), spec.empty())).collect();
        Self {
            state: State::Restoring,
            topology: parts.topology.clone(),
            processor: None,
            incarnation,
            fingerprint: parts.topology.fingerprint().into(),
            mark,
            repairs: Vec::new(),
            rolled_back: false,
            disagreement: None,
            logged: vec![None; stores.len()],
            disk: None,
            core: Core {
                id,
                clock: parts.clock,
                encoder: parts.encoder,
                outputs: Vec::new(),
                watermark: watermark.clone(),
                counts: Counts::default(),
                account: Account::default(),
                failure: None,
                policy: parts.topology.policy,
                sinks: parts.topology.sinks.clone(),
                stores,
            },
            inputs,
            committed_watermark: watermark,
            idle_after: parts.idle_after,
        }
    }

    pub(crate) fn id(&self) -> &TaskId {
        &self.core.id
    }

    /// Tells the state from that of an application of the same name that was deleted and recreated.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// By store: what it holds is what the changelog says below this offset. `None` if that is not known.
    pub(crate) fn logged(&self) -> Option<Vec<i64>> {
        if self.rolled_back {
            // The changelogs still hold what the next commit takes back.
            return None;
        }
        self.logged.iter().copied().collect()
    }

    /// A store by its place in the topology.
    pub(crate) fn store_at(&self, index: usize) -> Option<&KeyValueStore> {
        self.core.stores.get(index).map(|(_, store)| store)
    }

    /// A store by its place in the topology, to be changed.
    pub(crate) fn store_mut(&mut self, index: usize) -> Option<&mut KeyValueStore> {
        self.core.stores.get_mut(index).map(|(_, store)| store)
    }

    /// Fills a store from a snapshot; its changelog follows.
    pub(crate) fn load_store(&mut self, store: usize, entries: Vec<(Bytes, Bytes)>) {
        debug_assert_eq!(self.state, State::Restoring, "task {}", self.core.id);
        self.core.stores[store].1.load(entries);
    }

    /// The changelog of a store was read, or written, up to `end`.
    pub(crate) fn logged_to(&mut self, store: usize, end: Option<i64>) {
        self.logged[store] = end;
    }

    /// Applies a record of a store's changelog.
    pub(crate) fn restore_record(&mut self, store: usize, key: Bytes, value: Option<Bytes>) {
        debug_assert_eq!(self.state, State::Restoring, "task {}", self.core.id);
        self.core.stores[store].1.restore(&key, value.as_deref());
        if let Some(disk) = &mut self.disk {
            disk.restored();
        }
    }

    /// The last commit of which the stores and positions are.
    pub(crate) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The commit that what is staged will be; the last one if nothing is.
    pub(crate) fn next_mark(&self) -> Mark {
        if !self.has_staged() {
            return self.mark.clone();
        }
        let commit = self.mark.commit + 1;
        let changed = self.core.stores.iter().map(|(_, store)| store.staged().len() > 0);
        let stores = changed.zip(&self.mark.stores).enumerate();
        // The first store records every commit: one that changes no store is known from its mark alone.
        let stores = stores.map(|(at, (changed, last))| match changed || self.rolled_back || at == 0 {
            true => commit,
            false => *last,
        });
        let inputs = self.inputs.iter().enumerate().map(|(index, input)| Position {
            topic: input.topic.to_string(),
            offset: input.position,
            times: self.core.watermark.encode(index),
        });
        Mark { commit, stores: stores.collect(), inputs: inputs.collect(), account: self.core.account }
    }

    pub(crate) fn restore_account(&mut self, account: Account) {
        (self.core.account, self.mark.account) = (account, account);
    }

    /// The stores hold what was committed: records may come, once the processor has looked at them.
    pub(crate) fn start(&mut self) -> Result<(), ProcessorError> {
        assert_eq!(self.state, State::Restoring, "task {} cannot start twice", self.core.id);
        self.state = State::Running;
        let (processor, core) = self.at_work();
        self.disagreement = processor.audit(&mut ProcessorContext::new(core, None))?;
        Ok(())
    }

    /// Committed records of which the processor did not say what became of them; 0 where it need not.
    pub(crate) fn unaccounted(&self) -> i64 {
        if self.topology.accounted { self.mark.account.unaccounted() } else { 0 }
    }

    /// Why the task's numbers cannot be trusted.
    pub(crate) fn distrust(&self) -> Option<String> {
        let id = &self.core.id;
        match (self.unaccounted(), &self.disagreement) {
            (0, None) => None,
            (0, Some(disagreement)) => Some(format!("task {id}: its stores disagree: {disagreement}")),
            (records, _) => Some(format!("task {id}: {records} records are not accounted for")),
        }
    }

    /// Processes records of one input partition, in batches.
    pub(crate) fn process(&mut self, records: &[Record]) -> Result<(), ProcessorError> {
        debug_assert_eq!(self.state, State::Running, "task {}", self.core.id);
        let Some(first) = records.first() else { return Ok(()) };
        let Some(index) = self.inputs.iter().position(|input| input.topic == first.topic) else {
            return Err(ProcessorError::Fatal(format!("a record of {} came, which is not a source", first.topic)));
        };
        let input = &self.inputs[index];
        let from = records.partition_point(|record| record.offset < input.position);
        let to = records.partition_point(|record| record.offset < input.stop);
        let records = if from < to { &records[from..to] } else { &[] };
        for batch in records.chunks(self.topology.max_batch) {
            self.core.watermark.active(index, self.core.clock.monotonic());
            let (processor, core) = self.at_work();
            processor.process(batch, &mut ProcessorContext::new(core, Some(index)))?;
            self.take_failure()?;
            if let Some(last) = batch.last() {
                self.inputs[index].position = last.offset + 1;
            }
            self.core.counts.records += batch.len() as u64;
            self.core.account.consumed += batch.len() as u64;
            self.tell_time(false)?;
        }
        Ok(())
    }

    /// Tells the processor how far time has come. A commit follows.
    pub(crate) fn punctuate(&mut self) -> Result<(), ProcessorError> {
        self.tell_time(true)
    }

    fn tell_time(&mut self, before_commit: bool) -> Result<(), ProcessorError> {
        let watermark = self.core.watermark.advance(self.core.clock.monotonic());
        let at = Punctuation {
            stream_time: self.core.watermark.stream_time(),
            watermark,
            wall_clock: self.core.clock.now(),
            before_commit,
        };
        let (processor, core) = self.at_work();
        processor.punctuate(at, &mut ProcessorContext::new(core, None))?;
        self.take_failure()?;
        if before_commit {
            self.expire(watermark);
        }
        Ok(())
    }

    fn at_work(&mut self) -> (&mut dyn Processor, &mut Core) {
        let made = || self.topology.processor(self.core.id.clone());
        (&mut **self.processor.get_or_insert_with(made), &mut self.core)
    }

    /// Deletes the windows whose retention is over.
    fn expire(&mut self, watermark: Option<Timestamp>) {
        let Some(watermark) = watermark else { return };
        for (spec, (_, store)) in self.topology.stores.iter().zip(&mut self.core.stores) {
            if let StoreKind::Window(retention) = spec.kind {
                WindowStore::over(store).expire(watermark.saturating_sub(retention));
            }
        }
    }

    /// Whether there is anything to commit.
    pub(crate) fn has_staged(&self) -> bool {
        self.rolled_back
            || self.inputs.iter().any(|input| input.position != input.committed)
            || self.staged_records() > 0
    }

    /// How many records the next commit writes.
    pub(crate) fn staged_records(&self) -> usize {
        let changes: usize = self.core.stores.iter().map(|(_, store)| store.staged().len()).sum();
        self.core.outputs.len() + changes
    }

    pub(crate) fn outputs(&self) -> &[Output] {
        &self.core.outputs
    }

    /// The staged writes of each store: its index, key, value.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (usize, &Bytes, Option<&Bytes>)> {
        let stores = self.core.stores.iter().enumerate();
        stores.flat_map(|(index, (_, store))| store.staged().map(move |(key, value)| (index, key, value)))
    }

    /// The offsets to commit, with the watermark beside each.
    pub(crate) fn offsets(&self) -> BTreeMap<TopicPartition, Committed> {
        let mut offsets = BTreeMap::new();
        let mark = self.next_mark().word();
        for (index, input) in self.inputs.iter().enumerate() {
            let times = self.core.watermark.encode(index);
            let committed = Committed {
                offset: input.position,
                metadata: Metadata::write(&times, self.incarnation, &mark, &self.fingerprint),
            };
            offsets.insert(TopicPartition::new(&*input.topic, self.core.id.partition), committed);
        }
        offsets
    }

    /// The next offset to process of each input.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (TopicPartition, i64)> {
        let partition = self.core.id.partition;
        self.inputs.iter().map(move |input| (TopicPartition::new(&*input.topic, partition), input.position))
    }

    pub(crate) fn watermark(&self) -> Option<Timestamp> {
        self.core.watermark.watermark()
    }

    /// What was staged has been committed.
    pub(crate) fn committed(&mut self) -> Counts {
        self.mark = self.next_mark();
        self.rolled_back = false;
        self.repairs.clear();
        for (_, store) in &mut self.core.stores {
            store.commit();
        }
        self.core.outputs.clear();
        for input in &mut self.inputs {
            input.committed = input.position;
        }
        self.committed_watermark = self.core.watermark.clone();
        std::mem::take(&mut self.core.counts)
    }

    /// What was staged has been aborted: the task is as it was after the last commit.
    pub(crate) fn aborted(&mut self) {
        for (_, store) in &mut self.core.stores {
            store.abort();
        }
        self.core.outputs.clear();
        self.core.counts = Counts::default();
        self.core.account = self.mark.account;
        self.core.failure = None;
        for input in &mut self.inputs {
            input.position = input.committed;
        }
        self.core.watermark = self.committed_watermark.clone();
        self.processor = None;
        self.stage_repairs();
    }

    #[cfg(test)]
    pub(crate) fn store(&mut self, name: &str) -> &mut KeyValueStore {
        self.core.store(name)
    }

    fn take_failure(&mut self) -> Result<(), ProcessorError> {
        self.core.failure.take().map_or(Ok(()), Err)
    }
}
