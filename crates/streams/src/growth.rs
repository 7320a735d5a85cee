//! More partitions for an application that does not run: its sources and changelogs get them, and each entry of a store moves to the task
//! to which its key belongs now.
//!
//! ```text
//!   nothing left to process ─▶ all old tasks have committed ─▶ partitions: sources, then changelogs
//!      ─▶ from the last new task to the first, one transaction each: its entries, and the times of the old task that they come from
//!      ─▶ the old tasks, one transaction each: what has moved is deleted
//! ```
//!
//! Partitions are only multiplied: then all keys of a new task come from one old task. What was stopped half-way goes on when it is called
//! again: a task with committed offsets has its entries. A topic `<application_id>-growth` exists meanwhile, and
//! the application does not start as long as it does.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::info;
use vigie_kafka_client::{
    Admin, Committed, Consumer, ConsumerOptions, ProducerOptions, TopicPartition, TransactionalProducer,
    committed_offsets, last_offset_before, partition_of,
};

use crate::app::StreamsApp;
use crate::changelog;
use crate::error::StreamsError;
use crate::task::mark::Mark;
use crate::task::metadata::Metadata;
use crate::task::{InputStart, StreamTask, TaskParts};
use crate::thread::assignment;
use crate::thread::commit::{self, Outcome};
use crate::thread::shared::{Interrupted, Shared};
use crate::topology::Topology;

/// How long the group coordinator may take, with pending transactions that it waits for.
const WAIT: Duration = Duration::from_secs(30);
/// A transaction holds the entries of one task.
const TRANSACTION: Duration = Duration::from_secs(600);

/// Where an entry of a store belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// To the task that reads records with this key.
    Key(&'a [u8]),
    /// To each task: what a task knows of others.
    Everywhere,
    /// To the task that has it, whatever partitions there are.
    Here,
}

/// What [`StreamsApp::grow`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Tasks that were given their entries now.
    pub tasks: usize,
    /// Entries that moved.
    pub entries: usize,
}

impl StreamsApp {
    /// Gives the sources and changelogs of the application `partitions` partitions, and moves its state accordingly. `owner` says, by the
    /// store's name and the entry's key, where an entry belongs. Neither the application nor whatever writes to its sources may run.
    ///
    /// # Errors
    /// [`StreamsError::Growth`] if it runs, has records left to process, or `partitions` is no multiple of what there is; as
    /// [`run`](Self::run) else. Called again it goes on where it stopped.
    pub fn grow(
        &self,
        partitions: i32,
        owner: &dyn for<'k> Fn(&str, &'k [u8]) -> Owner<'k>,
    ) -> Result<Growth, StreamsError> {
        let admin = self.admin()?;
        let before = self.may_grow(partitions)?;
        if before < partitions {
            self.commit_all(&admin, before)?;
            admin.create_topics(&[changelog::spec(self.growing(), 1)])?;
            for topic in self.topology.sources().map(str::to_owned).chain(self.existing_changelogs(&admin)?) {
                if admin.partitions(&topic)?.is_some_and(|found| found < partitions) {
                    admin.add_partitions(&topic, partitions)?;
                }
                self.wait_for_partitions(&topic, partitions)?;
            }
        }
        let growth = match self.existing_changelogs(&admin)?.is_empty() {
            // It has never run.
            true => Growth::default(),
            // The earlier client knows the earlier partitions.
            false => Mover::new(&self.shared(&self.admin()?, partitions)?, owner)?.run()?,
        };
        admin.delete_topics(&[self.growing()])?;
        Ok(growth)
    }

    fn growing(&self) -> String {
        changelog::growing(&self.config.application_id)
    }

    /// The fewest partitions that a source or changelog has.
    fn common_partitions(&self, admin: &Admin) -> Result<i32, StreamsError> {
        let mut fewest = i32::MAX;
        for topic in self.topology.sources() {
            match admin.partitions(topic)? {
                Some(found) => fewest = fewest.min(found),
                None => return Err(StreamsError::MissingTopics { topics: vec![topic.to_owned()] }),
            }
        }
        for topic in self.existing_changelogs(admin)? {
            fewest = admin.partitions(&topic)?.map_or(fewest, |found| fewest.min(found));
        }
        Ok(fewest)
    }

    fn existing_changelogs(&self, admin: &Admin) -> Result<Vec<String>, StreamsError> {
        let mut found = Vec::new();
        for topic in self.changelog_topics() {
            if admin.partitions(&topic)?.is_some() {
                found.push(topic);
            }
        }
        Ok(found)
    }

    /// What [`grow`](Self::grow) would refuse; changes nothing. Gives how many partitions there are now.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub fn may_grow(&self, partitions: i32) -> Result<i32, StreamsError> {
        let admin = self.admin()?;
        let group = &self.config.application_id;
        if let members @ 1.. = admin.members(group)? {
            return Err(refused(format!("{members} members of {group} run, expected none")));
        }
        let before = self.common_partitions(&admin)?;
        if before < partitions {
            refuse_part(before, partitions)?;
            self.refuse_unprocessed(&admin, before)?;
        }
        Ok(before)
    }

    fn refuse_unprocessed(&self, admin: &Admin, before: i32) -> Result<(), StreamsError> {
        let committed = self.committed(before)?;
        if committed.is_empty() && self.existing_changelogs(admin)?.is_empty() {
            return Ok(());
        }
        for input in self.inputs(before) {
            let end = admin.watermarks(&input)?.1;
            let position = committed.get(&input).map_or(0, |committed| committed.offset);
            if let Some(last) = last_offset_before(admin, &input, end)?
                && last >= position
            {
                return Err(refused(format!(
                    "{input} has records from offset {position} to {last} that are not processed: stop what writes to it, let the \
                     application process all, and stop that"
                )));
            }
        }
        Ok(())
    }

    /// Has tasks commit that never did: whether one has committed separates the old from the new.
    fn commit_all(&self, admin: &Admin, before: i32) -> Result<(), StreamsError> {
        if self.existing_changelogs(admin)?.is_empty() {
            return Ok(());
        }
        let committed = self.committed(before)?;
        let shared = self.shared(admin, before)?;
        let consumer = outside(&shared)?;
        let mut tasks = restored(&shared, &consumer, &self.inputs(before))?;
        tasks.retain(|_, task| task.positions().any(|(input, _)| !committed.contains_key(&input)));
        write(&shared, &consumer, &mut producer(&shared)?, &mut tasks)
    }

    fn committed(&self, partitions: i32) -> Result<BTreeMap<TopicPartition, Committed>, StreamsError> {
        let config = &self.config;
        Ok(committed_offsets(&config.kafka, &config.application_id, &self.inputs(partitions), WAIT)?)
    }

    fn inputs(&self, partitions: i32) -> Vec<TopicPartition> {
        inputs(&self.topology, partitions)
    }

    /// Waits until the brokers know the partitions of `topic`.
    fn wait_for_partitions(&self, topic: &str, partitions: i32) -> Result<(), StreamsError> {
        let last = TopicPartition::new(topic, partitions - 1);
        self.wait_until(|| {
            let admin = Admin::new(&self.config.kafka)?;
            Ok(admin.partitions(topic)? == Some(partitions) && admin.watermarks(&last).is_ok())
        })?
        .then_some(())
        .ok_or_else(|| refused(format!("{topic} does not get {partitions} partitions, try again")))
    }
}

