//! State is refused by what does not understand it.

use vigie_kafka_client::Admin;
use vigie_streams::StreamsError;

use crate::place::{PARTITIONS, Place, Running, word_count_of_version};

#[test]
fn changed_topology_refuses_old_state() {
    let mut place = Place::new();
    place.count(place.config(), ["btc", "eth", "luna"], 3);
    let ended = Running::start_with(place.config(), word_count_of_version(2)).ended().unwrap_err();
    assert!(matches!(ended, StreamsError::TopologyChanged { .. }), "{ended}");
    let said = ended.to_string();
    assert!(said.contains("stores were [counts:key-value:1], now [counts:key-value:2]"), "{said}");
    let prefix = place.kafka.wire_name("");
    let way_out = format!(
        "go back to that one, or delete the state (consumer group {prefix}word-count and topics {prefix}word-count-counts-changelog)"
    );
    assert!(said.contains(&way_out), "{said}");
    // Both ways out: back to the old topology, or a new application.
    place.count(place.config(), ["btc"], 4);
    place.assert_exact(4);
    let mut second = place.config();
    second.application_id = "word-count-2".to_owned();
    let app = Running::start_with(second, word_count_of_version(2));
    place.wait_for("counts", 8);
    app.stop();
}

#[test]
fn state_without_its_offsets_is_refused() {
    let mut place = Place::new();
    place.count(place.config(), ["btc", "eth", "luna"], 3);
    Admin::new(&place.kafka).unwrap().delete_groups(&["word-count"]).unwrap();
    let ended = Running::start(place.config()).ended().unwrap_err();
    assert!(matches!(ended, StreamsError::StateWithoutOffsets { .. }), "{ended}");
    assert!(ended.to_string().contains("delete the state"), "{ended}");
    assert_eq!(place.read("counts").len(), 3, "nothing was counted twice");
}

#[test]
fn offsets_without_their_state_are_refused() {
    let mut place = Place::new();
    place.count(place.config(), ["btc", "eth", "luna"], 3);
    Admin::new(&place.kafka).unwrap().delete_topics(&["word-count-counts-changelog"]).unwrap();
    // Again and again: a refused start must not leave an empty changelog behind, which the next would take.
    for _ in 0..2 {
        let ended = Running::start(place.config()).ended().unwrap_err();
        assert!(matches!(ended, StreamsError::StateLost { .. }), "{ended}");
        assert!(ended.to_string().contains("[\"word-count-counts-changelog\"] are gone"), "{ended}");
    }
    Admin::new(&place.kafka).unwrap().delete_groups(&["word-count"]).unwrap();
    place.count(place.config(), [], 6);
}

#[test]
fn source_that_grows_while_running_stops_the_application() {
    let mut place = Place::new();
    place.write(["btc"]);
    let app = Running::start(place.config());
    place.wait_for("counts", 1);
    Admin::new(&place.kafka).unwrap().add_partitions("words", PARTITIONS + 1).unwrap();
    // The client looks for new partitions each half minute.
    let ended = app.ended().unwrap_err();
    assert!(matches!(&ended, StreamsError::SourceGrew { expected: PARTITIONS, .. }), "{ended}");
    assert!(ended.to_string().starts_with("new partition words-3 appeared, expected 3 partitions"), "{ended}");
}
