//! What this crate promises, against a real broker.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod leaders;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_kafka_client::{
    Admin, Committed, Consumer, ConsumerOptions, Created, Event, KafkaConfig, KafkaError, OutgoingRecord,
    PartitionReader, ProducerOptions, Publisher, Record, Start, TopicPartition, TopicSpec, TransactionalProducer,
    last_offset_before, partition_of, read_to_end, rolled_back,
};

const POLL: Duration = Duration::from_millis(200);

/// A place of its own on the shared broker, with topic `t`.
fn place(partitions: i32) -> KafkaConfig {
    let stack = vigie_stack::testing::shared();
    let config = KafkaConfig::new(stack.brokers, stack.prefix);
    let created = Admin::new(&config).unwrap().create_topics(&[spec("t", partitions)]).unwrap();
    assert_eq!(created, [("t".to_owned(), Created::New)]);
    config
}

fn spec(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, replication: 1, config: BTreeMap::new() }
}

fn producer(config: &KafkaConfig, id: &str) -> TransactionalProducer {
    let transaction_timeout = Duration::from_secs(60);
    let options = ProducerOptions { transactional_id: id.to_owned(), transaction_timeout };
    TransactionalProducer::new(config, &options).unwrap()
}

fn record(value: &str) -> OutgoingRecord {
    OutgoingRecord { partition: Some(0), ..OutgoingRecord::new("t", value.to_owned(), value.to_owned()) }
}

/// Writes values in one transaction each.
fn write(producer: &mut TransactionalProducer, values: &[&str]) {
    for value in values {
        producer.begin().unwrap();
        producer.send(&record(value)).unwrap();
        producer.commit().unwrap();
    }
}

fn write_aborted(producer: &mut TransactionalProducer, value: &str) {
    producer.begin().unwrap();
    producer.send(&record(value)).unwrap();
    producer.flush().unwrap();
    producer.abort().unwrap();
}

fn value(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap()
}

fn all(config: &KafkaConfig, start: &Start) -> Vec<String> {
    read_to_end(config, "t", start).unwrap().map(|record| value(&record.unwrap())).collect()
}

/// Polls until `wanted` picks something out of an event; at most for half a minute.
fn poll_until<T>(consumer: &mut Consumer, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    for _ in 0..150 {
        for event in consumer.poll(POLL).unwrap() {
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }
    panic!("the event did not come");
}

fn assigned(event: &Event) -> Option<Vec<TopicPartition>> {
    match event {
        Event::Assigned(partitions) if !partitions.is_empty() => Some(partitions.clone()),
        _ => None,
    }
}

fn values(event: &Event) -> Option<Vec<String>> {
    match event {
        Event::Records(records) => Some(records.iter().map(value).collect()),
        _ => None,
    }
}

#[test]
fn topics_are_created_once_described_grown_and_deleted() {
    let config = place(1);
    let admin = Admin::new(&config).unwrap();
    let compacted =
        TopicSpec { config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]), ..spec("c", 2) };
    let created = admin.create_topics(&[spec("t", 5), compacted]).unwrap();
    assert_eq!(created, [("t".to_owned(), Created::Existed), ("c".to_owned(), Created::New)]);
    let described = admin.describe("c").unwrap().unwrap();
    assert_eq!((described.partitions, described.config["cleanup.policy"].as_str()), (2, "compact"));
    assert_eq!(admin.describe("nowhere").unwrap(), None);
    admin.add_partitions("t", 3).unwrap();
    assert_eq!(admin.list_topics().unwrap().keys().collect::<Vec<_>>(), ["c", "t"]);
    assert!(matches!(admin.add_partitions("t", 1), Err(KafkaError::Fatal { .. })));
    admin.delete_topics(&["c", "nowhere"]).unwrap();
}

