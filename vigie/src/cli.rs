//! The command line. Options of services come from the services' own crates.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vigie_authors::{AuthorKey, Keyring};
use vigie_daemon::{LogConfig, OpsConfig, SecretArg};
use vigie_kafka_client::KafkaConfig;
use vigie_schemas::RegistryConfig;
use vigie_stores::PostgresUrl;

use crate::commands::audit::AuditCommand;
use crate::commands::dlq;
use crate::commands::keys::KeysCommand;
use crate::commands::replay;
use crate::commands::token::TokenCommand;
use crate::commands::topics::TopicsCommand;
use crate::commands::up::ServiceOptions;
use crate::commands::verify::{RecomputeArgs, VerifyArgs};

/// Insight streams from what people say about crypto assets
#[derive(Parser, Debug)]
#[command(name = "vigie", version, propagate_version = true, max_term_width = 120)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 64 bad usage or configuration, 69 a needed service is unavailable."
)]
pub(crate) struct Cli {
    /// Print results as JSON Lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) log: LogConfig,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run everything in one process over local servers: scrape, score, count, store, serve
    Up(Box<UpArgs>),
    /// Scrape sources and publish raw posts
    Produce(Box<ProduceArgs>),
    /// Run a stream processor
    Process {
        #[command(subcommand)]
        topology: TopologyCommand,
    },
    /// Write insight topics to a store
    Sink {
        #[command(subcommand)]
        store: SinkCommand,
    },
    /// Serve the REST API and the dashboard
    Api(Box<ApiArgs>),
    /// Try out sources
    Source {
        #[command(subcommand)]
        command: crate::commands::source::SourceCommand,
    },
    /// Try out models
    Model {
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// Print the records of a topic as JSON Lines
    Tail(TailArgs),
    /// Create or inspect topics
    Topics {
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// Register or check Avro schemas
    Schemas {
        #[command(subcommand)]
        command: SchemasCommand,
    },
    /// Create or upgrade the PostgreSQL tables
    Migrate(MigrateArgs),
    /// Issue or revoke access tokens for the API
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Make, list or revoke keys for the API
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Show who did what, and whether that record is whole
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Look up, decrypt or erase authors
    Author {
        #[command(subcommand)]
        command: AuthorCommand,
    },
    /// Reprocess a time range with another model, beside the live output
    Replay {
        #[command(subcommand)]
        command: ReplayCommand,
    },
    /// Recount windows from the raw posts and compare them with what the API serves
    Verify(Box<VerifyArgs>),
    Recompute(Box<RecomputeArgs>),
    /// Look at what is archived, and check it
    Archive {
        #[command(subcommand)]
        command: crate::commands::archive::ArchiveCommand,
    },
    /// Look at records that could not be processed
    Dlq {
        #[command(subcommand)]
        command: dlq::DlqCommand,
    },
    /// Show the health of a running pipeline: services, lag, latency, dead letters, sources, last alert
    Status(crate::commands::status::StatusArgs),
    /// Install vigie, its models, shell completions and man pages for this user
    Install(crate::commands::install::InstallArgs),
    /// Tell whether this machine has what vigie needs
    Doctor(DoctorArgs),
}

/// Which broker `up` runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerKind {
    /// A local Apache Kafka.
    Kafka,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Other commands find a running `up` by --data-dir, VIGIE_DATA_DIR, or the nearest .vigie upwards.\n\n\
Exit codes: 0 done, 1 failed, 64 bad usage or configuration, 69 a needed service is unavailable."
)]
pub(crate) struct UpArgs {
    /// Serve made-up posts from a local web site and scrape that
    #[arg(long)]
    pub(crate) sample: bool,
    #[command(flatten)]
    pub(crate) site: vigie_sample::SiteConfig,
    #[command(flatten)]
    pub(crate) stack: vigie_stack::StackConfig,
    /// Which broker to run on
    #[arg(long, value_enum, default_value_t = BrokerKind::Kafka)]
    pub(crate) broker: BrokerKind,
    #[command(flatten)]
    pub(crate) partitions: Partitions,
    #[command(flatten)]
    pub(crate) services: ServiceOptions,
}

#[derive(Args, Debug)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    pub(crate) service: vigie_producers::Config,
    #[command(flatten)]
    pub(crate) ops: OpsConfig,
}

