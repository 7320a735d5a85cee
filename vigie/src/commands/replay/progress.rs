//! How far a replay is, in words.

use vigie_processors::replay::{Phase, Progress};

use crate::output::duration;

pub(crate) fn text(progress: &Progress) -> String {
    let Progress { phase, paused, done, of, per_second, eta_seconds } = *progress;
    let what = match phase {
        Phase::Starting => return "starting".to_owned(),
        Phase::Restoring => format!("restoring: {done} of {of} records"),
        Phase::Scoring => format!("scoring: {done} of {of} offsets"),
        Phase::Counting => format!("counting: {done} of {of} partitions"),
    };
    let speed = per_second.filter(|_| phase != Phase::Counting).map(|speed| format!(", {speed:.0}/s"));
    let left = eta_seconds.map(|seconds| format!(", {} left", duration(seconds)));
    let paused = if paused { ", paused" } else { "" };
    format!("{what}{}{}{paused}", speed.unwrap_or_default(), left.unwrap_or_default())
}
