//! `vigie author`.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use clap::{Args, Subcommand};
use serde_json::json;
use vigie_audit::{Action, AuditConfig};
use vigie_authors::{AuthorKey, KeyEncryption, Keyring, Sealed, WrappedKey};
use vigie_clock::Timestamp;
use vigie_daemon::{Context, Mistake, SecretArg, ServiceError};
use vigie_kafka_client::{KafkaConfig, KafkaError, OutgoingRecord, Publisher, Record, Start, read_to_end};
use vigie_schemas::{AuthorKeyRecord, Codec, RawPost, RegistryConfig, Topic};

use crate::commands::audit::{audited, event};
use crate::commands::topics::{blocking, codec_error, kafka_error};
use crate::output::{Output, count};

#[derive(Subcommand, Debug)]
pub(crate) enum AuthorCommand {
    /// Print the author id of a handle
    Id {
        #[command(flatten)]
        author: AuthorArgs,
    },
    /// Open the handle behind an author id: reads the keys and the raw posts, and needs the keyring
    Open {
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        sealed: SealedArgs,
    },
    /// Re-wrap the data keys of all authors under the first key of the keyring; handles are not touched. Start it again if it is interrupted
    Rewrap {
        #[command(flatten)]
        sealed: SealedArgs,
    },
    /// Destroy the keys of an author's handle, and have the texts of the author's posts removed from the history; cannot be undone
    Erase {
        /// Do not ask
        #[arg(long, conflicts_with = "dry_run")]
        yes: bool,
        /// Only say how many keys would be destroyed
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        kafka: KafkaConfig,
        #[command(flatten)]
        registry: RegistryConfig,
    },
}

/// An author, by id or by handle.
#[derive(Args, Debug)]
pub(crate) struct AuthorArgs {
    /// The author id, as posts have it
    #[arg(required_unless_present = "handle", conflicts_with = "handle")]
    pub(crate) author_id: Option<String>,
    /// The handle as published, in place of the id; needs the author key
    #[arg(long, requires = "kind")]
    pub(crate) handle: Option<String>,
    /// Kind of the sources that the handle is from
    #[arg(long, value_enum, requires = "handle")]
    pub(crate) kind: Option<vigie_producers::Kind>,
    /// Id of the source that the handle is from: for rss, where each feed has its own authors
    #[arg(long, requires = "handle", required_if_eq("kind", "rss"))]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) key: SecretArg<AuthorKey>,
}

/// Sealed handles: what opens them, and where they are.
#[derive(Args, Debug)]
pub(crate) struct SealedArgs {
    #[command(flatten)]
    keyring: SecretArg<Keyring>,
    #[command(flatten)]
    kafka: KafkaConfig,
    #[command(flatten)]
    registry: RegistryConfig,
}

mod rewrap;

/// Whoever destroys keys or re-wraps them writes under this transactional id, one at a time.
const WRITER: &str = "authors-keys";
/// Times that an erasure takes it over from another writer.
const TRIES: usize = 5;

pub(crate) async fn run(command: AuthorCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        AuthorCommand::Id { author } => {
            let author_id = author_id(&author)?;
            output.result(&json!({"author_id": author_id}), || author_id.clone())
        }
        AuthorCommand::Open { author, sealed: SealedArgs { keyring, kafka, registry } } => {
            let author_id = author_id(&author)?;
            let keyring = keyring.require()?;
            let audit = AuditConfig { kafka: kafka.clone(), registry: registry.clone() };
            let opening = open(&author_id, &keyring, &kafka, &registry);
            let Some(handle) = audited(&audit, event(Action::AuthorOpen, Some(&author_id)), opening).await? else {
                return Err(ServiceError::failed(format!(
                    "no handle of {author_id} can be opened: unknown, expired or erased"
                )));
            };
            output.result(&json!({"author_id": author_id, "handle": handle}), || handle.clone())
        }
        AuthorCommand::Rewrap { sealed: SealedArgs { keyring, kafka, registry } } => {
            let keyring = keyring.require()?;
            let audit = AuditConfig { kafka: kafka.clone(), registry: registry.clone() };
            let event = event(Action::AuthorRewrap, Some(keyring.current()));
            audited(&audit, event, rewrap::run(&keyring, &kafka, &registry, output)).await
        }
        AuthorCommand::Erase { yes, dry_run, author, kafka, registry } => {
            let author_id = author_id(&author)?;
            if dry_run || !yes {
                let codec = Codec::connect(&registry, &kafka.topic_prefix).await.map_err(codec_error)?;
                let keys = living_keys(&author_id, &kafka, &codec).await?.len();
                let what = format!("{} of author {author_id}", count(keys as u64, "key"));
                if dry_run {
                    let value = json!({"author_id": author_id, "keys": keys, "dry_run": true});
                    return output.result(&value, || {
                        format!("would destroy {what}, and remove the texts of the author's posts")
                    });
                }
                if !confirmed(&what, output)? {
                    return Err(ServiceError::failed("not erased"));
                }
            }
            let at = Context::system().clock.now();
            let audit = AuditConfig { kafka: kafka.clone(), registry: registry.clone() };
            let erasing = erase(&author_id, at, &kafka, &registry);
            let keys = audited(&audit, event(Action::AuthorErase, Some(&author_id)), erasing).await?;
            let value = json!({"author_id": author_id, "erased_at": at.to_string(), "keys_destroyed": keys});
            output.result(&value, || format!("author {author_id} erased, {} destroyed", count(keys as u64, "key")))
        }
    }
}

