//! `vigie recompute`: one number again, from the posts behind it, beside what it is said to stand on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use vigie_archive::ArchiveOptions;
use vigie_clock::Timestamp;
use vigie_daemon::{Context, Mistake, ServiceError};
use vigie_processors::recount::{Counts, Origin, Recount, Window};
use vigie_schemas::{Codec, LIVE_RUN, SERVED_RUN, Topic};

use super::compare::{Comparable, Difference, differences};
use super::options::{ApiToken, RecountArgs};
use super::served::{Api, Bucket};
use super::{Audit, StandsOn, analyser, catch_up, first_read, recount_error};
use crate::commands::topics::{blocking, codec_error};
use crate::output::{Output, count};

/// Recount one number from the raw posts, in Kafka or the archive, and show what it stands on
#[derive(Args, Debug)]
#[command(
    after_help = "Says whether posts, authors, labels, sources and the sum of the scores, in millionths, are equal. Exit code 1 if they are not."
)]
pub(crate) struct RecomputeArgs {
    /// The asset; * is the whole market
    #[arg(long)]
    asset: String,
    /// A time in the interval: RFC 3339, a day (UTC), or how long ago, for example 6h
    #[arg(long, value_name = "TIME", value_parser = vigie_processors::times::since)]
    at: Timestamp,
    /// Length of the interval
    #[arg(long, default_value = "5m")]
    interval: Interval,
    /// The run that made it: live, a replay, or what is served
    #[arg(long, default_value = SERVED_RUN)]
    run: String,
    /// List the posts behind it, and hold them against those that the API lists; a token needs read:posts too
    #[arg(long)]
    posts: bool,
    #[command(flatten)]
    archive: ArchiveOptions,
    #[command(flatten)]
    recount: RecountArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Interval {
    #[value(name = "5m")]
    Window,
    #[value(name = "1h")]
    Hour,
    #[value(name = "1d")]
    Day,
}

impl Interval {
    fn name(self) -> &'static str {
        match self {
            Self::Window => "5m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    fn length(self) -> Duration {
        match self {
            Self::Window => vigie_schemas::WINDOW,
            Self::Hour => Duration::from_secs(3_600),
            Self::Day => Duration::from_secs(86_400),
        }
    }
}

pub(crate) async fn run(args: RecomputeArgs, output: Output) -> Result<(), ServiceError> {
    let RecomputeArgs { asset, at, interval, run, posts, archive, recount } = args;
    let clock = Context::system().clock;
    let start = at.window_start(interval.length());
    let range = start..start.saturating_add(interval.length());
    let settings = recount.settings(range.clone())?;
    let api = Api::new(&recount.api_url, recount.token.read()?.as_ref().map(ApiToken::reveal))?;
    let codec = Codec::connect(&recount.registry, &recount.kafka.topic_prefix).await.map_err(codec_error)?;
    let codec = codec.sync(Handle::current());
    let ask = async || {
        let bucket = api.bucket(&asset, &run, interval.name(), &range).await?;
        let nothing = || format!("run {run} has nothing about {asset} from {} to {}", range.start, range.end);
        bucket.ok_or_else(|| ServiceError::failed(nothing()))
    };
    let mut bucket = ask().await?;
    let (analyser, stands_on) = analyser(&recount).await?;
    check_lineage(&bucket.lineage, &stands_on)?;

    let bar = output.progress("recounting");
    let audit = Audit {
        kafka: recount.kafka.clone(),
        recount: Recount::new(settings.clone(), codec.clone(), analyser),
        ends: None,
        complete_since: Timestamp::MIN,
        bar: bar.clone(),
        bucket: interval.length(),
    };
    let archive = archive.archive_url.map(|location| (location, codec));
    let (audit, _) = first_read(audit, &settings, archive, clock.clone(), clock.monotonic()).await?;
    bar.finish_and_clear();
    if settings.earliest_arrival(start) < audit.complete_since {
        let detail =
            format!("not all posts of {start} are there any more: the oldest arrived {}", audit.complete_since);
        return Err(ServiceError::failed(format!("{detail}; --archive-url names an archive that has them")));
    }
    // A replay knows originals of its own range only.
    let is_live = bucket.lineage["runs"] == json!([LIVE_RUN]);
    let copies = is_live && settings.earliest_original(start) >= audit.complete_since;
    let (audit, windows) = if bucket.served.is_final {
        blocking(move || audit.read_on()).await?
    } else {
        let emit = Duration::from_millis(recount.emit_interval_ms);
        let (audit, before) = catch_up(audit, emit, recount.wait, clock).await?;
        bucket = ask().await?;
        let (audit, after) = blocking(move || audit.read_on()).await?;
        if before != after {
            return Err(ServiceError::failed("posts of the interval are coming in: it is not final, ask again"));
        }
        (audit, after)
    };
    let id = bucket.asset.clone();
    let behind = blocking(move || {
        let mut audit = audit;
        audit.recount.behind(&id).map_err(recount_error)
    });
    let behind = behind.await?;
    let listed = if posts { Some(api.posts(&bucket.asset, &run, &range).await?) } else { None };
    let window = windows.get(&(bucket.asset.clone(), start)).cloned().unwrap_or_default();
    let sentiment = !recount.counts_only;
    let comparable = Comparable { sentiment, copies: sentiment && copies };
    Answer { range, interval, bucket, window, behind, listed, comparable }.give(output)
}

/// Another model or table gives other numbers.
fn check_lineage(lineage: &Value, stands_on: &StandsOn) -> Result<(), ServiceError> {
    for model in lineage["models"].as_array().into_iter().flatten() {
        let text = |name: &str| model[name].as_str().unwrap_or_default();
        if stands_on.model_sha256.as_ref().is_some_and(|sha256| sha256 != text("sha256")) {
            let found = format!("another model than made the number: {} {}", text("name"), text("version"));
            return Err(Mistake::new("--model", found, format!("SHA-256 {}, or --counts-only", text("sha256"))).into());
        }
        if stands_on.assets_version != text("assets_version") {
            let found = format!("another table than made the number: {}", stands_on.assets_version);
            return Err(Mistake::new("--assets", found, text("assets_version")).into());
        }
    }
    Ok(())
}

struct Answer {
    range: Range<Timestamp>,
    interval: Interval,
    bucket: Bucket,
    window: Window,
    behind: BTreeMap<Origin, String>,
    /// The posts that the API lists.
    listed: Option<BTreeSet<String>>,
    comparable: Comparable,
}

impl Answer {
    fn give(self, output: Output) -> Result<(), ServiceError> {
        let found = self.differences();
        let asset = &self.bucket.asset;
        let is_exact = self.window.bounds.is_none();
        let mut value = json!({
            "asset": asset,
            "interval": self.interval.name(),
            "start": self.range.start.to_string(),
            "end": self.range.end.to_string(),
            "final": self.bucket.served.is_final,
            "equal": found.is_empty(),
            "exact": is_exact,
            "served": counts(&self.bucket.served.counts),
            "recomputed": counts(&self.window.counts),
            "differences": found,
            "lineage": self.bucket.lineage,
            "inputs": self.inputs(),
        });
        if self.listed.is_some() {
            let post = |((partition, offset), id): (&Origin, &String)| json!({"post_id": id, "partition": partition, "offset": offset});
            value["posts"] = self.behind.iter().map(post).collect();
        }
        output.result(&value, || self.text(&found))?;
        if found.is_empty() {
            return Ok(());
        }
        Err(ServiceError::failed(format!("{} of {asset} differ", count(found.len() as u64, "value"))))
    }

