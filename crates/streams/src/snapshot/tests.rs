//! Snapshots that are written, spoiled and read again, without a broker.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use proptest::prelude::*;
use tempfile::TempDir;
use vigie_clock::{ManualClock, Timestamp};

use super::format::{FrameReader, MAGIC, seal};
use super::schedule::Snapshots;
use super::walk::Cursor;
use super::*;
use crate::task::metadata::Metadata;
use crate::task::{InputStart, TaskParts};
use crate::{PlainDeadLetters, Processor, ProcessorContext, ProcessorError, Record, StoreSpec, Topology};

const NOON: Timestamp = Timestamp::from_millis(1_652_097_600_000);
const HOUR: Duration = Duration::from_secs(3600);
const INTERVAL: Duration = Duration::from_secs(60);
/// The changelogs of both stores: beginning and end.
const LOGS: [(i64, i64); 2] = [(0, 100), (0, 100)];

struct Nothing;
impl Processor for Nothing {
    fn process(&mut self, _: &[Record], _: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        Ok(())
    }
}

/// A task of partition 3 with stores `a` and `b`, as a restart makes it.
fn task(incarnation: u64) -> StreamTask {
    let topology = Topology::builder("t").source("in");
    let topology = topology.store(StoreSpec::key_value("a")).store(StoreSpec::key_value("b"));
    let topology = topology.processor(|_| Box::new(Nothing)).build().unwrap();
    let metadata = Metadata::write("- - -", incarnation, "0:0,0", &topology.fingerprint());
    StreamTask::new(TaskParts {
        topology: &topology,
        partition: 3,
        inputs: vec![InputStart { topic: "in".into(), offset: 0, metadata, stop: i64::MAX }],
        clock: Arc::new(ManualClock::new(NOON)),
        encoder: Arc::new(PlainDeadLetters),
        idle_after: INTERVAL,
    })
}

/// Commits a write to store `a`, which lands at the end of its changelog.
fn commit(task: &mut StreamTask, log: &mut Vec<(Bytes, Option<Bytes>)>, key: &str, value: Option<&str>) {
    let (key, value) = (Bytes::from(key.to_owned()), value.map(|value| Bytes::from(value.to_owned())));
    task.restore_record(0, key.clone(), value.clone());
    log.push((key, value));
    task.logged_to(0, Some(log.len() as i64));
}

fn contents(task: &StreamTask, store: usize) -> Vec<(Bytes, Bytes)> {
    task.store_at(store).unwrap().iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect()
}

struct Place {
    root: TempDir,
    clock: ManualClock,
    metrics: StreamsMetrics,
    registry: Registry,
}

impl Place {
    fn new() -> Self {
        let registry = Registry::new();
        let metrics = StreamsMetrics::new(&registry, "app");
        Self { root: tempfile::tempdir().unwrap(), clock: ManualClock::new(NOON), metrics, registry }
    }

    fn dir_of(&self, root: &Path, application: &str, topology: &str) -> StateDir {
        StateDir::new(StateDirParts {
            root: root.to_owned(),
            application: application.to_owned(),
            instance: "one/../two".to_owned(),
            topology: topology.into(),
            max_age: 12 * HOUR,
            interval: INTERVAL,
            disk: None,
            clock: Arc::new(self.clock.clone()),
        })
    }

    fn dir(&self) -> StateDir {
        self.dir_of(self.root.path(), "app", "t|in|a:key-value:1,b:key-value:1")
    }

    /// A task with some state, saved as by a clean end.
    fn saved(&self) -> StreamTask {
        let dir = self.dir();
        let mut task = task(7);
        let mut log = Vec::new();
        for key in ["btc", "eth", "luna"] {
            commit(&mut task, &mut log, key, Some("1"));
        }
        task.logged_to(1, Some(0));
        let mut snapshots = Snapshots::new(Some(&dir), &self.metrics);
        snapshots.opened(3);
        snapshots.close(std::iter::once(&task));
        snapshots.finish_all();
        assert_eq!(self.count("snapshots_total", "written"), 1.0);
        task
    }

