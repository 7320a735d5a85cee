//! What can be said of a transaction that does not end.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError as NativeError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;
use vigie_clock::Timestamp;

use crate::config::KafkaConfig;
use crate::deadline::Deadline;
use crate::error::KafkaError;
use crate::record::TopicPartition;

/// How long its first record may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Describes the transaction that begins at `start` of `partition`: since when it has been open, and how to end it by hand. librdkafka
/// cannot ask the broker whose it is.
pub(crate) fn describe(config: &KafkaConfig, partition: &TopicPartition, start: i64) -> String {
    let written = match first_record(config, partition, start) {
        Ok(Some(time)) => format!("first record of {time}"),
        Ok(None) => format!("first record not read within {} s", PATIENCE.as_secs()),
        Err(error) => format!("first record not read: {error}"),
    };
    format!(
        "the transaction that begins there has been open too long ({written}); kafka-transactions.sh --bootstrap-server {} abort \
         --topic {} --partition {} --start-offset {start} ends it",
        config.brokers,
        config.wire_name(&partition.topic),
        partition.partition,
    )
}

/// The timestamp of the record at `offset`, whether it is committed or not.
fn first_record(
    config: &KafkaConfig,
    partition: &TopicPartition,
    offset: i64,
) -> Result<Option<Timestamp>, KafkaError> {
    let failed = |e: NativeError| KafkaError::from_native("read", &e);
    let mut native = config.reading_client()?;
    native.set("isolation.level", "read_uncommitted").set("group.id", config.wire_name("reader"));
    let reader = config.quiet_consumer("read", &native)?;
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&config.wire_name(&partition.topic), partition.partition, Offset::Offset(offset))
        .map_err(failed)?;
    reader.assign(&list).map_err(failed)?;
    let deadline = Deadline::after(PATIENCE);
    while !deadline.passed() {
        if let Some(Ok(record)) = reader.poll(deadline.remaining()) {
            return Ok(record.timestamp().to_millis().map(Timestamp::from_millis));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Admin, OutgoingRecord, ProducerOptions, TopicSpec, TransactionalProducer};

    #[test]
    fn a_read_that_an_open_transaction_holds_up_says_where_it_begins_and_how_to_end_it() {
        let stack = vigie_stack::testing::shared();
        let config = KafkaConfig::new(stack.brokers, stack.prefix);
        let admin = Admin::new(&config).unwrap();
        let spec = TopicSpec { name: "t".to_owned(), partitions: 1, replication: 1, config: [].into() };
        admin.create_topics(&[spec]).unwrap();
        let transaction_timeout = Duration::from_secs(60);
        let options = ProducerOptions { transactional_id: "open".to_owned(), transaction_timeout };
        let mut producer = TransactionalProducer::new(&config, &options).unwrap();
        producer.begin().unwrap();
        let timestamp = Some(Timestamp::from_millis(1_000));
        producer.send(&OutgoingRecord { timestamp, ..OutgoingRecord::new("t", "key", "value") }).unwrap();
        producer.flush().unwrap();
        let partition = TopicPartition::new("t", 0);
        admin.wait_until_stable(&partition, 0, Duration::ZERO).unwrap();
        let error = admin.wait_until_stable(&partition, 1, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("t-0 is readable up to 0 of 1"), "{error}");
        assert!(error.contains("first record of 1970-01-01T00:00:01Z"), "{error}");
        let command = format!("abort --topic {} --partition 0 --start-offset 0 ends it", config.wire_name("t"));
        assert!(error.contains(&command), "{error}");
    }
}
