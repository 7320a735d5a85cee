//! A producer whose records, and the consumed offsets they stand on, appear together or not at all.

pub(crate) mod publisher;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};
use tracing::{debug, warn};
use vigie_clock::{Clock, SystemClock, Timestamp};

use crate::closing::Closing;
use crate::committed::Committed;
use crate::config::KafkaConfig;
use crate::consumer::Consumer;
use crate::deadline::Deadline;
use crate::error::KafkaError;
use crate::quiet::remark;
use crate::record::{OutgoingRecord, TopicPartition};

/// Largest record that producers accept, in bytes. Brokers and topics set their own, smaller limits.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The longest that any call waits for the brokers: a thread that must stop is not held up by a broker that is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// So much longer than its own time limit a call may take before it is taken for hung.
const HUNG_AFTER: Duration = Duration::from_secs(2);
/// How often a flush looks for delivery reports.
const REPORT_INTERVAL: Duration = Duration::from_micros(300);

/// How a [`TransactionalProducer`] identifies itself.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// The transactional id, without the prefix. A new producer of the same id fences the older one and ends its transaction.
    pub transactional_id: String,
    /// After so long the broker ends a transaction by itself. Readers of the topics wait no longer than that for a dead writer.
    pub transaction_timeout: Duration,
}

/// A transactional, idempotent producer. One transaction at a time.
pub struct TransactionalProducer {
    /// Shared with a call that hangs, which cannot be ended.
    inner: Closing<Arc<BaseProducer<DeliveryContext>>>,
    config: KafkaConfig,
    wire_names: HashMap<String, String>,
    patience: Duration,
    clock: SystemClock,
    /// The time when it was last looked at.
    now: Timestamp,
    sent: usize,
}

impl TransactionalProducer {
    /// Registers the transactional id: fences older producers of it and ends the transaction they left open.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if no broker answers within 5 s; [`KafkaError::Fatal`] for rejected
    /// settings or rights.
    pub fn new(config: &KafkaConfig, options: &ProducerOptions) -> Result<Self, KafkaError> {
        let native = settings(config, options)?;
        let inner: BaseProducer<DeliveryContext> = native
            .create_with_context(DeliveryContext::default())
            .map_err(|e| KafkaError::from_native("create producer", &e))?;
        let inner = Arc::new(inner);
        config.sign_in(&inner)?;
        let producer = Self {
            inner: Closing::new("producer", inner),
            config: config.clone(),
            wire_names: HashMap::new(),
            patience: options.transaction_timeout.min(PATIENCE),
            clock: SystemClock::default(),
            now: Timestamp::MIN,
            sent: 0,
        };
        producer.init()?;
        Ok(producer)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`KafkaError::Restore`] if one is open already or the producer is broken.
    pub fn begin(&mut self) -> Result<(), KafkaError> {
        self.sent = 0;
        self.inner.context().clear();
        self.inner.begin_transaction().map_err(|e| KafkaError::from_transaction("begin transaction", &e))
    }

    /// Adds a record to the transaction. Returns once it is queued.
    ///
    /// # Errors
    /// [`KafkaError::Abort`] if the queue does not drain in time, [`KafkaError::Fatal`] if the record itself is refused.
    pub fn send(&mut self, record: &OutgoingRecord) -> Result<(), KafkaError> {
        self.produce(
            &record.topic,
            record.partition,
            record.key.as_deref(),
            record.value.as_deref(),
            record.timestamp,
            &record.headers,
        )
    }

