//! `vigie replay`.

use serde_json::json;
use vigie_daemon::{Check, Context, ServiceError, spawn_signal_handler};
use vigie_processors::replay::{self, Progress, RunReport};
use vigie_sinks::{RunError, RunFinished, RunStarted, RunState, record_run_finished, record_run_started};
use vigie_stores::PostgresUrl;

use crate::cli::{ReplayArgs, ReplayCommand};
use crate::output::Output;

pub(crate) async fn run(command: ReplayCommand, output: Output) -> Result<(), ServiceError> {
    match command {
        ReplayCommand::Run(args) => run_to_end(*args, output).await,
    }
}

async fn run_to_end(args: ReplayArgs, output: Output) -> Result<(), ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let mut config = args.replay;
    let run_id = config.run_id.get_or_insert_with(|| replay::new_run_id(ctx.clock.now())).clone();
    let mut check = Check::<ReplayArgs>::default();
    let (url, checked) = (check.part(args.postgres_url.read()), check.part(config.check()));
    let (url, checked) = check.finish(url.zip(checked))?;
    let config = checked.config();

    if let Some(url) = &url {
        let range = config.range();
        let started = RunStarted {
            run_id: run_id.clone(),
            topic: config.topic.clone(),
            from_time: Some(range.start),
            to_time: Some(range.end),
            model: config.model.dir.display().to_string(),
            started_at: ctx.clock.now(),
            detail: json!({}),
        };
        record_run_started(url, &started).await.map_err(|e| run_error(url, e))?;
    }
    output.note(format!("replay run {run_id}"));
    let bar = output.progress("scoring");
    let shown = bar.clone();
    let result = replay::run(checked, ctx.clone(), move |progress| match progress {
        Progress::Scoring { records, of, .. } => {
            shown.set_message("scoring");
            shown.set_length(of);
            shown.set_position(records);
        }
        Progress::Restoring { records, of } => {
            shown.set_message("restoring");
            shown.set_length(of);
            shown.set_position(records);
        }
        Progress::Windows { partitions, of } => {
            shown.set_message("counting");
            shown.set_length(u64::from(of));
            shown.set_position(u64::from(partitions));
        }
    })
    .await;
    bar.finish_and_clear();
    if let Some(url) = &url {
        let finished = finished(&run_id, result.as_ref(), &ctx);
        record_run_finished(url, &finished).await.map_err(|e| run_error(url, e))?;
    }
    let report = result?;
    output.result(&report, || {
        let RunReport { run_id, posts, windows, model, from, to, .. } = &report;
        let took = report.finished_at.since(report.started_at).as_secs_f64();
        format!(
            "{run_id}: {posts} posts of {from} to {to} scored with {} {} into {windows} windows in {took:.1} s\n\
             in the API: /v1/assets/BTC/series?from={from}&to={to}&run={run_id}",
            model.name, model.version
        )
    })
}

fn finished(run_id: &str, result: Result<&RunReport, &ServiceError>, ctx: &Context) -> RunFinished {
    let (state, posts, detail) = match result {
        Ok(report) => (
            RunState::Finished,
            i64::try_from(report.posts).ok(),
            json!({"windows": report.windows, "model_sha256": report.model.sha256}),
        ),
        Err(e) => (RunState::Failed, None, json!({"error": e.chain()})),
    };
    RunFinished { run_id: run_id.to_owned(), state, finished_at: ctx.clock.now(), posts, detail }
}

fn run_error(url: &PostgresUrl, error: RunError) -> ServiceError {
    match error {
        RunError::Postgres { source, .. } => ServiceError::unavailable(format!("postgresql at {url}"), source),
        unknown => ServiceError::failed(unknown),
    }
}