#[derive(Subcommand, Debug)]
pub(crate) enum TopologyCommand {
    /// Language, assets and sentiment of each post
    Sentiment(Box<SentimentArgs>),
    /// Windows, anomalies and alerts of each asset
    Trends(Box<TrendsArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct SentimentArgs {
    #[command(flatten)]
    pub(crate) service: vigie_processors::sentiment::Config,
    #[command(flatten)]
    pub(crate) ops: OpsConfig,
}

#[derive(Args, Debug)]
pub(crate) struct TrendsArgs {
    #[command(flatten)]
    pub(crate) service: vigie_processors::trends::Config,
    #[command(flatten)]
    pub(crate) ops: OpsConfig,
}

#[derive(Subcommand, Debug)]
pub(crate) enum SinkCommand {
    /// History
    Postgres(Box<PostgresArgs>),
    /// Events for the live stream
    Redis(Box<RedisArgs>),
    /// Raw and scored posts to Parquet files
    Archive(Box<ArchiveArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct PostgresArgs {
    #[command(flatten)]
    pub(crate) service: vigie_sinks::PostgresSinkConfig,
    #[command(flatten)]
    pub(crate) ops: OpsConfig,
}

#[derive(Args, Debug)]
pub(crate) struct RedisArgs {
    #[command(flatten)]
    pub(crate) service: vigie_sinks::RedisSinkConfig,
    #[command(flatten)]
    pub(crate) ops: OpsConfig,
}

#[derive(Args, Debug)]
pub(crate) struct ArchiveArgs {
    #[command(flatten)]
    pub(crate) service: vigie_sinks::ArchiveSinkConfig,
    #[command(flatten)]
    pub(crate) ops: OpsConfig,
}

#[derive(Args, Debug)]
pub(crate) struct ApiArgs {
    #[command(flatten)]
    pub(crate) service: vigie_api::Config,
    /// By which names assets may be asked for.
    #[command(flatten)]
    pub(crate) assets: vigie_processors::assets::AssetsConfig,
}

#[derive(Args, Debug)]
pub(crate) struct BackfillArgs {
    /// The source, as `source list` names it
    pub(crate) id: String,
    /// How far back: a day (UTC), a time in RFC 3339, or how long ago, for example 30d
    #[arg(long, value_name = "DATE", value_parser = vigie_processors::times::since)]
    pub(crate) since: vigie_clock::Timestamp,
    #[command(flatten)]
    pub(crate) service: vigie_producers::Config,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ModelCommand {
    /// Score texts: one per line in, one JSON object per line out
    Score {
        /// A text file; standard input if absent
        file: Option<PathBuf>,
        #[command(flatten)]
        model: vigie_processors::inference::ModelConfig,
        #[command(flatten)]
        assets: vigie_processors::assets::AssetsConfig,
    },
    /// Score a series: timestamp,value in, timestamp,value,anomaly_score,p10,p50,p90,tail_probability,alarm out
    Detect {
        /// A CSV file with a header; standard input if absent
        file: Option<PathBuf>,
        /// Anomaly score from which on an alarm is raised, once per event
        #[arg(long, value_name = "SCORE", env = "VIGIE_ALERT_SCORE", default_value_t = 0.5)]
        alert_score: f64,
        #[command(flatten)]
        forecast: vigie_processors::forecast::ForecasterConfig,
    },
}

#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// The topic, for example insights.trends.v1
    pub(crate) topic: String,
    /// Only records of this asset, in any case
    #[arg(long)]
    pub(crate) asset: Option<String>,
    /// Only records that arrived at this time or later: RFC 3339, a day (UTC), or how long ago, for example 1h
    #[arg(long, value_name = "TIME", value_parser = vigie_processors::times::since)]
    pub(crate) from: Option<vigie_clock::Timestamp>,
    /// Only the last N matching records; with --follow, new ones too
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<usize>,
    /// Go on with records as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) kafka: KafkaConfig,
    #[command(flatten)]
    pub(crate) registry: RegistryConfig,
}

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

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) postgres_url: SecretArg<PostgresUrl>,
}

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
        keyring: SecretArg<Keyring>,
        #[command(flatten)]
        kafka: KafkaConfig,
        #[command(flatten)]
        registry: RegistryConfig,
    },
    /// Re-wrap the data keys of all authors under the first key of the keyring; handles are not touched. Start it again if it is interrupted
    Rewrap {
        #[command(flatten)]
        keyring: SecretArg<Keyring>,
        #[command(flatten)]
        kafka: KafkaConfig,
        #[command(flatten)]
        registry: RegistryConfig,
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

#[derive(Subcommand, Debug)]
pub(crate) enum ReplayCommand {
    /// Say what a replay would read, and what it would cost; changes nothing
    Plan(Box<replay::PlanArgs>),
    /// Run a replay to its end: a new one, or with --run-id the rest of one
    Run(Box<ReplayArgs>),
    /// List replays, the latest first
    List(replay::ListArgs),
    /// Show how far a replay is
    Status(replay::RunArgs),
    /// Pause a running replay; at most a week, for as long as Kafka keeps the offsets of groups
    Pause(replay::RunArgs),
    /// Resume a paused replay
    Resume(replay::RunArgs),
    /// End a replay for good, and delete what it needs to go on; what it wrote stays
    Cancel(replay::StoredRunArgs),
    /// Delete what is stored of a replay in PostgreSQL, and what is left of it in Kafka
    Remove(replay::StoredRunArgs),
    /// Compare a replay with the live run, or with another replay
    Diff(replay::DiffArgs),
    #[command(flatten)]
    Serve(replay::ServeCommand),
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) replay: vigie_processors::replay::Config,
    /// Where the run is recorded, so that the API lists it
    #[command(flatten)]
    pub(crate) postgres_url: SecretArg<PostgresUrl>,
}

#[derive(Args, Debug)]
pub(crate) struct DlqArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaConfig,
    #[command(flatten)]
    pub(crate) registry: RegistryConfig,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) stack: vigie_stack::StackConfig,
    #[command(flatten)]
    pub(crate) model: vigie_processors::inference::ModelConfig,
}
