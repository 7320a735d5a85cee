//! What each subcommand does.

mod author;
mod dlq;
mod doctor;
pub(crate) mod install;
mod model;
mod replay;
pub(crate) mod source;
pub(crate) mod status;
mod tail;
pub(crate) mod times;
mod token;
mod topics;
mod up;
mod verify;

use std::future::Future;

use vigie_daemon::{Context, OpsConfig, ServiceError, serve_ops, spawn_signal_handler};
use vigie_sinks::MigrateError;

use crate::cli::{
    Command, MigrateArgs, PostgresArgs, ProduceArgs, RedisArgs, SentimentArgs, SinkCommand, TopologyCommand, TrendsArgs,
};
use crate::output::Output;
use crate::services::Services;

/// Runs a command to its end.
///
/// # Errors
/// What went wrong, with the exit code that it asks for.
pub(crate) async fn run(command: Command, output: Output) -> Result<(), ServiceError> {
    match command {
        Command::Up(args) => up::run(args, output).await,
        Command::Produce(args) => {
            let ProduceArgs { service, ops } = *args;
            serve("producers", ops, |ctx| vigie_producers::run(service, ctx)).await
        }
        Command::Process { topology: TopologyCommand::Sentiment(args) } => {
            let SentimentArgs { service, ops } = *args;
            serve("sentiment", ops, |ctx| vigie_processors::run_sentiment(service, ctx)).await
        }
        Command::Process { topology: TopologyCommand::Trends(args) } => {
            let TrendsArgs { service, ops } = *args;
            serve("trends", ops, |ctx| vigie_processors::run_trends(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Postgres(args) } => {
            let PostgresArgs { service, ops } = *args;
            serve("sink-postgres", ops, |ctx| vigie_sinks::run_postgres(service, ctx)).await
        }
        Command::Sink { store: SinkCommand::Redis(args) } => {
            let RedisArgs { service, ops } = *args;
            serve("sink-redis", ops, |ctx| vigie_sinks::run_redis(service, ctx)).await
        }
        Command::Api(args) => {
            let ctx = Context::system();
            spawn_signal_handler(ctx.shutdown.clone());
            vigie_api::run(args.service, ctx).await
        }
        Command::Source { command } => source::run(command, output).await,
        Command::Model { command } => model::run(command).await,
        Command::Tail(args) => tail::run(args, output).await,
        Command::Topics { command } => topics::run_topics(command, output).await,
        Command::Schemas { command } => topics::run_schemas(command, output).await,
        Command::Migrate(args) => migrate(args, output).await,
        Command::Token { command } => token::run(command, output),
        Command::Author { command } => author::run(command, output).await,
        Command::Replay { command } => replay::run(command, output).await,
        Command::Verify(args) => verify::run(*args, output).await,
        Command::Dlq { command } => dlq::run(command, output).await,
        Command::Status(args) => status::run(args, output).await,
        Command::Install(args) => install::run(&args, output),
        Command::Doctor(args) => doctor::run(args, output).await,
    }
}

async fn migrate(args: MigrateArgs, output: Output) -> Result<(), ServiceError> {
    let applied = vigie_sinks::migrate(&args.postgres_url).await.map_err(|e| match e {
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