    fn differences(&self) -> Vec<Difference> {
        let Self { bucket, window, comparable, .. } = self;
        let mut found = differences(Some(&bucket.served), Some(window), *comparable);
        let sums = [&bucket.served.counts, &window.counts].map(millionths);
        let is_exact = comparable.sentiment && window.bounds.is_none();
        if is_exact && sums[0] != sums[1] && found.iter().all(|d| d.field != "mean_score") {
            let [served, recounted] = sums.map(Value::from);
            found.push(Difference { field: "score_millionths", served, recounted });
        }
        if let Some(listed) = &self.listed {
            let behind: BTreeSet<String> = self.behind.values().cloned().collect();
            let only =
                |one: &BTreeSet<String>, other: &BTreeSet<String>| json!(one.difference(other).collect::<Vec<_>>());
            if *listed != behind {
                let (served, recounted) = (only(listed, &behind), only(&behind, listed));
                found.push(Difference { field: "posts_only_in", served, recounted });
            }
        }
        found
    }

    /// The raw records by partition.
    fn inputs(&self) -> Vec<Value> {
        let mut inputs: BTreeMap<i32, (i64, i64, u64)> = BTreeMap::new();
        for (partition, offset) in self.behind.keys() {
            let of = inputs.entry(*partition).or_insert((*offset, *offset, 0));
            *of = (of.0.min(*offset), of.1.max(*offset), of.2 + 1);
        }
        let input = |(partition, (first, last, posts))| json!({"topic": Topic::PostsRaw.name(), "partition": partition, "first_offset": first, "last_offset": last, "posts": posts});
        inputs.into_iter().map(input).collect()
    }

