//! Copies that follow changelogs, without a broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use vigie_clock::{ManualClock, Timestamp};
use vigie_kafka_client::TopicPartition;

use super::copy::Copy;
use crate::metrics::StreamsMetrics;
use crate::snapshot::{StateDir, StateDirParts};
use crate::store::database::Memory;
use crate::task::mark::{self, Mark, Tail};
use crate::task::metadata::Metadata;
use crate::task::restoring::Restoring;
use crate::task::{InputStart, StreamTask, TaskParts};
use crate::{PerRecord, PlainDeadLetters, ProcessorContext, Record, StoreSpec, Topology};

const NOON: Timestamp = Timestamp::from_millis(1_652_097_600_000);
const MAX_AGE: Duration = Duration::from_secs(12 * 3600);
const STORES: [&str; 2] = ["a", "b"];

type State = BTreeMap<Bytes, Bytes>;

/// The changelogs of two stores, and what the stores hold after each commit.
#[derive(Default)]
struct World {
    logs: [Vec<Record>; 2],
    marks: Vec<Mark>,
    states: Vec<[State; 2]>,
}

/// Of each commit what it does to which keys of both stores; a value of 0 deletes.
type Commits = Vec<[Vec<(u8, u8)>; 2]>;

impl World {
    fn of(commits: &Commits) -> Self {
        let mut world = Self { states: vec![Default::default()], ..Self::default() };
        for (number, stores) in (1..).zip(commits) {
            let last = world.marks.last().map_or(vec![0, 0], |mark: &Mark| mark.stores.clone());
            let stands = |store: usize| if store == 0 || !stores[store].is_empty() { number } else { last[store] };
            let mark = Mark { commit: number, stores: vec![stands(0), stands(1)], ..Mark::default() };
            let mut state = world.states.last().cloned().unwrap_or_default();
            for (store, changes) in stores.iter().enumerate() {
                if mark.stores[store] == number {
                    world.log(store, Bytes::copy_from_slice(&mark::KEY), Some(mark::to_bytes(&mark)));
                }
                for (key, value) in changes {
                    let key = Bytes::from(vec![b'k', *key]);
                    let value = (*value > 0).then(|| Bytes::from(vec![*value]));
                    match &value {
                        Some(value) => drop(state[store].insert(key.clone(), value.clone())),
                        None => drop(state[store].remove(&key)),
                    }
                    world.log(store, key, value);
                }
            }
            world.marks.push(mark);
            world.states.push(state);
        }
        world
    }

    fn log(&mut self, store: usize, key: Bytes, value: Option<Bytes>) {
        // A transaction marker now and then.
        let last = self.logs[store].last().map_or(-1, |record| record.offset);
        let offset = last + if key == mark::KEY[..] { 2 } else { 1 };
        let topic = Arc::from(STORES[store]);
        let (key, headers) = (Some(key), Vec::new());
        self.logs[store].push(Record { topic, partition: 3, offset, timestamp: NOON, key, value, headers });
    }

    fn ends(&self) -> Vec<i64> {
        self.logs.iter().map(|log| log.last().map_or(0, |record| record.offset + 2)).collect()
    }

    fn bounds(&self) -> Vec<(i64, i64)> {
        self.ends().into_iter().map(|end| (0, end)).collect()
    }

    /// A task as the commit `number` leaves its offsets.
    fn task(&self, number: usize, clock: &ManualClock) -> (StreamTask, Mark) {
        self.task_of(number, 7, clock)
    }

