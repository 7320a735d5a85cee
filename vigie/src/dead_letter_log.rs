//! Says in the log, once a minute, how many records were put aside and why: one line for each would drown the log when a topic goes bad.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;
use vigie_daemon::Context;

const EVERY: Duration = Duration::from_secs(60);

/// Dead letters since the start, by stage and reason.
type Counts = BTreeMap<(String, String), u64>;

/// Watches the metrics of this process until the shutdown.
pub(crate) async fn watch(ctx: Context) {
    let mut before = Counts::new();
    loop {
        let stops = tokio::time::timeout(EVERY, ctx.shutdown.cancelled()).await.is_ok();
        let now = counts(&ctx);
        for ((stage, reason), letters) in new(&before, &now) {
            warn!(stage, reason, letters, "records put aside in the last minute, see vigie dlq show");
        }
        if stops {
            return;
        }
        before = now;
    }
}

fn new<'a>(before: &'a Counts, now: &'a Counts) -> impl Iterator<Item = ((&'a str, &'a str), u64)> {
    now.iter().filter_map(|(what, letters)| {
        let more = letters - before.get(what).copied().unwrap_or_default().min(*letters);
        (more > 0).then_some(((what.0.as_str(), what.1.as_str()), more))
    })
}

/// The stage whose dead letters this metric counts; none of the stream runtime, which counts again what the topologies count by reason.
pub(crate) fn stage_of(metric: &str) -> Option<&str> {
    let stage = metric.strip_prefix("vigie_")?.strip_suffix("_dead_letters_total")?;
    (stage != "streams").then_some(stage)
}

fn counts(ctx: &Context) -> Counts {
    let mut counts = Counts::new();
    for family in ctx.metrics.gather() {
        let Some(stage) = stage_of(family.name()) else { continue };
        for metric in family.get_metric() {
            let reason = metric.get_label().iter().find(|label| label.name() == "reason");
            let reason = reason.map(|label| label.value().to_owned()).unwrap_or_default();
            *counts.entry((stage.to_owned(), reason)).or_default() += metric.get_counter().get_value() as u64;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use vigie_processors::trends::TrendsMetrics;

    use super::*;

    #[test]
    fn what_is_new_is_counted_by_stage_and_reason() {
        let ctx = Context::system();
        let metrics = TrendsMetrics::new(&ctx.metrics);
        metrics.dead_letters.with_label_values(&["undecodable"]).inc_by(2);
        let before = counts(&ctx);
        metrics.dead_letters.with_label_values(&["undecodable"]).inc();
        metrics.dead_letters.with_label_values(&["invalid"]).inc_by(4);
        let now = counts(&ctx);
        let found: Vec<_> = new(&before, &now).collect();
        assert_eq!(found, [(("trends", "invalid"), 4), (("trends", "undecodable"), 1)]);
        assert_eq!(new(&now, &now).count(), 0);
    }
}
