//! `vigie source`.

mod add;
mod backfill;
mod list;
mod test;

use clap::Subcommand;
use vigie_daemon::ServiceError;

use crate::output::Output;

/// What can be done with sources.
#[derive(Subcommand, Debug)]
pub(crate) enum SourceCommand {
    /// Run one source once and print its posts as JSON Lines; needs no Kafka
    Test(test::TestArgs),
    /// Find out how a site can be followed, and add it to a file of sources
    Add(add::AddArgs),
    /// Read a source that has an archive back to a date; interrupted, it goes on with the next run
    Backfill(Box<backfill::BackfillArgs>),
    /// List the sources
    List(Box<list::ListArgs>),
    /// Print the JSON Schema of sources.toml
    Schema,
}

/// Runs one of them.
///
/// # Errors
/// What went wrong, with the exit code that it asks for.
pub(crate) async fn run(command: SourceCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        SourceCommand::Test(args) => test::run(args, output).await,
        SourceCommand::Backfill(args) => backfill::run(*args, output).await,
        SourceCommand::Add(args) => add::run(args, output).await,
        SourceCommand::List(args) => list::run(*args, output).await,
        SourceCommand::Schema => print(vigie_producers::sources::catalogue::SCHEMA),
    }
}

fn print(text: &str) -> Result<(), ServiceError> {
    use std::io::Write as _;
    write!(std::io::stdout().lock(), "{text}").map_err(ServiceError::failed)
}
