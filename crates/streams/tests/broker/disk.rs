//! Stores on disk: a restart reads the tail only, and neither a crash nor what happens to the files changes a result.

use std::fs;
use std::path::Path;

use vigie_streams::{StateBackend, StreamsConfig};

use crate::local_state;
use crate::place::{PARTITIONS, Place, Running, words};

pub(crate) fn config(place: &Place, state_dir: &Path) -> StreamsConfig {
    let mut config = place.config();
    config.state_dir = Some(state_dir.to_owned());
    config.state_backend = StateBackend::Disk;
    config
}

#[test]
fn restart_restores_only_the_tail_of_stores_on_disk() {
    local_state::restart_restores_only_the_tail(config, ("disk_stores_kept_total", PARTITIONS as usize));
}

#[test]
fn crash_at_every_commit_step_is_exact_on_disk() {
    local_state::crash_at_every_commit_step_is_exact(config, |app| {
        assert_eq!(app.metric("snapshot_discards_total"), 0.0);
    });
}

#[test]
fn store_that_is_spoilt_is_restored_from_the_changelog() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.count(config(&place, dir.path()), words(60), 60);
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
    local_state::two_instances_share_a_folder(config, ("disk_stores_kept_total", f64::from(PARTITIONS)));
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
