//! History: every insight as rows, with the offsets to go on from in the same transaction.
//!
//! A batch is copied (binary `COPY`) into temporary tables and merged from there by key and revision, so a redelivered record changes
//! nothing. The stored offsets are locked and compared first, so of two instances that believe to own a partition only one can write.

mod authors;
mod cell;
mod dead_letters;
mod dictionaries;
mod failure;
#[cfg(test)]
mod measurement;
pub(crate) mod migrations;
mod partitions;
mod rebuild;
mod runs;
mod served;
mod session;
mod statements;
mod table;
mod window_check;

use std::future::Future;
use std::time::Duration;

use clap::Args;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::info;
use vigie_daemon::{Check, Context, Mistake, SecretArg, ServiceError};
use vigie_kafka_client::{KafkaConfig, TopicPartition};
use vigie_schemas::{RegistryConfig, Service, Topic};
use vigie_stores::PostgresUrl;

pub use crate::postgres::partitions::Retention;
pub use crate::postgres::runs::{Pace, RunError, RunFinished, RunRow, RunStarted, Runs};
pub use crate::postgres::served::{PromotedRun, Promotion, SwitchError, promote, promoted_runs, rollback};

use crate::config::BatchOptions;
use crate::driver;
use crate::postgres::failure::describe;
use crate::postgres::session::Session;
use crate::postgres::window_check::Accounts;
use crate::sink::{Batch, Offsets, Sink, SinkError, Start, Written};
use migrations::migrate;

/// Name of the consumer group, and of the sink wherever it says who it is.
pub const POSTGRES_GROUP: &str = Service::SinkPostgres.group();
const NAME: &str = Service::SinkPostgres.name();
/// What it reads.
pub const POSTGRES_TOPICS: [Topic; 9] = [
    Topic::InsightsSentiment,
    Topic::InsightsTrends,
    Topic::InsightsAlerts,
    Topic::InsightsTerms,
    Topic::SourcesFetches,
    Topic::AuthorsKeys,
    Topic::ReplaysSentiment,
    Topic::ReplaysTrends,
    Topic::ReplaysAlerts,
];
/// Longer than any healthy batch; a server that hangs is left for a new connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `vigie sink postgres`.
#[derive(Args, Clone, Debug)]
pub struct PostgresSinkConfig {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schemas are.
    #[command(flatten)]
    pub registry: RegistryConfig,
    /// PostgreSQL database to write to.
    #[command(flatten)]
    pub postgres_url: SecretArg<PostgresUrl>,
    /// Expect the tables to be there, made by someone else
    #[arg(long = "sink-no-migrate", alias = "no-migrate", env = "VIGIE_SINK_NO_MIGRATE")]
    pub no_migrate: bool,
    /// How long history is kept.
    #[command(flatten)]
    pub keep: Retention,
    /// How records are put together.
    #[command(flatten)]
    pub batch: BatchOptions,
}

/// The options without mistakes, for [`run_postgres`].
#[derive(Clone, Debug)]
pub struct CheckedPostgresSink {
    /// Database to write to.
    pub postgres_url: PostgresUrl,
    kafka: KafkaConfig,
    registry: RegistryConfig,
    no_migrate: bool,
    keep: Retention,
    batch: BatchOptions,
}

impl PostgresSinkConfig {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<CheckedPostgresSink, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.part(self.kafka.check());
        check.part(self.registry.check());
        let postgres_url = check.part(self.postgres_url.read());
        let Self { kafka, registry, no_migrate, keep, batch, .. } = self;
        check.finish(postgres_url).map(|url| {
            let postgres_url = url.unwrap_or_default();
            CheckedPostgresSink { kafka, registry, postgres_url, no_migrate, keep, batch }
        })
    }
}

impl CheckedPostgresSink {
    /// The same on these servers.
    #[must_use]
    pub fn on(self, kafka: KafkaConfig, registry: RegistryConfig, postgres_url: PostgresUrl) -> Self {
        Self { kafka, registry, postgres_url, ..self }
    }
}

/// Writes the insights to PostgreSQL until the shutdown; migrates the database first, unless configured not to.
///
/// # Errors
/// [`ServiceError::Unavailable`] if PostgreSQL, Kafka or the schema registry is not there at the start. Later it waits for them.
pub async fn run_postgres(config: CheckedPostgresSink, ctx: Context) -> Result<(), ServiceError> {
    let health = ctx.health.component(NAME);
    let sink = PostgresSink::new(config.postgres_url.clone());
    sink.connect().await.map_err(|e| ServiceError::unavailable(format!("postgresql at {}", config.postgres_url), e))?;
    if !config.no_migrate {
        let applied = migrate(&config.postgres_url).await.map_err(ServiceError::failed)?;
        info!(?applied, "database is up to date");
    }
    let windows = ctx.health.component("sink-postgres-windows");
    let accounts = Accounts::new(NAME, sink.url.clone(), config.kafka.clone(), windows, &ctx.metrics);
    let upkeep = partitions::upkeep(sink.url.clone(), config.keep);
    let queues = Topic::ALL.into_iter().filter_map(Topic::dead_letter_queue);
    let topics = POSTGRES_TOPICS.map(|topic| topic.name().to_owned()).into_iter().chain(queues).collect();
    let options = driver::Options { kafka: config.kafka, registry: config.registry, topics, batch: config.batch };
    tokio::select! {
        outcome = driver::run(options, sink, health, ctx) => outcome,
        never = accounts.map_err(ServiceError::failed)?.watch() => match never {},
        never = upkeep => match never {},
    }
}

pub(crate) struct PostgresSink {
    url: PostgresUrl,
    session: Mutex<Option<Session>>,
}

impl PostgresSink {
    pub(crate) fn new(url: PostgresUrl) -> Self {
        Self { url, session: Mutex::new(None) }
    }

    /// Whether PostgreSQL is there at all.
    async fn connect(&self) -> Result<(), String> {
        self.url.connect(NAME).await.map(drop).map_err(|e| describe(&e))
    }

    /// Runs `work` on the open session, or on a new one. The session is kept unless the work found it unusable, and dropped with the
    /// work if that is cancelled: PostgreSQL then rolls back.
    async fn with_session<T, F, W>(&self, work: W) -> Result<T, SinkError>
    where
        W: FnOnce(Session) -> F,
        F: Future<Output = (Session, Result<T, SinkError>)>,
    {
        let mut slot = self.session.lock().await;
        let work = async {
            let session = match slot.take() {
                Some(session) if !session.is_closed() => session,
                _ => Session::open(&self.url, NAME).await.map_err(|e| SinkError::Retry(describe(&e)))?,
            };
            let (session, outcome) = work(session).await;
            if !matches!(outcome, Err(SinkError::Retry(_))) {
                *slot = Some(session);
            }
            outcome
        };
        match timeout(WRITE_TIMEOUT, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SinkError::Retry(format!("no answer for {} s", WRITE_TIMEOUT.as_secs()))),
        }
    }
}

impl Sink for PostgresSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> Start {
        Start::Beginning
    }

    async fn load(&self, partitions: &[TopicPartition]) -> Result<Offsets, SinkError> {
        self.with_session(async |session: Session| {
            let outcome = session.load(partitions).await;
            (session, outcome)
        })
        .await
    }

    async fn claim(&self, starts: &Offsets, replace: bool) -> Result<Offsets, SinkError> {
        self.with_session(async |session: Session| {
            let outcome = session.claim(starts, replace).await;
            (session, outcome)
        })
        .await
    }

    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        self.with_session(async |mut session: Session| {
            let outcome = session.write(batch).await;
            (session, outcome)
        })
        .await
    }
}
