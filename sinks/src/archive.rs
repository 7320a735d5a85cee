//! Raw and scored posts to Parquet files, an hour at a time.
//!
//! Kafka keeps the posts for weeks, so nothing is in a hurry and nothing needs to be held: once an hour has passed, the records between the
//! archive's next offset and the first one of the new hour are read, written, and committed, a file for each partition and hour (more if
//! they are large). Offset and files are one manifest, put only if there is none of its number: whoever is killed, or slow, or twice there,
//! leaves at most a file that no manifest names. No consumer group is needed, and the other driver's batches would be small files.

mod archiver;
mod erasures;
mod error;
mod metrics;

use std::time::Duration;

use clap::Args;
use tokio::runtime::Handle;
use tracing::warn;
use vigie_archive::{Archive, ArchiveOptions, Location, TOPICS};
use vigie_daemon::{Check, Context, Mistake, ServiceError};
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::{Codec, RegistryConfig};

pub use archiver::Archiver;
use archiver::NAME;
pub use error::RoundError;

const INTERVAL: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(10);

/// Options of `vigie sink archive`.
#[derive(Args, Clone, Debug)]
pub struct ArchiveSinkConfig {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Where the schemas are.
    #[command(flatten)]
    pub registry: RegistryConfig,
    /// Where to write.
    #[command(flatten)]
    pub archive: ArchiveOptions,
}

/// The options without mistakes, for [`run_archive`].
#[derive(Clone, Debug)]
pub struct CheckedArchiveSink {
    kafka: KafkaConfig,
    registry: RegistryConfig,
    location: Location,
}

impl ArchiveSinkConfig {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(self) -> Result<CheckedArchiveSink, Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        check.part(self.kafka.check());
        check.part(self.registry.check());
        let location = check.part(self.archive.require());
        let Self { kafka, registry, .. } = self;
        check.finish(location).map(|location| CheckedArchiveSink { kafka, registry, location })
    }
}

impl CheckedArchiveSink {
    /// The same on these servers.
    #[must_use]
    pub fn on(self, kafka: KafkaConfig, registry: RegistryConfig) -> Self {
        Self { kafka, registry, ..self }
    }
}

/// Archives what has passed until the shutdown.
///
/// # Errors
/// [`ServiceError::Unavailable`] if Kafka, the schema registry or the archive is not there at the start. Later it waits for them, and says
/// so as a degraded component: the records are safe in Kafka meanwhile.
pub async fn run_archive(config: CheckedArchiveSink, ctx: Context) -> Result<(), ServiceError> {
    let CheckedArchiveSink { kafka, registry, location } = config;
    let health = ctx.health.component(NAME);
    let codec = Codec::connect(&registry, &kafka.topic_prefix)
        .await
        .map_err(|e| ServiceError::unavailable("schema registry", e))?;
    let away = |e| ServiceError::unavailable(location.to_string(), e);
    let archive = Archive::open(&location).map_err(away)?;
    archive.partitions(TOPICS[0].name()).await.map_err(away)?;
    let mut archiver = Archiver::new(kafka.clone(), codec, archive, &ctx).map_err(ServiceError::failed)?;
    let ping = tokio::task::spawn_blocking(move || kafka.ping(START));
    ping.await.map_err(ServiceError::failed)?.map_err(|e| ServiceError::unavailable("kafka", e))?;
    health.ready();
    while !ctx.shutdown.is_cancelled() {
        let handle = Handle::current();
        let round = tokio::task::spawn_blocking(move || {
            let outcome = archiver.round(&handle);
            (archiver, outcome)
        });
        let (back, outcome) = round.await.map_err(ServiceError::failed)?;
        archiver = back;
        let wait = match outcome {
            Ok(()) => {
                health.ready();
                INTERVAL
            }
            Err(RoundError::Stopped) => break,
            Err(error) => {
                warn!(sink = NAME, %error, "not archived for now, trying again");
                health.degraded(error.to_string());
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = ctx.shutdown.cancelled() => {}
        }
    }
    Ok(())
}
