//! `vigie replay`.

mod diff;
mod manage;
mod plan;
mod progress;
mod run;
mod serve;

use clap::Args;
pub(crate) use diff::DiffArgs;
use vigie_audit::AuditConfig;
use vigie_daemon::{SecretArg, ServiceError};
use vigie_schemas::RunWish;
use vigie_sinks::{RunError, Runs};
use vigie_stores::PostgresUrl;

pub(crate) use plan::PlanArgs;
pub(crate) use serve::ServeCommand;

use crate::cli::ReplayCommand;
use crate::output::Output;

/// A run, by its id.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Id of the run, as `vigie replay list` names it
    run: String,
    #[command(flatten)]
    postgres_url: SecretArg<PostgresUrl>,
}

/// A run, and where it keeps things.
#[derive(Args, Debug)]
pub(crate) struct StoredRunArgs {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    audit: AuditConfig,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Runs to show at most, the latest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    postgres_url: SecretArg<PostgresUrl>,
}

pub(crate) async fn run(command: ReplayCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        ReplayCommand::Plan(args) => plan::run(*args, output).await,
        ReplayCommand::Run(args) => run::run(*args, output).await,
        ReplayCommand::List(args) => manage::list(&args, output).await,
        ReplayCommand::Status(args) => manage::status(&args, output).await,
        ReplayCommand::Pause(args) => manage::steer(&args, RunWish::Pause, output).await,
        ReplayCommand::Resume(args) => manage::steer(&args, RunWish::Run, output).await,
        ReplayCommand::Cancel(args) => manage::cancel(args, output).await,
        ReplayCommand::Remove(args) => manage::remove(args, output).await,
        ReplayCommand::Diff(args) => diff::run(args, output).await,
        ReplayCommand::Serve(command) => serve::run(command, output).await,
    }
}

/// The table of runs where the option says, or where services have it by default.
async fn connect(url: &SecretArg<PostgresUrl>) -> Result<Runs, ServiceError> {
    Runs::connect(&url.read()?.unwrap_or_default()).await.map_err(run_error)
}

fn run_error(error: RunError) -> ServiceError {
    match error {
        RunError::Postgres { url, source } => ServiceError::unavailable(format!("postgresql at {url}"), source),
        unknown => ServiceError::failed(unknown),
    }
}
