//! Nothing moves although there is work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use vigie_streams::failpoint::FailPoint;
use vigie_streams::{AppState, Processor, ProcessorContext, ProcessorError, Record, Topology};

use crate::place::{Place, Running};

#[test]
fn stalled_thread_starts_afresh_and_is_counted() {
    let mut place = Place::new();
    place.write(["btc", "eth", "luna"]);
    let mut config = place.config();
    config.stall_timeout = Duration::from_secs(1);
    // The first session gets no records although there are some.
    let sessions = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&sessions);
    config.fail_point = Some(FailPoint::new(|_| None).starve(move || seen.load(Ordering::SeqCst) == 0));
    let app = Running::start(config);
    let state = app.wait_until(|state| matches!(state, AppState::Degraded(_)));
    assert!(state.to_string().contains("stalled: words-"), "{state}");
    sessions.store(1, Ordering::SeqCst);
    place.wait_for("counts", 3);
    assert!(app.metric("stalls_total") >= 1.0);
    app.stop();
    place.assert_exact(3);
}

#[test]
fn processor_that_does_not_return_is_reported() {
    struct Stuck(Arc<Mutex<mpsc::Receiver<()>>>);
    impl Processor for Stuck {
        fn process(&mut self, _: &[Record], _: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
            // Returns at once when the other end is gone.
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }
    let mut place = Place::new();
    let (release, held) = mpsc::channel();
    let held = Arc::new(Mutex::new(held));
    let topology = Topology::builder("stuck").source("words");
    let topology = topology.processor(move |_| Box::new(Stuck(Arc::clone(&held)))).build().unwrap();
    let mut config = place.config();
    config.stuck_timeout = Duration::from_secs(2);
    let app = Running::start_with(config, topology);
    place.write(["btc"]);
    let state = app.wait_until(|state| matches!(state, AppState::Degraded(_)));
    assert!(state.to_string().contains("stream thread 0 has been in its processor for"), "{state}");
    assert_eq!(app.metric("stalls_total"), 1.0);
    drop(release);
    app.wait_until(|state| *state == AppState::Running);
    app.stop();
}
