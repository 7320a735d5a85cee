//! Partitions whose leader moves, on three brokers of the test's own.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{
    Admin, KafkaConfig, KafkaError, OutgoingRecord, Start, TopicPartition, TopicSpec, read_to_end,
};
use vigie_stack::testing::{Coordinated, coordinator, own, shared};
use vigie_stack::{ServerKind, Stack, StackConfig};

use crate::{producer, value};

const PARTITIONS: i32 = 6;

fn ends(admin: &Admin) -> Result<(), KafkaError> {
    for partition in 0..PARTITIONS {
        let at = TopicPartition::new("t", partition);
        assert_eq!(admin.watermarks(&at)?, (0, 0));
        assert_eq!(admin.stable_watermarks(&at)?, (0, 0));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_partition_is_found_after_its_leader_has_moved() {
    let _ = tokio::task::spawn_blocking(shared).await.unwrap(); // two stacks that start at once may choose the same free port
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(StackConfig { kafka_nodes: 3, ..own(dir.path()) }).await.unwrap();
    let admin = Admin::new(&KafkaConfig::new(&stack.endpoints().kafka_brokers, "")).unwrap();
    let spec = TopicSpec { name: "t".to_owned(), partitions: PARTITIONS, replication: 3, config: BTreeMap::new() };
    tokio::task::block_in_place(|| {
        admin.create_topics(&[spec]).unwrap();
        // A topic that was just created takes a moment to show at every broker.
        let clock = SystemClock::default();
        while let Err(error) = ends(&admin) {
            assert!(clock.monotonic().as_secs() < 60, "{error}");
        }
    });
    // Afterwards it is back and answers, and leads nothing any more, which the client does not know.
    stack.server(ServerKind::Kafka(1)).unwrap().restart().await.unwrap();
    tokio::task::block_in_place(|| ends(&admin)).unwrap();
    stack.stop().await;
}

/// What the transactions decided must hold in the partitions that nobody leads at that moment, too. Brokers of 4.3 and 4.4 forget these: the
/// transaction stays open there, and the next commit of its producer would show records that were aborted (KAFKA-20734).
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_ends_while_a_partition_has_no_leader_ends_there_too() {
    let _ = tokio::task::spawn_blocking(shared).await.unwrap(); // as above
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(StackConfig { kafka_nodes: 3, ..own(dir.path()) }).await.unwrap();
    let config = KafkaConfig::new(&stack.endpoints().kafka_brokers, "");
    let spec = TopicSpec { name: "t".to_owned(), partitions: PARTITIONS, replication: 1, config: BTreeMap::new() };
    let (mut committing, mut aborting) = tokio::task::block_in_place(|| {
        Admin::new(&config).unwrap().create_topics(&[spec]).unwrap();
        let mut producers = (producer(&config, "commits"), producer(&config, "aborts"));
        for (producer, value) in [(&mut producers.0, "committed"), (&mut producers.1, "aborted")] {
            producer.begin().unwrap();
            for partition in 0..PARTITIONS {
                let record = OutgoingRecord::new("t", value, value);
                producer.send(&OutgoingRecord { partition: Some(partition), ..record }).unwrap();
            }
            producer.flush().unwrap();
        }
        producers
    });
    let third = stack.server(ServerKind::Kafka(3)).unwrap();
    third.stop().await.unwrap();
    tokio::task::block_in_place(|| {
        committing.commit().unwrap();
        aborting.abort().unwrap();
    });
    third.start().await.unwrap();
    let values = tokio::task::spawn_blocking(move || -> Result<Vec<String>, KafkaError> {
        read_to_end(&config, "t", &Start::Beginning)?.map(|record| Ok(value(&record?))).collect()
    });
    assert_eq!(values.await.unwrap().unwrap(), ["committed"; PARTITIONS as usize]);
    stack.stop().await;
}

/// What a coordinator wrote and did not replicate before it was killed must not come back with it: its successor rolls the transaction back.
/// A broker that starts again within its session brings it back (docs/adr/0014-torn-transactions.md), so the stack starts it later.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_killed_coordinator_had_not_replicated_stays_rolled_back() {
    let _ = tokio::task::spawn_blocking(shared).await.unwrap(); // as above
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(StackConfig { kafka_nodes: 3, ..own(dir.path()) }).await.unwrap();
    let brokers = stack.endpoints().kafka_brokers.clone();
    let config = KafkaConfig::new(&brokers, "");
    let spec = TopicSpec { name: "t".to_owned(), partitions: PARTITIONS, replication: 3, config: BTreeMap::new() };
    let mut writer = tokio::task::block_in_place(|| {
        Admin::new(&config).unwrap().create_topics(&[spec]).unwrap();
        let mut writer = producer(&config, "w");
        writer.begin().unwrap();
        for partition in 0..PARTITIONS {
            let record = OutgoingRecord::new("t", "key", "value");
            writer.send(&OutgoingRecord { partition: Some(partition), ..record }).unwrap();
        }
        writer.flush().unwrap();
        writer
    });
    let node = coordinator(&brokers, "w", Coordinated::Transaction).await.unwrap();
    let (killed, others): (Vec<_>, Vec<_>) = (1..=3)
        .map(|id| stack.server(ServerKind::Kafka(id)).unwrap())
        .partition(|s| s.kind() == ServerKind::Kafka(node));
    others.iter().for_each(|broker| broker.pause());
    tokio::task::block_in_place(|| {
        // The requests of the followers that lie at the coordinator are answered after 500 ms: they would take what is written before.
        for (id, broker) in (1..).zip(brokers.split(',')).filter(|(id, _)| *id != node) {
            assert!(KafkaConfig::new(broker, "").ping(Duration::from_secs(1)).is_err(), "kafka-{id} is not frozen");
        }
        let unknown = writer.commit().unwrap_err();
        assert!(matches!(unknown, KafkaError::Restore { .. }), "{unknown}");
        drop(writer);
    });
    killed[0].kill();
    others.iter().for_each(|broker| broker.resume());
    killed[0].wait_ready().await.unwrap();
    let values = tokio::task::spawn_blocking(move || {
        // Whoever takes the id over ends its transaction.
        producer(&config, "w");
        read_to_end(&config, "t", &Start::Beginning)?
            .map(|record| Ok(value(&record?)))
            .collect::<Result<Vec<_>, KafkaError>>()
    });
    assert_eq!(values.await.unwrap().unwrap(), Vec::<String>::new());
    stack.stop().await;
}
