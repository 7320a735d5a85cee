//! Stores on disk that are crashed, spoiled and opened again, without a broker.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::store::KeyValueStore;
use world::{Change, HOUR, TOPOLOGY, World, by_value, contents, copy_folder, crashed, indexed};

#[test]
fn stores_of_a_crashed_process_are_at_its_last_commit() {
    let (world, mut task) = World::filled();
    task.store("a").put("sol", "staged, not committed");
    let copy = crashed(world.root.path());
    let (point, mut restored) = world.restore_in(copy.path());
    let (from, mark) = point.unwrap();
    assert_eq!((from, mark.unwrap().commit), (vec![4, 4], 2), "nothing is read from the changelogs");
    task.aborted();
    for store in ["a", "b"] {
        assert_eq!(contents(restored.store(store)), contents(task.store(store)));
        assert_eq!(contents(restored.store(store)).len(), 3);
    }
}

#[test]
fn journal_torn_anywhere_leaves_an_older_commit_and_the_changelog_completes_it() {
    let (world, mut task) = World::filled();
    let journal = |root: &Path| root.join("app/3.store/0.jnl");
    let whole = fs::read(journal(world.root.path())).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut older = 0;
    for length in (0..=used).step_by(used / 40) {
        let copy = crashed(world.root.path());
        fs::write(journal(copy.path()), &whole[..length]).unwrap();
        let (point, mut restored) = world.restore_in(copy.path());
        older += usize::from(point.is_some_and(|(from, _)| from != [4, 4]));
        for store in ["a", "b"] {
            assert_eq!(contents(restored.store(store)), contents(task.store(store)), "cut to {length} of {used} bytes");
        }
    }
    assert!(older > 0, "some cuts left the first commit");
}

#[test]
fn interrupted_restore_is_read_again_from_where_it_began() {
    let (mut world, mut task) = World::filled();
    let behind = crashed(world.root.path());
    world.put(&mut task, &[("btc", "3"), ("sol", "1")]);
    // Half of it reaches the disk.
    let mut half = world.blank(7, world.commit);
    world.dir_of(behind.path(), "app", TOPOLOGY).restore_point(&mut half, &world.ends(), &world.metrics).unwrap();
    half.restoring(vec![6, 6]);
    half.restore_record(0, Bytes::from("btc"), Some(Bytes::from("3")));
    half.flush_disk();
    let copy = crashed(behind.path());
    let (point, mut restored) = world.restore_in(copy.path());
    assert_eq!(point.unwrap().0, [4, 4]);
    assert_eq!(contents(restored.store("a")), contents(task.store("a")));
    // A log that lost what the restore had read cannot complete it.
    let again = crashed(behind.path());
    let dir = world.dir_of(again.path(), "app", TOPOLOGY);
    world.assert_refused(&dir, world.blank(7, 3), &[(0, 5), (0, 6)], "ahead");
}

#[test]
fn first_restore_that_did_not_end_begins_again() {
    let (world, task) = World::filled();
    let empty = tempfile::tempdir().unwrap();
    let dir = world.dir_of(empty.path(), "app", TOPOLOGY);
    let mut half = world.blank(7, world.commit);
    dir.restore_point(&mut half, &world.ends(), &world.metrics).unwrap();
    half.restoring(vec![4, 4]);
    half.restore_record(0, Bytes::from("btc"), Some(Bytes::from("1")));
    half.flush_disk();
    drop(half);
    let (point, mut restored) = world.restore_in(empty.path());
    assert_eq!(point, None);
    drop(task);
    assert_eq!(contents(restored.store("a")).len(), 3);
}

#[test]
fn store_that_is_no_beginning_of_the_log_is_not_used() {
    let (world, task) = World::filled();
    drop(task);
    type Case = (u64, u64, &'static [(i64, i64)], &'static str);
    let cases: [Case; 5] = [
        (8, 2, &[(0, 4), (0, 4)], "foreign"),
        (7, 1, &[(0, 4), (0, 4)], "ahead"),
        (7, 2, &[(0, 3), (0, 4)], "ahead"),
        (7, 2, &[(5, 9), (0, 4)], "behind"),
        (7, 2, &[(0, 4)], "foreign"),
    ];
    for (incarnation, commit, logs, reason) in cases {
        let copy = crashed(world.root.path());
        let dir = world.dir_of(copy.path(), "app", TOPOLOGY);
        world.assert_refused(&dir, world.blank(incarnation, commit), logs, reason);
    }
    let copy = crashed(world.root.path());
    let dir = world.dir_of(copy.path(), "app", "t|in|a:key-value:2");
    world.assert_refused(&dir, world.blank(7, 2), &world.ends(), "foreign");
    copy_folder(&world.root.path().join("app"), &copy.path().join("other"));
    let dir = world.dir_of(copy.path(), "other", TOPOLOGY);
    world.assert_refused(&dir, world.blank(7, 2), &world.ends(), "foreign");
    world.clock.advance(12 * HOUR + Duration::from_secs(1));
    let copy = crashed(world.root.path());
    let dir = world.dir_of(copy.path(), "app", TOPOLOGY);
    world.assert_refused(&dir, world.blank(7, 2), &world.ends(), "old");
}

