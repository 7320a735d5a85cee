//! More partitions: every word goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use vigie_clock::SystemClock;
use vigie_kafka_client::Admin;
use vigie_streams::failpoint::{FailPoint, Fault};
use vigie_streams::{Growth, Owner, PlainDeadLetters, StreamsApp, StreamsConfig, StreamsError};

use crate::place::{PARTITIONS, Place, Running, WORDS, word_count, words};

fn grow(config: StreamsConfig, partitions: i32) -> Result<Growth, StreamsError> {
    let (clock, registry) = (Arc::new(SystemClock::default()), prometheus::Registry::new());
    let app = StreamsApp::new(config, word_count(), Arc::new(PlainDeadLetters), clock, &registry);
    app.grow(partitions, &|store, key| {
        assert_eq!(store, "counts");
        Owner::Key(key)
    })
}

fn refused(config: StreamsConfig, partitions: i32) -> String {
    match grow(config, partitions) {
        Err(StreamsError::Growth { reason }) => reason,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[test]
fn counts_go_on_in_the_partitions_where_their_words_are_now() {
    let mut place = Place::new();
    place.count(place.config(), words(60), 60);
    let grown = grow(place.config(), 2 * PARTITIONS).unwrap();
    assert_eq!(grown.tasks, PARTITIONS as usize);
    assert!(grown.entries > 0 && grown.entries < WORDS.len(), "{grown:?}: some words move, and some stay");
    let admin = Admin::new(&place.kafka).unwrap();
    for topic in ["words", "word-count-counts-changelog"] {
        assert_eq!(admin.partitions(topic).unwrap(), Some(2 * PARTITIONS), "{topic}");
    }
    place.restart_writer();
    place.count(place.config(), words(60), 120);
    place.assert_exact(120);
    // Once more changes nothing; twice as many again is as good.
    assert_eq!(grow(place.config(), 2 * PARTITIONS).unwrap(), Growth::default());
    grow(place.config(), 4 * PARTITIONS).unwrap();
    place.restart_writer();
    place.count(place.config(), words(60), 180);
    place.assert_exact(180);
}

#[test]
fn growth_that_was_stopped_goes_on_and_nothing_starts_in_between() {
    let mut place = Place::new();
    place.count(place.config(), words(60), 60);
    for stops_at in [1, 4, 8, 15] {
        let mut config = place.config();
        let asked = AtomicU32::new(0);
        let crash = move |_| (asked.fetch_add(1, Ordering::SeqCst) + 1 == stops_at).then_some(Fault::Crash);
        config.fail_point = Some(FailPoint::new(crash));
        let ended = grow(config, 2 * PARTITIONS);
        assert!(matches!(ended, Err(StreamsError::Crashed)), "{stops_at}: {ended:?}");
        let started = Running::start(place.config()).ended().unwrap_err();
        assert!(matches!(started, StreamsError::Growth { .. }), "{started}");
    }
    grow(place.config(), 2 * PARTITIONS).unwrap();
    place.restart_writer();
    place.count(place.config(), words(60), 120);
    place.assert_exact(120);
}

#[test]
fn what_runs_lags_or_would_split_otherwise_is_refused() {
    let mut place = Place::new();
    assert!(
        refused(place.config(), PARTITIONS + 1).ends_with("4 partitions, expected a multiple of the 3 that there are")
    );
    place.write(["btc"]);
    let app = Running::start(place.config());
    place.wait_for("counts", 1);
    assert!(refused(place.config(), 2 * PARTITIONS).starts_with("1 members of word-count run"));
    app.stop();
    place.write(["btc"]);
    let lags = refused(place.config(), 2 * PARTITIONS);
    assert!(lags.contains("that are not processed: stop what writes to it"), "{lags}");
    place.count(place.config(), [], 2);
    grow(place.config(), 2 * PARTITIONS).unwrap();
    place.restart_writer();
    place.count(place.config(), ["btc"], 3);
    place.assert_exact(3);
}
