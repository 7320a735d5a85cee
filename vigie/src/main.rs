//! The `vigie` command: every service, and the tools to operate them.

mod api;
mod cli;
mod commands;
mod dead_letters;
mod endpoints;
mod output;
mod services;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use vigie_daemon::ServiceError;

use crate::cli::Cli;
use crate::endpoints::Found;
use crate::output::Output;

fn main() -> ExitCode {
    let found = Found::find(std::env::args_os());
    let mut command = endpoints::prepare(Cli::command(), found.as_ref());
    let parsed = command.try_get_matches_from_mut(std::env::args_os()).and_then(|mut matches| {
        let note = found.as_ref().and_then(|found| found.note(&command, &matches));
        Ok((Cli::from_arg_matches_mut(&mut matches)?, note))
    });
    let (cli, note) = match parsed {
        Ok(parsed) => parsed,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 64 } else { 0 });
        }
    };
    cli.log.init();
    let output = Output::new(cli.json);
    if let Some(note) = note {
        output.note(note);
    }
    match run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has seen enough.
        Err(e) if output::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            output.error(&e);
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<(), ServiceError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServiceError::failed)?;
    let result = runtime.block_on(commands::run(cli.command, output));
    // Threads that wait on a dead server must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
