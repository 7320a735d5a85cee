//! Commits of which the brokers kept only parts: see docs/adr/0014-torn-transactions.md.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vigie_kafka_client::{
    Committed, Consumer, ConsumerOptions, Event, OutgoingRecord, ProducerOptions, Record, TopicPartition,
    TransactionalProducer, committed_offsets,
};
use vigie_streams::StreamsConfig;

use crate::disk;
use crate::place::{Place, Running, text};

const CHANGELOG: &str = "word-count-counts-changelog";

/// Counts `btc` twice, then stops: the partition of `btc`, and the mark of the last commit there.
fn counted_twice(place: &mut Place, config: StreamsConfig) -> (i32, Bytes, String) {
    place.count(config, ["btc", "btc"], 2);
    let log = place.read(CHANGELOG);
    let partition = log.iter().find(|record| record.key.as_deref() == Some(b"btc")).unwrap().partition;
    let is_mark = |record: &&Record| text(record.value.as_ref()).contains("inputs");
    let mark = log.iter().rfind(|record| record.partition == partition && is_mark(record));
    let mark = mark.unwrap();
    (partition, mark.key.clone().unwrap(), text(mark.value.as_ref()))
}

fn number(mark: &str) -> u64 {
    let digits = mark.split("\"commit\":").nth(1).unwrap().split(',').next().unwrap();
    digits.parse().unwrap()
}

/// The mark of the next commit, which moves no input.
fn following(mark: &str) -> String {
    let (commit, next) = (number(mark), number(mark) + 1);
    let following = mark.replace(&format!("\"commit\":{commit}"), &format!("\"commit\":{next}"));
    following.replace(&format!("\"stores\":[{commit}]"), &format!("\"stores\":[{next}]"))
}

fn producer(place: &Place, id: &str) -> TransactionalProducer {
    let options = ProducerOptions { transactional_id: id.to_owned(), transaction_timeout: Duration::from_secs(30) };
    TransactionalProducer::new(&place.kafka, &options).unwrap()
}

/// The application repairs what was torn, counts on to 3 and 4, and finds nothing torn when it starts again.
fn assert_repaired(mut place: Place, config: StreamsConfig, words: &[&str]) {
    let app = Running::start(config.clone());
    app.wait_for_metric("torn_commits_total", 1.0);
    place.write(words.iter().copied());
    place.wait_for("counts", 3);
    app.stop();
    let app = Running::start(config);
    place.write(["btc"]);
    place.wait_for("counts", 4);
    assert_eq!(app.metric("torn_commits_total"), 0.0);
    app.stop();
    place.assert_exact(4);
}

#[test]
fn state_of_a_commit_whose_offsets_were_rolled_back_is_taken_back() {
    let place = Place::new();
    let config = place.config();
    state_is_taken_back(place, config);
}

#[test]
fn state_on_disk_takes_nothing_of_a_commit_whose_offsets_were_rolled_back() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let config = disk::config(&place, dir.path());
    state_is_taken_back(place, config);
}

fn state_is_taken_back(mut place: Place, config: StreamsConfig) {
    let (partition, key, mark) = counted_twice(&mut place, config.clone());
    let mut broker = producer(&place, "broker");
    broker.begin().unwrap();
    for (key, value) in
        [(key, following(&mark)), (Bytes::from("btc"), "7".to_owned()), (Bytes::from("new"), "1".to_owned())]
    {
        broker
            .send(&OutgoingRecord { partition: Some(partition), ..OutgoingRecord::new(CHANGELOG, key, value) })
            .unwrap();
    }
    broker.commit().unwrap();
    assert_repaired(place, config, &["btc"]);
}

/// Moves the committed offset past one more record, as the next commit would. What `beside` sends belongs to the same transaction.
fn commit_one_more(place: &Place, partition: i32, mark: &str, beside: impl FnOnce(&mut TransactionalProducer)) {
    let (commit, next) = (number(mark), number(mark) + 1);
    let input = TopicPartition::new("words", partition);
    let found =
        committed_offsets(&place.kafka, "word-count", std::slice::from_ref(&input), Duration::from_secs(30)).unwrap();
    let Committed { offset, metadata } = found[&input].clone();
    let metadata = metadata.replace(&format!(" {commit}:{commit} "), &format!(" {next}:{next} "));
    let mut member = Consumer::new(&place.kafka, &ConsumerOptions::new("word-count", ["words"])).unwrap();
    let joined = |event: &Event| matches!(event, Event::Assigned(_));
    while !member.poll(Duration::from_millis(200)).unwrap().iter().any(joined) {}
    let mut broker = producer(place, "broker");
    broker.begin().unwrap();
    beside(&mut broker);
    broker.send_offsets(&BTreeMap::from([(input, Committed { offset: offset + 1, metadata })]), &member).unwrap();
    broker.commit().unwrap();
    member.close();
}

#[test]
fn input_of_a_commit_whose_state_was_rolled_back_is_processed_again() {
    let mut place = Place::new();
    let config = place.config();
    let (partition, _, mark) = counted_twice(&mut place, config.clone());
    place.write(["btc"]);
    commit_one_more(&place, partition, &mark, |_| {});
    assert_repaired(place, config, &[]);
}

#[test]
fn input_of_a_commit_whose_output_was_rolled_back_is_processed_again() {
    let (mut place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let config = disk::config(&place, dir.path());
    let (partition, key, mark) = counted_twice(&mut place, config.clone());
    place.write(["btc"]);
    let record =
        |topic, key, value| OutgoingRecord { partition: Some(partition), ..OutgoingRecord::new(topic, key, value) };
    let mut other = producer(&place, "other");
    other.begin().unwrap();
    other.send(&record("counts", Bytes::from("btc"), "3".to_owned())).unwrap();
    other.flush().unwrap();
    let (_, offset) = other.delivery(0).unwrap();
    other.abort().unwrap();
    let sent =
        place.read(CHANGELOG).into_iter().rfind(|record| text(record.value.as_ref()).contains("topics")).unwrap();
    let next = number(&mark) + 1;
    let whereto = format!("{{\"commit\":{next},\"topics\":{{\"counts\":{{\"{partition}\":{offset}}}}}}}");
    commit_one_more(&place, partition, &mark, |broker| {
        broker.send(&record(CHANGELOG, key, following(&mark))).unwrap();
        broker.send(&record(CHANGELOG, Bytes::from("btc"), "3".to_owned())).unwrap();
        broker.send(&record(CHANGELOG, sent.key.unwrap(), whereto)).unwrap();
    });
    assert_repaired(place, config, &[]);
}
