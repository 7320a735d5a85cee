//! `vigie replay run`: works on a run, shows its progress, and does what is wanted of it.

use std::convert::Infallible;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, timeout};
use tracing::warn;
use vigie_daemon::{Check, Context, SecretArg, ServiceError, spawn_signal_handler};
use vigie_processors::replay::{self, Control, Phase, Progress, RunReport, Wanted};
use vigie_schemas::{RunState, RunWish, Topic};
use vigie_sinks::{RunFinished, RunStarted, Runs};
use vigie_stores::PostgresUrl;

use super::{progress, run_error};
use crate::commands::topics::{blocking, kafka_error};
use crate::output::{Output, count};

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) replay: replay::Config,
    /// Where the run is recorded, so that the API lists it
    #[command(flatten)]
    pub(crate) postgres_url: SecretArg<PostgresUrl>,
}

/// How often a run says how far it is and asks what is wanted.
const BEAT: Duration = Duration::from_secs(1);
/// A database that takes longer is asked again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often there is a line of progress where there is no terminal for a bar.
const LINE: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: ReplayArgs, output: Output) -> Result<(), ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let mut config = args.replay;
    let run_id = config.run_id.get_or_insert_with(|| replay::new_run_id(ctx.clock.now())).clone();
    let mut check = Check::<ReplayArgs>::default();
    let (url, checked) = (check.part(args.postgres_url.read()), check.part(config.check()));
    let (url, checked) = check.finish(url.zip(checked))?;
    let (kafka, model) = (checked.config().kafka.clone(), checked.config().model.dir.display().to_string());
    let clean_up = |run_id: String| blocking(move || replay::clean_up(&kafka, &run_id).map_err(kafka_error));

    let mut record = match url {
        Some(url) => Some(Record::open(url, &run_id).await?),
        None => None,
    };
    if let Some(ended) = match &record {
        Some(record) => record.ended().await?,
        None => None,
    } {
        clean_up(run_id.clone()).await?;
        let advice = format!("take another --run-id, or: vigie replay remove {run_id}");
        return Err(ServiceError::failed(format!("run {run_id} is {ended} and cannot go on: {advice}")));
    }
    let run = replay::open(checked, ctx.clone()).await?;
    if let Some(record) = &record {
        let published = run.selection().published.as_ref();
        let started = RunStarted {
            run_id: run_id.clone(),
            topic: Topic::PostsRaw.name().to_owned(),
            from_time: published.map(|range| range.start),
            to_time: published.map(|range| range.end),
            model,
            started_at: ctx.clock.now(),
            detail: json!({
                "version": env!("CARGO_PKG_VERSION"),
                "offsets": run.selection().offsets,
                "only": Some(&run.selection().only).filter(|only| !only.is_all()),
            }),
        };
        record.runs.started(&started).await.map_err(run_error)?;
    }
    output.note(format!("replay run {run_id}"));
    let (control, bar) = (Control::default(), output.progress("starting"));
    let work = async {
        let Some(run) = run.begin(control.clone()).await? else { return Ok(None) };
        if run.is_complete() == Some(false) {
            output.note("posts of the range are gone from Kafka, and no archive has them: the live run counted more");
        }
        run.run(control.clone()).await
    };
    let result = tokio::select! {
        result = work => result,
        never = watch(&mut record, &control, &bar, &ctx, output) => match never {},
    };
    bar.finish_and_clear();
    if let Some(record) = &record {
        record.runs.finished(&finished(&run_id, result.as_ref(), &ctx)).await.map_err(run_error)?;
    }
    if result.is_err() {
        output.note(format!("to go on: vigie replay run --run-id {run_id}; to give up: vigie replay cancel {run_id}"));
    }
    let report = result?;
    clean_up(run_id.clone()).await?;
    let Some(report) = report else {
        return Err(ServiceError::failed(format!("run {run_id} was cancelled")));
    };
    output.result(&report, || {
        let RunReport { run_id, posts, windows, alerts, model, work, .. } = &report;
        let range = report.from.zip(report.to);
        let asked = range.map(|(from, to)| format!("from={from}&to={to}&")).unwrap_or_default();
        format!(
            "{run_id}: {} scored with {} {} into {} and {} in {:.1} s\n\
             in the API: /v1/assets/BTC/series?{asked}run={run_id}\n\
             beside the live run: vigie replay diff {run_id}",
            count(*posts, "post"),
            model.name,
            model.version,
            count(*windows, "window"),
            count(*alerts, "alert"),
            work.seconds
        )
    })
}