/// All records are later than the time that is asked for, so no answer may lie after the first of them.
#[test]
fn records_that_come_during_a_look_up_by_time_are_not_passed_over() {
    const PARTITIONS: i32 = 40;
    let config = place(PARTITIONS);
    let admin = Admin::new(&config).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut producer = producer(&config, "p");
            for partition in 0..PARTITIONS {
                producer.begin().unwrap();
                producer.send(&OutgoingRecord { partition: Some(partition), ..record("a") }).unwrap();
                producer.commit().unwrap();
            }
        });
        let mut finished = false;
        while !finished {
            let last = writing.is_finished();
            match admin.offsets_for_time("t", Timestamp::from_millis(1)) {
                Ok(found) => assert!(found.values().all(|offset| *offset == 0), "{found:?}"),
                Err(KafkaError::Retry { .. }) => continue, // the topic is new
                Err(error) => panic!("{error}"),
            }
            finished = last;
        }
    });
}

#[test]
fn read_to_end_steps_over_markers_and_aborted_records() {
    let config = place(2);
    assert_eq!(all(&config, &Start::Beginning), Vec::<String>::new(), "an empty topic ends at once");
    let mut producer = producer(&config, "p");
    write(&mut producer, &["a", "b"]);
    write_aborted(&mut producer, "x");
    assert_eq!(all(&config, &Start::Beginning), ["a", "b"], "though the end is after a marker");
    write(&mut producer, &["c"]);
    assert_eq!(all(&config, &Start::Offsets(BTreeMap::from([(0, 2)]))), ["b", "c"]);
    assert_eq!(all(&config, &Start::End), Vec::<String>::new());
    assert_eq!(all(&config, &Start::Time(Timestamp::from_millis(1))), ["a", "b", "c"]);
}

#[test]
fn last_offset_before_a_marker_is_that_of_the_record() {
    let config = place(1);
    let mut producer = producer(&config, "p");
    let partition = TopicPartition::new("t", 0);
    let admin = Admin::new(&config).unwrap();
    assert_eq!(last_offset_before(&admin, &partition, i64::MAX).unwrap(), None);
    write(&mut producer, &["a", "b"]);
    // Many records that nobody sees, so that the search has to look further back.
    for _ in 0..40 {
        write_aborted(&mut producer, "x");
    }
    assert_eq!(last_offset_before(&admin, &partition, i64::MAX).unwrap(), Some(2));
    assert_eq!(last_offset_before(&admin, &partition, 2).unwrap(), Some(0));
    assert_eq!(last_offset_before(&admin, &partition, 0).unwrap(), None);
}

#[test]
fn offsets_are_found_by_time() {
    let config = place(1);
    let mut producer = producer(&config, "p");
    producer.begin().unwrap();
    for (millis, value) in [(1000, "a"), (2000, "b"), (3000, "c")] {
        let timestamp = Some(Timestamp::from_millis(millis));
        producer.send(&OutgoingRecord { timestamp, ..record(value) }).unwrap();
    }
    producer.commit().unwrap();
    let admin = Admin::new(&config).unwrap();
    let at = |millis| admin.offsets_for_time("t", Timestamp::from_millis(millis)).unwrap()[&0];
    assert_eq!((at(0), at(1001), at(3000)), (0, 1, 2));
    assert_eq!(at(3001), 3, "after the last record");
}

#[test]
fn publisher_writes_all_or_nothing_and_says_where() {
    let config = place(1);
    let publisher = Publisher::new(&config, "publisher");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = runtime.block_on(publisher.publish(vec![record("a"), record("b")])).unwrap();
    assert_eq!(first, [(0, 0), (0, 1)]);
    let too_large = OutgoingRecord { value: Some(Bytes::from(vec![0; 9 << 20])), ..record("x") };
    let refused = runtime.block_on(publisher.publish(vec![record("x"), too_large]));
    assert!(matches!(refused, Err(KafkaError::Fatal { .. })), "{refused:?}");
    runtime.block_on(publisher.publish(vec![record("c")])).unwrap();
    assert_eq!(all(&config, &Start::Beginning), ["a", "b", "c"]);
}

