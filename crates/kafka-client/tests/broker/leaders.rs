//! Partitions whose leader moves, on three brokers of the test's own.

use std::collections::BTreeMap;

use vigie_clock::{Clock, SystemClock};
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError, TopicPartition, TopicSpec};
use vigie_stack::testing::{own, shared};
use vigie_stack::{ServerKind, Stack, StackConfig};

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
