//! Topics and offsets of the cluster. All calls block; from async code use `spawn_blocking`.

mod acls;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as NativeError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;
use tracing::warn;
use vigie_clock::Timestamp;

use crate::config::KafkaConfig;
use crate::deadline::Deadline;
use crate::error::KafkaError;
use crate::open_transaction;
use crate::quiet::QuietConsumer;
use crate::record::TopicPartition;

/// How long a call waits for the brokers.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long it looks for the reason why no broker answered.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits before it asks for a partition's leader again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// By then a broker has ended the transaction of a writer that died: they last 10 s, and brokers look every 10 s, left alone.
const ENDED_BY_THEN: Duration = Duration::from_secs(25);

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The name, without the prefix.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Copies of each partition; -1 takes the broker's default.
    pub replication: i32,
    /// Settings that differ from the broker's defaults.
    pub config: BTreeMap<String, String>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// How many partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// All settings, defaults too.
    pub config: BTreeMap<String, String>,
}

/// What `create_topics` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The topic is new.
    New,
    /// It was there already and was left as it is.
    Existed,
}

/// A client for topics, offsets and groups.
pub struct Admin {
    config: KafkaConfig,
    admin: Arc<AdminClient<DefaultClientContext>>,
    /// Answers with high watermarks: the ends of the logs.
    uncommitted: QuietConsumer,
    /// Answers with last stable offsets: the ends of what can be read.
    committed: QuietConsumer,
}

