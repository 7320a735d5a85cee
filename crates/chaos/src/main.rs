//! `vigie-chaos`: what `./dev chaos` runs.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use vigie_chaos::{Options, run};

/// Break a pipeline on purpose and check that its numbers are right all the same
#[derive(Parser, Debug)]
#[command(name = "vigie-chaos", version, max_term_width = 120)]
struct Cli {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let run = run(cli.options, Arc::new(|line| eprintln!("chaos: {line}")));
    let report = tokio::select! {
        report = run => report,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("chaos: interrupted");
            return ExitCode::FAILURE;
        }
    };
    match report {
        Ok(report) => {
            match (cli.json, serde_json::to_string(&report)) {
                (true, Ok(json)) => println!("{json}"),
                _ => println!("{report}"),
            }
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}
