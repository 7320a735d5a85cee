//! The chain on a real broker.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use vigie_audit::{Action, AuditConfig, AuditError, AuditLog, Entry, Event, Outcome, read, verify};
use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, KafkaConfig, OutgoingRecord, Publisher, TopicSpec};
use vigie_schemas::{Codec, RegistryConfig, Topic};

/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

async fn world() -> AuditConfig {
    tokio::task::spawn_blocking(|| {
        let stack = vigie_stack::testing::shared();
        let kafka = KafkaConfig::new(stack.brokers, stack.prefix);
        let topic = Topic::Audit.configs().remove(0);
        let spec = TopicSpec { name: topic.name, partitions: topic.partitions, replication: 1, config: topic.config };
        Admin::new(&kafka).unwrap().create_topics(&[spec]).unwrap();
        AuditConfig { kafka, registry: RegistryConfig::at(stack.registry_url) }
    })
    .await
    .unwrap()
}

fn log(config: &AuditConfig, quota: u32) -> AuditLog {
    AuditLog::start(config.clone(), "test", quota, PATIENCE, Arc::new(SystemClock::default()))
}

fn opening(subject: &str, author: &str) -> Event {
    Event::new(Some(subject), Action::AuthorOpen, Some(author))
}

async fn entries(config: &AuditConfig) -> Vec<Entry> {
    let codec = Codec::connect(&config.registry, &config.kafka.topic_prefix).await.unwrap().sync(Handle::current());
    let kafka = config.kafka.clone();
    let reading = move || read(&kafka, codec, None).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    tokio::task::spawn_blocking(reading).await.unwrap()
}

fn broken_at(entries: Vec<Entry>) -> Option<i64> {
    verify(entries.into_iter().map(Ok), None).unwrap().broken.map(|broken| broken.offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_beside_each_other_make_one_chain_and_share_a_quota() {
    let config = world().await;
    let logs = [log(&config, 10), log(&config, 10)];
    // Both want the id at once, again and again: each gets its turns.
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..20 {
        let log = logs[number % 2].clone();
        writing.spawn(async move { log.write(opening("alice", &format!("a{number}"))).await });
    }
    let outcomes = writing.join_all().await;
    let over = |outcome: &&Result<(), AuditError>| matches!(outcome, Err(AuditError::OverQuota { limit: 10 }));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(over).count(), 10, "{outcomes:?}");
    // One that starts over knows it from the topic; others have quotas of their own.
    let restarted = log(&config, 10);
    assert!(matches!(restarted.write(opening("alice", "b")).await, Err(AuditError::OverQuota { .. })));
    restarted.write(opening("bob", "b")).await.unwrap();
    restarted.note(opening("alice", "b").outcome(Outcome::Refused).with("status", 403));
    restarted.flush().await;

    let entries = entries(&config).await;
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for entry in &entries {
        let record = entry.record.clone().unwrap();
        *counts.entry((record.subject.unwrap(), record.outcome)).or_default() += 1;
    }
    let of = |subject: &str, outcome: &str| counts.get(&(subject.to_owned(), outcome.to_owned())).copied();
    assert_eq!([of("alice", "allowed"), of("alice", "refused"), of("bob", "allowed")], [Some(10), Some(12), Some(1)]);
    let report = verify(entries.into_iter().map(Ok), None).unwrap();
    assert_eq!((report.records, report.after, report.broken), (23, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_to_the_topic_is_named_and_the_chain_goes_on() {
    let config = world().await;
    let log = log(&config, 0);
    for author in ["a", "b"] {
        log.write(opening("alice", author)).await.unwrap();
    }
    assert_eq!(broken_at(entries(&config).await), None);
    // A copy of a record, put at the end: it says what it follows, and does not.
    let codec = Codec::connect(&config.registry, &config.kafka.topic_prefix).await.unwrap();
    let forged = entries(&config).await[1].record.clone().unwrap();
    let value = codec.encode(Topic::Audit.name(), &forged).await.unwrap();
    let record = |value: Vec<u8>| OutgoingRecord {
        topic: Topic::Audit.name().to_owned(),
        value: Some(value.into()),
        ..OutgoingRecord::default()
    };
    let intruder = Publisher::new(&config.kafka, "intruder");
    let places = intruder.publish(vec![record(value)]).await.unwrap();
    // One who knows nothing of it goes on from what it has read; the next one that starts reads it.
    log.write(opening("alice", "c")).await.unwrap();
    assert_eq!(broken_at(entries(&config).await), Some(places[0].1));
    intruder.publish(vec![record(b"junk".to_vec())]).await.unwrap();
    self::log(&config, 0).write(opening("alice", "d")).await.unwrap();
    assert_eq!(entries(&config).await.last().unwrap().record.as_ref().unwrap().object.as_deref(), Some("d"));
}

/// An address that cuts off the first `times` who come, and leads all others to `server`.
async fn away_at_first(server: &str, times: usize) -> String {
    let (listener, server) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), server.to_owned());
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for come in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let server = server.clone();
            tokio::spawn(async move {
                if come >= times {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_a_moment_is_waited_for() {
    let mut config = world().await;
    let registry = config.registry.schema_registry_url.trim_start_matches("http://").to_owned();
    config.registry = RegistryConfig::at(format!("http://{}", away_at_first(&registry, 2).await));
    config.kafka.brokers = away_at_first(&config.kafka.brokers, 2).await;
    log(&config, 0).write(opening("alice", "a")).await.unwrap();
    assert_eq!(entries(&config).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_or_its_topic_nothing_is_allowed() {
    let clock = SystemClock::default();
    let mut config = world().await;
    config.kafka.topic_prefix.push_str("other-");
    let error = log(&config, 0).write(opening("alice", "a")).await.unwrap_err();
    assert!(error.to_string().contains("audit.v1"), "{error}");
    config.kafka.brokers = "127.0.0.1:1".to_owned();
    let started = clock.monotonic();
    let log = AuditLog::start(config, "test", 0, Duration::from_secs(2), Arc::new(clock));
    assert!(matches!(log.write(opening("alice", "a")).await, Err(AuditError::Away(_))));
    assert!(clock.monotonic() - started < PATIENCE);
}