    fn text(&self, found: &[Difference]) -> String {
        let Self { range, bucket: Bucket { asset, served, lineage }, window, .. } = self;
        let state = if served.is_final { "final" } else { "not final" };
        let mut lines = vec![format!("{asset}, {} to {}, {state}", range.start, range.end)];
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let list = |name: &str| lineage[name].as_array().cloned().unwrap_or_default();
        lines.push(format!("run        {}", list("runs").iter().map(text).collect::<Vec<_>>().join(", ")));
        for model in list("models") {
            lines.push(format!(
                "model      {} {}, SHA-256 {}",
                text(&model["name"]),
                text(&model["version"]),
                text(&model["sha256"])
            ));
            lines.push(format!("assets     table {}", text(&model["assets_version"])));
        }
        let sources = window.counts.sources.iter().map(|(source, posts)| format!("{source} {posts}"));
        lines.push(format!("sources    {}", sources.collect::<Vec<_>>().join(", ")));
        let input = |of: &Value| {
            format!(
                "input      {}-{}, offsets {} to {}",
                text(&of["topic"]),
                of["partition"],
                of["first_offset"],
                of["last_offset"]
            )
        };
        lines.extend(list("inputs").iter().chain(&self.inputs()).map(input));
        for (name, counts) in [("served", &served.counts), ("recomputed", &window.counts)] {
            let ([negative, neutral, positive], mean) =
                (counts.labels, counts.mean_score.map_or("none".to_owned(), |mean| mean.to_string()));
            lines.push(format!(
                "{name:<10} {} posts, {} authors, {negative} negative, {neutral} neutral, {positive} positive, mean score {mean}",
                counts.posts, counts.unique_authors
            ));
        }
        if self.listed.is_some() {
            lines.extend(
                self.behind.iter().map(|((partition, offset), id)| format!("post       {partition}:{offset} {id}")),
            );
        }
        lines.extend(
            found.iter().map(|d| format!("differs    {}: served {}, recomputed {}", d.field, d.served, d.recounted)),
        );
        lines.push(match (found.is_empty(), window.bounds.is_none()) {
            (false, _) => "not equal".to_owned(),
            (true, true) => "equal, to the last millionth of the scores".to_owned(),
            (true, false) => "equal within what posts leave open that may have been late".to_owned(),
        });
        lines.join("\n")
    }
}

fn counts(counts: &Counts) -> Value {
    let [negative, neutral, positive] = counts.labels;
    json!({
        "posts": counts.posts, "unique_authors": counts.unique_authors, "negative": negative, "neutral": neutral, "positive": positive,
        "mean_score": counts.mean_score, "score_millionths": millionths(counts), "sources": counts.sources,
        "unique_posts": counts.unique_posts, "spam_posts": counts.spam_posts,
    })
}

/// The sum of the scores, which the topologies add up as whole millionths. A mean, also one of means, is close enough to it that its sum
/// is found again exactly.
fn millionths(counts: &Counts) -> Option<i64> {
    let scored: i64 = counts.labels.iter().sum();
    counts.mean_score.map(|mean| (mean * scored as f64 * 1e6).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::verify::served::Served;

    fn counts(scored: i64, sum: i64) -> Counts {
        let mean_score = Some(sum as f64 / scored as f64 / 1e6);
        Counts { posts: scored, labels: [0, 0, scored], mean_score, ..Counts::default() }
    }

    #[test]
    fn a_millionth_in_a_sum_is_found_and_a_mean_of_means_is_none() {
        let answer = |served: Counts, recomputed: Counts, listed: Option<&[&str]>| {
            let served =
                Served { counts: served, is_final: true, model_sha256: String::new(), assets_version: String::new() };
            let bucket = Bucket { asset: "BTC".to_owned(), served, lineage: Value::Null };
            let window = Window { counts: recomputed, bounds: None };
            let range = Timestamp::from_millis(0)..Timestamp::from_millis(300_000);
            let behind = BTreeMap::from([((0, 7), "a".to_owned()), ((0, 9), "b".to_owned()), ((1, 2), "c".to_owned())]);
            let listed = listed.map(|ids| ids.iter().map(|&id| id.to_owned()).collect());
            Answer {
                range,
                interval: Interval::Window,
                bucket,
                window,
                behind,
                listed,
                comparable: Comparable { sentiment: true, copies: true },
            }
        };
        let (many, sum) = (1_000_003, -123_456_789_012);
        // As a roll-up of two windows makes it.
        let (first, rest) = (counts(7, 1_234_567), counts(many - 7, sum - 1_234_567));
        let weighed = |part: &Counts| part.mean_score.unwrap() * part.posts as f64;
        let rolled = Counts { mean_score: Some((weighed(&first) + weighed(&rest)) / many as f64), ..counts(many, sum) };
        assert_eq!(answer(rolled.clone(), counts(many, sum), Some(&["c", "b", "a"])).differences(), []);
        let found = answer(rolled, counts(many, sum + 1), Some(&["a", "b", "d"])).differences();
        assert_eq!(found[0].field, "score_millionths");
        assert_eq!((&found[1].served, &found[1].recounted), (&json!(["d"]), &json!(["c"])));
        let inputs = answer(counts(1, 1), counts(1, 1), None).inputs();
        assert_eq!(
            inputs[0],
            json!({"topic": "posts.raw.v1", "partition": 0, "first_offset": 7, "last_offset": 9, "posts": 2})
        );
        assert_eq!((inputs.len(), &inputs[1]["posts"]), (2, &json!(1)));
    }
}
