//! `vigie replay promote`, `rollback` and `promoted`: which run is served.

use serde_json::json;
use vigie_audit::{Action, AuditConfig};
use vigie_clock::Timestamp;
use vigie_daemon::{SecretArg, ServiceError};
use vigie_processors::times::{since, until};
use vigie_schemas::{Segment, Switch, segments};
use vigie_sinks::{PromotedRun, Promotion, SwitchError, promote, promoted_runs, rollback};
use vigie_stores::PostgresUrl;

use crate::commands::audit::{audited, event};
use crate::output::Output;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum ServeCommand {
    /// Serve a finished run for its range, in place of the live run, at once
    Promote {
        /// The run
        run_id: String,
        /// Only from this time on: RFC 3339, a day (UTC), or how long ago, for example 6h; widened to a whole window
        #[arg(long, value_name = "TIME", value_parser = since)]
        from: Option<Timestamp>,
        /// Only before this time, in the same words (a day: its end); widened to a whole window
        #[arg(long, value_name = "TIME", value_parser = until)]
        to: Option<Timestamp>,
        /// Serve it although posts of its range were gone when it ran
        #[arg(long)]
        incomplete: bool,
        /// Why, for whoever asks later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        postgres_url: SecretArg<PostgresUrl>,
        #[command(flatten)]
        audit: Box<AuditConfig>,
    },
    /// Take back the last promotion, or the last one of a run: what was served before is served again
    Rollback {
        /// The run; that of the last promotion if not given
        run_id: Option<String>,
        #[command(flatten)]
        postgres_url: SecretArg<PostgresUrl>,
        #[command(flatten)]
        audit: Box<AuditConfig>,
    },
    /// Show which run is served for which range, and every promotion
    Promoted {
        #[command(flatten)]
        postgres_url: SecretArg<PostgresUrl>,
    },
}

pub(super) async fn run(command: ServeCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        ServeCommand::Promote { run_id, from, to, incomplete, reason, postgres_url, audit } => {
            let mut event = event(Action::ReplayPromote, Some(&run_id));
            for (name, value) in [("from", from), ("to", to)] {
                event = value.into_iter().fold(event, |event, value| event.with(name, value));
            }
            let (url, promotion) = (postgres_url.require()?, Promotion { run_id, from, to, incomplete, reason });
            let promoting = async { promote(&url, &promotion).await.map_err(failed) };
            let promoted = audited(&audit, event, promoting).await?;
            output.result(&promoted, || {
                let Switch { run_id, from, to, .. } = &promoted.switch;
                format!("{run_id} is served for {from} to {to}\nback again: vigie replay rollback {run_id}")
            })
        }
        ServeCommand::Rollback { run_id, postgres_url, audit } => {
            let url = postgres_url.require()?;
            let event = event(Action::ReplayRollback, run_id.as_deref());
            let rolling = async { rollback(&url, run_id.as_deref()).await.map_err(failed) };
            let back = audited(&audit, event, rolling).await?;
            output.result(&back, || {
                let Switch { run_id, from, to, .. } = &back.switch;
                format!("{run_id} is no longer served for {from} to {to}")
            })
        }
        ServeCommand::Promoted { postgres_url } => {
            let promotions = promoted_runs(&postgres_url.require()?).await.map_err(failed)?;
            let switches: Vec<Switch> = promotions.iter().map(|promoted| promoted.switch.clone()).collect();
            let served = segments(&switches, None);
            output.result(&json!({"served": served, "promotions": promotions}), || {
                let lines = served.iter().map(segment).chain(promotions.iter().map(promotion));
                lines.collect::<Vec<_>>().join("\n")
            })
        }
    }
}

fn segment(segment: &Segment) -> String {
    let side = |time: Option<Timestamp>, open: &str| time.map_or(open.to_owned(), |time| time.to_string());
    format!("{} to {}: {}", side(segment.from, "the beginning"), side(segment.to, "now"), segment.run_id)
}

fn promotion(promoted: &PromotedRun) -> String {
    let Switch { run_id, from, to, promoted_at, rolled_back_at, .. } = &promoted.switch;
    let by = &promoted.promoted_by;
    let reason = promoted.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let back = rolled_back_at.zip(promoted.rolled_back_by.as_ref());
    let back = back.map(|(at, by)| format!(", rolled back {at} by {by}")).unwrap_or_default();
    format!("{run_id} for {from} to {to}: promoted {promoted_at} by {by}{reason}{back}")
}

fn failed(error: SwitchError) -> ServiceError {
    match error {
        SwitchError::Postgres { url, source } => ServiceError::unavailable(format!("postgresql at {url}"), source),
        refused => ServiceError::failed(refused),
    }
}
