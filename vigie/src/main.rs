//! The `vigie` command: every service, and the tools to operate them.

mod arguments;
mod cli;
mod commands;
mod endpoints;
mod output;
mod services;

use std::process::ExitCode;

use clap::CommandFactory;
use vigie_daemon::{Mistake, ServiceError};

use crate::cli::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    let (cli, unread) = match arguments::parse(&endpoints::as_defaults(Cli::command())) {
        Ok(parsed) => parsed,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 64 } else { 0 });
        }
    };
    cli.log.init();
    let output = Output::new(cli.json);
    match run(cli, unread, output) {
        Ok(()) => ExitCode::SUCCESS,
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