/// The run's row, which this process alone works on.
struct Record {
    url: PostgresUrl,
    run_id: String,
    runs: Runs,
}

impl Record {
    async fn open(url: PostgresUrl, run_id: &str) -> Result<Self, ServiceError> {
        let runs = Runs::connect(&url).await.map_err(run_error)?;
        let record = Self { url, run_id: run_id.to_owned(), runs };
        record.claim().await?;
        Ok(record)
    }

    async fn claim(&self) -> Result<(), ServiceError> {
        match self.runs.claim(&self.run_id).await.map_err(run_error)? {
            true => Ok(()),
            false => Err(ServiceError::failed(format!("run {} is going on in another process", self.run_id))),
        }
    }

    /// The state of a run that has nothing left to go on from.
    async fn ended(&self) -> Result<Option<RunState>, ServiceError> {
        let row = self.runs.get(&self.run_id).await.map_err(run_error)?;
        Ok(row.map(|row| row.state).filter(|state| state.is_over()))
    }

    /// Tells how far the run is and does what is wanted of it.
    async fn beat(&self, control: &Control) -> Result<(), ServiceError> {
        let progress = control.progress();
        let value = serde_json::to_value(progress).map_err(ServiceError::failed)?;
        let beat = timeout(PATIENCE, self.runs.beat(&self.run_id, progress.paused, &value)).await;
        let wish = beat.map_err(|_| ServiceError::failed("postgresql does not answer"))?.map_err(run_error)?;
        control.set_wanted(match wish {
            RunWish::Run => Wanted::Run,
            RunWish::Pause => Wanted::Pause,
            RunWish::Cancel => Wanted::Cancel,
        });
        Ok(())
    }
}

/// Shows and records how far the run is until it is dropped. A database that is away is no reason to stop; another process of the run is.
async fn watch(
    record: &mut Option<Record>,
    control: &Control,
    bar: &ProgressBar,
    ctx: &Context,
    output: Output,
) -> Infallible {
    let (mut beats, mut line) = (interval(BEAT), Instant::now() + LINE);
    loop {
        beats.tick().await;
        let progress = control.progress();
        show(bar, &progress);
        if bar.is_hidden() && Instant::now() >= line {
            line = Instant::now() + LINE;
            output.note(progress::text(&progress));
        }
        let Some(open) = record else { continue };
        let Err(error) = open.beat(control).await else { continue };
        warn!(error = error.chain(), "run not recorded, trying again");
        if let Ok(Ok(runs)) = timeout(PATIENCE, Runs::connect(&open.url)).await {
            open.runs = runs;
            if matches!(open.runs.claim(&open.run_id).await, Ok(false)) {
                ctx.shutdown.cancel();
            }
        }
    }
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_message(match progress.phase {
        _ if progress.paused => "paused",
        Phase::Starting => "starting",
        Phase::Restoring => "restoring",
        Phase::Scoring => "scoring",
        Phase::Counting => "counting",
    });
    bar.set_length(progress.of);
    bar.set_position(progress.done);
}

fn finished(run_id: &str, result: Result<&Option<RunReport>, &ServiceError>, ctx: &Context) -> RunFinished {
    let (state, posts, detail) = match result {
        Ok(Some(report)) => {
            let model = format!("{} {}", report.model.name, report.model.version);
            let detail = json!({
                "windows": report.windows, "alerts": report.alerts, "complete": report.complete, "model": model,
                "model_sha256": report.model.sha256, "work": report.work,
            });
            (RunState::Finished, i64::try_from(report.posts).ok(), detail)
        }
        Ok(None) => (RunState::Cancelled, None, Value::Object(serde_json::Map::new())),
        Err(_) if ctx.shutdown.is_cancelled() => (RunState::Interrupted, None, json!({})),
        Err(e) => (RunState::Failed, None, json!({"error": e.chain()})),
    };
    RunFinished { run_id: run_id.to_owned(), state, finished_at: ctx.clock.now(), posts, detail }
}
