//! `vigie-chaos`: what `./dev chaos` runs.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use vigie_chaos::{Options, ReplayOptions, load_average, run};
use vigie_clock::{Clock, SystemClock};

/// Break a pipeline on purpose and check that its numbers are right all the same
#[derive(Parser, Debug)]
#[command(name = "vigie-chaos", version, max_term_width = 120, args_conflicts_with_subcommands = true)]
struct Cli {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Run again with the next seed, and so on, until a run fails or this many have passed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Replays of a history beside live posts, killed (--kills, all together), compared, promoted and rolled back, in place of faults
    Replay {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        replay: ReplayOptions,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    if let Some(Command::Replay { options, replay }) = cli.command.take() {
        cli.options = Options { replay: Some(replay), ..options };
    }
    runs(&cli).await
}

/// Run after run, until one fails.
async fn runs(cli: &Cli) -> ExitCode {
    let clock = SystemClock::default();
    for number in 0..cli.runs {
        let options = Options { seed: cli.options.seed.saturating_add(number), ..cli.options.clone() };
        let (seed, since) = (options.seed, clock.monotonic());
        let outcome = run(options, Arc::new(|line| eprintln!("chaos: {line}"))).await;
        let seconds = clock.monotonic().saturating_sub(since).as_secs();
        match &outcome {
            Err(error) => eprintln!("chaos: {error}"),
            Ok(report) => match (cli.json, serde_json::to_string(report)) {
                (true, Ok(json)) => println!("{json}"),
                _ if cli.runs == 1 || !report.passed() => println!("{report}"),
                _ => {}
            },
        }
        let (result, passed) = match &outcome {
            Ok(report) if report.passed() => ("passed".to_owned(), true),
            Ok(report) => (format!("{} promises broken", report.violations.len()), false),
            Err(_) => ("gave up: no promise was found broken or kept".to_owned(), false),
        };
        if cli.runs > 1 && !cli.json {
            let load = load_average().map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}"));
            println!("seed {seed}: {result}, {seconds} s, load average {load}");
        }
        if !passed {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
