//! Services to start and stop, and topics to write and read.

use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use tokio::task::JoinHandle;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig, OutgoingRecord, Publisher, Record, Start, TopicSpec, read_to_end};
use vigie_processors::{replay, sentiment, trends};
use vigie_schemas::{AvroRecord, Codec, DEFAULT_PARTITIONS, RawPost, RegistryConfig, Topic, register_schemas};
use vigie_stack::testing::{TestStack, shared};

use crate::posts::Lexicon;

pub(crate) const DEADLINE: Duration = Duration::from_secs(90);
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Cli<C: clap::Args> {
    #[command(flatten)]
    config: C,
}

pub(crate) struct Bench {
    stack: TestStack,
    pub kafka: KafkaConfig,
    pub codec: Codec,
    publisher: Publisher,
}

/// The two services, running.
pub(crate) struct Services {
    ctx: Context,
    running: Vec<JoinHandle<Result<(), ServiceError>>>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with_partitions(DEFAULT_PARTITIONS).await
    }

    pub(crate) async fn with_partitions(partitions: i32) -> Self {
        let stack = tokio::task::block_in_place(shared);
        let kafka = KafkaConfig::new(&stack.brokers, &stack.prefix);
        let registry = RegistryConfig::at(stack.registry_url.clone());
        register_schemas(&registry, &stack.prefix).await.expect("schemas can be registered");
        let topics = Topic::ALL.into_iter().flat_map(|topic| topic.configs_of(partitions));
        let specs: Vec<TopicSpec> = topics
            .map(|t| TopicSpec { name: t.name, partitions: t.partitions, replication: 1, config: t.config })
            .collect();
        tokio::task::block_in_place(|| Admin::new(&kafka).unwrap().create_topics(&specs)).unwrap();
        let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
        let publisher = Publisher::new(&kafka, "test");
        Self { stack, kafka, codec, publisher }
    }

    /// A configuration, read as the command line's would be.
    fn config<C: clap::Args>(&self, extra: &[&str]) -> C {
        let own = [
            "test",
            "--kafka-brokers",
            &self.stack.brokers,
            "--kafka-topic-prefix",
            &self.stack.prefix,
            "--schema-registry-url",
            &self.stack.registry_url,
            "--commit-interval-ms",
            "50",
            "--transaction-timeout-ms",
            "5000",
        ];
        Cli::<C>::try_parse_from([&own, extra].concat()).unwrap_or_else(|error| panic!("{error}")).config
    }

    pub(crate) fn start(&self) -> Services {
        self.start_with(&[])
    }

    /// With options of the sentiment topology.
    pub(crate) fn start_with(&self, options: &[&str]) -> Services {
        let ctx = Context::system();
        let options = [&["--author-key", "0123456789abcdef"], options].concat();
        let scoring = self.config::<sentiment::Config>(&options).check_with(Lexicon::analyser());
        let scoring = sentiment::run(scoring.map_err(ServiceError::Config).unwrap(), ctx.clone());
        let counting = self.config::<trends::Config>(&["--stream-threads", "2"]).check();
        let counting = trends::run(counting.map_err(ServiceError::Config).unwrap(), ctx.clone());
        Services { ctx, running: vec![tokio::spawn(scoring), tokio::spawn(counting)] }
    }

    /// Replays what was published from `from` to `to`, milliseconds since the epoch.
    pub(crate) async fn replay(
        &self,
        (from, to): (i64, i64),
        run_id: &str,
        ctx: Context,
    ) -> Result<replay::RunReport, ServiceError> {
        self.replay_in((from, to), run_id, &[], ctx).await
    }

    /// As [`Bench::replay`], with more options.
    pub(crate) async fn replay_with(
        &self,
        range: (i64, i64),
        run_id: &str,
        options: &[&str],
    ) -> Result<replay::RunReport, ServiceError> {
        self.replay_in(range, run_id, options, Context::system()).await
    }

    async fn replay_in(
        &self,
        (from, to): (i64, i64),
        run_id: &str,
        options: &[&str],
        ctx: Context,
    ) -> Result<replay::RunReport, ServiceError> {
        let [from, to] = [from, to].map(|millis| Timestamp::from_millis(millis).to_string());
        let args = ["--author-key", "0123456789abcdef", "--from", &from, "--to", &to, "--run-id", run_id];
        let config = self.config::<replay::Config>(&[&args, options].concat());
        replay::run(config.check_with(Lexicon::analyser())?, ctx, |_| {}).await
    }

    pub(crate) async fn publish(&self, posts: &[RawPost]) {
        let mut records = Vec::new();
        for post in posts {
            let value = self.codec.encode(Topic::PostsRaw.name(), post).await.unwrap();
            records.push(OutgoingRecord::new(Topic::PostsRaw.name(), Bytes::from(post.post_id.clone()), value));
        }
        self.publisher.publish(records).await.unwrap();
    }

    pub(crate) async fn publish_garbage(&self, key: &str) {
        let record = OutgoingRecord::new(Topic::PostsRaw.name(), Bytes::from(key.to_owned()), "no avro at all");
        self.publisher.publish(vec![record]).await.unwrap();
    }

    pub(crate) async fn publish_deletion(&self, key: &str) {
        let (topic, key) = (Topic::PostsRaw.name().to_owned(), Some(Bytes::from(key.to_owned())));
        self.publisher.publish(vec![OutgoingRecord { topic, key, ..OutgoingRecord::default() }]).await.unwrap();
    }

    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        let read = || read_to_end(&self.kafka, topic, &Start::Beginning)?.collect::<Result<Vec<_>, _>>();
        tokio::task::block_in_place(read).unwrap()
    }

    pub(crate) async fn decoded<T: AvroRecord>(&self, topic: &str) -> Vec<T> {
        let mut values = Vec::new();
        for record in self.records(topic) {
            values.push(self.codec.decode(&record.value.unwrap()).await.unwrap());
        }
        values
    }

    pub(crate) fn partitions(&self, topic: &str) -> Option<i32> {
        tokio::task::block_in_place(|| Admin::new(&self.kafka)?.partitions(topic)).unwrap()
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        let list = || Admin::new(&self.kafka)?.list_topics();
        tokio::task::block_in_place(list).unwrap().into_keys().collect()
    }
}

impl Services {
    /// Asks the services to stop and waits for the drain, which must not take long.
    pub(crate) async fn stop(mut self) {
        let clock = SystemClock::default();
        self.ctx.shutdown.cancel();
        for service in std::mem::take(&mut self.running) {
            service.await.unwrap().unwrap_or_else(|error| panic!("{}", error.chain()));
        }
        assert!(clock.monotonic() < DRAIN, "the drain took {:?}, expected less than {DRAIN:?}", clock.monotonic());
    }

    /// Asks the services until all are ready: a rebalance may be under way.
    pub(crate) async fn wait_until_ready(&self) {
        let clock = SystemClock::default();
        let mut ask = tokio::time::interval(Duration::from_millis(20));
        while !self.ctx.health.report().ready {
            assert!(clock.monotonic() < DEADLINE, "not ready: {:?}", self.ctx.health.report());
            ask.tick().await;
        }
    }
}

/// A test that fails leaves no service behind: the runtime would wait for it for ever.
impl Drop for Services {
    fn drop(&mut self) {
        self.ctx.shutdown.cancel();
    }
}