    fn file(&self) -> std::path::PathBuf {
        self.root.path().join("app/3.snapshot")
    }

    fn count(&self, metric: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let found = families.iter().filter(|family| family.name() == format!("vigie_streams_{metric}"));
        let with = |m: &&prometheus::proto::Metric| m.get_label().iter().any(|l| l.value() == label);
        found.flat_map(|family| family.get_metric()).filter(with).map(|m| m.get_counter().get_value()).sum()
    }

    /// Loads with `dir`, expecting it to be refused for `reason`, and the file to be gone.
    fn assert_refused(&self, dir: &StateDir, incarnation: u64, logs: &[(i64, i64)], reason: &str) {
        let before = self.count("snapshot_discards_total", reason);
        let mut fresh = task(incarnation);
        assert_eq!(dir.load(&mut fresh, logs, &self.metrics), None, "{reason}");
        assert_eq!(contents(&fresh, 0), [], "nothing of it is in the store");
        assert_eq!(self.count("snapshot_discards_total", reason), before + 1.0, "{reason}");
    }
}

#[test]
fn snapshot_brings_back_what_was_committed() {
    let place = Place::new();
    let saved = place.saved();
    let mut restarted = task(7);
    let from = place.dir().load(&mut restarted, &LOGS, &place.metrics);
    assert_eq!(from, Some((vec![3, 0], Some(saved.mark().clone()))));
    assert_eq!(saved.mark().stores.len(), 2);
    assert_eq!(contents(&restarted, 0), contents(&saved, 0));
    assert!(place.file().exists());
}

#[test]
fn no_snapshot_is_no_trouble() {
    let place = Place::new();
    assert_eq!(place.dir().load(&mut task(7), &LOGS, &place.metrics), None);
    assert_eq!(place.count("snapshot_discards_total", "damaged"), 0.0);
}

#[test]
fn torn_snapshot_is_rebuilt_from_the_changelog() {
    let place = Place::new();
    place.saved();
    let whole = fs::read(place.file()).unwrap();
    for length in [0, 1, MAGIC.len(), whole.len() / 2, whole.len() - 1] {
        fs::write(place.file(), &whole[..length]).unwrap();
        place.assert_refused(&place.dir(), 7, &LOGS, "damaged");
        assert!(!place.file().exists(), "a damaged file is not kept");
    }
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(place.file(), &flipped).unwrap();
    place.assert_refused(&place.dir(), 7, &LOGS, "damaged");
    fs::create_dir(place.file()).unwrap();
    place.assert_refused(&place.dir(), 7, &LOGS, "damaged");
}

#[test]
fn foreign_snapshot_is_not_used() {
    let place = Place::new();
    place.saved();
    let whole = fs::read(place.file()).unwrap();
    let right = "t|in|a:key-value:1,b:key-value:1";
    place.assert_refused(&place.dir_of(place.root.path(), "app", "t|in|a:key-value:2"), 7, &LOGS, "foreign");
    fs::write(place.file(), &whole).unwrap();
    place.assert_refused(&place.dir(), 8, &LOGS, "foreign");
    fs::create_dir_all(place.root.path().join("other")).unwrap();
    fs::write(place.root.path().join("other/3.snapshot"), &whole).unwrap();
    place.assert_refused(&place.dir_of(place.root.path(), "other", right), 7, &LOGS, "foreign");
}

#[test]
fn snapshot_that_is_not_a_beginning_of_the_log_is_not_used() {
    let place = Place::new();
    let restore = |whole: &[u8]| fs::write(place.file(), whole).unwrap();
    place.saved();
    let whole = fs::read(place.file()).unwrap();
    place.assert_refused(&place.dir(), 7, &[(0, 2), (0, 100)], "ahead");
    restore(&whole);
    place.assert_refused(&place.dir(), 7, &[(4, 100), (0, 100)], "behind");
    restore(&whole);
    place.clock.advance(12 * HOUR);
    assert!(place.dir().load(&mut task(7), &LOGS, &place.metrics).is_some(), "tombstones are kept for twice as long");
    place.clock.advance(Duration::from_secs(1));
    place.assert_refused(&place.dir(), 7, &LOGS, "old");
}