#[test]
fn idle_task_keeps_its_store_young() {
    let (world, mut task) = World::filled();
    for _ in 0..4 {
        world.clock.advance(4 * HOUR);
        task.save().unwrap();
    }
    drop(task);
    let (point, _) = world.restore();
    assert_eq!(point.unwrap().0, [4, 4]);
}

#[test]
fn damaged_store_is_removed_and_restored() {
    let (world, task) = World::filled();
    drop(task);
    let spoilt: [fn(&Path); 4] = [
        |store| fs::write(store.join("0.jnl"), b"nonsense").unwrap(),
        |store| fs::remove_dir_all(store.join("keyspaces")).unwrap(),
        |store| fs::write(store.join("version"), b"nonsense").unwrap(),
        |store| fs::write(store.join("damaged"), b"it cannot be read").unwrap(),
    ];
    for (number, spoil) in spoilt.iter().enumerate() {
        let copy = crashed(world.root.path());
        spoil(&copy.path().join("app/3.store"));
        let (point, mut restored) = world.restore_in(copy.path());
        assert_eq!(point, None, "{number}");
        assert_eq!(contents(restored.store("a")).len(), 3, "{number}");
        assert_eq!(world.count("damaged"), number as f64 + 1.0);
    }
}

#[test]
fn block_that_cannot_be_read_fails_the_task_and_the_store_is_not_used_again() {
    let mut world = World::new();
    let (_, mut task) = world.restore();
    for number in 0..40_000_u32 {
        task.store("a").put(number.to_be_bytes(), vec![number as u8; 100]);
    }
    world.commit(&mut task);
    drop(task);
    let mut tables: Vec<PathBuf> = Vec::new();
    files(&world.store().join("keyspaces"), &mut tables);
    tables.retain(|path| fs::metadata(path).unwrap().len() > 1024 * 1024);
    assert!(!tables.is_empty(), "a table was written");
    for table in tables {
        let mut bytes = fs::read(&table).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xaa);
        fs::write(table, bytes).unwrap();
    }
    let (point, mut task) = world.restore();
    assert!(point.is_some(), "it is found when it is read");
    assert!(contents(task.store("a")).len() < 40_000);
    let failure = task.disk_failure().unwrap();
    assert!(failure.contains("cannot be read"), "{failure}");
    assert!(task.save().is_err());
    drop(task);
    let (point, mut task) = world.restore();
    assert_eq!((point, world.count("damaged")), (None, 1.0));
    assert_eq!(contents(task.store("a")).len(), 40_000);
}

#[test]
fn disk_that_fails_fails_the_task_and_a_restore_brings_all_back() {
    let (mut world, mut task) = World::filled();
    fs::remove_dir_all(world.store()).unwrap();
    let mut expected = world.logs.clone();
    for round in 0.. {
        assert!(round < 100, "a write buffer must become a file at last");
        let changes: Vec<Change> = (0..2_000_u32)
            .map(|n| (Bytes::from(n.to_be_bytes().to_vec()), Some(Bytes::from(vec![round; 400]))))
            .collect();
        changes.iter().for_each(|(key, value)| task.store("a").put(key, value.clone().unwrap()));
        expected[0].extend(changes);
        task.logged_to(0, Some(expected[0].len() as i64));
        task.committed();
        world.commit += 1;
        if let Err(reason) = task.save() {
            assert!(reason.contains("cannot be written"), "{reason}");
            break;
        }
    }
    assert!(task.save().is_err(), "and it stays so");
    drop(task);
    world.logs = expected;
    let (point, mut task) = world.restore();
    assert_eq!(point, None);
    assert_eq!(contents(task.store("a")).len(), 2_003);
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

#[test]
fn windows_that_expire_leave_the_disk() {
    let mut world = World::new();
    let (_, mut task) = world.restore();
    let mut most = 0;
    let mut random = 1_u64;
    for window in 0..100_u32 {
        let key = |window: u32, number: u32| [window.to_be_bytes(), number.to_be_bytes()].concat();
        for number in 0..2_000 {
            // Bytes that do not compress.
            let value: Vec<u8> = (0..63)
                .flat_map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random.to_le_bytes()
                })
                .collect();
            task.store("a").put(key(window, number), value);
        }
        let store = task.store("a");
        let expired: Vec<_> =
            store.range(&[], &key(window.saturating_sub(5), 0)).map(|(key, _)| key.into_bytes()).collect();
        assert_eq!(expired.len(), if window > 5 { 2_000 } else { 0 });
        expired.iter().for_each(|key| store.delete(key));
        world.commit(&mut task);
        most = most.max(task.disk_bytes().unwrap());
    }
    let window = 2_000 * (8 + 504);
    assert!(most > 5 * window, "{most} bytes, six windows were there");
    assert!(most < 40 * window, "{most} bytes of a hundred windows of {window}");
}

