//! `vigie up`: everything in one process, over local servers.
//!
//! ```text
//! check the configuration ─▶ bind the API's port ─▶ start Kafka, PostgreSQL, Redis, registry ─▶ topics, schemas
//!    ─▶ site (with --sample) ─▶ producers, topologies, sinks, API ─▶ ... signal ... ─▶ services drain ─▶ servers stop
//! ```

use std::path::Path;
use std::time::Duration;

use clap::{Args, Command};
use serde_json::json;
use tokio::net::TcpListener;
use vigie_authors::{AuthorKey, Keyring};
use vigie_daemon::{Context, ServiceError, spawn_signal_handler};
use vigie_kafka_client::KafkaConfig;
use vigie_processors::assets::AssetsConfig;
use vigie_processors::inference::ModelConfig;
use vigie_producers::site::{Site, SiteConfig};
use vigie_producers::source::SourceConfig;
use vigie_schemas::RegistryConfig;
use vigie_stack::{Endpoints, Stack, StackError};

use crate::cli::UpArgs;
use crate::commands::topics::{apply, blocking, codec_error};
use crate::endpoints;
use crate::output::Output;
use crate::services::Services;

/// Archives reach back for years and their sources are read side by side: their windows stay open.
const ARCHIVE_GRACE: &str = "36500d";
/// In an archive played fast, posts and comments of the same hour arrive some hours of event time apart.
const ARCHIVE_SETTLE: &str = "6h";
/// Below the data folder: the topologies' local snapshots.
const STATE_DIR: &str = "streams";
/// Below the data folder: what the sample site remembers.
const SITE_FILE: &str = "sample.json";
/// How often the topologies' lag is looked at, and how often in a row it must be none.
const LOOK: Duration = Duration::from_millis(500);
const IDLE_LOOKS: u32 = 6;
/// On a first start feeds list the posts of some days: they count too.
const LOCAL_GRACE: &str = "7d";

pub(crate) async fn run(args: UpArgs, output: Output) -> Result<(), ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let clock = ctx.clock.clone();
    let started = clock.monotonic();

    let listener = vigie_api::bind(args.api_listen).await?;
    let input = match (check_model(&args.model, &args.assets).await, Input::choose(&args, &ctx, output).await) {
        (Ok(()), input) => input?,
        (Err(ServiceError::Config(mut mistakes)), Err(ServiceError::Config(more))) => {
            mistakes.extend(more);
            return Err(ServiceError::Config(mistakes));
        }
        (Err(e), _) => return Err(e),
    };
    output.note(format!("starting Kafka, PostgreSQL and Redis in {}", args.stack.data_dir.display()));
    let stack = tokio::select! {
        stack = Stack::start(args.stack.clone()) => stack.map_err(stack_error)?,
        () = ctx.shutdown.cancelled() => return Ok(()),
    };
    let data_dir = stack.data_dir().to_owned();
    let result = pipeline(&args, &ctx, output, listener, input, &stack, started).await;
    endpoints::remove(&data_dir);
    output.note("stopping the servers");
    stack.stop().await;
    result
}