    /// As [`send`](Self::send), with borrowed parts.
    ///
    /// A timestamp ahead of the clock is written as now: of more than an hour the broker would refuse, and with it the whole
    /// transaction, again and again. One before 1970 is written as its first millisecond.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn produce(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Option<Timestamp>,
        headers: &[(String, Bytes)],
    ) -> Result<(), KafkaError> {
        let timestamp = timestamp.map(|time| self.not_ahead(time).as_millis().max(1));
        if !self.wire_names.contains_key(topic) {
            self.wire_names.insert(topic.to_owned(), self.config.wire_name(topic));
        }
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.wire_names[topic], self.sent);
        record.partition = partition;
        record.key = key;
        record.payload = value;
        record.timestamp = timestamp;
        if !headers.is_empty() {
            let native = OwnedHeaders::new_with_capacity(headers.len());
            record.headers = Some(
                headers.iter().fold(native, |all, (key, value)| all.insert(Header { key, value: Some(&value[..]) })),
            );
        }
        // Reading the clock costs as much as queueing a record: it is read only if the queue is full.
        let mut deadline = None;
        loop {
            let (error, refused) = match self.inner.send(record) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err(refused) => refused,
            };
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) if !deadline.get_or_insert_with(|| Deadline::after(self.patience)).passed() => {
                    self.inner.poll(Duration::from_millis(5));
                }
                Some(Code::MessageSizeTooLarge) => {
                    let size = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                    return Err(KafkaError::fatal(
                        "send",
                        format!("record of {size} bytes for {topic}, expected at most {MAX_MESSAGE_BYTES}"),
                    ));
                }
                _ => return Err(KafkaError::from_transaction("send", &error)),
            }
            record = refused;
        }
    }

    /// `time`, or now if that is earlier.
    fn not_ahead(&mut self, time: Timestamp) -> Timestamp {
        if time > self.now {
            self.now = self.clock.now();
        }
        time.min(self.now)
    }

    /// Adds consumed offsets, with what is stored beside them, to the transaction. The commit is refused if `consumer` is no
    /// longer a member of its group in the current generation: that is what fences a zombie.
    ///
    /// # Errors
    /// [`KafkaError::Abort`] if the group refuses, [`KafkaError::Fenced`] if the producer was taken over, [`KafkaError::Restore`] if
    /// librdkafka hangs: drop the producer.
    pub fn send_offsets(
        &mut self,
        offsets: &BTreeMap<TopicPartition, Committed>,
        consumer: &Consumer,
    ) -> Result<(), KafkaError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, committed) in offsets {
            let wire = self.config.wire_name(&partition.topic);
            let mut element = list.add_partition(&wire, partition.partition);
            element
                .set_offset(Offset::Offset(committed.offset))
                .map_err(|e| KafkaError::from_native("send offsets", &e))?;
            if !committed.metadata.is_empty() {
                element.set_metadata(&committed.metadata);
            }
        }
        let metadata = consumer.group_metadata()?;
        let (inner, patience) = (Arc::clone(&self.inner), self.patience);
        // If the group's coordinator has left the cluster, librdkafka may wait without end, whatever its time limit
        // (https://github.com/confluentinc/librdkafka/issues/5456): then the call is left behind, with its producer.
        bounded("send offsets", patience + HUNG_AFTER, move || {
            repeat(&inner, "send offsets", patience, |producer, wait| {
                producer.send_offsets_to_transaction(&list, &metadata, wait)
            })
        })
    }

    /// Waits until the broker has acknowledged every record sent so far. A commit does so by itself.
    ///
    /// # Errors
    /// [`KafkaError::Abort`] if they are not acknowledged in time.
    pub fn flush(&mut self) -> Result<(), KafkaError> {
        let deadline = Deadline::after(self.patience);
        // rdkafka's own flush waits in steps of 100 ms; reports come within one or two. Its poll
        // would spin for so short a time, and keep the processor from the broker that is to report.
        loop {
            let in_flight = self.inner.in_flight_count();
            if in_flight == 0 {
                return Ok(());
            }
            if deadline.passed() {
                let detail = format!("records not acknowledged within {} ms", self.patience.as_millis());
                return Err(KafkaError::Abort { operation: "flush", detail });
            }
            self.inner.poll(Duration::ZERO);
            if self.inner.in_flight_count() == in_flight {
                std::thread::sleep(REPORT_INTERVAL);
            }
        }
    }

    /// Commits the transaction: when this returns `Ok`, readers see all of it.
    ///
    /// # Errors
    /// [`KafkaError::Abort`]: nothing of it will be seen once it is aborted. [`KafkaError::Restore`]: it is unknown whether it
    /// was committed; drop the producer and read back.
    pub fn commit(&mut self) -> Result<(), KafkaError> {
        self.flush()?;
        let committed = repeat(&self.inner, "commit transaction", self.patience, |producer, wait| {
            producer.commit_transaction(wait)
        });
        match committed {
            Err(KafkaError::Retry { operation, detail }) => Err(KafkaError::Restore { operation, detail }),
            other => other,
        }
    }

    /// Aborts the transaction: readers will see nothing of it.
    ///
    /// # Errors
    /// [`KafkaError::Restore`] or [`KafkaError::Fenced`]: drop the producer; the broker ends the transaction itself.
    pub fn abort(&mut self) -> Result<(), KafkaError> {
        let deadline = Deadline::after(self.patience);
        loop {
            // The abort waits for the reports of purged records, which only our poll takes off the queue.
            let Err(error) = self.inner.abort_transaction(Duration::from_millis(200)) else { return Ok(()) };
            match KafkaError::from_transaction("abort transaction", &error) {
                KafkaError::Retry { .. } if !deadline.passed() => self.inner.poll(Duration::from_millis(5)),
                KafkaError::Retry { operation, detail } | KafkaError::Abort { operation, detail } => {
                    return Err(KafkaError::Restore { operation, detail });
                }
                other => return Err(other),
            }
        }
    }

    /// How many records the transaction has so far.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// The offset of the `index`-th record of the transaction, counted from 0 in the order sent: known for every one after a
    /// successful commit, until the next transaction begins.
    pub fn delivered_at(&self, index: usize) -> Option<i64> {
        self.delivery(index).map(|(_, offset)| offset)
    }

    /// Partition and offset of the `index`-th record of the transaction: known of every one after a [`flush`](Self::flush).
    pub fn delivery(&self, index: usize) -> Option<(i32, i64)> {
        let (partition, offset) = *self.inner.context().deliveries.lock().get(index)?;
        (offset >= 0).then_some((partition, offset))
    }

    /// Partition and offset of each record of the transaction, in the order sent; complete after a successful commit.
    pub(crate) fn take_deliveries(&mut self) -> Vec<(i32, i64)> {
        self.inner.context().take(self.sent)
    }

    fn init(&self) -> Result<(), KafkaError> {
        let initialised =
            repeat(&self.inner, "init transactions", PATIENCE, |producer, wait| producer.init_transactions(wait));
        initialised.map_err(|error| match error {
            KafkaError::Retry { detail, .. } => KafkaError::unavailable(&self.config.brokers, detail),
            other => other,
        })
    }
}