#[test]
fn snapshot_from_the_future_is_not_used() {
    let mut place = Place::new();
    place.saved();
    place.clock = ManualClock::new(NOON.saturating_sub(HOUR));
    place.assert_refused(&place.dir(), 7, &LOGS, "old");
}

/// Steps until a snapshot has ended in `outcome`.
fn step_until(place: &Place, snapshots: &mut Snapshots<'_>, task: StreamTask, outcome: &str) -> StreamTask {
    let before = place.count("snapshots_total", outcome);
    let tasks = std::collections::BTreeMap::from([(3, task)]);
    for _ in 0..10_000 {
        snapshots.step(&tasks);
        if place.count("snapshots_total", outcome) > before {
            return tasks.into_values().next().unwrap();
        }
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("no snapshot {outcome}");
}

#[test]
fn snapshot_is_written_when_due_and_changed_and_not_else() {
    let place = Place::new();
    let dir = place.dir();
    let (mut task, mut log) = (task(7), Vec::new());
    commit(&mut task, &mut log, "btc", Some("1"));
    task.logged_to(1, Some(0));
    let mut snapshots = Snapshots::new(Some(&dir), &place.metrics);
    snapshots.opened(3);
    let tasks = std::collections::BTreeMap::from([(3, task)]);
    assert!(!snapshots.step(&tasks), "not due yet");
    place.clock.advance(INTERVAL);
    let task = step_until(&place, &mut snapshots, tasks.into_values().next().unwrap(), "written");
    place.clock.advance(INTERVAL);
    let tasks = std::collections::BTreeMap::from([(3, task)]);
    assert!(!snapshots.step(&tasks), "nothing changed");
    let mut task = tasks.into_values().next().unwrap();
    snapshots.close(std::iter::once(&task));
    assert_eq!(place.count("snapshots_total", "written"), 1.0, "nor at the end");
    snapshots.opened(3);
    commit(&mut task, &mut log, "btc", Some("2"));
    place.clock.advance(INTERVAL);
    let task = step_until(&place, &mut snapshots, task, "written");
    // Unchanged, but so old that it would soon not be believed any more.
    place.clock.advance(4 * HOUR);
    step_until(&place, &mut snapshots, task, "written");
}

#[test]
fn unwritable_state_dir_does_not_stop_processing() {
    let place = Place::new();
    let root = place.root.path().join("no-folder");
    fs::write(&root, b"a file where a folder should be").unwrap();
    let dir = place.dir_of(&root, "app", "t|in|a:key-value:1,b:key-value:1");
    let (mut task, mut log) = (task(7), Vec::new());
    commit(&mut task, &mut log, "btc", Some("1"));
    task.logged_to(1, Some(0));
    let mut snapshots = Snapshots::new(Some(&dir), &place.metrics);
    snapshots.opened(3);
    for _ in 0..2 {
        place.clock.advance(INTERVAL);
        task = step_until(&place, &mut snapshots, task, "failed");
    }
    fs::remove_file(&root).unwrap();
    place.clock.advance(INTERVAL);
    step_until(&place, &mut snapshots, task, "written");
    assert!(root.join("app/3.snapshot").exists(), "it works again by itself");
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_leaves_no_file_behind() {
    let place = Place::new();
    let (path, temporary) = (place.root.path().join("3.snapshot"), place.root.path().join("3.tmp"));
    // Writes to this device fail as on a full disk. The link is what is removed.
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    let writer = Writer::begin(path.clone(), temporary.clone(), b"{}".to_vec()).unwrap();
    let clock: SharedClock = Arc::new(vigie_clock::SystemClock::default());
    let outcome = writer.outcome(&clock, Duration::from_secs(10)).unwrap();
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(!path.exists() && fs::symlink_metadata(&temporary).is_err());
}

#[test]
fn unfinished_files_of_a_predecessor_are_removed() {
    let place = Place::new();
    place.saved();
    let left = place.root.path().join("app/3.gone-1-0.tmp");
    fs::write(&left, b"half").unwrap();
    place.dir();
    assert!(!left.exists() && place.file().exists());
}

#[test]
fn snapshots_that_are_too_old_are_removed() {
    let mut place = Place::new();
    place.saved();
    // The file system's time is the machine's: the clock is set by it.
    let real = fs::metadata(place.file()).unwrap().modified().unwrap();
    let real = Timestamp::from_millis(0).saturating_add(real.duration_since(std::time::UNIX_EPOCH).unwrap());
    place.clock = ManualClock::new(real.saturating_add(12 * HOUR));
    place.dir();
    assert!(place.file().exists());
    place.clock.advance(Duration::from_secs(1));
    place.dir();
    assert!(!place.file().exists());
}

#[test]
fn folder_names_stay_below_the_root() {
    assert_eq!(file_name("vigie-trends"), "vigie-trends");
    assert_eq!(file_name("../a/b"), "%2e.%2fa%2fb");
    assert_eq!(file_name("replay.1"), "replay.1");
}

/// What happens while a snapshot is made.
#[derive(Clone, Debug)]
enum Step {
    Write(u8, Option<u8>),
    Copy,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..20_u8, prop::option::weighted(0.7, any::<u8>())).prop_map(|(key, value)| Step::Write(key, value)),
        1 => Just(Step::Copy),
    ]
}

