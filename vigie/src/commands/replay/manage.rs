//! `vigie replay list`, `status`, `pause`, `resume`, `cancel` and `remove`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, interval};
use vigie_audit::Action;
use vigie_daemon::{Context, Mistake, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig, TopicPartition, last_offset_before};
use vigie_processors::replay::{self, Progress};
use vigie_schemas::{LIVE_RUN, RunState, RunWish, Topic};
use vigie_sinks::{RunFinished, RunRow, Runs};

use super::{ListArgs, RunArgs, StoredRunArgs, connect, progress, run_error};
use crate::commands::audit::{audited, event, noted};
use crate::commands::topics::{blocking, kafka_error};
use crate::output::{Output, duration};

const ASK: Duration = Duration::from_millis(200);
/// A process hears within a second or so; what it does of it may take some more.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn list(args: &ListArgs, output: Output) -> Result<(), ServiceError> {
    let runs = connect(&args.postgres_url).await?.list(i64::from(args.limit)).await.map_err(run_error)?;
    for run in &runs {
        output.result(run, || {
            let range = run.from_time.as_deref().zip(run.to_time.as_deref());
            let range = range.map_or("by offsets".to_owned(), |(from, to)| format!("{from} to {to}"));
            let doing = doing(run).map(|doing| format!("  {doing}")).unwrap_or_default();
            format!("{:<34}  {:<11}  {range}  {}{doing}", run.run_id, state(run), run.model)
        })?;
    }
    if runs.is_empty() {
        output.note("no replays");
    }
    Ok(())
}

pub(crate) async fn status(args: &RunArgs, output: Output) -> Result<(), ServiceError> {
    let run = found(&connect(&args.postgres_url).await?, &args.run).await?;
    output.result(&run, || {
        let mut lines = vec![format!("{}: {}", run.run_id, state(&run))];
        lines.extend(doing(&run));
        if let Some((from, to)) = run.from_time.as_deref().zip(run.to_time.as_deref()) {
            lines.push(format!("posts of {from} to {to}"));
        }
        let version = run.detail["version"].as_str().map(|version| format!(", by vigie {version}")).unwrap_or_default();
        lines.push(format!("model {}, begun {}{version}", run.model, run.started_at));
        if let (Some(posts), Some(at)) = (run.posts, &run.finished_at) {
            lines.push(format!("{posts} posts, done {at}"));
        }
        if let Some(error) = run.detail["error"].as_str() {
            lines.push(format!("error: {error}"));
        }
        if can_go_on(&run) {
            lines.push(format!("to go on: vigie replay run --run-id {}", run.run_id));
        }
        lines.join("\n")
    })
}

/// How far a run is that has not ended.
fn doing(run: &RunRow) -> Option<String> {
    let progress = serde_json::from_value::<Progress>(run.progress.clone()?).ok()?;
    run.finished_at.is_none().then(|| progress::text(&progress))
}

/// Whether a run that is not done has no process any more.
fn can_go_on(run: &RunRow) -> bool {
    !run.alive && !run.state.is_over()
}

fn state(run: &RunRow) -> String {
    let was_killed = !run.alive && matches!(run.state, RunState::Running | RunState::Paused);
    match run.silent_seconds {
        Some(seconds) if was_killed => format!("killed (last heard of {} ago)", duration(seconds)),
        _ if was_killed => "unknown".to_owned(),
        _ => run.state.to_string(),
    }
}

async fn found(runs: &Runs, run_id: &str) -> Result<RunRow, ServiceError> {
    let expected = "a run of vigie replay list";
    let wrong = || Mistake::new("RUN", run_id, expected).into();
    let run = runs.get(run_id).await.map_err(run_error)?;
    run.filter(|run| run.run_id != LIVE_RUN).ok_or_else(wrong)
}

/// Pauses or resumes, and waits until it is so.
pub(crate) async fn steer(args: &RunArgs, wish: RunWish, output: Output) -> Result<(), ServiceError> {
    let runs = connect(&args.postgres_url).await?;
    let run = found(&runs, &args.run).await?;
    if !run.alive {
        let advice =
            if run.state.is_over() { String::new() } else { format!(": vigie replay run --run-id {}", run.run_id) };
        return Err(ServiceError::failed(format!(
            "no process works on run {}, which is {}{advice}",
            run.run_id,
            state(&run)
        )));
    }
    runs.want(&run.run_id, wish).await.map_err(run_error)?;
    let wanted = if wish == RunWish::Pause { RunState::Paused } else { RunState::Running };
    let run = until(&runs, &run.run_id, |run| run.state == wanted || !run.alive).await?;
    if run.state != wanted {
        return Err(ServiceError::failed(format!("run {} is {} meanwhile", run.run_id, state(&run))));
    }
    output.result(&json!({"run_id": run.run_id, "state": run.state}), || format!("{} is {}", run.run_id, run.state))
}

