//! Standby copies: whoever takes a task over reads the end of its changelog only, and no crash changes a result.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vigie_streams::failpoint::{CommitStep, FailPoint, Fault};
use vigie_streams::{StateBackend, StreamsConfig, StreamsError};

use crate::place::{PARTITIONS, Place, Running, words};

/// An instance that crashes at a commit step once it is asked to.
struct Crashing {
    app: Running,
    armed: Arc<AtomicBool>,
}

fn start(place: &Place, instance: &str, folder: Option<&Path>, step: CommitStep) -> Crashing {
    let armed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&armed);
    let fails = move |at| (at == step && asked.load(Ordering::SeqCst)).then_some(Fault::Crash);
    let app = Running::start(StreamsConfig {
        instance_id: instance.to_owned(),
        num_standby_replicas: 1,
        state_dir: folder.map(|folder| folder.join(instance)),
        state_backend: if folder.is_some() { StateBackend::Disk } else { StateBackend::Memory },
        fail_point: Some(FailPoint::new(fails)),
        ..place.config()
    });
    Crashing { app, armed }
}

/// Records in the changelog besides those that the engine writes for itself.
fn logged(place: &Place) -> f64 {
    let log = place.read("word-count-counts-changelog");
    log.iter().filter(|record| record.key.as_deref().is_some_and(|key| std::str::from_utf8(key).is_ok())).count() as f64
}

/// At each of `steps` the instance with most tasks crashes, and the other one takes over; then a new one comes.
fn copies_take_over(folder: Option<&Path>, steps: &[CommitStep]) {
    let mut place = Place::new();
    let mut written = 600;
    place.write(words(written));
    let mut active = start(&place, "0", folder, steps[0]);
    place.wait_for("counts", written);
    for (round, step) in steps.iter().enumerate() {
        let next = (round + 1).to_string();
        let standby = start(&place, &next, folder, *steps.get(round + 1).unwrap_or(step));
        // It comes with copies of all, and is given a part of the tasks.
        standby.app.wait_for_metric("tasks", 1.0);
        let before = logged(&place);
        active.armed.store(true, Ordering::SeqCst);
        place.write(words(60));
        written += 60;
        let ended = active.app.ended();
        assert!(matches!(ended, Err(StreamsError::Crashed)), "{step:?}: {ended:?}");
        standby.app.wait_for_metric("standby_handovers_total", f64::from(PARTITIONS));
        place.wait_for("counts", written);
        let (copied, restored) =
            (standby.app.metric("standby_records_total"), standby.app.metric("restored_records_total"));
        assert!(copied > 0.0 && restored <= 12.0, "{restored} records were restored, {copied} copied");
        if *step != CommitStep::Commit {
            // Nothing was committed since; its own task's records it does not read.
            assert_eq!(copied + restored, before, "each record was read once: {restored} of them as the tail");
        }
        active = standby;
    }
    active.app.stop();
    place.assert_exact(written);
}

#[test]
fn copy_in_memory_takes_over_with_the_tail_only() {
    copies_take_over(None, &[CommitStep::Process, CommitStep::Commit]);
}

#[test]
fn copy_on_disk_takes_over_with_the_tail_only() {
    let folder = tempfile::tempdir().unwrap();
    copies_take_over(Some(folder.path()), &[CommitStep::SendOffsets, CommitStep::Commit]);
}
