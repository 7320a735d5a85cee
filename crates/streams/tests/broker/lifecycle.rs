//! Starting, stopping, moving, and records that make no sense.

use std::sync::Arc;
use std::time::Duration;

use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, KafkaConfig, TopicPartition};
use vigie_streams::{AppState, PlainDeadLetters, StreamsApp, StreamsError};

use crate::place::{PARTITIONS, Place, Running, text, word_count};

#[test]
fn poison_record_goes_to_the_dlq_and_the_partition_moves_on() {
    let mut place = Place::new();
    place.count(place.config(), ["btc", "poison", "btc"], 2);
    let letters = place.read("words.dlq");
    assert_eq!(letters.len(), 1);
    assert_eq!(text(letters[0].value.as_ref()), "poison");
    assert_eq!(text(letters[0].header("dlq.reason")), "poison");
    assert_eq!(text(letters[0].header("dlq.topic")), "words");
    place.assert_exact(2);
}

#[test]
fn shutdown_commits_and_ends_in_time() {
    let mut place = Place::new();
    let mut config = place.config();
    config.commit_interval = Duration::from_secs(3600);
    config.threads = 2;
    let app = Running::start(config);
    app.wait_until(|state| *state == AppState::Running);
    place.write(["btc", "eth", "luna"]);
    let clock = SystemClock::default();
    // Consumed or not by now: what was consumed is committed, the rest comes with the next start.
    app.stop();
    assert!(clock.monotonic() < Duration::from_secs(10), "{:?}", clock.monotonic());
    let before = place.read("counts").len();
    place.count(place.config(), [], 3);
    place.assert_exact(3);
    assert!(before <= 3);
}

#[test]
fn second_instance_takes_over_partitions_without_loss() {
    let mut place = Place::new();
    let words = ["btc", "eth", "luna", "ust", "sol", "doge"];
    let mut config = place.config();
    config.session_timeout = Duration::from_secs(6);
    let first = Running::start(config.clone());
    place.write(words);
    place.wait_for("counts", 6);
    config.instance_id = "two".to_owned();
    let second = Running::start(config);
    second.wait_until(|state| *state == AppState::Running);
    place.write(words);
    place.wait_for("counts", 12);
    first.stop();
    place.write(words);
    place.wait_for("counts", 18);
    second.stop();
    place.assert_exact(18);
}

#[test]
fn bounded_run_ends_by_itself() {
    let mut place = Place::new();
    // Three transactions: every partition that got a word ends in a marker.
    for _ in 0..3 {
        place.write(["btc", "eth", "luna"]);
    }
    let ends = Admin::new(&place.kafka).unwrap().end_offsets("words").unwrap();
    assert_eq!(ends.len(), PARTITIONS as usize);
    place.write(["btc", "eth", "luna"]);
    let mut config = place.config();
    let stop_at = ends.into_iter().map(|(partition, end)| (TopicPartition::new("words", partition), end));
    config.stop_at = Some(stop_at.collect());
    Running::start(config.clone()).ended().unwrap();
    place.assert_exact(9);
    // Done already: the run ends at once and adds nothing.
    Running::start(config).ended().unwrap();
    place.assert_exact(9);
    // Without bounds the rest follows.
    place.count(place.config(), [], 12);
    place.assert_exact(12);
}

#[test]
fn bounded_run_starts_where_asked() {
    let mut place = Place::new();
    place.write(["btc", "btc"]);
    let admin = Admin::new(&place.kafka).unwrap();
    let from = admin.end_offsets("words").unwrap();
    place.write(["btc"]);
    let to = admin.end_offsets("words").unwrap();
    let offsets = |of: std::collections::BTreeMap<i32, i64>| {
        of.into_iter().map(|(partition, offset)| (TopicPartition::new("words", partition), offset)).collect()
    };
    let mut config = place.config();
    config.application_id = "replay-1".to_owned();
    config.start_at = offsets(from);
    config.stop_at = Some(offsets(to));
    let registry = prometheus::Registry::new();
    let clock = Arc::new(SystemClock::default());
    let app = StreamsApp::new(config, word_count(), Arc::new(PlainDeadLetters), clock, &registry);
    app.run(|| false).unwrap();
    place.assert_exact(1);
    assert_eq!(app.changelog_topics(), ["replay-1-counts-changelog"]);
    assert!(admin.partitions("replay-1-counts-changelog").unwrap().is_some());
    app.delete_state().unwrap();
    assert_eq!(admin.partitions("replay-1-counts-changelog").unwrap(), None);
}

#[test]
fn unreachable_broker_is_reported_at_start() {
    let place = KafkaConfig::new("127.0.0.1:1", "");
    let config = vigie_streams::StreamsConfig::new(place, "nowhere", &vigie_streams::StreamsOptions::default());
    let ended = Running::start(config).ended().unwrap_err();
    assert!(ended.is_unavailable(), "{ended}");
    assert!(matches!(&ended, StreamsError::Unavailable(_)) && ended.to_string().contains("127.0.0.1:1"), "{ended}");
}

#[test]
fn threads_without_partitions_do_not_hold_readiness_back() {
    let place = Place::new();
    let mut config = place.config();
    config.threads = 5;
    let app = Running::start(config);
    app.wait_until(|state| *state == AppState::Running);
    app.stop();
}

#[test]
fn source_that_grew_is_refused() {
    let mut place = Place::new();
    place.count(place.config(), ["btc"], 1);
    Admin::new(&place.kafka).unwrap().add_partitions("words", PARTITIONS + 1).unwrap();
    let ended = Running::start(place.config()).ended().unwrap_err();
    let ended = ended.to_string();
    let found = "topic word-count-counts-changelog has 3 partitions, expected 4 as words has: ";
    assert!(ended.starts_with(found) && ended.contains("delete the state"), "{ended}");
}
