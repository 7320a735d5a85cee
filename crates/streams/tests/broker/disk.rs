//! Stores on disk: a restart reads the tail only, and neither a crash nor what happens to the files changes a result.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vigie_streams::failpoint::{CommitStep, FailPoint, Fault};
use vigie_streams::{StateBackend, StreamsConfig, StreamsError};

use crate::place::{PARTITIONS, Place, Running};
use crate::snapshots::words;

pub(crate) fn config(place: &Place, state_dir: &Path) -> StreamsConfig {
    let mut config = place.config();
    config.state_dir = Some(state_dir.to_owned());
    config.state_backend = StateBackend::Disk;
    config
}

#[test]
fn restart_restores_only_the_tail_of_stores_on_disk() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.write(words(600));
    let app = Running::start(config(&place, dir.path()));
    place.wait_for("counts", 600);
    app.stop();
    // One more word by an instance that keeps its stores in memory: the tail.
    place.write(["btc"]);
    let elsewhere = Running::start(place.config());
    place.wait_for("counts", 601);
    elsewhere.stop();
    let app = Running::start(config(&place, dir.path()));
    app.wait_for_metric("tasks", f64::from(PARTITIONS));
    assert_eq!(app.metric("disk_stores_kept_total"), f64::from(PARTITIONS));
    assert_eq!(app.metric("restored_records_total"), 1.0);
    place.write(words(60));
    place.wait_for("counts", 661);
    app.stop();
    place.assert_exact(661);
}

#[test]
fn crash_at_every_commit_step_is_exact_on_disk() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let mut written = 0;
    for step in [CommitStep::Begin, CommitStep::Send, CommitStep::SendOffsets, CommitStep::Commit] {
        let mut config = config(&place, dir.path());
        let armed = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&armed);
        config.fail_point =
            Some(FailPoint::new(move |at| (at == step && asked.load(Ordering::SeqCst)).then_some(Fault::Crash)));
        place.write(words(60));
        let app = Running::start(config);
        place.wait_for("counts", written + 60);
        armed.store(true, Ordering::SeqCst);
        place.write(words(60));
        written += 120;
        let ended = app.ended();
        assert!(matches!(ended, Err(StreamsError::Crashed)), "{step:?}: {ended:?}");
        let app = Running::start(self::config(&place, dir.path()));
        place.wait_for("counts", written);
        assert_eq!(app.metric("snapshot_discards_total"), 0.0, "{step:?}");
        app.stop();
    }
    place.assert_exact(written);
}

#[test]
fn store_that_is_spoilt_is_restored_from_the_changelog() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.write(words(60));
    let app = Running::start(config(&place, dir.path()));
    place.wait_for("counts", 60);
    app.stop();
    let stores: Vec<_> = fs::read_dir(fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "store"))
        .collect();
    assert_eq!(stores.len(), PARTITIONS as usize);
    stores.iter().for_each(|store| fs::write(store.join("0.jnl"), b"nonsense").unwrap());
    let app = Running::start(config(&place, dir.path()));
    app.wait_for_metric("tasks", f64::from(PARTITIONS));
    assert_eq!(app.metric("snapshot_discards_total"), f64::from(PARTITIONS));
    place.write(words(60));
    place.wait_for("counts", 120);
    app.stop();
    place.assert_exact(120);
}

#[test]
fn two_instances_on_one_folder_take_tasks_over_from_each_other() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let first = Running::start(config(&place, dir.path()));
    place.write(words(60));
    place.wait_for("counts", 60);
    let mut second = config(&place, dir.path());
    second.instance_id = "two".to_owned();
    let second = Running::start(second);
    second.wait_for_metric("tasks", 1.0);
    place.write(words(60));
    place.wait_for("counts", 120);
    first.stop();
    second.wait_for_metric("tasks", f64::from(PARTITIONS));
    assert_eq!(second.metric("disk_stores_kept_total"), f64::from(PARTITIONS));
    place.write(words(60));
    place.wait_for("counts", 180);
    second.stop();
    place.assert_exact(180);
}

#[test]
fn folder_that_cannot_be_used_is_waited_for() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let blocked = dir.path().join("file");
    fs::write(&blocked, b"not a folder").unwrap();
    let app = Running::start(config(&place, &blocked));
    place.write(words(60));
    app.wait_for_metric("thread_restarts_total", 2.0);
    fs::remove_file(&blocked).unwrap();
    place.wait_for("counts", 60);
    app.stop();
    place.assert_exact(60);
}