proptest! {
    #[test]
    fn snapshot_and_the_tail_give_the_state_of_a_task_that_never_stopped(
        before in prop::collection::vec(step(), 0..40), steps in prop::collection::vec(step(), 0..80)
    ) {
        let (mut running, mut log) = (task(7), Vec::new());
        running.logged_to(1, Some(0));
        let write = |task: &mut StreamTask, log: &mut _, step: &Step| if let Step::Write(key, value) = step {
            commit(task, log, &format!("{key:02}"), value.map(|value| value.to_string()).as_deref());
        };
        before.iter().for_each(|step| write(&mut running, &mut log, step));
        let from = log.len();
        // A walk in blocks of some entries, between which the task goes on.
        let mut cursor = Cursor::new(32);
        let mut blocks = vec![];
        let mut done = false;
        for step in &steps {
            write(&mut running, &mut log, step);
            if matches!(step, Step::Copy) && !done {
                match cursor.block(&running) {
                    Some(block) => blocks.push(block),
                    None => done = true,
                }
            }
        }
        while let Some(block) = (!done).then(|| cursor.block(&running)).flatten() {
            blocks.push(block);
        }
        let footer = cursor.footer(vec![log.len() as i64, 0]);
        let header = Header {
            application: "app".to_owned(),
            topology: "t".to_owned(),
            partition: 3,
            incarnation: 7,
            written_at: NOON,
            mark: None,
            from: vec![from as i64, 0],
        };
        blocks.insert(0, serde_json::to_vec(&header).unwrap());
        blocks.push(serde_json::to_vec(&footer).unwrap());
        let (mut file, mut chain) = (MAGIC.to_vec(), 0);
        for block in blocks {
            let (head, next) = seal(&block, chain);
            file.extend(head.into_iter().chain(block));
            chain = next;
        }

        let mut restarted = task(7);
        let (header, reader) = FrameReader::open(&file[..]).unwrap();
        let mut entries = Vec::new();
        reader.entries(2, |_, key, value| entries.push((key, value))).unwrap();
        restarted.load_store(0, entries);
        for (key, value) in &log[header.from[0] as usize..] {
            restarted.restore_record(0, key.clone(), value.clone());
        }
        prop_assert_eq!(contents(&restarted, 0), contents(&running, 0));
    }
}
