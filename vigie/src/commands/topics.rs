//! `vigie topics` and `vigie schemas`.

mod acls;
mod apply;

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use vigie_clock::{SharedClock, SystemClock};
use vigie_daemon::ServiceError;
use vigie_kafka_client::{Admin, KafkaConfig, KafkaError};
use vigie_processors::growth::{Grown, grow};
use vigie_schemas::{CodecError, RegistryConfig, SchemaCheck};

use self::acls::{Format, Rule};
use self::apply::TopicChange;
use crate::output::Output;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Partitions {
    /// Partitions of the topics of posts and insights: as many tasks share the work at most; those there are, or 4, if not given
    ///
    /// They are chosen when the topics are created; `vigie topics migrate` changes them.
    #[arg(long, env = "VIGIE_PARTITIONS", value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub(crate) partitions: Option<i32>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum SchemasCommand {
    /// Register this binary's schemas and their compatibility levels
    Register(SchemasArgs),
    /// Ask whether this binary's schemas are compatible with the registered ones
    Check(SchemasArgs),
}

#[derive(Args, Debug)]
pub(crate) struct SchemasArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryConfig,
    /// Goes before every topic name
    #[arg(long, env = "VIGIE_KAFKA_TOPIC_PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) kafka_topic_prefix: String,
}

#[derive(Subcommand, Debug)]
pub(crate) enum TopicsCommand {
    /// Create what is missing; never shrinks, reports what differs
    Apply {
        #[command(flatten)]
        partitions: Partitions,
        /// Copies of each partition
        #[arg(long = "kafka-replication-factor", alias = "replication-factor", env = "VIGIE_KAFKA_REPLICATION_FACTOR", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=9))]
        replication_factor: i32,
        /// Give the services their rights in Kafka too, those that `vigie topics acls` prints; what
        /// they have beside them is reported
        #[arg(long)]
        acls: bool,
        /// With --acls: the principal of a service [default: vigie-SERVICE]; may be given several
        /// times
        #[arg(long, value_name = "SERVICE=NAME", requires = "acls")]
        principal: Vec<String>,
        /// With --acls: take away what they have beside them
        #[arg(long, requires = "acls")]
        prune: bool,
        /// Change nothing, and say what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        kafka: KafkaConfig,
    },
    /// Give the topics of posts and insights more partitions, and move what is known of their keys; producers and processors must not run
    ///
    /// Refuses, and changes nothing, while something runs or is left to process. Stopped half-way, run it again: until it has ended, no
    /// processor starts.
    Migrate {
        /// Partitions: a multiple of those that there are
        #[arg(long, env = "VIGIE_PARTITIONS", value_parser = clap::value_parser!(i32).range(1..=1024))]
        partitions: i32,
        #[command(flatten)]
        kafka: KafkaConfig,
    },
    /// Print what each service may do in Kafka, for kafka-acls.sh or Strimzi; connects to nothing
    Acls {
        /// The principal of a service [default: vigie-SERVICE]; may be given several times
        #[arg(long, value_name = "SERVICE=NAME")]
        principal: Vec<String>,
        /// What reads it
        #[arg(long, value_enum, default_value_t = Format::KafkaAcls)]
        format: Format,
        /// The cluster's name in Strimzi
        #[arg(long, value_name = "NAME", default_value = "kafka")]
        strimzi_cluster: String,
        /// Goes before every topic, group and transactional id
        #[arg(long, env = "VIGIE_KAFKA_TOPIC_PREFIX", default_value = "", hide_default_value = true)]
        kafka_topic_prefix: String,
    },
    /// Show topics and what differs from the catalogue
    List {
        #[command(flatten)]
        kafka: KafkaConfig,
    },
}

pub(crate) async fn run_topics(command: TopicsCommand, output: Output) -> Result<(), ServiceError> {
    let changes = match command {
        TopicsCommand::Apply { partitions, replication_factor, acls, principal, prune, dry_run, kafka } => {
            // Checked before anything is changed.
            let rules = acls.then(|| acls::rules_for(&kafka.topic_prefix, &principal)).transpose()?;
            let of_topics = kafka.clone();
            let changes = blocking(move || match dry_run {
                true => apply::inspect_topics(&Admin::new(&of_topics).map_err(kafka_error)?),
                false => apply(&of_topics, partitions.partitions, replication_factor),
            });
            report(&changes.await?, output)?;
            return match rules {
                Some(rules) => apply_acls(kafka, rules, prune, dry_run, output).await,
                None => Ok(()),
            };
        }
        TopicsCommand::Migrate { partitions, kafka } => return migrate(partitions, kafka, output).await,
        TopicsCommand::Acls { principal, format, strimzi_cluster, kafka_topic_prefix } => {
            let rules = acls::rules_for(&kafka_topic_prefix, &principal)?;
            return acls::print(&rules, format, &strimzi_cluster, output);
        }
        TopicsCommand::List { kafka } => {
            blocking(move || apply::inspect_topics(&Admin::new(&kafka).map_err(kafka_error)?)).await?
        }
    };
    report(&changes, output)
}

fn report(changes: &[TopicChange], output: Output) -> Result<(), ServiceError> {
    for change in changes {
        output.result(change, || {
            let drift = change.drift.iter().map(|d| format!("\n    differs: {d}")).collect::<String>();
            format!("{:<28} {:>3} partitions  {}{drift}", change.topic, change.partitions, change.action)
        })?;
    }
    Ok(())
}

async fn apply_acls(
    kafka: KafkaConfig,
    rules: Vec<Rule>,
    prune: bool,
    dry_run: bool,
    output: Output,
) -> Result<(), ServiceError> {
    let applied = blocking(move || {
        let admin = Admin::new(&kafka).map_err(kafka_error)?;
        acls::apply::apply(&admin, &kafka.topic_prefix, &rules, prune, dry_run)
    });
    let (changes, unchanged) = applied.await?;
    for change in &changes {
        output.result(change, || change.line())?;
    }
    output.result(&json!({"rights_unchanged": unchanged}), || format!("{unchanged} rights were there already"))
}

async fn migrate(partitions: i32, kafka: KafkaConfig, output: Output) -> Result<(), ServiceError> {
    let grown = blocking(move || {
        let admin = Admin::new(&kafka).map_err(kafka_error)?;
        let group = vigie_producers::GROUP;
        match admin.members(group).map_err(kafka_error)? {
            0 => grow(&kafka, partitions, &(Arc::new(SystemClock::default()) as SharedClock)),
            running => Err(ServiceError::failed(format!("{running} members of {group} run, expected none"))),
        }
    });
    for grown in &grown.await? {
        output.result(grown, || {
            let Grown { application, new_tasks, moved_entries } = grown;
            format!("{application:<28} {new_tasks:>3} new tasks  {moved_entries} entries moved")
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
