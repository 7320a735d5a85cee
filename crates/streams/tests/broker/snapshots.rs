//! Local snapshots: a restart reads the tail only, and whatever happens to the files changes no result.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vigie_kafka_client::Admin;
use vigie_streams::StreamsConfig;

use crate::local_state;
use crate::place::{PARTITIONS, Place, Running, WORDS, word_count, words};

fn config(place: &Place, state_dir: &Path) -> StreamsConfig {
    let mut config = place.config();
    config.state_dir = Some(state_dir.to_owned());
    config.snapshot_interval = Duration::from_millis(100);
    config
}

/// The snapshots below `state_dir`.
fn files(state_dir: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "snapshot")).collect()
}

#[test]
fn restart_restores_only_the_tail() {
    local_state::restart_restores_only_the_tail(config, ("snapshot_restored_records_total", WORDS.len()));
}

#[test]
fn crash_at_every_commit_step_is_exact_with_snapshots() {
    local_state::crash_at_every_commit_step_is_exact(config, |_| ());
}

#[test]
fn torn_snapshot_is_rebuilt_from_the_changelog() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.count(config(&place, dir.path()), words(60), 60);
    let spoilt = files(dir.path());
    for (number, path) in spoilt.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        match number {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.clear(),
            _ => bytes[60] ^= 4,
        }
        fs::write(path, bytes).unwrap();
    }
    let app = Running::start(config(&place, dir.path()));
    app.wait_for_metric("tasks", f64::from(PARTITIONS));
    assert_eq!(app.metric("snapshot_discards_total"), spoilt.len() as f64);
    assert_eq!(app.metric("snapshot_restored_records_total"), 0.0);
    place.write(words(60));
    place.wait_for("counts", 120);
    app.stop();
    place.assert_exact(120);
    assert_eq!(files(dir.path()).len(), PARTITIONS as usize, "good ones took their place");
}

#[test]
fn state_dir_deleted_while_running_is_made_again() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.write(words(60));
    let app = Running::start(config(&place, dir.path()));
    place.wait_for("counts", 60);
    app.wait_for_metric("snapshots_total", 1.0);
    // While it goes, the snapshot of another task may come.
    while let Err(error) = fs::remove_dir_all(dir.path()) {
        assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty);
    }
    place.write(words(60));
    place.wait_for("counts", 120);
    app.stop();
    assert_eq!(files(dir.path()).len(), PARTITIONS as usize);
    place.count(config(&place, dir.path()), words(60), 180);
    place.assert_exact(180);
}

#[test]
fn unwritable_state_dir_does_not_stop_processing() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let blocked = dir.path().join("file");
    fs::write(&blocked, b"not a folder").unwrap();
    let app = Running::start(config(&place, &blocked));
    place.write(words(60));
    place.wait_for("counts", 60);
    app.wait_for_metric("snapshots_total", 2.0);
    assert_eq!(app.metric("snapshot_bytes_total"), 0.0, "none was written");
    place.write(words(60));
    place.wait_for("counts", 120);
    app.stop();
    place.assert_exact(120);
}

#[test]
fn two_instances_share_a_state_dir() {
    local_state::two_instances_share_a_folder(config, ("snapshot_discards_total", 0.0));
}

#[test]
fn application_that_begins_again_takes_no_snapshot_of_its_predecessor() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.count(config(&place, dir.path()), words(60), 60);
    // The group and the changelogs go, by hand and from another machine: the folder knows nothing of it.
    let admin = Admin::new(&place.kafka).unwrap();
    admin.delete_groups(&["word-count"]).unwrap();
    admin.delete_topics(&["word-count-counts-changelog"]).unwrap();
    let app = Running::start(config(&place, dir.path()));
    place.wait_for("counts", 120);
    assert!(app.metric("snapshot_discards_total") >= 1.0);
    app.stop();
    let counts = place.read("counts");
    let highest =
        counts.iter().filter_map(|r| std::str::from_utf8(r.value.as_deref()?).ok()?.parse::<u64>().ok()).max();
    assert_eq!(highest, Some(10), "each word is counted from 1 again");
}

#[test]
fn deleted_state_is_gone_from_the_folder_too() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.count(config(&place, dir.path()), words(6), 6);
    assert!(!files(dir.path()).is_empty());
    let registry = prometheus::Registry::new();
    let clock = std::sync::Arc::new(vigie_clock::SystemClock::default());
    let letters = std::sync::Arc::new(vigie_streams::PlainDeadLetters);
    let app = vigie_streams::StreamsApp::new(config(&place, dir.path()), word_count(), letters, clock, &registry);
    app.delete_state().unwrap();
    assert!(files(dir.path()).is_empty());
}
