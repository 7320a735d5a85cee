//! Services to start and stop, and topics to write and read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use tokio::task::JoinHandle;
use vigie_clock::{Clock, SharedClock, SystemClock};
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig, OutgoingRecord, Publisher, Record, Start, TopicSpec, read_to_end};
use vigie_processors::growth::{Grown, grow};
use vigie_processors::replay::{self, Control};
use vigie_processors::{sentiment, trends};
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
    pub ctx: Context,
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
        let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
        let publisher = Publisher::new(&kafka, "test");
        let bench = Self { stack, kafka, codec, publisher };
        bench.create(Topic::ALL, partitions);
        bench
    }

    pub(crate) fn create(&self, topics: impl IntoIterator<Item = Topic>, partitions: i32) {
        let topics = topics.into_iter().flat_map(|topic| topic.configs_of(partitions));
        let specs: Vec<TopicSpec> = topics
            .map(|t| TopicSpec { name: t.name, partitions: t.partitions, replication: 1, config: t.config })
            .collect();
        tokio::task::block_in_place(|| Admin::new(&self.kafka).unwrap().create_topics(&specs)).unwrap();
    }

    pub(crate) fn delete(&self, topic: Topic) {
        tokio::task::block_in_place(|| Admin::new(&self.kafka).unwrap().delete_topics(&[topic.name()])).unwrap();
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
            "--commit-interval",
            "50ms",
            "--transaction-timeout",
            "5s",
        ];
        Cli::<C>::try_parse_from([&own, extra].concat()).unwrap_or_else(|error| panic!("{error}")).config
    }

    pub(crate) fn start(&self) -> Services {
        self.start_with(&[], &[])
    }

    /// With options of the sentiment and of the trends service.
    pub(crate) fn start_with(&self, sentiment: &[&str], trends: &[&str]) -> Services {
        let ctx = Context::system();
        let scoring = self.sentiment(sentiment, ctx.clone());
        let counting = self.config::<trends::Config>(&[&["--stream-threads", "2"], trends].concat()).check();
        let counting = trends::run(counting.map_err(ServiceError::Config).unwrap(), ctx.clone());
        Services { ctx, running: vec![tokio::spawn(scoring), tokio::spawn(counting)] }
    }

    pub(crate) fn sentiment(
        &self,
        options: &[&str],
        ctx: Context,
    ) -> impl Future<Output = Result<(), ServiceError>> + use<> {
        let options = [&["--author-key", "0123456789abcdef"], options].concat();
        let checked = self.config::<sentiment::Config>(&options).check_with(Lexicon::analyser());
        sentiment::run(checked.map_err(ServiceError::Config).unwrap(), ctx)
    }

    /// The options of a replay.
    pub(crate) fn replay_options(&self, run_id: &str, options: &[&str]) -> replay::Checked {
        let own = ["--author-key", "0123456789abcdef", "--run-id", run_id];
        let config = self.config::<replay::Config>(&[&own, options].concat());
        config.check_with(Lexicon::analyser()).map_err(ServiceError::Config).unwrap()
    }

    /// Replays until it is done, or stopped; what it keeps stays.
    pub(crate) async fn replay(
        &self,
        run_id: &str,
        options: &[&str],
        ctx: Context,
        control: Control,
    ) -> Result<Option<replay::RunReport>, ServiceError> {
        match replay::open(self.replay_options(run_id, options), ctx).await?.begin(control.clone()).await? {
            Some(run) => run.run(control).await,
            None => Ok(None),
        }
    }

    /// Cleans up after a run, until its topics no longer show.
    pub(crate) async fn clean_up(&self, run_id: &str) {
        tokio::task::block_in_place(|| replay::clean_up(&self.kafka, run_id)).unwrap();
        let (clock, mut looks) = (SystemClock::default(), tokio::time::interval(Duration::from_millis(20)));
        while self.topics().iter().any(|topic| topic.contains(run_id)) {
            assert!(clock.monotonic() < DEADLINE, "{:?}", self.topics());
            looks.tick().await;
        }
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

    /// Moves the live run, which is stopped, to more partitions, once it has processed all.
    pub(crate) async fn grow(&mut self, partitions: i32) -> Vec<Grown> {
        for _ in 0..20 {
            let clock: SharedClock = Arc::new(SystemClock::default());
            let unprocessed = match tokio::task::block_in_place(|| grow(&self.kafka, partitions, &clock)) {
                Ok(grown) => {
                    // A client goes on with the partitions that it found first.
                    self.publisher = Publisher::new(&self.kafka, "test");
                    return grown;
                }
                Err(error) => error.to_string(),
            };
            assert!(unprocessed.contains("that are not processed"), "{unprocessed}");
            let services = self.start();
            services.wait_until_ready().await;
            services.stop().await;
        }
        panic!("the live run does not process all")
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