#[test]
fn store_that_another_process_has_open_is_left_to_it() {
    let (world, mut first) = World::filled();
    let (point, mut second) = world.restore();
    assert_eq!(point, None, "a store beside it, which is empty");
    assert_eq!(contents(second.store("a")), contents(first.store("a")));
    assert!(world.root.path().join("app/3-1.store").exists());
    drop((first, second));
    let (point, _) = world.restore();
    assert_eq!(point.unwrap().0, [4, 4]);
}

#[test]
fn unwritable_folder_is_an_error_with_its_name() {
    let world = World::new();
    let blocked = world.root.path().join("file");
    fs::write(&blocked, b"no folder").unwrap();
    let dir = world.dir_of(&blocked, "app", TOPOLOGY);
    let error = dir.restore_point(&mut world.blank(7, 0), &world.ends(), &world.metrics).unwrap_err();
    assert!(error.contains("file/app"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8, u8),
    Delete(u8, u8),
    Commit,
    Abort,
    Restart,
    Range(u8, u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_u8, any::<u8>(), any::<u8>()).prop_map(|(store, key, value)| Step::Put(store, key % 32, value)),
        4 => (0..2_u8, any::<u8>()).prop_map(|(store, key)| Step::Delete(store, key % 32)),
        2 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Restart),
        4 => (0..2_u8, 0..34_u8, 0..34_u8).prop_map(|(store, from, to)| Step::Range(store, from, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn disk_answers_as_memory_does(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        let (_, mut task) = world.restore();
        let mut memory = [KeyValueStore::default(), KeyValueStore::indexed(by_value)];
        for step in steps {
            match step {
                Step::Put(store, key, value) => {
                    memory[store as usize].put([key], vec![value]);
                    task.store(["a", "b"][store as usize]).put([key], vec![value]);
                }
                Step::Delete(store, key) => {
                    memory[store as usize].delete([key]);
                    task.store(["a", "b"][store as usize]).delete([key]);
                }
                Step::Commit => {
                    memory.iter_mut().for_each(KeyValueStore::commit);
                    world.commit(&mut task);
                }
                Step::Abort => {
                    memory.iter_mut().for_each(KeyValueStore::abort);
                    task.aborted();
                }
                Step::Restart => {
                    memory.iter_mut().for_each(KeyValueStore::abort);
                    drop(task);
                    task = world.restore().1;
                }
                Step::Range(store, from, to) => {
                    let range = |store: &KeyValueStore| -> BTreeMap<Bytes, Bytes> {
                        store.range(&[from], &[to]).map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect()
                    };
                    prop_assert_eq!(range(task.store(["a", "b"][store as usize])), range(&memory[store as usize]));
                }
            }
            let mut expected: Vec<_> = contents(&memory[1]).into_iter().map(|(key, value)| [value, key].concat()).collect();
            expected.sort();
            prop_assert_eq!(indexed(&memory[1]), expected);
            for (name, memory) in ["a", "b"].into_iter().zip(&memory) {
                let store = task.store(name);
                prop_assert_eq!(store.staged().collect::<Vec<_>>(), memory.staged().collect::<Vec<_>>());
                prop_assert_eq!(contents(store), contents(memory));
                prop_assert_eq!(store.get(&[5]), memory.get(&[5]));
                prop_assert_eq!(indexed(store), indexed(memory));
            }
        }
    }
}
