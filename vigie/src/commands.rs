//! What each subcommand does.

pub(crate) mod archive;
mod asset_names;
pub(crate) mod audit;
mod author;
pub(crate) mod dlq;
mod doctor;
pub(crate) mod install;
pub(crate) mod keys;
mod model;
pub(crate) mod replay;
pub(crate) mod source;
pub(crate) mod status;
mod tail;
pub(crate) mod token;
pub(crate) mod topics;
pub(crate) mod up;
pub(crate) mod verify;

use std::future::Future;

use vigie_daemon::{Context, Mistake, OpsConfig, ServiceError, serve_ops, spawn_signal_handler};
use vigie_sinks::MigrateError;

use crate::cli::{Command, MigrateArgs, SinkCommand, TopologyCommand};
use crate::output::Output;
use crate::services::Services;

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
            serve("producers", args.ops, |ctx| vigie_producers::run(service, ctx)).await
        }
        Command::Process { topology: TopologyCommand::Sentiment(args) } => {
            let service = checked(unread, args.service.check())?;
            serve("sentiment", args.ops, |ctx| vigie_processors::run_sentiment(service, ctx)).await
        }
        Command::Process { topology: TopologyCommand::Trends(args) } => {
            let service = checked(unread, args.service.check())?;
            serve("trends", args.ops, |ctx| vigie_processors::run_trends(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Postgres(args) } => {
            let service = checked(unread, args.service.check())?;
            serve("sink-postgres", args.ops, |ctx| vigie_sinks::run_postgres(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Redis(args) } => {
            let service = checked(unread, args.service.check())?;
            serve("sink-redis", args.ops, |ctx| vigie_sinks::run_redis(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Archive(args) } => {
            let service = checked(unread, args.service.check())?;
            serve("sink-archive", args.ops, |ctx| vigie_sinks::run_archive(service, ctx)).await
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
        Command::Install(args) => install::run(&args, output),
        Command::Doctor(args) => doctor::run(args, output).await,
    }
}

/// A configuration without mistakes.
fn checked<T>(mut unread: Vec<Mistake>, check: Result<T, Vec<Mistake>>) -> Result<T, ServiceError> {
    match check {
        Ok(checked) if unread.is_empty() => Ok(checked),
        Ok(_) => Err(unread.into()),
        Err(mistakes) => {
            unread.extend(mistakes);
            Err(unread.into())
        }
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
async fn serve<F>(name: &'static str, ops: OpsConfig, service: impl FnOnce(Context) -> F) -> Result<(), ServiceError>
where
    F: Future<Output = Result<(), ServiceError>> + Send + 'static,
{
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let mut services = Services::new(ctx.clone());
    services.spawn("ops", serve_ops(ops.ops_listen, ctx.clone()));
    services.spawn(name, service(ctx));
    services.run().await
}
