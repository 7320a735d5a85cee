//! The options of all services, as `vigie up` takes them.

use clap::builder::ArgPredicate;
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use crate::commands::topics::Partitions;

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

/// Archives reach back for years and their sources are read side by side: their windows stay open.
const ARCHIVE_GRACE: &str = "36500d";
/// In an archive played fast, posts and comments of the same hour arrive some hours of event time apart.
const ARCHIVE_SETTLE: &str = "6h";
/// On a first start feeds list the posts of some days: they count too.
const LOCAL_GRACE: &str = "7d";
/// Where the servers are, and how they are spoken to: `up` starts its own. The beginnings of options.
const SERVERS: [&str; 8] = [
    "kafka-brokers",
    "kafka-topic-prefix",
    "kafka-security-",
    "kafka-ssl-",
    "kafka-sasl-",
    "schema-registry-",
    "postgres-url",
    "redis-url",
];

fn is_server(option: &str) -> bool {
    // The port of the own registry is an option of `up`.
    option != "schema-registry-port" && SERVERS.iter().any(|server| option.starts_with(server))
}

type Augment = fn(Command) -> Command;

/// The configuration of each service. An option that several have is given once and holds for all of them.
#[derive(Debug)]
pub(crate) struct ServiceOptions {
    pub(crate) producers: vigie_producers::Config,
    pub(crate) sentiment: vigie_processors::sentiment::Config,
    pub(crate) trends: vigie_processors::trends::Config,
    pub(crate) postgres: vigie_sinks::PostgresSinkConfig,
    pub(crate) redis: vigie_sinks::RedisSinkConfig,
    pub(crate) archive: vigie_sinks::ArchiveSinkConfig,
    pub(crate) api: vigie_api::Config,
    /// Nobody has set how long windows wait for late posts.
    pub(crate) is_default_grace: bool,
}

impl Args for ServiceOptions {
    fn augment_args(mut command: Command) -> Command {
        let services: [(&str, Augment); 7] = [
            ("Scraping", vigie_producers::Config::augment_args),
            ("Sentiment", vigie_processors::sentiment::Config::augment_args),
            ("Trends", vigie_processors::trends::Config::augment_args),
            ("Sinks", vigie_sinks::PostgresSinkConfig::augment_args),
            ("Sinks", vigie_sinks::RedisSinkConfig::augment_args),
            ("Sinks", vigie_sinks::ArchiveSinkConfig::augment_args),
            ("API", vigie_api::Config::augment_args),
        ];
        for (heading, augment) in services {
            for arg in augment(Command::new("")).get_arguments() {
                if command.get_arguments().all(|known| known.get_id() != arg.get_id()) {
                    command = command.arg(arg.clone().help_heading(heading));
                }
            }
        }
        command
            .mut_args(|arg| match arg.get_long() {
                Some(long) if is_server(long) => arg.hide(true).env(None::<&'static str>),
                _ => arg,
            })
            .mut_arg("grace", |arg| {
                arg.default_value(LOCAL_GRACE).default_value_if("archive", ArgPredicate::IsPresent, ARCHIVE_GRACE)
            })
            .mut_arg("settle", |arg| arg.default_value_if("archive", ArgPredicate::IsPresent, ARCHIVE_SETTLE))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServiceOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let is_given = |id: &clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let given = matches.ids().filter(|id| is_given(id)).map(|id| id.as_str().replace('_', "-"));
        if let Some(option) = given.into_iter().find(|option| is_server(option)) {
            let text = format!("unexpected argument '--{option}': up starts servers of its own\n");
            return Err(Error::raw(ErrorKind::UnknownArgument, text));
        }
        Ok(Self {
            producers: FromArgMatches::from_arg_matches(matches)?,
            sentiment: FromArgMatches::from_arg_matches(matches)?,
            trends: FromArgMatches::from_arg_matches(matches)?,
            postgres: FromArgMatches::from_arg_matches(matches)?,
            redis: FromArgMatches::from_arg_matches(matches)?,
            archive: FromArgMatches::from_arg_matches(matches)?,
            api: FromArgMatches::from_arg_matches(matches)?,
            is_default_grace: matches.value_source("grace") == Some(ValueSource::DefaultValue),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
