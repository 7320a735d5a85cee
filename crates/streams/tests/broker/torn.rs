//! Commits of which the brokers kept only parts: see docs/adr/0014-torn-transactions.md.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vigie_kafka_client::{
    Committed, Consumer, ConsumerOptions, Event, OutgoingRecord, ProducerOptions, TopicPartition,
    TransactionalProducer, committed_offsets,
};

use crate::place::{PARTITIONS, Place, Running, text};

const CHANGELOG: &str = "word-count-counts-changelog";

/// Counts `btc` twice, then stops: the partition of `btc`, and the mark of the last commit there.
fn counted_twice(place: &mut Place) -> (i32, Bytes, String) {
    let app = Running::start(place.config());
    place.write(["btc", "btc"]);
    place.wait_for("counts", 2);
    app.stop();
    let log = place.read(CHANGELOG);
    let partition = log.iter().find(|record| record.key.as_deref() == Some(b"btc")).unwrap().partition;
    let mark = log.iter().rfind(|record| record.partition == partition && record.key.as_ref().unwrap().len() == 16);
    let mark = mark.unwrap();
    (partition, mark.key.clone().unwrap(), text(mark.value.as_ref()))
}

fn number(mark: &str) -> u64 {
    let digits = mark.split("\"commit\":").nth(1).unwrap().split(',').next().unwrap();
    digits.parse().unwrap()
}

fn producer(place: &Place) -> TransactionalProducer {
    let options =
        ProducerOptions { transactional_id: "broker".to_owned(), transaction_timeout: Duration::from_secs(30) };
    TransactionalProducer::new(&place.kafka, &options).unwrap()
}

/// The application repairs what was torn, counts on to 3 and 4, and finds nothing torn when it starts again.
fn assert_repaired(mut place: Place, words: &[&str]) {
    let app = Running::start(place.config());
    app.wait_for_metric("torn_commits_total", 1.0);
    place.write(words.iter().copied());
    place.wait_for("counts", 3);
    app.stop();
    let app = Running::start(place.config());
    place.write(["btc"]);
    place.wait_for("counts", 4);
    assert_eq!(app.metric("torn_commits_total"), 0.0);
    app.stop();
    place.assert_exact(4);
}

#[test]
fn state_of_a_commit_whose_offsets_were_rolled_back_is_taken_back() {
    let mut place = Place::new();
    let (partition, key, mark) = counted_twice(&mut place);
    let (commit, next) = (number(&mark), number(&mark) + 1);
    let torn = mark.replace(&format!("\"commit\":{commit}"), &format!("\"commit\":{next}"));
    let torn = torn.replace(&format!("\"stores\":[{commit}]"), &format!("\"stores\":[{next}]"));
    let mut broker = producer(&place);
    broker.begin().unwrap();
    for (key, value) in [(key, torn), (Bytes::from("btc"), "7".to_owned()), (Bytes::from("new"), "1".to_owned())] {
        broker
            .send(&OutgoingRecord { partition: Some(partition), ..OutgoingRecord::new(CHANGELOG, key, value) })
            .unwrap();
    }
    broker.commit().unwrap();
    assert_repaired(place, &["btc"]);
}

#[test]
fn input_of_a_commit_whose_state_was_rolled_back_is_processed_again() {
    let mut place = Place::new();
    let (partition, _, mark) = counted_twice(&mut place);
    let (commit, next) = (number(&mark), number(&mark) + 1);
    place.write(["btc"]);
    let inputs: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new("words", partition)).collect();
    let found = committed_offsets(&place.kafka, "word-count", &inputs, Duration::from_secs(30)).unwrap();
    let Committed { offset, metadata } = found[&inputs[usize::try_from(partition).unwrap()]].clone();
    let metadata = metadata.replace(&format!(" {commit}:{commit} "), &format!(" {next}:{next} "));
    let mut member = Consumer::new(&place.kafka, &ConsumerOptions::new("word-count", ["words"])).unwrap();
    let joined = |event: &Event| matches!(event, Event::Assigned(_));
    while !member.poll(Duration::from_millis(200)).unwrap().iter().any(joined) {}
    let mut broker = producer(&place);
    broker.begin().unwrap();
    let skipped = Committed { offset: offset + 1, metadata };
    broker.send_offsets(&BTreeMap::from([(TopicPartition::new("words", partition), skipped)]), &member).unwrap();
    broker.commit().unwrap();
    member.close();
    assert_repaired(place, &[]);
}
