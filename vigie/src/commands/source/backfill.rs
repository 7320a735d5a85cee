//! `vigie source backfill`.

use std::time::Duration;

use clap::Args;
use vigie_daemon::{Context, ServiceError, spawn_signal_handler};
use vigie_producers::backfill::{self, Report};

use crate::output::{Output, count};

#[derive(Args, Debug)]
pub(crate) struct BackfillArgs {
    /// The source, as `source list` names it
    pub(crate) id: String,
    /// How far back: a day (UTC), a time in RFC 3339, or how long ago, for example 30d
    #[arg(long, value_name = "DATE", value_parser = vigie_processors::times::since)]
    pub(crate) since: vigie_clock::Timestamp,
    #[command(flatten)]
    pub(crate) service: vigie_producers::Config,
}

/// How often progress is printed, where there is no bar.
const NOTE_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: BackfillArgs, output: Output) -> Result<(), ServiceError> {
    let ctx = Context::system();
    spawn_signal_handler(ctx.shutdown.clone());
    let (since, clock) = (args.since, ctx.clock.clone());
    let begun = clock.now();
    let whole = begun.since(since).as_secs();
    let bar = output.progress("reading back");
    bar.set_length(whole);
    let (shown, mut noted, mut first) = (bar.clone(), clock.monotonic(), true);
    let result = backfill::backfill(args.service.check()?, &args.id, since, ctx, move |progress| {
        let Some(reached) = progress.reached else { return };
        let back = begun.since(reached).as_secs().min(whole);
        shown.set_position(back);
        let now = clock.monotonic();
        if shown.is_hidden() && (first || now.saturating_sub(noted) >= NOTE_EVERY) {
            (noted, first) = (now, false);
            let percent = back.saturating_mul(100) / whole.max(1);
            let (pages, posts) = (count(progress.pages, "page"), count(progress.posts, "post"));
            output.note(format!("{percent} %, back to {reached}: {pages}, {posts}"));
        }
    })
    .await;
    bar.finish_and_clear();
    let report = result?;
    output.result(&to_json(&report), || {
        let Report { source, since, progress } = &report;
        let (posts, pages) = (count(progress.posts, "post"), count(progress.pages, "page"));
        format!("{source}: {posts} of {pages}, back to {since}")
    })
}

/// Times as people write them.
fn to_json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "source": report.source,
        "since": report.since.to_string(),
        "reached": report.progress.reached.map(|reached| reached.to_string()),
        "pages": report.progress.pages,
        "posts": report.progress.posts,
    })
}