/// Moves entries between tasks. The application's topics have the new partitions.
struct Mover<'a> {
    shared: &'a Shared<'a>,
    owner: &'a dyn for<'k> Fn(&str, &'k [u8]) -> Owner<'k>,
    consumer: Consumer,
    producer: TransactionalProducer,
}

impl<'a> Mover<'a> {
    fn new(
        shared: &'a Shared<'a>,
        owner: &'a dyn for<'k> Fn(&str, &'k [u8]) -> Owner<'k>,
    ) -> Result<Self, StreamsError> {
        Ok(Self { shared, owner, consumer: outside(shared)?, producer: producer(shared)? })
    }

    fn run(mut self) -> Result<Growth, StreamsError> {
        let (partitions, config) = (self.shared.partitions, self.shared.config);
        let all = inputs(self.shared.topology, partitions);
        let committed = committed_offsets(&config.kafka, &config.application_id, &all, WAIT)?;
        let has = |partition: i32| committed.keys().any(|input| input.partition == partition);
        // The last are given first: those that have none follow upon the earlier ones.
        let before = (0..partitions).find(|partition| !has(*partition)).unwrap_or(partitions);
        refuse_part(before, partitions)?;
        let mut tasks = restored(self.shared, &self.consumer, &inputs(self.shared.topology, before))?;
        let mut growth = Growth::default();
        for partition in (before..partitions).rev().filter(|partition| !has(*partition)) {
            let Some(parent) = tasks.get(&(partition % before)) else { continue };
            let child = self.child(parent, partition);
            self.write(child)?;
            growth.tasks += 1;
        }
        for (partition, mut task) in std::mem::take(&mut tasks) {
            growth.entries += self.forget(partition, &mut task);
            self.write(task)?;
        }
        info!(application = config.application_id, partitions, growth.tasks, growth.entries, "state moved");
        Ok(growth)
    }

    /// The new task of `partition`, with what it gets of its parent.
    fn child(&self, parent: &StreamTask, partition: i32) -> StreamTask {
        let unwritten = Mark { stores: vec![0; self.shared.topology.stores.len()], ..Mark::default() }.word();
        let inputs = parent.offsets().into_iter().map(|(input, committed)| {
            let of = Metadata::parse(&committed.metadata);
            let (times, incarnation) = (of.times, of.incarnation.unwrap_or_default());
            let metadata = Metadata::write(times, incarnation, &unwritten, of.fingerprint.unwrap_or_default());
            InputStart { topic: input.topic.into(), offset: 0, metadata, stop: i64::MAX }
        });
        let mut task = StreamTask::new(TaskParts {
            topology: self.shared.topology,
            partition,
            inputs: inputs.collect(),
            clock: self.shared.clock.clone(),
            encoder: self.shared.encoder.clone(),
            idle_after: self.shared.config.idle_timeout,
        });
        for (index, spec) in self.shared.topology.stores.iter().enumerate() {
            let (Some(from), Some(to)) = (parent.store_at(index), task.store_mut(index)) else { continue };
            for (key, value) in from.iter() {
                let gets = match (self.owner)(&spec.name, &key) {
                    Owner::Key(key) => partition_of(key, self.shared.partitions) == partition,
                    Owner::Everywhere => true,
                    Owner::Here => false,
                };
                if gets {
                    to.put(&*key, value.into_bytes());
                }
            }
        }
        task
    }

    /// Deletes what belongs to others now; gives how many entries.
    fn forget(&self, partition: i32, task: &mut StreamTask) -> usize {
        let mut gone = 0;
        for (index, spec) in self.shared.topology.stores.iter().enumerate() {
            let Some(store) = task.store_mut(index) else { continue };
            let elsewhere = |key: &[u8]| match (self.owner)(&spec.name, key) {
                Owner::Key(key) => partition_of(key, self.shared.partitions) != partition,
                Owner::Everywhere | Owner::Here => false,
            };
            let moved: Vec<_> =
                store.iter().filter(|(key, _)| elsewhere(key)).map(|(key, _)| key.into_bytes()).collect();
            gone += moved.len();
            moved.into_iter().for_each(|key| store.delete(key));
        }
        gone
    }

    fn write(&mut self, task: StreamTask) -> Result<(), StreamsError> {
        let mut tasks = BTreeMap::from([(task.id().partition, task)]);
        write(self.shared, &self.consumer, &mut self.producer, &mut tasks)
    }
}

/// The first `partitions` of each source.
fn inputs(topology: &Topology, partitions: i32) -> Vec<TopicPartition> {
    let of = |partition| topology.sources().map(move |source| TopicPartition::new(source, partition));
    (0..partitions).flat_map(of).collect()
}

/// A client of the application's group that does not join it.
fn outside(shared: &Shared<'_>) -> Result<Consumer, StreamsError> {
    let options = ConsumerOptions::new(&shared.config.application_id, Vec::<String>::new());
    Ok(Consumer::new(&shared.config.kafka, &options)?)
}

fn producer(shared: &Shared<'_>) -> Result<TransactionalProducer, StreamsError> {
    let transactional_id = format!("{}-growth", shared.config.application_id);
    let options = ProducerOptions { transactional_id, transaction_timeout: TRANSACTION };
    Ok(TransactionalProducer::new(&shared.config.kafka, &options)?)
}

fn restored(
    shared: &Shared<'_>,
    consumer: &Consumer,
    inputs: &[TopicPartition],
) -> Result<BTreeMap<i32, StreamTask>, StreamsError> {
    let tasks = assignment::restored(shared, consumer, inputs, &|| false, &|| {}).map_err(interrupted)?;
    Ok(tasks.unwrap_or_default().into_iter().map(|task| (task.id().partition, task)).collect())
}

/// Commits what is staged in `tasks`, and their offsets.
fn write(
    shared: &Shared<'_>,
    consumer: &Consumer,
    producer: &mut TransactionalProducer,
    tasks: &mut BTreeMap<i32, StreamTask>,
) -> Result<(), StreamsError> {
    if tasks.is_empty() {
        return Ok(());
    }
    match commit::commit(shared, consumer, producer, tasks).map_err(interrupted)? {
        Outcome::Committed => Ok(()),
        Outcome::Aborted(reason) => Err(refused(reason)),
    }
}

fn interrupted(why: Interrupted) -> StreamsError {
    match why {
        Interrupted::Fatal(error) => error,
        Interrupted::Restart(reason) => refused(reason),
    }
}

fn refuse_part(before: i32, partitions: i32) -> Result<(), StreamsError> {
    match before > 0 && partitions % before == 0 {
        true => Ok(()),
        false => Err(refused(format!("{partitions} partitions, expected a multiple of the {before} that there are"))),
    }
}

fn refused(reason: String) -> StreamsError {
    StreamsError::Growth { reason }
}
