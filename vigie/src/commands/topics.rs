//! `vigie topics` and `vigie schemas`.

pub(crate) mod acls;
mod apply;

use vigie_daemon::ServiceError;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError};
use vigie_schemas::{CodecError, SchemaCheck};

use self::apply::TopicChange;
use crate::cli::{SchemasCommand, TopicsCommand};
use crate::output::Output;

pub(crate) async fn run_topics(command: TopicsCommand, output: Output) -> Result<(), ServiceError> {
    if let TopicsCommand::Acls { principal, format, strimzi_cluster, kafka_topic_prefix } = &command {
        return acls::print(kafka_topic_prefix, principal, *format, strimzi_cluster, output);
    }
    let changes = blocking(move || match command {
        TopicsCommand::Apply { partitions, replication_factor, kafka } => {
            apply(&kafka, partitions.partitions, replication_factor)
        }
        TopicsCommand::Acls { .. } => Ok(Vec::new()),
        TopicsCommand::List { kafka } => apply::inspect_topics(&Admin::new(&kafka).map_err(kafka_error)?),
    })
    .await?;
    for change in &changes {
        output.result(change, || {
            let drift = change.drift.iter().map(|d| format!("\n    differs: {d}")).collect::<String>();
            format!("{:<28} {:>3} partitions  {}{drift}", change.topic, change.partitions, change.action)
        })?;
    }
    Ok(())
}

/// Creates missing topics with `replication` copies.
pub(crate) fn apply(
    kafka: &KafkaConfig,
    partitions: Option<i32>,
    replication: i32,
) -> Result<Vec<TopicChange>, ServiceError> {
    apply::apply_topics(&Admin::new(kafka).map_err(kafka_error)?, partitions, replication)
}

pub(crate) async fn run_schemas(command: SchemasCommand, output: Output) -> Result<(), ServiceError> {
    let checks = match &command {
        SchemasCommand::Register(args) => {
            vigie_schemas::register_schemas(&args.registry, &args.kafka_topic_prefix).await
        }
        SchemasCommand::Check(args) => vigie_schemas::check_schemas(&args.registry, &args.kafka_topic_prefix).await,
    };
    let checks = checks.map_err(codec_error)?;
    for check in &checks {
        output.result(check, || line(check))?;
    }
    match checks.iter().filter(|c| !c.compatible).count() {
        0 => Ok(()),
        refused => Err(ServiceError::failed(format!("{refused} schemas are not compatible with the registered ones"))),
    }
}

fn line(check: &SchemaCheck) -> String {
    let verdict = if check.compatible { "ok" } else { "REFUSED" };
    let id = check.id.map(|id| format!(" id {id}")).unwrap_or_default();
    let reason = check.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    format!("{:<36} {verdict}{id}{reason}", check.subject)
}

/// Runs synchronous Kafka calls away from the async runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.map_err(ServiceError::failed)?
}

pub(crate) fn kafka_error(error: KafkaError) -> ServiceError {
    match error {
        KafkaError::Unavailable { brokers, detail } => ServiceError::unavailable(format!("kafka at {brokers}"), detail),
        KafkaError::Config(mistakes) => mistakes.into(),
        other => ServiceError::failed(other),
    }
}

pub(crate) fn codec_error(error: CodecError) -> ServiceError {
    match error {
        CodecError::Registry { url, detail } => ServiceError::unavailable(format!("schema registry at {url}"), detail),
        CodecError::Config(mistakes) => mistakes.into(),
        other => ServiceError::failed(other),
    }
}