/// Asks until the run is as expected.
async fn until(runs: &Runs, run_id: &str, test: impl Fn(&RunRow) -> bool) -> Result<RunRow, ServiceError> {
    let (mut asks, deadline) = (interval(ASK), Instant::now() + PATIENCE);
    loop {
        asks.tick().await;
        let run = found(runs, run_id).await?;
        if test(&run) {
            return Ok(run);
        }
        if Instant::now() > deadline {
            let waited = PATIENCE.as_secs();
            return Err(ServiceError::failed(format!(
                "run {run_id} is still {} {waited} s after it was asked",
                run.state
            )));
        }
    }
}

pub(crate) async fn cancel(args: StoredRunArgs, output: Output) -> Result<(), ServiceError> {
    let runs = connect(&args.run.postgres_url).await?;
    let run = found(&runs, &args.run.run).await?;
    if run.state == RunState::Finished {
        let advice = format!("to delete it: vigie replay remove {}", run.run_id);
        return Err(ServiceError::failed(format!("run {} is finished; {advice}", run.run_id)));
    }
    noted(&args.audit, event(Action::ReplayCancel, Some(&run.run_id)), output).await;
    runs.want(&run.run_id, RunWish::Cancel).await.map_err(run_error)?;
    let run = until(&runs, &run.run_id, |run| !run.alive).await?;
    let run_id = end(&runs, run, &args.audit.kafka).await?;
    output.result(&json!({"run_id": run_id, "state": RunState::Cancelled}), || {
        format!("{run_id} is cancelled; to delete what it wrote: vigie replay remove {run_id}")
    })
}

/// Keeps processes away from a run, and deletes what it would go on from. That it is over is recorded before.
async fn end(runs: &Runs, run: RunRow, kafka: &KafkaConfig) -> Result<String, ServiceError> {
    let run_id = run.run_id.clone();
    if !runs.claim(&run_id).await.map_err(run_error)? {
        return Err(ServiceError::failed(format!("a process works on run {run_id}: cancel it first")));
    }
    if !run.state.is_over() {
        let finished_at = Context::system().clock.now();
        let state = RunState::Cancelled;
        let ended = RunFinished { run_id: run.run_id, state, finished_at, posts: None, detail: json!({}) };
        runs.finished(&ended).await.map_err(run_error)?;
    }
    let (kafka, id) = (kafka.clone(), run_id.clone());
    blocking(move || replay::clean_up(&kafka, &id).map_err(kafka_error)).await?;
    Ok(run_id)
}

pub(crate) async fn remove(args: StoredRunArgs, output: Output) -> Result<(), ServiceError> {
    let mut runs = connect(&args.run.postgres_url).await?;
    let run = found(&runs, &args.run.run).await?;
    let run_id = end(&runs, run, &args.audit.kafka).await?;
    wait_for_sink(&runs, &args.audit.kafka, output).await?;
    let removing = async { runs.remove(&run_id).await.map_err(run_error) };
    let rows = audited(&args.audit, event(Action::ReplayRemove, Some(&run_id)), removing).await?;
    output.result(&json!({"run_id": run_id, "removed": rows}), || {
        let [posts, windows, alerts] = ["stored_posts", "stored_windows", "alerts"].map(|table| rows[table]);
        format!("{run_id} is removed: {posts} posts, {windows} windows, {alerts} alerts")
    })
}

/// Until the sink has read what the replay topics hold now: what it reads later of a run would come back.
async fn wait_for_sink(runs: &Runs, kafka: &KafkaConfig, output: Output) -> Result<(), ServiceError> {
    let kafka = kafka.clone();
    let last = blocking(move || last_offsets(&kafka).map_err(kafka_error)).await?;
    let (mut asks, deadline, mut said) = (interval(ASK), Instant::now() + PATIENCE, false);
    loop {
        asks.tick().await;
        let mut behind = 0;
        for topic in TOPICS {
            let read = runs.sink_offsets(topic.name()).await.map_err(run_error)?;
            let of_topic = last.iter().filter(|(at, _)| at.topic == topic.name());
            behind += of_topic.map(|(at, last)| (last + 1 - read.get(&at.partition).unwrap_or(&0)).max(0)).sum::<i64>();
        }
        if behind == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let detail = format!(
                "the sink is {behind} records of the replay topics behind, which would come back; try again later"
            );
            return Err(ServiceError::failed(detail));
        }
        if !said {
            output.note(format!("waiting for the sink, which is {behind} records behind"));
            said = true;
        }
    }
}

const TOPICS: [Topic; 3] = [Topic::ReplaysSentiment, Topic::ReplaysTrends, Topic::ReplaysAlerts];

/// The last record of each partition that has any.
fn last_offsets(kafka: &KafkaConfig) -> Result<BTreeMap<TopicPartition, i64>, vigie_kafka_client::KafkaError> {
    let admin = Admin::new(kafka)?;
    let mut last = BTreeMap::new();
    for topic in TOPICS {
        for (partition, end) in admin.end_offsets(topic.name())? {
            let at = TopicPartition::new(topic.name(), partition);
            if let Some(offset) = last_offset_before(&admin, &at, end)? {
                last.insert(at, offset);
            }
        }
    }
    Ok(last)
}
