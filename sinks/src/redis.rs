//! The stream of live events, which can be rebuilt from the topics at any time. The crate's README lists the keys.
//!
//! A batch is one Lua script: it compares the offsets, appends the events, stores the offsets. So a redelivered batch changes nothing, and
//! a snapshot that Redis restarts from is whole. If Redis is emptied, the offsets are gone with the events, and both are rebuilt from the
//! topics' recent past.

mod event;

use std::time::Duration;

use clap::Args;
use fred::clients::Client;
use fred::interfaces::{ClientLike, HashesInterface, LuaInterface};
use fred::types::Builder;
use fred::types::config::ReconnectPolicy;
use serde_json::json;
use tokio::sync::OnceCell;
use vigie_daemon::{Check, Context, Mistake, SecretArg, ServiceError};
use vigie_kafka_client::{KafkaConfig, TopicPartition};
use vigie_schemas::redis::{EVENTS, OFFSETS, PREFIX};
use vigie_schemas::{RegistryConfig, Service, Topic};
use vigie_stores::RedisUrl;

use crate::config::BatchOptions;
use crate::driver;
use crate::sink::{Batch, Offsets, Sink, SinkError, Start, Written};

const NAME: &str = Service::SinkRedis.name();
/// What it reads.
pub const REDIS_TOPICS: [Topic; 3] = [Topic::InsightsSentiment, Topic::InsightsTrends, Topic::InsightsAlerts];
const SCRIPT: &str = include_str!("redis/write.lua");
/// Redis answers nobody else while the script runs: some 10 ms.
const LARGEST_BATCH: u32 = 1_000;
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
const EVENTS_CAP: u32 = 10_000;

/// Options of `vigie sink redis`.
#[derive(Args, Clone, Debug)]
pub struct RedisSinkConfig {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schemas are.
    #[command(flatten)]
    pub registry: RegistryConfig,
    /// Redis database to keep the events in.
    #[command(flatten)]
    pub redis_url: SecretArg<RedisUrl>,
    /// Prefix of every Redis key
    #[arg(long, env = "VIGIE_REDIS_PREFIX", default_value = PREFIX)]
    pub redis_prefix: String,
    /// How much of the topics is read again when Redis has been emptied
    #[arg(long = "redis-rebuild", alias = "redis-rebuild-hours", env = "VIGIE_REDIS_REBUILD", default_value = "24h", value_name = "DURATION", value_parser = vigie_daemon::units::hours(1..=8_760_u32))]
    pub redis_rebuild_hours: u32,
    /// How records are put together.
    #[command(flatten)]
    pub batch: BatchOptions,
}

/// The options without mistakes, for [`run_redis`].
#[derive(Clone, Debug)]
pub struct CheckedRedisSink {
    kafka: KafkaConfig,
    registry: RegistryConfig,
    redis_url: RedisUrl,
    prefix: String,
    rebuild: Duration,
    batch: BatchOptions,
}

impl RedisSinkConfig {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<CheckedRedisSink, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.part(self.kafka.check());
        check.part(self.registry.check());
        let redis_url = check.part(self.redis_url.read());
        let rebuild = Duration::from_secs(u64::from(self.redis_rebuild_hours) * 3600);
        let batch = BatchOptions { batch_records: self.batch.batch_records.min(LARGEST_BATCH), ..self.batch };
        let Self { kafka, registry, redis_prefix: prefix, .. } = self;
        check.finish(redis_url).map(|url| {
            let redis_url = url.unwrap_or_default();
            CheckedRedisSink { kafka, registry, redis_url, prefix, rebuild, batch }
        })
    }
}

impl CheckedRedisSink {
    /// The same on these servers.
    #[must_use]
    pub fn on(self, kafka: KafkaConfig, registry: RegistryConfig, redis_url: RedisUrl) -> Self {
        Self { kafka, registry, redis_url, ..self }
    }
}

