//! `vigie replay`.

mod diff;
mod manage;
mod plan;
mod progress;
mod run;
mod serve;

use clap::{Args, Subcommand};
pub(crate) use diff::DiffArgs;
use vigie_audit::AuditConfig;
use vigie_daemon::{SecretArg, ServiceError};
use vigie_schemas::RunWish;
use vigie_sinks::{RunError, Runs};
use vigie_stores::PostgresUrl;

pub(crate) use plan::PlanArgs;
pub(crate) use serve::ServeCommand;

use crate::output::Output;

#[derive(Subcommand, Debug)]
pub(crate) enum ReplayCommand {
    /// Say what a replay would read, and what it would cost; changes nothing
    Plan(Box<PlanArgs>),
    /// Run a replay to its end: a new one, or with --run-id the rest of one
    Run(Box<run::ReplayArgs>),
    /// List replays, the latest first
    List(ListArgs),
    /// Show how far a replay is
    Status(RunArgs),
    /// Pause a running replay; at most a week, for as long as Kafka keeps the offsets of groups
    Pause(RunArgs),
    /// Resume a paused replay
    Resume(RunArgs),
    /// End a replay for good, and delete what it needs to go on; what it wrote stays
    Cancel(StoredRunArgs),
    /// Delete what is stored of a replay in PostgreSQL, and what is left of it in Kafka
    Remove(StoredRunArgs),
    /// Compare a replay with the live run, or with another replay
    Diff(DiffArgs),
    #[command(flatten)]
    Serve(ServeCommand),
}

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
