//! The `vigie` command: every service, and the tools to operate them.

mod api_client;
mod arguments;
mod cli;
mod commands;
mod dead_letter_log;
mod output;
mod running_up;
mod services;

use std::process::ExitCode;

use clap::{ArgMatches, Command, CommandFactory};
use vigie_daemon::{Mistake, ServiceError};

use crate::cli::Cli;
use crate::output::Output;
use crate::running_up::Found;

fn main() -> ExitCode {
    let found = Found::find(std::env::args_os());
    let note = |command: &Command, matches: &ArgMatches| found.as_ref()?.note(command, matches);
    let command = running_up::prepare(Cli::command(), found.as_ref());
    let (cli, unread, note) = match arguments::parse(&command, note) {
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
    match run(cli, unread, output) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has seen enough.
        Err(e) if output::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            output.error(&e);
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(cli: Cli, unread: Vec<Mistake>, output: Output) -> Result<(), ServiceError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServiceError::failed)?;
    let result = runtime.block_on(commands::run(cli.command, unread, output));
    // Threads that wait on a dead server must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
