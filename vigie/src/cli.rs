//! The command line. Options of services come from the services' own crates.

use clap::{Args, Parser, Subcommand};
use vigie_daemon::{LogConfig, OpsConfig, SecretArg};
use vigie_stores::PostgresUrl;

use crate::commands::archive::ArchiveCommand;
use crate::commands::audit::AuditCommand;
use crate::commands::author::AuthorCommand;
use crate::commands::dlq::DlqCommand;
use crate::commands::doctor::DoctorArgs;
use crate::commands::keys::KeysCommand;
use crate::commands::model::ModelCommand;
use crate::commands::replay::ReplayCommand;
use crate::commands::tail::TailArgs;
use crate::commands::token::TokenCommand;
use crate::commands::topics::{SchemasCommand, TopicsCommand};
use crate::commands::up::UpArgs;
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
        command: ArchiveCommand,
    },
    /// Look at records that could not be processed
    Dlq {
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// Show the health of a running pipeline: services, lag, latency, dead letters, sources, last alert
    Status(crate::commands::status::StatusArgs),
    /// Install vigie, its models, shell completions and man pages for this user
    Install(crate::commands::install::InstallArgs),
    /// Tell whether this machine has what vigie needs
    Doctor(DoctorArgs),
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
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) postgres_url: SecretArg<PostgresUrl>,
}
