//! The configuration of `vigie up`, checked before anything moves.

use std::path::Path;

use vigie_audit::AuditConfig;
use vigie_authors::{AuthorKey, Keyring};
use vigie_daemon::{Check, Mistake, SecretArg, ServiceError};
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::RegistryConfig;
use vigie_stack::Endpoints;

use super::UpArgs;
use crate::commands::asset_names;
use crate::running_up::{AUTHOR_KEY, AUTHOR_KEYRING};

/// Below the data folder: the topologies' local snapshots.
const STATE_DIR: &str = "streams";

/// Every service's configuration, without mistakes.
pub(super) struct Checked {
    pub(super) producers: vigie_producers::Checked,
    pub(super) sentiment: vigie_processors::sentiment::Checked,
    pub(super) trends: vigie_processors::trends::Checked,
    pub(super) postgres: vigie_sinks::CheckedPostgresSink,
    pub(super) redis: vigie_sinks::CheckedRedisSink,
    /// Only where one is named.
    pub(super) archive: Option<vigie_sinks::CheckedArchiveSink>,
    pub(super) api: vigie_api::Checked,
    pub(super) partitions: Option<i32>,
    client_id: String,
    makes_key: bool,
    makes_keyring: bool,
}

impl Checked {
    /// Checks the options of all services.
    ///
    /// # Errors
    /// With every mistake.
    pub(super) fn of(args: &UpArgs) -> Result<Self, Vec<Mistake>> {
        let mut check = Check::<UpArgs>::default();
        let (dir, services) = (&args.stack.data_dir, &args.services);
        let (mut producers, mut sentiment, mut trends, mut api) =
            (services.producers.clone(), services.sentiment.clone(), services.trends.clone(), services.api.clone());
        if let Some(archive) = &args.site.archive {
            check.option("archive", args.sample, archive.display(), "--sample beside it");
        }
        let is_one = !(args.sample && producers.sources.is_some());
        check.option("sample", is_one, "given with --sources (VIGIE_SOURCES)", "one of them");
        check.part(args.stack.check());
        check.part(args.site.check());
        for streams in [&mut sentiment.streams, &mut trends.streams] {
            streams.state_dir.get_or_insert_with(|| dir.join(STATE_DIR));
        }
        let (makes_key, makes_keyring) = (producers.author.is_absent(), producers.keyring.is_absent());
        if makes_key {
            producers.author = own(&dir.join(AUTHOR_KEY), "0".repeat(16));
            sentiment.enrichment.author = producers.author.clone();
        }
        if makes_keyring {
            producers.keyring = own(&dir.join(AUTHOR_KEYRING), format!("1 {}", "0".repeat(64)));
            api.keyring = producers.keyring.clone();
        }
        let partitions = args.partitions.partitions;
        let names = sentiment.enrichment.assets.clone();
        let client_id = producers.kafka.client_id.clone();
        let (producers, sentiment) = (check.part(producers.check()), check.part(sentiment.check()));
        let (trends, api) = (check.part(trends.check()), check.part(asset_names::named(api, &names)));
        let postgres = check.part(services.postgres.clone().check());
        let redis = check.part(services.redis.clone().check());
        let archive = Some(services.archive.clone()).filter(|archive| archive.archive.archive_url.is_some());
        let archive = archive.and_then(|archive| check.part(archive.check()));
        let all = producers.zip(sentiment).zip(trends.zip(api)).zip(postgres.zip(redis));
        check.finish(all.map(|(((producers, sentiment), (trends, api)), (postgres, redis))| Self {
            producers,
            sentiment,
            trends,
            postgres,
            redis,
            archive,
            api,
            partitions,
            client_id,
            makes_key,
            makes_keyring,
        }))
    }

    /// The same on these servers, with secrets of authors that are kept in the data folder unless others were given.
    pub(super) fn on(mut self, servers: &Endpoints, data_dir: &Path) -> Result<Self, ServiceError> {
        if self.makes_key {
            let key = AuthorKey::read_or_create(&data_dir.join(AUTHOR_KEY)).map_err(ServiceError::failed)?;
            self.producers.author_key = key.clone();
            self.sentiment.author_key = key;
        }
        if self.makes_keyring {
            let keyring = Keyring::read_or_create(&data_dir.join(AUTHOR_KEYRING)).map_err(ServiceError::failed)?;
            self.producers.keyring = Some(keyring.clone());
            self.api.keyring = Some(keyring);
        }
        let kafka = KafkaConfig { client_id: self.client_id.clone(), ..KafkaConfig::new(&servers.kafka_brokers, "") };
        let registry = RegistryConfig::at(servers.registry_url.clone());
        self.producers = self.producers.on(kafka.clone(), registry.clone());
        self.sentiment = self.sentiment.on(kafka.clone(), registry.clone());
        self.trends = self.trends.on(kafka.clone(), registry.clone());
        self.postgres = self.postgres.on(kafka.clone(), registry.clone(), read(&servers.postgres_url)?);
        self.redis = self.redis.on(kafka.clone(), registry.clone(), read(&servers.redis_url)?);
        self.archive = self.archive.map(|archive| archive.on(kafka.clone(), registry.clone()));
        self.api =
            self.api.on(AuditConfig { kafka, registry }, read(&servers.postgres_url)?, read(&servers.redis_url)?);
        Ok(self)
    }
}

/// A secret of the data folder. A first start makes it, once the folder is locked; until then another stands in for it.
fn own<T>(file: &Path, stand_in: String) -> SecretArg<T> {
    if file.exists() { SecretArg::file(file) } else { SecretArg::text(stand_in) }
}

fn read<T: vigie_daemon::FromSecret>(url: &str) -> Result<T, ServiceError> {
    T::from_secret(url).map_err(ServiceError::failed)
}