/// Repeats a resumable transactional call until it succeeds, fails for good, or `timeout` is over.
fn repeat(
    producer: &BaseProducer<DeliveryContext>,
    operation: &'static str,
    timeout: Duration,
    call: impl Fn(&BaseProducer<DeliveryContext>, Duration) -> Result<(), rdkafka::error::KafkaError>,
) -> Result<(), KafkaError> {
    let deadline = Deadline::after(timeout);
    loop {
        let wait = deadline.remaining().clamp(Duration::from_millis(100), Duration::from_secs(5));
        let Err(error) = call(producer, wait) else { return Ok(()) };
        match KafkaError::from_transaction(operation, &error) {
            KafkaError::Retry { detail, .. } if !deadline.passed() => {
                debug!(operation, detail, "transactional call repeated");
                producer.poll(Duration::from_millis(20));
            }
            other => return Err(other),
        }
    }
}

/// Makes a call on a thread of its own and waits for it no longer than `patience`.
fn bounded(
    operation: &'static str,
    patience: Duration,
    call: impl FnOnce() -> Result<(), KafkaError> + Send + 'static,
) -> Result<(), KafkaError> {
    let restore = |detail| KafkaError::Restore { operation, detail };
    let (answer, answered) = mpsc::sync_channel(1);
    let caller = std::thread::Builder::new().name("kafka-call".to_owned());
    // The thread's end is not waited for: whoever gave up has dropped the other end of the channel.
    let spawned = caller.spawn(move || drop(answer.send(call())));
    spawned.map_err(|error| restore(format!("no thread for it: {error}")))?;
    answered
        .recv_timeout(patience)
        .unwrap_or_else(|_| Err(restore(format!("the kafka client hangs, given up after {} ms", patience.as_millis()))))
}

