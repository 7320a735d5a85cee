//! `vigie source`.

mod backfill;

pub(crate) use backfill::parse_since;

use std::io::{BufWriter, Write};

use serde_json::json;
use vigie_daemon::{Context, ServiceError};

use crate::cli::SourceCommand;
use crate::output::Output;

pub(crate) async fn run(command: SourceCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        SourceCommand::Test { kind, target } => {
            let config = vigie_producers::fetcher::FetcherConfig::default();
            let mut stdout = BufWriter::new(std::io::stdout());
            let posts =
                vigie_producers::test_source(kind, &target, config, Context::system().clock, &mut stdout).await?;
            stdout.flush().map_err(ServiceError::failed)?;
            output.note(format!("{posts} posts"));
            Ok(())
        }
        SourceCommand::Backfill(args) => backfill::run(*args, output).await,
        SourceCommand::List { sources } => {
            let found = match &sources {
                Some(path) => vigie_producers::catalogue::load(path),
                None => vigie_producers::catalogue::bundled(),
            };
            for source in found.map_err(ServiceError::Config)? {
                let value = json!({"id": source.id, "kind": source.kind, "url": source.url, "every_seconds": source.every.as_secs()});
                output.result(&value, || format!("{:<28} {:<12} {}", source.id, source.kind, source.url))?;
            }
            Ok(())
        }
    }
}
