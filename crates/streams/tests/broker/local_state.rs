//! What holds of local state, whether snapshots or stores on disk. `config` keeps it in a folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vigie_streams::failpoint::{CommitStep, FailPoint, Fault};
use vigie_streams::{StateBackend, StreamsConfig, StreamsError};

use crate::place::{PARTITIONS, Place, Running, words};

type Config = fn(&Place, &Path) -> StreamsConfig;

/// `found` is a metric, and what it says of the state that is found.
pub(crate) fn restart_restores_only_the_tail(config: Config, found: (&str, usize)) {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    place.count(config(&place, dir.path()), words(600), 600);
    // One more word by an instance that has no folder: the tail.
    place.count(place.config(), ["btc"], 601);
    let app = Running::start(config(&place, dir.path()));
    app.wait_for_metric("tasks", f64::from(PARTITIONS));
    assert_eq!(app.metric(found.0), found.1 as f64);
    assert_eq!(app.metric("restored_records_total"), 1.0, "the changelog's records after the local state");
    place.write(words(60));
    place.wait_for("counts", 661);
    app.stop();
    place.assert_exact(661);
}

/// `check` looks at each application that was started after a crash.
pub(crate) fn crash_at_every_commit_step_is_exact(config: Config, check: fn(&Running)) {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let mut written = 0;
    for step in [CommitStep::Begin, CommitStep::Send, CommitStep::SendOffsets, CommitStep::Commit] {
        // The crash comes after some snapshots, and some commits after them.
        let mut crashing = config(&place, dir.path());
        let armed = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&armed);
        crashing.fail_point =
            Some(FailPoint::new(move |at| (at == step && asked.load(Ordering::SeqCst)).then_some(Fault::Crash)));
        let has_snapshots = crashing.state_backend == StateBackend::Memory;
        place.write(words(60));
        let app = Running::start(crashing);
        place.wait_for("counts", written + 60);
        if has_snapshots {
            app.wait_for_metric("snapshots_total", f64::from(PARTITIONS));
        }
        armed.store(true, Ordering::SeqCst);
        place.write(words(60));
        written += 120;
        let ended = app.ended();
        assert!(matches!(ended, Err(StreamsError::Crashed)), "{step:?}: {ended:?}");
        let app = Running::start(config(&place, dir.path()));
        place.wait_for("counts", written);
        check(&app);
        app.stop();
    }
    place.assert_exact(written);
}

/// `found` is a metric of the instance that takes all tasks over, and what it says then.
pub(crate) fn two_instances_share_a_folder(config: Config, found: (&str, f64)) {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let first = Running::start(config(&place, dir.path()));
    place.write(words(60));
    place.wait_for("counts", 60);
    let second = StreamsConfig { instance_id: "two".to_owned(), ..config(&place, dir.path()) };
    let second = Running::start(second);
    second.wait_for_metric("tasks", 1.0);
    place.write(words(60));
    place.wait_for("counts", 120);
    first.stop();
    second.wait_for_metric("tasks", f64::from(PARTITIONS));
    assert_eq!(second.metric(found.0), found.1);
    place.write(words(60));
    place.wait_for("counts", 180);
    second.stop();
    place.assert_exact(180);
}
