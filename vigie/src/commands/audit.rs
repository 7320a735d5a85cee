//! `vigie audit`, and how other commands audit what they do.

use std::future::Future;
use std::time::Duration;

use clap::Subcommand;
use nix::unistd::{User, geteuid};
use serde_json::json;
use tokio::runtime::Handle;
use vigie_audit::{Action, AuditConfig, AuditLog, Entry, Event, Outcome, Report, read, verify};
use vigie_clock::Timestamp;
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::KafkaConfig;
use vigie_processors::times::{since, until};
use vigie_schemas::{AuditRecord, Codec, SyncCodec};

use crate::commands::topics::{blocking, codec_error};
use crate::output::{Output, count};

/// How long a command waits for its record to be written.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Subcommand, Debug)]
pub(crate) enum AuditCommand {
    /// Print who did what, the oldest first
    List {
        /// Only of this subject, as alice, key:ID or os:root
        #[arg(long)]
        subject: Option<String>,
        /// Only this action, as author.open, or those that begin so, as author
        #[arg(long)]
        action: Option<String>,
        /// Only since this time: RFC 3339, a day (UTC), or how long ago, for example 6h
        #[arg(long, value_name = "TIME", value_parser = since)]
        from: Option<Timestamp>,
        /// Only before this time; a day means its end
        #[arg(long, value_name = "TIME", value_parser = until)]
        to: Option<Timestamp>,
        #[command(flatten)]
        servers: AuditConfig,
    },
    /// Walk the chain and name the first link that does not hold
    Verify {
        /// A hash of an earlier record, from the log or an earlier verify, that the chain must still have
        #[arg(long, value_name = "HASH")]
        holds: Option<String>,
        #[command(flatten)]
        servers: AuditConfig,
    },
}

pub(crate) async fn run(command: AuditCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        AuditCommand::List { subject, action, from, to, servers } => {
            let is_meant = move |record: &AuditRecord| {
                let of_action = |wanted: &String| {
                    record
                        .action
                        .strip_prefix(wanted.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                (subject.is_none() || subject == record.subject)
                    && action.as_ref().is_none_or(of_action)
                    && from.is_none_or(|from| record.at >= from)
                    && to.is_none_or(|to| record.at < to)
            };
            // Brokers and services may differ in what they take for now.
            let start = from.map(|from| from.saturating_sub(Duration::from_secs(3600)));
            with_codec(servers, move |kafka, codec| {
                for entry in read(&kafka, codec, start)? {
                    let Entry { offset, hash, record } = entry?;
                    match record {
                        Ok(record) if is_meant(&record) => print(offset, &hash, &record, output)?,
                        Ok(_) => {}
                        Err(error) => output.note(format!("offset {offset} is no audit record: {error}")),
                    }
                }
                Ok(())
            })
            .await
        }
        AuditCommand::Verify { holds, servers } => {
            let walk = move |kafka: KafkaConfig, codec| Ok(verify(read(&kafka, codec, None)?, holds.as_deref())?);
            let Report { records, first, after, head, broken } = with_codec(servers, walk).await?;
            let place = broken.as_ref().map(|broken| (broken.offset, broken.reason.clone()));
            let broken = place.as_ref().map(|(offset, reason)| json!({"offset": offset, "reason": reason}));
            let value =
                json!({"records": records, "first_offset": first, "after": after, "head": head, "broken": broken});
            output.result(&value, || {
                let begins = if after.is_some() { ", after others that have expired" } else { "" };
                let head = head.map(|head| format!("; the last is {head}")).unwrap_or_default();
                format!("{} in a chain{begins}{head}", count(records, "record"))
            })?;
            match place {
                None => Ok(()),
                Some((-1, reason)) => Err(ServiceError::failed(reason)),
                Some((offset, reason)) => {
                    Err(ServiceError::failed(format!("the chain is broken at offset {offset}: {reason}")))
                }
            }
        }
    }
}

async fn with_codec<T: Send + 'static>(
    servers: AuditConfig,
    work: impl FnOnce(KafkaConfig, SyncCodec) -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    let AuditConfig { kafka, registry } = servers;
    let codec = Codec::connect(&registry, &kafka.topic_prefix).await.map_err(codec_error)?.sync(Handle::current());
    blocking(move || work(kafka, codec)).await
}

fn print(offset: i64, hash: &str, record: &AuditRecord, output: Output) -> Result<(), ServiceError> {
    let AuditRecord { id, at, service, subject, action, object, outcome, detail, .. } = record;
    let value = json!({
        "offset": offset, "id": id, "at": at.to_string(), "service": service, "subject": subject, "action": action,
        "object": object, "outcome": outcome, "detail": detail, "hash": hash,
    });
    output.result(&value, || {
        // Issuers choose the names of subjects.
        let shown = |text: &Option<String>| text.as_deref().unwrap_or("-").escape_debug().to_string();
        let detail: String = detail.iter().map(|(name, value)| format!("  {name}={}", value.escape_debug())).collect();
        format!("{at}  {service:<3}  {}  {action}  {}  {outcome}{detail}", shown(subject), shown(object))
    })
}

/// Something that this user of the machine does.
pub(crate) fn event(action: Action, object: Option<&str>) -> Event {
    let uid = geteuid();
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    Event::new(Some(&format!("os:{user}")), action, object)
}

/// Does what the event says, once that is on the topic. If it fails, that is audited too.
pub(crate) async fn audited<T>(
    servers: &AuditConfig,
    event: Event,
    work: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, ServiceError> {
    let log = open(servers);
    log.write(event.clone()).await?;
    let result = work.await;
    if let Err(error) = &result {
        log.note(event.outcome(Outcome::Failed).with("exit_code", error.exit_code()));
        log.flush().await;
    }
    result
}

/// Audits what must be possible during an outage too, because it takes rights away: then it is in the log only.
pub(crate) async fn noted(servers: &AuditConfig, event: Event, output: Output) {
    if let Err(error) = open(servers).write(event).await {
        output.note(format!("warning: {error}; it is done all the same"));
    }
}

fn open(servers: &AuditConfig) -> AuditLog {
    AuditLog::start(servers.clone(), "cli", 0, PATIENCE, Context::system().clock)
}
