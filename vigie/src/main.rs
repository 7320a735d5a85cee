//! The `vigie` command: every service, and the tools to operate them.

mod api_client;
mod arguments;
mod cli;
mod commands;
mod dead_letter_log;
mod dispatch;
mod output;
mod running_up;
mod services;

use std::os::unix::process::CommandExt;
use std::process::{self, ExitCode};

use clap::{ArgMatches, Command, CommandFactory};
use tracing::warn;
use vigie_daemon::{Mistake, ServiceError};

use crate::arguments::Parsed;
use crate::cli::Cli;
use crate::output::Output;
use crate::running_up::Found;

/// Keeps ONNX Runtime from writing a device id and a queue of events into the user's home, to be sent to its maker. It is read while the
/// library is loaded, so that a setting of the session comes too late.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

fn main() -> ExitCode {
    if std::env::var_os(NO_TELEMETRY).is_none() {
        let error = start_again_with(NO_TELEMETRY, "1");
        eprintln!("{NO_TELEMETRY} could not be set, ONNX Runtime may write to the home folder: {error}");
    }
    let found = Found::find(std::env::args_os());
    let note = |command: &Command, matches: &ArgMatches| running_up::note(found.as_ref(), command, matches);
    let command = running_up::prepare(Cli::command(), found.as_ref());
    let Parsed { cli, unread, note, former } = match arguments::parse(&command, note) {
        Ok(parsed) => parsed,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 64 } else { 0 });
        }
    };
    cli.log.init();
    for (variable, option) in former {
        warn!(variable, option, "variable has a new name, see the option's help");
    }
    let output = Output::new(cli.json);
    if let (Some(note), Some(_)) = (&note, &found) {
        output.note(note);
    }
    match run(cli, unread, output) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe.
        Err(e) if output::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            output.error(&e);
            if let (Some(note), None, ServiceError::Unavailable { .. }) = (note, found, &e) {
                output.note(note);
            }
            ExitCode::from(e.exit_code())
        }
    }
}

/// Replaces this process by the same program with one variable more; an environment is not changed under running threads. Comes back only
/// if that fails.
fn start_again_with(name: &str, value: &str) -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut args = std::env::args_os();
    let mut command = process::Command::new(program);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env(name, value).exec()
}

/// Threads at least: where there are fewer cores, the system shares them among the threads, so that an expensive question that is being put together
/// keeps no others waiting.
const WORKERS: usize = 4;

fn run(cli: Cli, unread: Vec<Mistake>, output: Output) -> Result<(), ServiceError> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).max(WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.map_err(ServiceError::failed)?;
    let result = runtime.block_on(dispatch::run(cli.command, unread, output));
    // Threads that wait on a dead server must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
