//! Serves the API and the dashboard alone, over a database and a Redis that are there already.

use std::process::ExitCode;

use clap::Parser;
use vigie_daemon::{Context, LogConfig, ServiceError, spawn_signal_handler};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    api: vigie_api::Config,
    #[command(flatten)]
    log: LogConfig,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.log.init();
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let checked = cli.api.check().map_err(ServiceError::Config);
    let served = match checked {
        Ok(checked) => vigie_api::run(checked, ctx).await,
        Err(mistakes) => Err(mistakes),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.chain());
            ExitCode::from(error.exit_code())
        }
    }
}