async fn pipeline(
    args: &UpArgs,
    ctx: &Context,
    output: Output,
    listener: TcpListener,
    input: Input,
    stack: &Stack,
    started: Duration,
) -> Result<(), ServiceError> {
    let servers = stack.endpoints();
    let kafka = KafkaConfig::new(servers.kafka_brokers.clone(), "");
    let registry = RegistryConfig { schema_registry_url: servers.registry_url.clone() };
    let brokers = kafka.clone();
    let database = servers.postgres_url.parse().map_err(ServiceError::failed)?;
    let (topics, schemas, tables) = tokio::join!(
        blocking(move || apply(&brokers, Some(1))),
        vigie_schemas::register_schemas(&registry, ""),
        vigie_sinks::migrate(&database),
    );
    topics?;
    tables.map_err(ServiceError::failed)?;
    if let Some(refused) = schemas.map_err(codec_error)?.iter().find(|check| !check.compatible) {
        return Err(ServiceError::failed(format!("the registry refuses the schema of {}", refused.subject)));
    }

    let url = format!("http://{}/", listener.local_addr().map_err(ServiceError::failed)?);
    let mut services = Services::new(ctx.clone());
    let (author_key, keyring) = author_secrets(stack.data_dir())?;
    let secrets = [("--author-key-file", author_key.clone()), ("--author-keyring-file", keyring.clone())];
    let mut producers: vigie_producers::Config = service_args(servers, &secrets)?;
    // A file stays one, so that it is read again when it changes.
    producers.sources.clone_from(&args.sources);
    let is_sample = matches!(input, Input::Site);
    producers.list = (args.sources.is_none() || is_sample).then_some(match input {
        Input::Web(sources) => sources,
        Input::Site => {
            let config = SiteConfig { file: Some(stack.data_dir().join(SITE_FILE)), ..args.site.clone() };
            let site = Site::start(&config, ctx.clock.clone(), ctx.shutdown.clone()).await?;
            if let Some(progress) = site.progress() {
                output.note(format!("sample data: {} archived posts and comments", progress.total));
            }
            site.hold(true);
            tokio::spawn(release_when_counted(site.clone(), ctx.clone()));
            site.sources()
        }
    });
    let state_dir = stack.data_dir().join(STATE_DIR).display().to_string();
    let mut options = vec![
        ("--model", args.model.dir.display().to_string()),
        ("--model-threads", args.model.threads.to_string()),
        ("--author-key-file", author_key),
        ("--state-dir", state_dir.clone()),
    ];
    options.extend(args.assets.file.iter().map(|file| ("--assets", file.display().to_string())));
    let sentiment: vigie_processors::sentiment::Config = service_args(servers, &options)?;
    let mut windows: Vec<(&str, String)> = vec![("--state-dir", state_dir)];
    match &args.grace {
        Some(grace) => windows.push(("--grace", grace.clone())),
        None if args.site.archive.is_some() => windows.push(("--grace", ARCHIVE_GRACE.to_owned())),
        None if is_sample => windows.push(("--grace", format!("{}s", args.site.grace().as_secs()))),
        None => windows.push(("--grace", LOCAL_GRACE.to_owned())),
    }
    if args.site.archive.is_some() {
        windows.push(("--settle", ARCHIVE_SETTLE.to_owned()));
    }
    services.spawn("producers", vigie_producers::run(producers, ctx.clone()));
    services.spawn("sentiment", vigie_processors::run_sentiment(sentiment, ctx.clone()));
    services.spawn("trends", vigie_processors::run_trends(service_args(servers, &windows)?, ctx.clone()));
    services.spawn("sink-postgres", vigie_sinks::run_postgres(service_args(servers, &[])?, ctx.clone()));
    services.spawn("sink-redis", vigie_sinks::run_redis(service_args(servers, &[])?, ctx.clone()));
    let api = service_args(servers, &[("--author-keyring-file", keyring)])?;
    services.spawn("api", vigie_api::run_with_listener(api, listener, ctx.clone()));

    endpoints::write(stack.data_dir(), servers, &url).map_err(ServiceError::failed)?;
    let seconds = (ctx.clock.monotonic() - started).as_secs_f64();
    output.result(
        &json!({
            "dashboard": url, "started_in_seconds": seconds,
            "kafka_brokers": servers.kafka_brokers, "schema_registry_url": servers.registry_url,
            "postgres_url": servers.postgres_url, "redis_url": servers.redis_url,
        }),
        || greeting(&url, servers, stack.data_dir(), seconds),
    )?;
    services.run().await
}

/// Lets the rest of the sample's backlog follow when the oldest part is counted, also one that a stop left behind: so none of its posts is late.
async fn release_when_counted(site: Site, ctx: Context) {
    let mut idle = 0;
    while idle < IDLE_LOOKS {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = ctx.shutdown.cancelled() => return,
        }
        let families = ctx.metrics.gather();
        let mut lags = families.iter().filter(|family| family.name() == "vigie_streams_lag_records").peekable();
        let is_idle = site.is_asked()
            && lags.peek().is_some()
            && lags.flat_map(|family| family.get_metric()).all(|lag| lag.get_gauge().get_value() == 0.0);
        idle = if is_idle { idle + 1 } else { 0 };
    }
    site.hold(false);
}

/// Where everything is, with lines to copy.
fn greeting(url: &str, servers: &Endpoints, data_dir: &Path, seconds: f64) -> String {
    let Endpoints { kafka_brokers, registry_url, .. } = servers;
    let pid = std::process::id();
    // A data dir of another name is not found by itself.
    let canonical = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    let is_found = canonical.file_name().is_some_and(|name| name == ".vigie");
    let here = if is_found { String::new() } else { format!(" --data-dir {}", canonical.display()) };
    format!(
        "vigie is up after {seconds:.1} s

  dashboard   {url}
  API         {url}docs
  Kafka       {kafka_brokers}
  registry    {registry_url}
  stop        Ctrl-C, or kill {pid}

  vigie status{here} --watch
  vigie tail{here} insights.trends.v1 --asset BTC -n 5
  curl '{url}v1/trends'
  python3 -c \"import pandas; print(pandas.read_csv('{url}v1/assets/BTC/series?metrics=posts,mean_score&format=csv'))\"
"
    )
}

