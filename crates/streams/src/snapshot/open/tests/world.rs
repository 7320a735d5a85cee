//! A folder with the stores of a task, and the changelogs beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use tempfile::TempDir;
use vigie_clock::{ManualClock, Timestamp};

use crate::metrics::StreamsMetrics;
use crate::snapshot::{RestorePoint, StateDir, StateDirParts};
use crate::store::KeyValueStore;
use crate::store::database::Memory;
use crate::store::slice::Slice;
use crate::task::metadata::Metadata;
use crate::task::{InputStart, StreamTask, TaskParts};
use crate::{PlainDeadLetters, Processor, ProcessorContext, ProcessorError, Record, StoreSpec, Topology};

const NOON: Timestamp = Timestamp::from_millis(1_652_097_600_000);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const TOPOLOGY: &str = "t|in|a:key-value:1,b:key-value:1";

struct Nothing;
impl Processor for Nothing {
    fn process(&mut self, _: &[Record], _: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        Ok(())
    }
}

pub(super) type Change = (Bytes, Option<Bytes>);

/// A folder, and the changelogs of the stores `a` and `b` of task 3 with their commits.
pub(super) struct World {
    pub(super) root: TempDir,
    pub(super) clock: ManualClock,
    pub(super) metrics: StreamsMetrics,
    registry: Registry,
    pub(super) logs: [Vec<Change>; 2],
    pub(super) commit: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let metrics = StreamsMetrics::new(&registry, "app");
        let root = tempfile::tempdir().unwrap();
        Self { root, clock: ManualClock::new(NOON), metrics, registry, logs: Default::default(), commit: 0 }
    }

    pub(super) fn dir_of(&self, root: &Path, application: &str, topology: &str) -> StateDir {
        StateDir::new(StateDirParts {
            application: application.to_owned(),
            topology: topology.into(),
            ..self.parts(root)
        })
    }

    pub(super) fn parts(&self, root: &Path) -> StateDirParts {
        StateDirParts {
            root: root.to_owned(),
            application: "app".to_owned(),
            instance: "one".to_owned(),
            topology: TOPOLOGY.into(),
            max_age: 12 * HOUR,
            interval: HOUR,
            disk: Some(Arc::new(Memory::new(8 * 1024 * 1024))),
            clock: Arc::new(self.clock.clone()),
        }
    }

    /// A task as a restart makes it, without its state.
    pub(super) fn blank(&self, incarnation: u64, commit: u64) -> StreamTask {
        let topology = Topology::builder("t").source("in");
        let topology = topology.store(StoreSpec::key_value("a")).store(StoreSpec::key_value("b").indexed(1, by_value));
        let topology = topology.processor(|_| Box::new(Nothing)).build().unwrap();
        let mark = format!("{commit}:{commit},{commit}");
        let metadata = Metadata::write("- - -", incarnation, &mark, &topology.fingerprint());
        StreamTask::new(TaskParts {
            topology: &topology,
            partition: 3,
            inputs: vec![InputStart { topic: "in".into(), offset: 0, metadata, stop: i64::MAX }],
            clock: Arc::new(self.clock.clone()),
            encoder: Arc::new(PlainDeadLetters),
            idle_after: HOUR,
        })
    }

    pub(super) fn ends(&self) -> Vec<(i64, i64)> {
        self.logs.iter().map(|log| (0, log.len() as i64)).collect()
    }

    /// Restores a task of this folder: from where on, and the task.
    pub(super) fn restore_in(&self, root: &Path) -> (Option<RestorePoint>, StreamTask) {
        let mut task = self.blank(7, self.commit);
        let point = self.dir_of(root, "app", TOPOLOGY).restore_point(&mut task, &self.ends(), &self.metrics).unwrap();
        let from = point.clone().map_or(vec![0, 0], |(from, _)| from);
        task.restoring(self.ends().into_iter().map(|(_, end)| end).collect());
        self.read_logs(&mut task, &from);
        (point, task)
    }

    pub(super) fn read_logs(&self, task: &mut StreamTask, from: &[i64]) {
        for (store, log) in self.logs.iter().enumerate() {
            for (key, value) in &log[from[store] as usize..] {
                task.restore_record(store, key.clone(), value.clone());
            }
            task.logged_to(store, Some(log.len() as i64));
        }
        task.save().unwrap();
    }

    pub(super) fn restore(&self) -> (Option<RestorePoint>, StreamTask) {
        self.restore_in(self.root.path())
    }

    /// One commit of both stores: to the changelogs, then to disk.
    pub(super) fn commit(&mut self, task: &mut StreamTask) {
        for (store, log) in self.logs.iter_mut().enumerate() {
            let staged = task.store(["a", "b"][store]).staged();
            log.extend(staged.map(|(key, value)| (key.clone(), value.cloned())));
            task.logged_to(store, Some(log.len() as i64));
        }
        self.commit += 1;
        task.committed();
        task.save().unwrap();
    }

    pub(super) fn put(&mut self, task: &mut StreamTask, entries: &[(&'static str, &'static str)]) {
        for (key, value) in entries {
            task.store("a").put(*key, *value);
            task.store("b").put(*key, *value);
        }
        self.commit(task);
    }

    /// A task with three keys in each store, of two commits.
    pub(super) fn filled() -> (Self, StreamTask) {
        let mut world = Self::new();
        let (point, mut task) = world.restore();
        assert_eq!(point, None, "nothing is there");
        world.put(&mut task, &[("btc", "1"), ("eth", "1")]);
        world.put(&mut task, &[("btc", "2"), ("luna", "1")]);
        (world, task)
    }

    pub(super) fn store(&self) -> PathBuf {
        self.root.path().join("app/3.store")
    }

    pub(super) fn count(&self, label: &str) -> f64 {
        let families = self.registry.gather();
        let found = families.iter().filter(|family| family.name() == "vigie_streams_snapshot_discards_total");
        let with = |m: &&prometheus::proto::Metric| m.get_label().iter().any(|l| l.value() == label);
        found.flat_map(|family| family.get_metric()).filter(with).map(|m| m.get_counter().get_value()).sum()
    }

    /// The task begins with empty stores, for `reason`.
    pub(super) fn assert_refused(&self, dir: &StateDir, mut task: StreamTask, logs: &[(i64, i64)], reason: &str) {
        let before = self.count(reason);
        let point = dir.restore_point(&mut task, logs, &self.metrics).unwrap();
        assert_eq!(point, None, "{reason}");
        assert_eq!(self.count(reason), before + 1.0, "{reason}");
        assert_eq!(contents(task.store("a")), [], "{reason}");
    }
}

pub(super) fn contents(store: &KeyValueStore) -> Vec<(Bytes, Bytes)> {
    store.iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect()
}

/// What is on disk now, elsewhere: as a crash of the process leaves it.
pub(super) fn crashed(from: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(from, copy.path());
    copy
}

pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// The index of store `b`: its keys by their values.
pub(super) fn by_value(key: &[u8], value: &[u8]) -> Vec<Vec<u8>> {
    vec![[value, key].concat()]
}

pub(super) fn indexed(store: &KeyValueStore) -> Vec<Bytes> {
    store.index(&[], &[0xff; 8]).map(Slice::into_bytes).collect()
}
