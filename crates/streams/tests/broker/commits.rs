//! Exactly once: commits that fail, at every step and in every way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use vigie_kafka_client::KafkaError;
use vigie_streams::failpoint::{CommitStep, FailPoint, Fault};
use vigie_streams::{AppState, StreamsError};

use crate::place::{Place, Running, words};

const STEPS: [CommitStep; 5] =
    [CommitStep::Process, CommitStep::Begin, CommitStep::Send, CommitStep::SendOffsets, CommitStep::Commit];

/// Fails at `step`, at its `times` first visits.
fn fault_at(step: CommitStep, times: usize, fault: Fault) -> FailPoint {
    let left = AtomicUsize::new(times);
    FailPoint::new(move |at| {
        let hit = at == step && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        hit.then(|| fault.clone())
    })
}

#[test]
fn word_count_is_exact_over_a_crash_at_every_commit_step() {
    let mut place = Place::new();
    let mut written = 0;
    for step in STEPS {
        place.write(words(60));
        written += 60;
        let mut config = place.config();
        config.fail_point = Some(fault_at(step, 1, Fault::Crash));
        let ended = Running::start(config).ended();
        assert!(matches!(ended, Err(StreamsError::Crashed)), "{step:?}: {ended:?}");
    }
    written += 60;
    place.count(place.config(), words(60), written);
    place.assert_exact(written);
}

#[test]
fn aborted_commit_is_done_again_once() {
    let mut place = Place::new();
    let mut written = 0;
    for step in [CommitStep::Begin, CommitStep::Send, CommitStep::SendOffsets] {
        let error = KafkaError::Abort { operation: "test", detail: format!("{step:?}") };
        let mut config = place.config();
        config.fail_point = Some(fault_at(step, 2, Fault::Error(error)));
        written += 60;
        place.count(config, words(60), written);
        place.assert_exact(written);
    }
}

#[test]
fn unknown_outcome_is_read_back_from_the_log() {
    let mut place = Place::new();
    place.write(words(60));
    let mut config = place.config();
    let error = KafkaError::Restore { operation: "test", detail: "committed, but nobody said so".to_owned() };
    config.fail_point = Some(fault_at(CommitStep::Commit, 1, Fault::Error(error)));
    let app = Running::start(config);
    let state = app.wait_until(|state| matches!(state, AppState::Degraded(_)));
    assert!(state.to_string().contains("unknown outcome"), "{state}");
    place.write(words(60));
    place.wait_for("counts", 120);
    app.stop();
    place.assert_exact(120);
}

#[test]
fn zombie_is_fenced() {
    let mut place = Place::new();
    place.write(words(60));
    // The zombie stops in the middle of a commit for longer than the group waits for it, then goes on as if nothing had been.
    let (release, held) = mpsc::channel::<()>();
    let (reached, at_the_step) = mpsc::channel::<()>();
    let held = Mutex::new(Some(held));
    let mut zombie = place.config();
    zombie.instance_id = "zombie".to_owned();
    zombie.session_timeout = Duration::from_secs(6);
    zombie.max_poll_interval = Duration::from_secs(6);
    zombie.fail_point = Some(FailPoint::new(move |step| {
        if step == CommitStep::Begin
            && let Some(held) = held.lock().unwrap().take()
        {
            reached.send(()).unwrap();
            held.recv().unwrap();
        }
        None
    }));
    let zombie = Running::start(zombie);
    at_the_step.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut heir = place.config();
    heir.instance_id = "heir".to_owned();
    let heir = Running::start(heir);
    place.wait_for("counts", 60);
    release.send(()).unwrap();
    zombie.wait_until(|state| matches!(state, AppState::Degraded(_)));
    place.write(words(60));
    place.wait_for("counts", 120);
    zombie.stop();
    heir.stop();
    place.assert_exact(120);
}