impl Admin {
    /// A client. Does not connect yet.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if librdkafka rejects the settings, [`KafkaError::Unavailable`]
    /// without a token.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let operation = "create admin client";
        let native = config.client()?;
        let reader = |level: &str| config.quiet_consumer(operation, native.clone().set("isolation.level", level));
        let admin = native.create().map_err(|e| KafkaError::from_native(operation, &e))?;
        let admin: Arc<AdminClient<DefaultClientContext>> = Arc::new(admin);
        config.sign_in(&admin)?;
        Ok(Self {
            config: config.clone(),
            admin,
            uncommitted: reader("read_uncommitted")?,
            committed: reader("read_committed")?,
        })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// Creates the topics that do not exist. Existing ones are left as they are, whatever they look like.
    ///
    /// # Errors
    /// At the first topic that cannot be created.
    pub fn create_topics(&self, topics: &[TopicSpec]) -> Result<Vec<(String, Created)>, KafkaError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let wire: Vec<String> = topics.iter().map(|topic| self.config.wire_name(&topic.name)).collect();
        let mut requests = Vec::with_capacity(topics.len());
        for (topic, wire) in topics.iter().zip(&wire) {
            let mut request = NewTopic::new(wire, topic.partitions, TopicReplication::Fixed(topic.replication));
            for (key, value) in &topic.config {
                request = request.set(key, value);
            }
            requests.push(request);
        }
        let results =
            block_on(self.admin.create_topics(&requests, &options())).map_err(|e| self.failed("create topics", &e))?;
        let mut created = Vec::with_capacity(topics.len());
        for (topic, result) in topics.iter().zip(results) {
            match result {
                Ok(_) => created.push((topic.name.clone(), Created::New)),
                Err((_, Code::TopicAlreadyExists)) => created.push((topic.name.clone(), Created::Existed)),
                Err((_, code)) => return Err(per_topic("create topic", &topic.name, code)),
            }
        }
        Ok(created)
    }

    /// Gives `topic` more partitions. Never fewer: Kafka cannot.
    ///
    /// # Errors
    /// If it has more already, or does not exist.
    pub fn add_partitions(&self, topic: &str, total: i32) -> Result<(), KafkaError> {
        let wire = self.config.wire_name(topic);
        let total = usize::try_from(total)
            .map_err(|_| KafkaError::fatal("add partitions", format!("{total} partitions, expected at least 1")))?;
        let request = [NewPartitions::new(&wire, total)];
        let results = block_on(self.admin.create_partitions(&request, &options()))
            .map_err(|e| self.failed("add partitions", &e))?;
        self.first_failure("add partitions", results)
    }

    /// Sets the given settings of `topic` and resets all others to the broker's defaults.
    ///
    /// # Errors
    /// If a setting is refused.
    pub fn alter_config(&self, topic: &str, config: &BTreeMap<String, String>) -> Result<(), KafkaError> {
        let wire = self.config.wire_name(topic);
        let mut request = AlterConfig::new(ResourceSpecifier::Topic(&wire));
        for (key, value) in config {
            request = request.set(key, value);
        }
        let results = block_on(self.admin.alter_configs(&[request], &options()))
            .map_err(|e| self.failed("alter configuration", &e))?;
        for result in results {
            result.map_err(|(_, code)| per_topic("alter configuration", topic, code))?;
        }
        Ok(())
    }

    /// Deletes topics; those that do not exist are passed over.
    ///
    /// # Errors
    /// At the first topic that cannot be deleted.
    pub fn delete_topics<T: AsRef<str>>(&self, topics: &[T]) -> Result<(), KafkaError> {
        if topics.is_empty() {
            return Ok(());
        }
        let wire: Vec<String> = topics.iter().map(|topic| self.config.wire_name(topic.as_ref())).collect();
        let wire: Vec<&str> = wire.iter().map(String::as_str).collect();
        let results =
            block_on(self.admin.delete_topics(&wire, &options())).map_err(|e| self.failed("delete topics", &e))?;
        self.first_failure("delete topic", results)
    }

    /// Deletes the records of each partition before the given offset, as its retention would.
    ///
    /// # Errors
    /// At the first partition that refuses.
    pub fn delete_records(&self, before: &BTreeMap<TopicPartition, i64>) -> Result<(), KafkaError> {
        let list = self.config.wire_offsets("delete records", before)?;
        let answers =
            block_on(self.admin.delete_records(&list, &options())).map_err(|e| self.failed("delete records", &e))?;
        answers.elements().iter().try_for_each(|at| at.error().map_err(|e| self.failed("delete records", &e)))
    }

    /// Deletes consumer groups without members; those that do not exist are passed over.
    ///
    /// # Errors
    /// At the first group that cannot be deleted.
    pub fn delete_groups<T: AsRef<str>>(&self, groups: &[T]) -> Result<(), KafkaError> {
        let wire: Vec<String> = groups.iter().map(|group| self.config.wire_name(group.as_ref())).collect();
        let wire: Vec<&str> = wire.iter().map(String::as_str).collect();
        let results =
            block_on(self.admin.delete_groups(&wire, &options())).map_err(|e| self.failed("delete groups", &e))?;
        self.first_failure("delete group", results)
    }

    /// How many members `group` has; 0 if there is no such group.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if no broker answers.
    pub fn members(&self, group: &str) -> Result<usize, KafkaError> {
        let wire = self.config.wire_name(group);
        let found = self.committed.fetch_group_list(Some(&wire), TIMEOUT);
        let found = found.map_err(|e| self.failed("describe group", &e))?;
        Ok(found.groups().iter().map(|group| group.members().len()).sum())
    }

    /// The topics whose names carry the prefix (without it), and their partitions; internal topics are left out.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if no broker answers.
    pub fn list_topics(&self) -> Result<BTreeMap<String, i32>, KafkaError> {
        let metadata = self.committed.fetch_metadata(None, TIMEOUT).map_err(|e| self.failed("list topics", &e))?;
        let mut topics = BTreeMap::new();
        for topic in metadata.topics() {
            if let Some(name) = self.config.plain_name(topic.name())
                && !topic.name().starts_with("__")
            {
                topics.insert(name.to_owned(), count(topic.partitions().len()));
            }
        }
        Ok(topics)
    }

    /// How many partitions `topic` has; `None` if it does not exist.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if no broker answers.
    pub fn partitions(&self, topic: &str) -> Result<Option<i32>, KafkaError> {
        Ok(self.shape(topic)?.map(|(partitions, _)| partitions))
    }

    /// `topic` as it is; `None` if it does not exist.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if no broker answers.
    pub fn describe(&self, topic: &str) -> Result<Option<TopicDescription>, KafkaError> {
        let Some((partitions, replication)) = self.shape(topic)? else { return Ok(None) };
        let wire = self.config.wire_name(topic);
        let resource = [ResourceSpecifier::Topic(&wire)];
        let answers = block_on(self.admin.describe_configs(&resource, &options()))
            .map_err(|e| self.failed("describe topic", &e))?;
        let mut config = BTreeMap::new();
        for answer in answers {
            let resource = answer.map_err(|code| per_topic("describe topic", topic, code))?;
            for entry in resource.entries {
                config.insert(entry.name, entry.value.unwrap_or_default());
            }
        }
        Ok(Some(TopicDescription { partitions, replication, config }))
    }

    /// The oldest offset, and the end of the log with what is not committed yet (the high watermark).
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if the broker does not answer.
    pub fn watermarks(&self, partition: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        self.watermarks_by(&self.uncommitted, partition)
    }

    /// The oldest offset, and the end of what can be read now (the last stable offset).
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if the broker does not answer.
    pub fn stable_watermarks(&self, partition: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        self.watermarks_by(&self.committed, partition)
    }

    /// The ends of what can be read now, by partition.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if the broker does not answer, [`KafkaError::Retry`] if there is no such topic.
    pub fn end_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let partitions = self.existing(topic)?;
        let end = |p| Ok((p, self.stable_watermarks(&TopicPartition::new(topic, p))?.1));
        (0..partitions).map(end).collect()
    }

    /// The offset, in each partition, of the first record whose timestamp is `time` or later; the end where there is none.
    ///
    /// # Errors
    /// [`KafkaError::Unavailable`] if the broker does not answer, [`KafkaError::Retry`] if there is no such topic.
    pub fn offsets_for_time(&self, topic: &str, time: Timestamp) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let partitions = self.existing(topic)?;
        if time.as_millis() <= 0 {
            // Zero and less have other meanings where librdkafka takes the time: all records are as late as that.
            let start = |p| Ok((p, self.watermarks(&TopicPartition::new(topic, p))?.0));
            return (0..partitions).map(start).collect();
        }
        // The ends come first: a record that is committed between the two requests lies after the end, and is not passed over.
        let ends = self.end_offsets(topic)?;
        let asked: BTreeMap<_, _> = ends.keys().map(|p| (TopicPartition::new(topic, *p), time.as_millis())).collect();
        let list = self.config.wire_offsets("find offsets", &asked)?;
        let found = self.committed.offsets_for_times(list, TIMEOUT).map_err(|e| self.failed("find offsets", &e))?;
        let mut offsets = ends;
        for element in found.elements() {
            element.error().map_err(|e| self.failed("find offsets", &e))?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        Ok(offsets)
    }

    /// Waits until all transactions below `offset` have ended.
    pub(crate) fn wait_until_stable(
        &self,
        partition: &TopicPartition,
        offset: i64,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let deadline = Deadline::after(timeout);
        let mut patience = Some(Deadline::after(ENDED_BY_THEN));
        loop {
            let (_, stable) = self.stable_watermarks(partition)?;
            if stable >= offset {
                return Ok(());
            }
            if patience.take_if(|patience| patience.passed()).is_some() {
                warn!(%partition, stable, offset, "waiting for a transaction that should have ended by now");
            }
            if deadline.passed() {
                let open = open_transaction::describe(&self.config, partition, stable);
                let detail = format!("{partition} is readable up to {stable} of {offset}: {open}");
                return Err(KafkaError::retry("read to end", detail));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn watermarks_by(&self, client: &QuietConsumer, partition: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        let wire = self.config.wire_name(&partition.topic);
        let deadline = Deadline::after(TIMEOUT);
        loop {
            match client.fetch_watermarks(&wire, partition.partition, TIMEOUT) {
                Ok(found) => return Ok(found),
                // The client asked the broker that it knows as the leader, and now learns who is. Each partition has to be learned.
                Err(error) if has_moved(&error) && !deadline.passed() => std::thread::sleep(ASK_AGAIN),
                Err(error) => return Err(self.failed("fetch watermarks", &error)),
            }
        }
    }

    fn existing(&self, topic: &str) -> Result<i32, KafkaError> {
        self.partitions(topic)?.ok_or_else(|| {
            KafkaError::retry("find offsets", format!("there is no topic {topic}, expected an existing one"))
        })
    }

    /// Partitions and replication of a topic.
    fn shape(&self, topic: &str) -> Result<Option<(i32, i32)>, KafkaError> {
        let wire = self.config.wire_name(topic);
        let metadata =
            self.committed.fetch_metadata(Some(&wire), TIMEOUT).map_err(|e| self.failed("describe topic", &e))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == wire) else { return Ok(None) };
        match found.error().map(Code::from) {
            None => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
            Some(code) => return Err(per_topic("describe topic", topic, code)),
        }
        if found.partitions().is_empty() {
            return Ok(None);
        }
        let replicas = found.partitions().first().map_or(0, |partition| partition.replicas().len());
        Ok(Some((count(found.partitions().len()), count(replicas))))
    }

    fn first_failure(
        &self,
        operation: &'static str,
        results: Vec<Result<String, (String, Code)>>,
    ) -> Result<(), KafkaError> {
        for result in results {
            match result {
                Ok(_) | Err((_, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::GroupIdNotFound)) => {}
                Err((name, code)) => {
                    return Err(per_topic(operation, self.config.plain_name(&name).unwrap_or(&name), code));
                }
            }
        }
        Ok(())
    }

    fn failed(&self, operation: &'static str, error: &NativeError) -> KafkaError {
        let failed = match error {
            // rdkafka hides the code of this one from its accessor.
            NativeError::AdminOp(code) => self.config.reached(operation, &NativeError::Global(*code)),
            other => self.config.reached(operation, other),
        };
        // This client does not learn why; another one does.
        let reason = failed.is_unavailable().then(|| self.config.ping(LOOK).err()).flatten();
        reason.filter(KafkaError::is_unavailable).unwrap_or(failed)
    }
}

/// Whether another broker leads the partition, or will in a moment.
fn has_moved(error: &NativeError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| matches!(code, Code::NotLeaderForPartition | Code::LeaderNotAvailable))
}

fn per_topic(operation: &'static str, name: &str, code: Code) -> KafkaError {
    KafkaError::from_code(operation, code, format!("{name}: {code}"))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

fn count(items: usize) -> i32 {
    i32::try_from(items).unwrap_or(i32::MAX)
}

/// Waits for a future of the admin client, which its own thread completes.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