    fn task_of(&self, number: usize, incarnation: u64, clock: &ManualClock) -> (StreamTask, Mark) {
        let topology = Topology::builder("t").source("in");
        let topology = topology.store(StoreSpec::key_value("a")).store(StoreSpec::key_value("b"));
        let topology = topology.processor(|_| Box::new(PerRecord(|_: &Record, _: &mut ProcessorContext<'_>| Ok(()))));
        let topology = topology.build().unwrap();
        let none = Mark { stores: vec![0, 0], ..Mark::default() };
        let mark = number.checked_sub(1).map_or(none, |at| self.marks[at].clone());
        let metadata = Metadata::write("- - -", incarnation, &mark.word(), &topology.fingerprint());
        let task = StreamTask::new(TaskParts {
            topology: &topology,
            partition: 3,
            inputs: vec![InputStart { topic: "in".into(), offset: 0, metadata, stop: i64::MAX }],
            clock: Arc::new(clock.clone()),
            encoder: Arc::new(PlainDeadLetters),
            idle_after: MAX_AGE,
        });
        (task, mark)
    }

    fn restoring(&self, task: StreamTask, committed: Option<Mark>, from: Vec<i64>, tails: Vec<Tail>) -> Restoring {
        let logs = STORES.map(|store| TopicPartition::new(store, 3)).to_vec();
        Restoring { task, committed, logs, from, ends: self.ends(), tails, records: 0 }
    }

    /// Up to `most` records of a store from where the copy stands.
    fn next(&self, copy: &Copy, store: usize, most: usize) -> Vec<Record> {
        let position = copy.positions().nth(store).unwrap().1;
        self.logs[store].iter().filter(|record| record.offset >= position).take(most).cloned().collect()
    }

    /// Reads what is left of the logs, and compares the task's stores with those after the commit that the offsets tell of.
    fn assert_restored(&self, mut restoring: Restoring, committed: usize) {
        restoring.task.restoring(self.ends());
        for (store, log) in self.logs.iter().enumerate() {
            let from = log.partition_point(|record| record.offset < restoring.from[store]);
            log[from..].iter().for_each(|record| restoring.take(store, record.clone()).unwrap());
        }
        let restored = restoring.finish(&[]);
        let mut task = restored.task;
        if let Some(torn) = restored.torn {
            task.roll_back(torn.rollback.expect("the commit before is known"), torn.held);
        }
        task.flush_disk();
        for (store, expected) in self.states[committed].iter().enumerate() {
            let entries = task.store_at(store).unwrap().iter();
            let found: State = entries.map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect();
            assert_eq!(&found, expected, "store {store} as of commit {committed}");
        }
    }
}

fn state_dir(root: &TempDir, clock: &ManualClock) -> StateDir {
    StateDir::new(StateDirParts {
        root: root.path().to_owned(),
        application: "app".to_owned(),
        instance: "one".to_owned(),
        topology: "t|in|a:key-value:1,b:key-value:1".into(),
        max_age: MAX_AGE,
        interval: MAX_AGE,
        disk: Some(Arc::new(Memory::new(8 * 1024 * 1024))),
        clock: Arc::new(clock.clone()),
    })
}

fn commits() -> impl Strategy<Value = Commits> {
    let changes = || prop::collection::vec((0..6_u8, 0..4_u8), 0..4);
    prop::collection::vec([changes(), changes()], 2..14)
}

/// Of each turn which store is read, how many records, and whether a checkpoint is wanted after it.
fn turns() -> impl Strategy<Value = Vec<(usize, usize, bool)>> {
    prop::collection::vec((0..2_usize, 1..8_usize, any::<bool>()), 0..24)
}

/// A copy that has read what `turns` say.
fn followed(world: &World, restoring: Restoring, turns: &[(usize, usize, bool)]) -> Copy {
    // As if the logs had been empty when it began.
    let mut copy = Copy::new(Restoring { ends: vec![0, 0], ..restoring }, NOON);
    copy.look(|_, _| false);
    for (store, most, checkpoint) in turns {
        copy.take(world.next(&copy, *store, *most)).unwrap();
        if *checkpoint {
            copy.checkpoint();
        }
    }
    copy
}

fn beginning(world: &World, clock: &ManualClock) -> Restoring {
    let tails = vec![Tail::of_whole_log(), Tail::of_whole_log()];
    world.restoring(world.task(0, clock).0, None, vec![0, 0], tails)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Also where the last commit is torn: the offsets do not tell of it.
    #[test]
    fn copy_and_the_tail_give_the_state_that_was_committed(commits in commits(), turns in turns(), torn: bool) {
        let (world, clock) = (World::of(&commits), ManualClock::new(NOON));
        let copy = followed(&world, beginning(&world, &clock), &turns);
        let committed = commits.len() - usize::from(torn);
        let (task, mark) = world.task(committed, &clock);
        prop_assert_eq!(copy.unfit(&task, &world.bounds(), NOON, MAX_AGE), None);
        world.assert_restored(copy.become_task(task, Some(mark)), committed);
    }

    #[test]
    fn copy_on_disk_that_crashed_is_completed_by_the_changelogs(commits in commits(), turns in turns(), torn: bool) {
        let (world, clock, root) = (World::of(&commits), ManualClock::new(NOON), tempfile::tempdir().unwrap());
        let metrics = StreamsMetrics::new(&prometheus::Registry::new(), "app");
        let mut restoring = beginning(&world, &clock);
        let dir = state_dir(&root, &clock);
        prop_assert_eq!(dir.restore_point(&mut restoring.task, &world.bounds(), &metrics).unwrap(), None);
        drop(followed(&world, restoring, &turns));
        let committed = commits.len() - usize::from(torn);
        let (mut task, mark) = world.task(committed, &clock);
        let point = dir.restore_point(&mut task, &world.bounds(), &metrics).unwrap();
        let (from, tails): (_, Vec<Tail>) = match &point {
            Some((from, mark)) => (from.clone(), [0, 1].map(|store| Tail::after(store, mark.as_ref())).into()),
            None => (vec![0, 0], vec![Tail::of_whole_log(), Tail::of_whole_log()]),
        };
        world.assert_restored(world.restoring(task, Some(mark), from, tails), committed);
    }
}

#[test]
fn checkpoint_on_disk_leaves_the_tail_to_a_restart() {
    let commits: Commits =
        (1..9).map(|value| [vec![(0, value)], if value == 1 { vec![(1, 1)] } else { vec![] }]).collect();
    let (world, clock, root) = (World::of(&commits), ManualClock::new(NOON), tempfile::tempdir().unwrap());
    let metrics = StreamsMetrics::new(&prometheus::Registry::new(), "app");
    let (dir, mut restoring) = (state_dir(&root, &clock), beginning(&world, &clock));
    dir.restore_point(&mut restoring.task, &world.bounds(), &metrics).unwrap();
    drop(followed(&world, restoring, &[(0, 100, false), (1, 100, true)]));
    let (mut task, _) = world.task(8, &clock);
    let (from, mark) = dir.restore_point(&mut task, &world.bounds(), &metrics).unwrap().unwrap();
    assert_eq!(mark.unwrap().commit, 7);
    let offset = |store: usize, number: usize| {
        let marks = world.logs[store].iter().filter(|record| record.key.as_deref() == Some(&mark::KEY[..]));
        marks.map(|record| record.offset).nth(number).unwrap()
    };
    assert_eq!(from, [offset(0, 7), offset(1, 0)], "the last commit of each store is read again");
}

#[test]
fn copy_that_is_no_beginning_of_the_log_is_not_used() {
    let commits: Commits = vec![[vec![(0, 1)], vec![(0, 1)]], [vec![(1, 1)], vec![]]];
    let (world, clock) = (World::of(&commits), ManualClock::new(NOON));
    let fits = |bounds: Vec<(i64, i64)>, now: Timestamp, incarnation: u64| {
        let copy = followed(&world, beginning(&world, &clock), &[(0, 100, false), (1, 100, false)]);
        copy.unfit(&world.task_of(2, incarnation, &clock).0, &bounds, now, MAX_AGE).is_none()
    };
    assert!(fits(world.bounds(), NOON.saturating_add(MAX_AGE), 7));
    assert!(!fits(world.bounds(), NOON.saturating_add(MAX_AGE + Duration::from_secs(1)), 7), "tombstones may be gone");
    assert!(!fits(world.bounds(), NOON, 8), "state that was recreated");
    assert!(!fits(vec![(0, 1), (0, 9)], NOON, 7), "a log that lost records");
    assert!(!fits(vec![(9, 99), (0, 99)], NOON, 7), "a log that begins later");
    let mut copy = followed(&world, beginning(&world, &clock), &[(0, 100, false)]);
    assert!(copy.take(world.logs[0][..1].to_vec()).is_err(), "a log that begins again");
}