/// Asks on a terminal; elsewhere nobody could answer.
fn confirmed(what: &str, output: Output) -> Result<bool, ServiceError> {
    if !std::io::stdin().is_terminal() {
        let found = format!("not given, and destroying {what} cannot be undone");
        return Err(Mistake::new("--yes", found, "--yes or --dry-run").into());
    }
    output.note(format!(
        "Destroy {what}, and remove the texts of the author's posts? This cannot be undone. Type yes to go on:"
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(ServiceError::failed)?;
    Ok(answer.trim() == "yes")
}

/// The id as given, or of the handle.
fn author_id(author: &AuthorArgs) -> Result<String, ServiceError> {
    if let Some(id) = &author.author_id {
        let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        return if is_id {
            Ok(id.clone())
        } else {
            Err(Mistake::new("author id", format!("{id:?}"), "32 digits of lower-case hexadecimal").into())
        };
    }
    let key = author.key.require()?;
    let kind = author.kind.map_or("", |kind| kind.name());
    let handle = author.handle.as_deref().unwrap_or_default();
    let id = key.pseudonym(kind, author.source.as_deref().unwrap_or_default(), handle);
    id.ok_or_else(|| Mistake::new("--handle", "nobody's", "a handle").into())
}

/// Destroys every key of the author that was made until `at`, and says for good that it was done. Looks again until none is left: a
/// producer may just have been publishing one. Returns how many keys there were.
async fn erase(
    author_id: &str,
    at: Timestamp,
    kafka: &KafkaConfig,
    registry: &RegistryConfig,
) -> Result<usize, ServiceError> {
    let codec = Codec::connect(registry, &kafka.topic_prefix).await.map_err(codec_error)?;
    let topic = Topic::AuthorsKeys.name();
    let erasure = AuthorKeyRecord::erasure(author_id.to_owned(), at);
    let value = codec.encode(topic, &erasure).await.map_err(codec_error)?;
    let publisher = Publisher::exclusive(kafka, WRITER);
    let (mut is_said, mut destroyed, mut tries) = (false, 0, 0);
    loop {
        publisher.claim().await.map_err(kafka_error)?;
        let mut keys = living_keys(author_id, kafka, &codec).await?;
        keys.retain(|key| key.at <= at);
        let mut records = Vec::new();
        if !is_said {
            records.push(OutgoingRecord::new(topic, erasure.key(), value.clone()));
        }
        records.extend(keys.iter().map(|key| OutgoingRecord {
            topic: topic.to_owned(),
            key: Some(key.key().into()),
            ..OutgoingRecord::default()
        }));
        if records.is_empty() {
            return Ok(destroyed);
        }
        match publisher.publish(records).await {
            Ok(_) => (is_said, destroyed) = (true, destroyed + keys.len()),
            // Nothing was written.
            Err(KafkaError::Fenced { .. }) if tries < TRIES => tries += 1,
            Err(error) => return Err(kafka_error(error)),
        }
    }
}

/// The author's data keys that are not destroyed.
async fn living_keys(
    author_id: &str,
    kafka: &KafkaConfig,
    codec: &Codec,
) -> Result<Vec<AuthorKeyRecord>, ServiceError> {
    let (kafka, prefix) = (kafka.clone(), format!("{author_id}/"));
    let latest = blocking(move || {
        let mut latest = BTreeMap::new();
        for record in read_to_end(&kafka, Topic::AuthorsKeys.name(), &Start::Beginning).map_err(kafka_error)? {
            let Record { key: Some(key), value, .. } = record.map_err(kafka_error)? else { continue };
            if key.starts_with(prefix.as_bytes()) {
                latest.insert(key, value);
            }
        }
        Ok(latest)
    })
    .await?;
    let mut keys = Vec::new();
    for value in latest.into_values().flatten() {
        let record: AuthorKeyRecord = codec.decode(&value).await.map_err(codec_error)?;
        keys.extend(Some(record).filter(|record| record.dek_id.is_some()));
    }
    Ok(keys)
}

async fn open(
    author_id: &str,
    keyring: &Keyring,
    kafka: &KafkaConfig,
    registry: &RegistryConfig,
) -> Result<Option<String>, ServiceError> {
    let codec = Codec::connect(registry, &kafka.topic_prefix).await.map_err(codec_error)?;
    let mut keys = Vec::new();
    for record in living_keys(author_id, kafka, &codec).await? {
        let (Some(id), Some(keyring_key), Some(bytes)) = (record.dek_id, record.kek_id, record.wrapped_key) else {
            continue;
        };
        let wrapped = WrappedKey { id: id.parse().map_err(ServiceError::failed)?, keyring_key, bytes };
        keys.push(wrapped.unwrap(author_id, keyring).map_err(ServiceError::failed)?);
    }
    if keys.is_empty() {
        return Ok(None);
    }
    let kafka = kafka.clone();
    let (sender, mut posts) = tokio::sync::mpsc::channel::<Record>(1024);
    let reading = blocking(move || {
        for record in read_to_end(&kafka, Topic::PostsRaw.name(), &Start::Beginning).map_err(kafka_error)? {
            if sender.blocking_send(record.map_err(kafka_error)?).is_err() {
                break;
            }
        }
        Ok(())
    });
    let searching = async move {
        while let Some(record) = posts.recv().await {
            // Records that cannot be decoded are dead letters of the topologies.
            let Ok(post) = codec.decode::<RawPost>(record.value.as_deref().unwrap_or_default()).await else { continue };
            if post.author_id.as_deref() != Some(author_id) {
                continue;
            }
            let Some(Ok(sealed)) = post.author_sealed.as_deref().map(Sealed::parse) else { continue };
            let key = keys.iter().find(|key| key.id() == sealed.data_key());
            if let Some(handle) = key.and_then(|key| key.open(author_id, sealed).ok()) {
                return Some(handle);
            }
        }
        None
    };
    let (read, handle) = tokio::join!(reading, searching);
    read.map(|()| handle)
}