/// A model or a table of assets that cannot be used is said before any server is started.
async fn check_model(model: &ModelConfig, assets: &AssetsConfig) -> Result<(), ServiceError> {
    let (model, assets) = (model.clone(), assets.clone());
    blocking(move || {
        let model = model.load().map(drop).map_err(|e| format!("--model: {}", ServiceError::failed(e).chain()));
        let mistakes: Vec<String> = [model.err(), assets.load().err()].into_iter().flatten().collect();
        if mistakes.is_empty() { Ok(()) } else { Err(ServiceError::Config(mistakes)) }
    })
    .await
}

fn stack_error(error: StackError) -> ServiceError {
    if error.is_missing_prerequisite() {
        return ServiceError::unavailable("the local stack", error);
    }
    ServiceError::failed(error)
}

/// What is scraped.
enum Input {
    Web(Vec<SourceConfig>),
    Site,
}

impl Input {
    async fn choose(args: &UpArgs, ctx: &Context, output: Output) -> Result<Self, ServiceError> {
        if args.site.archive.is_some() && !args.sample {
            return Err(ServiceError::Config(vec![
                "--archive serves sample data, expected --sample beside it".to_owned(),
            ]));
        }
        if args.sample {
            output.note("sample data from a local web site");
            return Ok(Self::Site);
        }
        let config: vigie_producers::Config = parse_args(&sources_args(args.sources.as_deref()))?;
        let sources = config.resolve()?;
        if args.sources.is_some() || vigie_producers::reachable(&sources, ctx.clock.clone()).await {
            output.note(format!("scraping {} sources", sources.len()));
            return Ok(Self::Web(sources));
        }
        output.note("no public source can be reached from this machine: running on SAMPLE DATA, made-up posts from a local web site");
        Ok(Self::Site)
    }
}

fn sources_args(file: Option<&Path>) -> Vec<String> {
    file.map(|file| vec!["--sources".to_owned(), file.display().to_string()]).unwrap_or_default()
}

/// A service's options on these servers: as on the command line of the service, environment and defaults included.
fn service_args<T: Args>(servers: &Endpoints, more: &[(&str, String)]) -> Result<T, ServiceError> {
    let known: Vec<String> = T::augment_args(Command::new(""))
        .get_arguments()
        .filter_map(|a| a.get_long().map(|l| format!("--{l}")))
        .collect();
    let all = [
        ("--kafka-brokers", servers.kafka_brokers.clone()),
        ("--kafka-topic-prefix", String::new()),
        ("--schema-registry-url", servers.registry_url.clone()),
        ("--postgres-url", servers.postgres_url.clone()),
        ("--redis-url", servers.redis_url.clone()),
    ];
    let given = all.iter().filter(|(name, _)| known.iter().any(|k| k == name)).chain(more);
    parse_args(&given.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
}

fn parse_args<T: Args>(args: &[String]) -> Result<T, ServiceError> {
    let mistake = |e: clap::Error| ServiceError::Config(vec![e.to_string().trim().to_owned()]);
    let command = T::augment_args(Command::new("up").no_binary_name(true));
    let mut matches = command.try_get_matches_from(args).map_err(mistake)?;
    T::from_arg_matches_mut(&mut matches).map_err(mistake)
}

/// The files with the key of the authors' pseudonyms and with the keyring of their handles: made on the first start, kept with the data.
fn author_secrets(data_dir: &Path) -> Result<(String, String), ServiceError> {
    let (key, keyring) = (data_dir.join(endpoints::AUTHOR_KEY), data_dir.join(endpoints::AUTHOR_KEYRING));
    AuthorKey::read_or_create(&key).map_err(ServiceError::failed)?;
    Keyring::read_or_create(&keyring).map_err(ServiceError::failed)?;
    Ok((key.display().to_string(), keyring.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_the_servers_and_commands_that_find_them() {
        let servers = Endpoints {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            postgres_url: "postgres://vigie:secret@127.0.0.1:2/vigie".to_owned(),
            redis_url: "redis://127.0.0.1:3".to_owned(),
            registry_url: "http://127.0.0.1:4".to_owned(),
        };
        let folder = tempfile::tempdir().unwrap();
        let text = greeting("http://127.0.0.1:5/", &servers, folder.path(), 1.0);
        let dir = folder.path().canonicalize().unwrap();
        for part in ["127.0.0.1:1\n", "http://127.0.0.1:4\n", &format!("vigie tail --data-dir {} ", dir.display())] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        assert!(text.contains("read_csv('http://127.0.0.1:5/v1/assets/BTC/series?") && !text.contains("secret"));
        let found = folder.path().join(".vigie");
        std::fs::create_dir(&found).unwrap();
        assert!(greeting("http://127.0.0.1:5/", &servers, &found, 1.0).contains("vigie status --watch"));
    }
}
