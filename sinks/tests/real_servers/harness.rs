//! One pipeline for a test: its own topics, database and keys on the shared servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use vigie_clock::Clock;
use vigie_daemon::{Context, SecretArg, ServiceError};
use vigie_kafka_client::{KafkaConfig, OutgoingRecord, Publisher, Record, Start, read_to_end};
use vigie_schemas::{AvroRecord, Codec, DeadLetter, RegistryConfig, Topic, register_schemas};
use vigie_sinks::{BatchOptions, PostgresSinkConfig, RedisSinkConfig, Retention, migrate, run_postgres, run_redis};
use vigie_stack::testing::{TestStack, shared};

use crate::topics::create_topics;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Pipeline {
    pub(crate) stack: TestStack,
    pub(crate) kafka: KafkaConfig,
    pub(crate) registry: RegistryConfig,
    pub(crate) codec: Codec,
    pub(crate) publisher: Publisher,
    pub(crate) db: tokio::sync::RwLock<Arc<Client>>,
}

impl Pipeline {
    /// Topics, schemas and tables are there and empty.
    pub(crate) async fn new() -> Self {
        Self::on(tokio::task::spawn_blocking(shared).await.unwrap()).await
    }

    /// On servers of the test's own, which it may kill.
    pub(crate) async fn on(stack: TestStack) -> Self {
        if let Ok(filter) = std::env::var("VIGIE_TEST_LOG") {
            vigie_daemon::init_logging(vigie_daemon::LogFormat::Text, &filter);
        }
        let kafka = KafkaConfig::new(&stack.brokers, &stack.prefix);
        let registry = RegistryConfig::at(stack.registry_url.clone());
        create_topics(&kafka).await;
        register_schemas(&registry, &stack.prefix).await.unwrap();
        let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
        migrate(&stack.postgres_url.parse().unwrap()).await.unwrap();
        let db = connect(&stack.postgres_url).await;
        let publisher = Publisher::new(&kafka, "test");
        let db = tokio::sync::RwLock::new(Arc::new(db));
        Self { stack, kafka, registry, codec, publisher, db }
    }

    pub(crate) async fn encode<T: AvroRecord>(&self, topic: Topic, key: &str, record: &T) -> OutgoingRecord {
        let value = self.codec.encode(topic.name(), record).await.unwrap();
        OutgoingRecord::new(topic.name(), key.to_owned(), value)
    }

    /// One transaction; the partition and offset of each record.
    pub(crate) async fn publish(&self, records: Vec<OutgoingRecord>) -> Vec<(i32, i64)> {
        self.publisher.publish(records).await.unwrap()
    }

    /// Publishes records of one kind, each under its own key.
    pub(crate) async fn publish_all<T: AvroRecord>(&self, topic: Topic, records: &[(String, T)]) -> Vec<(i32, i64)> {
        let mut outgoing = Vec::new();
        for (key, record) in records {
            outgoing.push(self.encode(topic, key, record).await);
        }
        self.publish(outgoing).await
    }

    /// All dead letters of a topic.
    pub(crate) async fn dead_letters(&self, topic: Topic) -> Vec<DeadLetter> {
        let (kafka, queue) = (self.kafka.clone(), topic.dead_letter_queue().unwrap());
        let read = move || -> Vec<Record> {
            read_to_end(&kafka, &queue, &Start::Beginning).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
        };
        let mut letters = Vec::new();
        for record in tokio::task::spawn_blocking(read).await.unwrap() {
            letters.push(self.codec.decode(record.value.as_deref().unwrap()).await.unwrap());
        }
        letters
    }

    pub(crate) fn postgres_config(&self) -> PostgresSinkConfig {
        PostgresSinkConfig {
            kafka: self.kafka.clone(),
            registry: self.registry.clone(),
            postgres_url: SecretArg::text(&self.stack.postgres_url),
            no_migrate: false,
            keep: Retention::default(),
            batch: BatchOptions { linger_ms: 5, ..BatchOptions::default() },
        }
    }

    /// The same database by way of a proxy.
    pub(crate) fn postgres_config_through(&self, port: u16) -> PostgresSinkConfig {
        let server = self.postgres_server().port().to_string();
        let url = self.stack.postgres_url.replace(&format!(":{server}/"), &format!(":{port}/"));
        PostgresSinkConfig { postgres_url: SecretArg::text(url), ..self.postgres_config() }
    }

