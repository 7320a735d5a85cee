//! `vigie replay plan`: what a replay would read, and what it would cost.

use clap::Args;
use serde::Serialize;
use vigie_daemon::{Check, SecretArg, ServiceError};
use vigie_processors::replay::{self, PartitionSurvey, Survey};
use vigie_sinks::{Pace, Runs};
use vigie_stores::PostgresUrl;

use super::run_error;
use crate::output::{Output, bytes, count, duration};

/// Posts in a second where nothing was measured: about half of what the bundled model does on two cores.
const DEFAULT_PACE: f64 = 75.0;

#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    replay: replay::Config,
    /// Only look up offsets, at once: no posts are counted, and the estimate takes every record for a post
    #[arg(long)]
    offsets_only: bool,
    /// Where earlier runs are recorded, by which the time is estimated
    #[command(flatten)]
    postgres_url: SecretArg<PostgresUrl>,
}

#[derive(Serialize)]
struct Plan {
    #[serde(flatten)]
    survey: Survey,
    /// Offsets to read.
    offsets: u64,
    /// Whether all of the range is in Kafka or the archive.
    complete: bool,
    estimate: Estimate,
}

#[derive(Serialize)]
struct Estimate {
    seconds: f64,
    posts_per_second: f64,
    /// The runs that this was measured in; none: a default, not measured here.
    measured: Option<Pace>,
    /// Whether --rate, and not the model, sets the time.
    limited_by_rate: bool,
    /// Of scored posts, before compression; none if none was ever scored.
    kafka_bytes: Option<f64>,
    /// None where the database is not there, or has not counted its posts yet.
    postgres_bytes: Option<f64>,
}

pub(crate) async fn run(args: PlanArgs, output: Output) -> Result<(), ServiceError> {
    let mut check = Check::<PlanArgs>::default();
    let (url, checked) = (check.part(args.postgres_url.read()), check.part(args.replay.check()));
    let (url, checked) = check.finish(url.zip(checked))?;
    let rate = checked.config().rate;
    let bar = output.progress("reading");
    let shown = bar.clone();
    let survey = replay::survey(checked, !args.offsets_only, move |records| shown.set_position(records)).await;
    bar.finish_and_clear();
    let survey = survey?;
    let (mut pace, mut bytes_per_post) = (None, None);
    if let Some(url) = &url {
        let runs = Runs::connect(url).await.map_err(run_error)?;
        pace = runs.pace(&survey.model.sha256).await.map_err(run_error)?;
        bytes_per_post = runs.bytes_per_post().await.map_err(run_error)?;
    }
    let offsets = survey.offsets();
    let posts = survey.posts.unwrap_or(offsets) as f64;
    let posts_per_second = pace.as_ref().map_or(DEFAULT_PACE, |pace| pace.posts_per_second);
    let records: Option<u64> = survey.partitions.iter().map(|of| of.records).sum();
    let at_rate = rate.map_or(0.0, |rate| records.unwrap_or(offsets) as f64 / f64::from(rate.get()));
    let estimate = Estimate {
        seconds: (posts / posts_per_second).max(at_rate),
        posts_per_second,
        measured: pace,
        limited_by_rate: at_rate > posts / posts_per_second,
        kafka_bytes: survey.scored_post_bytes.map(|bytes| bytes * posts),
        postgres_bytes: bytes_per_post.map(|bytes| bytes * posts),
    };
    let complete = survey.partitions.iter().all(|of| !of.removed);
    let plan = Plan { survey, offsets, complete, estimate };
    output.result(&plan, || text(&plan))
}

fn text(plan: &Plan) -> String {
    let Plan { survey, offsets, complete, estimate } = plan;
    let mut lines = Vec::new();
    let range = survey.from.zip(survey.to).map_or("at any time".to_owned(), |(from, to)| format!("{from} to {to}"));
    lines.push(format!("posts of {}, published {range}", survey.topic));
    lines.push(format!("model {} {}, assets {}", survey.model.name, survey.model.version, survey.assets_version));
    lines.extend(survey.partitions.iter().map(partition));
    lines.push(match survey.posts {
        Some(posts) => format!("{} in {} to read", count(posts, "post"), count(*offsets, "offset")),
        None => format!("{} to read, at most as many posts", count(*offsets, "offset")),
    });
    if !complete {
        let lost = "not all of the range is there any more: retention has removed records of it, and no archive is named that has them";
        lines.push(lost.to_owned());
    }
    let pace = format!("{:.0} posts/s", estimate.posts_per_second);
    let why = match &estimate.measured {
        _ if estimate.limited_by_rate => "at --rate".to_owned(),
        Some(measured) if measured.same_model => {
            format!("at {pace}, measured in {} of this model", count(measured.runs.len() as u64, "run"))
        }
        Some(measured) => {
            format!("at {pace}, measured in {} of other models", count(measured.runs.len() as u64, "run"))
        }
        None => format!("at {pace}, a default: nothing was measured here yet"),
    };
    lines.push(format!("time: about {} ({why})", duration(estimate.seconds)));
    let disk = |bytes: Option<f64>| bytes.map_or("unknown".to_owned(), self::bytes);
    lines.push(format!(
        "disk: Kafka {} of scored posts, PostgreSQL {}",
        disk(estimate.kafka_bytes),
        disk(estimate.postgres_bytes)
    ));
    lines.join("\n")
}

fn partition(of: &PartitionSurvey) -> String {
    let counted = of.records.zip(of.posts);
    let counted = counted
        .map(|(records, posts)| format!(": {}, {} of the range", count(records, "record"), count(posts, "post")));
    let oldest = of.oldest_at.map(|at| format!(", oldest is {} of {at}", of.oldest_offset)).unwrap_or_default();
    let removed = if of.removed { ", older ones of the range are gone" } else { "" };
    let archived = match of.archived_records {
        0 => String::new(),
        records => format!("{} in the archive, then ", count(records, "record")),
    };
    format!(
        "  partition {}: {archived}offsets {} to {}{}{oldest}{removed}",
        of.partition,
        of.first_offset,
        of.end_offset,
        counted.unwrap_or_default()
    )
}