/// Keeps the events in Redis until the shutdown.
///
/// # Errors
/// [`ServiceError::Unavailable`] if Redis, Kafka or the schema registry is not there at the start. Later it waits for them.
pub async fn run_redis(config: CheckedRedisSink, ctx: Context) -> Result<(), ServiceError> {
    let health = ctx.health.component(NAME);
    let CheckedRedisSink { kafka, registry, redis_url, prefix, rebuild, batch } = config;
    let sink = RedisSink::connect(&redis_url, prefix, rebuild)
        .await
        .map_err(|e| ServiceError::unavailable(format!("redis at {redis_url}"), e))?;
    let topics = REDIS_TOPICS.map(|topic| topic.name().to_owned()).into();
    driver::run(driver::Options { kafka, registry, topics, batch }, sink, health, ctx).await
}

pub(crate) struct RedisSink {
    client: Client,
    prefix: String,
    rebuild: Duration,
    script: OnceCell<String>,
}

impl RedisSink {
    pub(crate) async fn connect(url: &RedisUrl, prefix: String, rebuild: Duration) -> Result<Self, fred::error::Error> {
        let client = Builder::from_config(url.to_config())
            .with_performance_config(|performance| performance.default_command_timeout = COMMAND_TIMEOUT)
            .with_connection_config(|connection| connection.connection_timeout = COMMAND_TIMEOUT)
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
            .build()?;
        client.init().await?;
        Ok(Self { client, prefix, rebuild, script: OnceCell::new() })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs the script, and loads it first if this or the server's process is new.
    async fn run_script(&self, batch: &str) -> Result<Vec<String>, fred::error::Error> {
        let hash = self.script.get_or_try_init(|| self.client.script_load::<String, _>(SCRIPT)).await?;
        let keys = || vec![self.key(OFFSETS), self.key(EVENTS)];
        match self.client.evalsha(hash.as_str(), keys(), batch).await {
            Err(error) if error.details().contains("NOSCRIPT") => {
                self.client.script_load::<String, _>(SCRIPT).await?;
                self.client.evalsha(hash.as_str(), keys(), batch).await
            }
            outcome => outcome,
        }
    }
}

impl Sink for RedisSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> Start {
        Start::Since(self.rebuild)
    }

    async fn load(&self, partitions: &[TopicPartition]) -> Result<Offsets, SinkError> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        let fields: Vec<String> = partitions.iter().map(field).collect();
        let stored: Vec<Option<i64>> = self.client.hmget(self.key(OFFSETS), fields).await.map_err(classify)?;
        Ok(partitions.iter().cloned().zip(stored).filter_map(|(at, next)| Some((at, next?))).collect())
    }

    async fn claim(&self, starts: &Offsets, replace: bool) -> Result<Offsets, SinkError> {
        for (at, &next) in starts {
            if replace {
                let () = self.client.hset(self.key(OFFSETS), (field(at), next)).await.map_err(classify)?;
            } else {
                let () = self.client.hsetnx(self.key(OFFSETS), field(at), next).await.map_err(classify)?;
            }
        }
        self.load(&starts.keys().cloned().collect::<Vec<_>>()).await
    }

    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        let rejected = |e: serde_json::Error| SinkError::Rejected(e.to_string());
        let mut events = Vec::with_capacity(batch.rows.len());
        for row in &batch.rows {
            events.extend(event::of(&row.insight).map_err(rejected)?);
        }
        let written = vec![("events", events.len() as u64)];
        let offsets: Vec<[String; 3]> = batch
            .advances
            .iter()
            .map(|(at, advance)| [field(at), advance.expected.to_string(), advance.next.to_string()])
            .collect();
        let json = json!({ "offsets": offsets, "events": events, "events_cap": EVENTS_CAP });
        let conflict = self.run_script(&json.to_string()).await.map_err(classify)?;
        let Some(differs) = conflict.first() else { return Ok(written) };
        let stored = conflict.get(1).and_then(|offset| offset.parse().ok());
        match batch.advances.iter().find(|(at, _)| field(at) == *differs) {
            Some((at, advance)) => {
                Err(SinkError::Conflict { partition: at.clone(), expected: advance.expected, stored })
            }
            None => Err(SinkError::Retry(format!("the script answered {conflict:?}"))),
        }
    }
}

fn field(at: &TopicPartition) -> String {
    format!("{}/{}", at.topic, at.partition)
}

/// An event is nothing that Redis could refuse for good.
fn classify(error: fred::error::Error) -> SinkError {
    SinkError::Retry(error.to_string())
}