#[test]
fn publisher_goes_on_after_a_batch_that_the_broker_refused() {
    let config = place(1);
    let publisher = Publisher::new(&config, "publisher");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Accepted by the client, refused by the broker, whose limit is near 1 MB. It must not be compressible.
    let mut noise = 1u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.to_be_bytes()[0]
    })
    .take(3 << 20)
    .collect();
    let too_large = OutgoingRecord { value: Some(Bytes::from(bytes)), ..record("x") };
    let refused = runtime.block_on(publisher.publish(vec![record("x"), too_large]));
    assert!(matches!(refused, Err(KafkaError::Fatal { .. })), "{refused:?}");
    runtime.block_on(publisher.publish(vec![record("a")])).unwrap();
    assert_eq!(all(&config, &Start::Beginning), ["a"]);
}

#[test]
fn exclusive_publisher_writes_only_between_a_claim_and_a_failure() {
    let config = place(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let publish = |publisher: &Publisher, value| runtime.block_on(publisher.publish(vec![record(value)]));
    let first = Publisher::exclusive(&config, "one");
    assert!(matches!(publish(&first, "too early"), Err(KafkaError::Fenced { .. })));
    runtime.block_on(first.claim()).unwrap();
    publish(&first, "a").unwrap();
    let second = Publisher::exclusive(&config, "one");
    runtime.block_on(second.claim()).unwrap();
    // The second time there is no producer left that the broker could refuse: a new one would fence the second publisher.
    for _ in 0..2 {
        assert!(matches!(publish(&first, "too late"), Err(KafkaError::Fenced { .. })));
    }
    publish(&second, "b").unwrap();
    assert_eq!(all(&config, &Start::Beginning), ["a", "b"]);
}

#[test]
fn consumer_announces_partitions_before_their_records_and_starts_where_asked() {
    let config = place(1);
    write(&mut producer(&config, "p"), &["a", "b", "c"]);
    let mut consumer = Consumer::new(&config, &ConsumerOptions::new("g", ["t"])).unwrap();
    let partitions = poll_until(&mut consumer, assigned);
    assert_eq!(partitions, [TopicPartition::new("t", 0)]);
    consumer.start_at(partitions[0].clone(), 2);
    let mut seen = Vec::new();
    poll_until(&mut consumer, |event| {
        seen.extend(values(event).unwrap_or_default());
        (seen.len() == 2).then_some(())
    });
    assert_eq!(seen, ["b", "c"]);
    consumer.seek(&partitions[0], 0).unwrap();
    assert_eq!(poll_until(&mut consumer, values)[0], "a");
    // Offsets 1, 3 and 5 are transaction markers: position 5 is the end as far as records go.
    for _ in 0..50 {
        consumer.poll(POLL).unwrap();
        if consumer.lag(&partitions[0], 5) == Some(0) {
            return;
        }
    }
    panic!("the lag did not come to 0: {:?}", consumer.lag(&partitions[0], 5));
}

#[test]
fn revoked_partitions_can_be_committed_before_they_go() {
    let config = place(1);
    let mut producer = producer(&config, "p");
    write(&mut producer, &["a", "b"]);
    let mut options = ConsumerOptions::new("g", ["t"]);
    options.session_timeout = Duration::from_secs(6);
    options.assignor = vigie_kafka_client::Assignor::Copartitioned;
    let mut first = Consumer::new(&config, &options).unwrap();
    poll_until(&mut first, values);
    let mut second = Consumer::new(&config, &options).unwrap();
    // The range assignor revokes everything when a member joins.
    let revoked = loop {
        second.poll(Duration::from_millis(20)).unwrap();
        let events = first.poll(POLL).unwrap();
        if let Some(Event::Revoked(partitions)) = events.into_iter().find(|e| matches!(e, Event::Revoked(_))) {
            break partitions;
        }
    };
    let committed = Committed { offset: 3, metadata: "beside".to_owned() };
    producer.begin().unwrap();
    producer.send(&record("from the first")).unwrap();
    let offsets = BTreeMap::from([(revoked[0].clone(), committed.clone())]);
    producer.send_offsets(&offsets, &first).unwrap();
    producer.commit().unwrap();
    first.close();
    let partitions = poll_until(&mut second, assigned);
    let found = second.committed(&partitions, Duration::from_secs(10)).unwrap();
    assert_eq!(found[&partitions[0]], committed);
    assert_eq!(poll_until(&mut second, values), ["from the first"]);
}

#[test]
fn zombie_of_the_same_transactional_id_is_fenced() {
    let config = place(1);
    let mut zombie = producer(&config, "p");
    zombie.begin().unwrap();
    zombie.send(&record("x")).unwrap();
    let mut heir = producer(&config, "p");
    let error = zombie.commit().unwrap_err();
    assert!(matches!(error, KafkaError::Fenced { .. }), "{error:?}");
    write(&mut heir, &["a"]);
    assert_eq!(all(&config, &Start::Beginning), ["a"]);
}

#[test]
fn reader_follows_a_topic() {
    let config = place(1);
    let mut producer = producer(&config, "p");
    write(&mut producer, &["a"]);
    let mut reader = PartitionReader::new(&config, "t", &Start::End).unwrap();
    write(&mut producer, &["b"]);
    for _ in 0..50 {
        let records = reader.poll(POLL, 10).unwrap();
        if let Some(first) = records.first() {
            assert_eq!((value(first).as_str(), &*first.topic), ("b", "t"));
            return;
        }
    }
    panic!("the record did not come");
}

#[test]
fn absurd_timestamp_does_not_hold_a_transaction_up() {
    let config = place(1);
    let mut producer = producer(&config, "p");
    producer.begin().unwrap();
    for millis in [i64::MAX, i64::MIN, 0] {
        let timestamp = Some(Timestamp::from_millis(millis));
        producer.send(&OutgoingRecord { timestamp, ..record("a") }).unwrap();
    }
    producer.commit().unwrap();
    let records: Vec<Record> = read_to_end(&config, "t", &Start::Beginning).unwrap().map(Result::unwrap).collect();
    let now = SystemClock::default().now();
    assert!(records[0].timestamp <= now && records[0].timestamp > now.saturating_sub(Duration::from_secs(60)));
    assert_eq!(records[1].timestamp, Timestamp::from_millis(1));
}

#[test]
fn keys_go_to_the_partition_that_the_java_client_would_choose() {
    let config = place(12);
    let mut producer = producer(&config, "keys");
    // Hashes by org.apache.kafka.common.utils.Utils.murmur2.
    let hashes = [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("abc", 479_470_107),
    ];
    producer.begin().unwrap();
    for (key, _) in hashes {
        producer.send(&OutgoingRecord::new("t", key, key)).unwrap();
    }
    producer.commit().unwrap();
    let placed: BTreeMap<Bytes, i32> = read_to_end(&config, "t", &Start::Beginning)
        .unwrap()
        .map(|record| record.map(|record| (record.key.unwrap(), record.partition)).unwrap())
        .collect();
    for (at, (key, hash)) in hashes.into_iter().enumerate() {
        assert_eq!(placed[key.as_bytes()], (hash & i32::MAX) % 12, "{key}");
        assert_eq!(partition_of(key.as_bytes(), 12), placed[key.as_bytes()], "{key}");
        assert!(producer.delivered_at(at).is_some(), "{key}");
    }
    assert_eq!(producer.delivered_at(hashes.len()), None);
}

#[test]
fn records_that_were_rolled_back_are_distinguished_from_committed_and_missing_ones() {
    let config = place(1);
    let mut producer = producer(&config, "w");
    write(&mut producer, &["kept"]);
    write_aborted(&mut producer, "dropped");
    let admin = Admin::new(&config).unwrap();
    // The committed record, its marker, the aborted record, its marker, and after the end.
    let at = TopicPartition::new("t", 0);
    let gone = |offset| rolled_back(&admin, &BTreeMap::from([(at.clone(), offset)])).unwrap();
    assert_eq!([gone(0), gone(1), gone(2), gone(3), gone(4)], [vec![], vec![], vec![at.clone()], vec![], vec![]]);
}
