//! `vigie up`: everything in one process, over local servers.
//!
//! ```text
//! check the configuration ─▶ bind the API's port ─▶ start Kafka, PostgreSQL, Redis, registry ─▶ topics, schemas
//!    ─▶ site (with --sample) ─▶ producers, topologies, sinks, API ─▶ ... signal ... ─▶ services drain ─▶ servers stop
//! ```

mod check;
mod options;

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use vigie_daemon::{Context, Mistake, ServiceError, spawn_signal_handler};
use vigie_kafka_client::KafkaConfig;
use vigie_sample::{Site, SiteConfig};
use vigie_schemas::{RegistryConfig, Service};
use vigie_stack::{Endpoints, Stack, StackError};

use self::check::Checked;
pub(crate) use self::options::UpArgs;
use crate::commands::topics::{apply, blocking, codec_error};
use crate::output::Output;
use crate::running_up;
use crate::services::{Services, checked};

/// Below the data folder: what the sample site remembers.
const SITE_FILE: &str = "sample.json";
/// How often the topologies' lag is looked at, and how often in a row it must be none.
const LOOK: Duration = Duration::from_millis(500);
const IDLE_LOOKS: u32 = 6;
/// How long the greeting waits for them.
const STARTING: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: UpArgs, unread: Vec<Mistake>, output: Output) -> Result<(), ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let clock = ctx.clock.clone();
    let started = clock.monotonic();

    let ready = checked(unread, Checked::of(&args))?;
    let listener = vigie_api::bind(args.services.api.listen).await?;
    let site = is_sample(&args, &ready, &ctx, output).await.then_some(&args);
    output.note(format!("starting Kafka, PostgreSQL and Redis in {}", args.stack.data_dir.display()));
    let stack = tokio::select! {
        stack = Stack::start(args.stack.clone()) => stack.map_err(stack_error)?,
        () = ctx.shutdown.cancelled() => return Ok(()),
    };
    let data_dir = stack.data_dir().to_owned();
    let result = pipeline(ready, site, &ctx, output, listener, &stack, started).await;
    running_up::remove(&data_dir);
    output.note("stopping the servers");
    stack.stop().await;
    result
}

async fn pipeline(
    ready: Checked,
    sample: Option<&UpArgs>,
    ctx: &Context,
    output: Output,
    listener: TcpListener,
    stack: &Stack,
    started: Duration,
) -> Result<(), ServiceError> {
    let servers = stack.endpoints();
    let mut ready = ready.on(servers, stack.data_dir())?;
    if let Some(args) = sample {
        let config = SiteConfig { file: Some(stack.data_dir().join(SITE_FILE)), ..args.site.clone() };
        let site = Site::start(&config, ctx.clock.clone(), ctx.shutdown.clone()).await?;
        if let Some(progress) = site.progress() {
            output.note(format!("sample data: {} archived posts and comments", progress.total));
        }
        if args.site.archive.is_none() {
            site.hold(true);
            tokio::spawn(release_when_counted(site.clone(), ctx.clone()));
        }
        ready.producers = ready.producers.with_sources(site.sources());
        if args.services.is_default_grace && args.site.archive.is_none() {
            ready.trends = ready.trends.with_grace(args.site.grace());
        }
    }
    let brokers = KafkaConfig::new(servers.kafka_brokers.clone(), "");
    let registry = RegistryConfig::at(servers.registry_url.clone());
    let partitions = ready.partitions;
    let (topics, schemas, tables) = tokio::join!(
        blocking(move || apply(&brokers, partitions, 1)),
        vigie_schemas::register_schemas(&registry, ""),
        vigie_sinks::migrate(&ready.postgres.postgres_url),
    );
    topics?;
    tables.map_err(ServiceError::failed)?;
    if let Some(refused) = schemas.map_err(codec_error)?.iter().find(|check| !check.compatible) {
        return Err(ServiceError::failed(format!("the registry refuses the schema of {}", refused.subject)));
    }

    let scheme = if ready.api.is_encrypted() { "https" } else { "http" };
    let url = format!("{scheme}://{}/", listener.local_addr().map_err(ServiceError::failed)?);
    let mut services = Services::new(ctx.clone());
    services.spawn(Service::Producers.name(), vigie_producers::run(ready.producers, ctx.clone()));
    services.spawn(Service::Sentiment.name(), vigie_processors::run_sentiment(ready.sentiment, ctx.clone()));
    services.spawn(Service::Trends.name(), vigie_processors::run_trends(ready.trends, ctx.clone()));
    services.spawn(Service::SinkPostgres.name(), vigie_sinks::run_postgres(ready.postgres, ctx.clone()));
    services.spawn(Service::SinkRedis.name(), vigie_sinks::run_redis(ready.redis, ctx.clone()));
    if let Some(archive) = ready.archive {
        services.spawn(Service::SinkArchive.name(), vigie_sinks::run_archive(archive, ctx.clone()));
    }
    services.spawn(Service::Api.name(), vigie_api::run_with_listener(ready.api, listener, ctx.clone()));

    running_up::write(stack.data_dir(), servers, &url).map_err(ServiceError::failed)?;
    let mut running = pin!(services.run());
    // What is printed now stays in sight: restoring is logged before.
    tokio::select! {
        ended = &mut running => return ended,
        _ = tokio::time::timeout(STARTING, until_ready(ctx)) => {}
    }
    let seconds = (ctx.clock.monotonic() - started).as_secs_f64();
    output.result(
        &json!({
            "dashboard": url, "started_in_seconds": seconds,
            "kafka_brokers": servers.kafka_brokers, "schema_registry_url": servers.registry_url,
            "postgres_url": servers.postgres_url, "redis_url": servers.redis_url,
        }),
        || greeting(&url, servers, stack.data_dir(), seconds),
    )?;
    running.await
}

/// Waits until every service is ready.
async fn until_ready(ctx: &Context) {
    loop {
        let report = ctx.health.report();
        let has = |service: &Service| report.components.iter().any(|(name, _)| *name == service.name());
        // The archive is written only where there is one.
        if report.ready && Service::ALL.iter().filter(|service| **service != Service::SinkArchive).all(has) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
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
  python3 -c \"import pandas; print(pandas.read_csv('{url}v1/assets/BTC/series?metrics=posts,mean_score&format=csv').dropna(subset='posts'))\"
"
    )
}

fn stack_error(error: StackError) -> ServiceError {
    if error.is_missing_prerequisite() {
        return ServiceError::unavailable("the local stack", error);
    }
    ServiceError::failed(error)
}

/// Whether sample data is scraped: where it is asked for, and where no public source can be reached.
async fn is_sample(args: &UpArgs, ready: &Checked, ctx: &Context, output: Output) -> bool {
    let sources = ready.producers.sources();
    if args.sample {
        output.note("sample data from a local web site");
        return true;
    }
    let has_file = args.services.producers.sources.is_some();
    if has_file || vigie_producers::reachable(sources, ctx.clock.clone()).await {
        output.note(format!("scraping {} sources", sources.len()));
        return false;
    }
    output.note("no public source can be reached from this machine: running on SAMPLE DATA, made-up posts from a local web site");
    true
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
