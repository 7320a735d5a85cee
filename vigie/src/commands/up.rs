//! `vigie up`: everything in one process, over local servers.
//!
//! ```text
//! check the configuration ─▶ bind the API's port ─▶ site (with --sample) ─▶ start Kafka, PostgreSQL, Redis, registry
//!    ─▶ topics, schemas ─▶ producers, topologies, sinks, API ─▶ ... signal ... ─▶ services drain ─▶ servers stop
//! ```

mod check;
mod options;

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use vigie_daemon::{Context, Mistake, ServiceError, spawn_signal_handler};
use vigie_kafka_client::KafkaConfig;
use vigie_sample::Site;
use vigie_schemas::RegistryConfig;
use vigie_stack::{Stack, StackError};

use self::check::Checked;
pub(crate) use self::options::ServiceOptions;
use crate::cli::UpArgs;
use crate::commands::checked;
use crate::commands::topics::{apply, blocking, codec_error};
use crate::endpoints;
use crate::output::Output;
use crate::services::Services;

pub(crate) async fn run(args: UpArgs, unread: Vec<Mistake>, output: Output) -> Result<(), ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let clock = ctx.clock.clone();
    let started = clock.monotonic();

    let mut ready = checked(unread, Checked::of(&args))?;
    let listener = vigie_api::bind(args.services.api.listen).await?;
    if is_sample(&args, &ready, &ctx, output).await {
        let site = Site::start(&args.site, clock, ctx.shutdown.clone()).await?;
        if let Some(progress) = site.progress() {
            output.note(format!("sample data: {} archived posts and comments", progress.total));
        }
        ready.producers = ready.producers.with_sources(site.sources());
    }
    output.note(format!("starting Kafka, PostgreSQL and Redis in {}", args.stack.data_dir.display()));
    let stack = tokio::select! {
        stack = Stack::start(args.stack.clone()) => stack.map_err(stack_error)?,
        () = ctx.shutdown.cancelled() => return Ok(()),
    };
    let data_dir = stack.data_dir().to_owned();
    let result = pipeline(ready, &ctx, output, listener, &stack, started).await;
    endpoints::remove(&data_dir);
    output.note("stopping the servers");
    stack.stop().await;
    result
}

async fn pipeline(
    ready: Checked,
    ctx: &Context,
    output: Output,
    listener: TcpListener,
    stack: &Stack,
    started: Duration,
) -> Result<(), ServiceError> {
    let servers = stack.endpoints();
    let ready = ready.on(servers, stack.data_dir())?;
    let brokers = KafkaConfig::new(servers.kafka_brokers.clone(), "");
    let registry = RegistryConfig { schema_registry_url: servers.registry_url.clone() };
    let (topics, schemas, tables) = tokio::join!(
        blocking(move || apply(&brokers, Some(1))),
        vigie_schemas::register_schemas(&registry, ""),
        vigie_sinks::migrate(&ready.postgres.postgres_url),
    );
    topics?;
    tables.map_err(ServiceError::failed)?;
    if let Some(refused) = schemas.map_err(codec_error)?.iter().find(|check| !check.compatible) {
        return Err(ServiceError::failed(format!("the registry refuses the schema of {}", refused.subject)));
    }

    let url = format!("http://{}/", listener.local_addr().map_err(ServiceError::failed)?);
    let mut services = Services::new(ctx.clone());
    services.spawn("producers", vigie_producers::run(ready.producers, ctx.clone()));
    services.spawn("sentiment", vigie_processors::run_sentiment(ready.sentiment, ctx.clone()));
    services.spawn("trends", vigie_processors::run_trends(ready.trends, ctx.clone()));
    services.spawn("sink-postgres", vigie_sinks::run_postgres(ready.postgres, ctx.clone()));
    services.spawn("sink-redis", vigie_sinks::run_redis(ready.redis, ctx.clone()));
    services.spawn("api", vigie_api::run_with_listener(ready.api, listener, ctx.clone()));

    endpoints::write(stack.data_dir(), servers).map_err(ServiceError::failed)?;
    let seconds = (ctx.clock.monotonic() - started).as_secs_f64();
    output.result(
        &json!({
            "dashboard": url, "started_in_seconds": seconds,
            "kafka_brokers": servers.kafka_brokers, "schema_registry_url": servers.registry_url,
            "postgres_url": servers.postgres_url, "redis_url": servers.redis_url,
        }),
        || format!("vigie is up after {seconds:.1} s\n\n  dashboard   {url}\n  API         {url}docs\n  stop        Ctrl-C or ./dev down\n"),
    )?;
    services.run().await
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
