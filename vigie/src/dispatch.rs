//! From the command that was asked for to what does it.

use std::future::Future;

use clap::CommandFactory;
use vigie_daemon::{Context, Mistake, OpsConfig, ServiceError, serve_ops, spawn_signal_handler};
use vigie_schemas::Service;
use vigie_sinks::MigrateError;

use crate::cli::{Cli, Command, MigrateArgs, SinkCommand, TopologyCommand};
use crate::commands::{
    archive, asset_names, audit, author, dlq, doctor, install, keys, model, replay, source, status, tail, token,
    topics, up, verify,
};
use crate::output::Output;
use crate::services::{Services, checked};

/// Runs a command to its end. `unread` are values of its options that could not be read: a service reports them with the mistakes of
/// its configuration.
///
/// # Errors
/// What went wrong, with the exit code that it asks for.
pub(crate) async fn run(command: Command, unread: Vec<Mistake>, output: Output) -> Result<(), ServiceError> {
    let is_service = matches!(
        command,
        Command::Up(_) | Command::Produce(_) | Command::Process { .. } | Command::Sink { .. } | Command::Api(_)
    );
    if !is_service && !unread.is_empty() {
        return Err(unread.into());
    }
    match command {
        Command::Up(args) => up::run(*args, unread, output).await,
        Command::Produce(args) => {
            let service = checked(unread, args.service.check())?;
            serve(Service::Producers, args.ops, |ctx| vigie_producers::run(service, ctx)).await
        }
        Command::Process { topology: TopologyCommand::Sentiment(args) } => {
            let service = checked(unread, args.service.check())?;
            serve(Service::Sentiment, args.ops, |ctx| vigie_processors::run_sentiment(service, ctx)).await
        }
        Command::Process { topology: TopologyCommand::Trends(args) } => {
            let service = checked(unread, args.service.check())?;
            serve(Service::Trends, args.ops, |ctx| vigie_processors::run_trends(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Postgres(args) } => {
            let service = checked(unread, args.service.check())?;
            serve(Service::SinkPostgres, args.ops, |ctx| vigie_sinks::run_postgres(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Redis(args) } => {
            let service = checked(unread, args.service.check())?;
            serve(Service::SinkRedis, args.ops, |ctx| vigie_sinks::run_redis(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Archive(args) } => {
            let service = checked(unread, args.service.check())?;
            serve(Service::SinkArchive, args.ops, |ctx| vigie_sinks::run_archive(service, ctx)).await
        }
        Command::Api(args) => {
            let service = checked(unread, asset_names::named(args.service, &args.assets))?;
            let ctx = Context::system();
            spawn_signal_handler(ctx.shutdown.clone());
            vigie_api::run(service, ctx).await
        }
        Command::Source { command } => source::run(command, output).await,
        Command::Model { command } => model::run(command).await,
        Command::Tail(args) => tail::run(args, output).await,
        Command::Topics { command } => topics::run_topics(command, output).await,
        Command::Schemas { command } => topics::run_schemas(command, output).await,
        Command::Migrate(args) => migrate(args, output).await,
        Command::Token { command } => token::run(command, output).await,
        Command::Keys { command } => keys::run(command, output).await,
        Command::Audit { command } => audit::run(command, output).await,
        Command::Author { command } => author::run(command, output).await,
        Command::Replay { command } => replay::run(command, output).await,
        Command::Verify(args) => verify::run(*args, output).await,
        Command::Recompute(args) => verify::recompute(*args, output).await,
        Command::Archive { command } => archive::run(command, output).await,
        Command::Dlq { command } => dlq::run(command, output).await,
        Command::Status(args) => status::run(args, output).await,
        Command::Install(args) => install::run(&args, Cli::command(), output),
        Command::Doctor(args) => doctor::run(args, output).await,
    }
}

async fn migrate(args: MigrateArgs, output: Output) -> Result<(), ServiceError> {
    let applied = vigie_sinks::migrate(&args.postgres_url.require()?).await.map_err(|e| match e {
        MigrateError::Unavailable { url, source } => ServiceError::unavailable(format!("postgresql at {url}"), source),
        other => ServiceError::failed(other),
    })?;
    output.result(&serde_json::json!({"applied": applied}), || match applied.len() {
        0 => "the tables are up to date".to_owned(),
        _ => format!("applied {}", applied.join(", ")),
    })
}

/// One service beside its probes and metrics, until a signal.
async fn serve<F>(name: Service, ops: OpsConfig, service: impl FnOnce(Context) -> F) -> Result<(), ServiceError>
where
    F: Future<Output = Result<(), ServiceError>> + Send + 'static,
{
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let mut services = Services::new(ctx.clone());
    services.spawn("ops", serve_ops(ops.ops_listen, ctx.clone()));
    services.spawn(name.name(), service(ctx));
    services.run().await
}