/// The settings of librdkafka that a transactional producer depends on.
fn settings(config: &KafkaConfig, options: &ProducerOptions) -> Result<ClientConfig, KafkaError> {
    let mut native = config.client()?;
    let timeout_ms = options.transaction_timeout.as_millis().to_string();
    native
        .set("transactional.id", config.wire_name(&options.transactional_id))
        .set("transaction.timeout.ms", &timeout_ms)
        // Left alone, librdkafka lowers both to fit the transaction timeout; said here so that nobody raises one of them.
        .set("message.timeout.ms", &timeout_ms)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "2")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("queue.buffering.max.messages", "500000");
    Ok(native)
}

/// Collects delivery reports: `deliveries[n]` is where the n-th record of the transaction went.
#[derive(Default)]
struct DeliveryContext {
    deliveries: Mutex<Vec<(i32, i64)>>,
}

impl DeliveryContext {
    fn clear(&self) {
        self.deliveries.lock().clear();
    }

    fn take(&self, count: usize) -> Vec<(i32, i64)> {
        let mut deliveries = std::mem::take(&mut *self.deliveries.lock());
        deliveries.truncate(count);
        deliveries
    }
}

impl ClientContext for DeliveryContext {
    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        // What matters comes back from the transactional calls.
        remark(&error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        match result {
            Ok(message) => {
                let mut deliveries = self.deliveries.lock();
                if deliveries.len() <= index {
                    deliveries.resize(index + 1, (-1, -1));
                }
                deliveries[index] = (message.partition(), message.offset());
            }
            Err((error, message)) => match error.rdkafka_error_code() {
                Some(Code::PurgeQueue | Code::PurgeInflight) => {}
                _ => warn!(%error, topic = message.topic(), "record not delivered"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::{MockCluster, MockCoordinator};

    use super::*;
    use crate::consumer::ConsumerOptions;

    /// librdkafka's own small brokers, of which one can be away for good.
    #[test]
    fn without_the_groups_coordinator_a_commit_is_given_up_and_a_new_producer_goes_on() {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("in", 1, 1).unwrap();
        cluster.coordinator(MockCoordinator::Group("g".to_owned()), 2).unwrap();
        cluster.coordinator(MockCoordinator::Transaction("t".to_owned()), 1).unwrap();
        let kafka = KafkaConfig::new(cluster.bootstrap_servers(), "");
        let options = ProducerOptions { transactional_id: "t".to_owned(), transaction_timeout: Duration::from_secs(1) };
        let consumer = Consumer::new(&kafka, &ConsumerOptions::new("g", ["in"])).unwrap();
        let offset = |offset| Committed { offset, metadata: String::new() };
        let at = |at| BTreeMap::from([(TopicPartition::new("in", 0), offset(at))]);

        let mut producer = TransactionalProducer::new(&kafka, &options).unwrap();
        producer.begin().unwrap();
        producer.send_offsets(&at(1), &consumer).unwrap();
        producer.commit().unwrap();

        cluster.broker_down(2).unwrap();
        producer.begin().unwrap();
        // Once librdkafka keeps its time limit, this becomes an `Abort`, and the thread can go.
        let given_up = producer.send_offsets(&at(2), &consumer).unwrap_err();
        assert!(matches!(given_up, KafkaError::Restore { .. }), "{given_up}");
        drop(producer);

        cluster.coordinator(MockCoordinator::Group("g".to_owned()), 3).unwrap();
        let mut producer = TransactionalProducer::new(&kafka, &options).unwrap();
        producer.begin().unwrap();
        producer.send_offsets(&at(2), &consumer).unwrap();
        producer.commit().unwrap();
    }

    #[test]
    fn no_record_outlives_its_transaction_and_keys_are_hashed_as_by_java() {
        let options =
            ProducerOptions { transactional_id: "t".to_owned(), transaction_timeout: Duration::from_millis(7_000) };
        let native = settings(&KafkaConfig::new("b:9092", "p."), &options).unwrap();
        let set = |name| native.get(name).unwrap();
        let millis = |name| set(name).parse::<u64>().unwrap();
        assert!(millis("message.timeout.ms") <= millis("transaction.timeout.ms"));
        assert_eq!(millis("transaction.timeout.ms"), 7_000);
        assert_eq!((set("partitioner"), set("acks"), set("enable.idempotence")), ("murmur2_random", "all", "true"));
        assert_eq!(set("transactional.id"), "p.t");
    }
}