    pub(crate) fn postgres_server(&self) -> SocketAddr {
        let url: tokio_postgres::Config = self.stack.postgres_url.parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], url.get_ports()[0]))
    }

    pub(crate) fn redis_config(&self) -> RedisSinkConfig {
        RedisSinkConfig {
            kafka: self.kafka.clone(),
            registry: self.registry.clone(),
            redis_url: SecretArg::text(&self.stack.redis_url),
            redis_prefix: self.stack.prefix.clone(),
            redis_rebuild_hours: 24,
            batch: BatchOptions { linger_ms: 5, ..BatchOptions::default() },
        }
    }

    pub(crate) fn start_postgres(&self) -> Service {
        Service::start(|ctx| tokio::spawn(run_postgres(self.postgres_config().check().unwrap(), ctx)))
    }

    pub(crate) fn start_redis(&self) -> Service {
        Service::start(|ctx| tokio::spawn(run_redis(self.redis_config().check().unwrap(), ctx)))
    }

    pub(crate) async fn db(&self) -> Arc<Client> {
        Arc::clone(&*self.db.read().await)
    }

    /// A new connection to the database, as after a crash of it.
    pub(crate) async fn reconnect(&self) {
        *self.db.write().await = Arc::new(connect(&self.stack.postgres_url).await);
    }

    /// As [`Self::publish_all`], while servers may be down.
    pub(crate) async fn try_publish<T: AvroRecord>(&self, topic: Topic, records: &[(String, T)]) -> Result<(), String> {
        let mut outgoing = Vec::new();
        for (key, record) in records {
            let value = self.codec.encode(topic.name(), record).await.map_err(|e| e.to_string())?;
            outgoing.push(OutgoingRecord::new(topic.name(), key.clone(), value));
        }
        self.publisher.publish(outgoing).await.map(drop).map_err(|e| e.to_string())
    }

    /// One number from the database.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.db().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Asks until the query gives `expected`.
    pub(crate) async fn until_number(&self, sql: &str, expected: i64) {
        eventually(&format!("{sql} = {expected}"), async || {
            let found = self.number(sql).await;
            if found == expected { Ok(()) } else { Err(found) }
        })
        .await;
    }

    pub(crate) async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> u64 {
        self.db().await.execute(sql, parameters).await.unwrap()
    }

    /// Everything that the tables of insights hold, as one hash.
    pub(crate) async fn fingerprint(&self) -> String {
        let mut parts = Vec::new();
        for table in ["posts", "post_assets", "trend_windows", "trend_window_revisions", "alerts", "runs"] {
            let sql = format!("SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t");
            parts.push(self.db().await.query_one(&sql, &[]).await.unwrap().get::<_, String>(0));
        }
        parts.join(" ")
    }
}

async fn connect(url: &str) -> Client {
    let (db, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    db
}

/// A sink that runs.
pub(crate) struct Service {
    pub(crate) ctx: Context,
    task: JoinHandle<Result<(), ServiceError>>,
}

/// A test that panics must not wait for its sinks for ever.
impl Drop for Service {
    fn drop(&mut self) {
        self.ctx.shutdown.cancel();
    }
}

impl Service {
    pub(crate) fn start(run: impl FnOnce(Context) -> JoinHandle<Result<(), ServiceError>>) -> Self {
        let ctx = Context::system();
        let task = run(ctx.clone());
        Self { ctx, task }
    }

    /// Asks it to stop; it must do so in order, and soon.
    pub(crate) async fn stop(mut self) {
        let asked = self.ctx.clock.monotonic();
        self.ctx.shutdown.cancel();
        (&mut self.task).await.unwrap().unwrap();
        let took = self.ctx.clock.monotonic() - asked;
        assert!(took < Duration::from_secs(10), "the drain took {took:?}, expected less than 10 s");
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Result<(), ServiceError> {
        (&mut self.task).await.unwrap()
    }

    pub(crate) fn ready(&self) -> bool {
        self.ctx.health.report().ready
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.ctx.metrics.gather();
        let family = families.iter().filter(|family| family.name() == name);
        family
            .flat_map(|family| family.get_metric())
            .map(|m| m.get_counter().get_value() + m.get_gauge().get_value())
            .sum()
    }
}

/// Asks again and again until the answer is `Ok`; panics with the last answer after a minute.
pub(crate) async fn eventually<T, E: std::fmt::Debug>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let clock = vigie_clock::SystemClock::default();
    let started = clock.monotonic();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) if clock.monotonic() - started > PATIENCE => {
                panic!("{what}: not within {PATIENCE:?}, last {last:?}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
