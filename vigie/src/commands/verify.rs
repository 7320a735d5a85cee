//! `vigie verify`: windows recounted from the raw posts, held against what the API serves.
//!
//! ```text
//! read posts.raw.v1 to its end ─▶ read what came meanwhile ─▶ wait until the pipeline has counted that
//!     ─▶ recount, ask the API ─▶ read what came since, recount ─▶ compare; what changed meanwhile is skipped if it differs
//! ```

mod compare;
mod options;
mod recompute;
mod served;
mod settled;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use vigie_archive::Location;
use vigie_clock::{SharedClock, Timestamp};
use vigie_daemon::{Context, ServiceError};
use vigie_kafka_client::{Admin, KafkaConfig, Record, Start, TopicPartition, read_to_end};
use vigie_processors::past::Past;
use vigie_processors::recount::{self, Read, Recount, RecountError, RecountSettings, Window};
use vigie_processors::text::analysis::Analyser;
use vigie_schemas::{Codec, SyncCodec, Topic, WINDOW};

use self::compare::{Comparable, differences};
use self::options::RecountArgs;
use self::served::{Api, Served};
use crate::commands::topics::{blocking, codec_error, kafka_error};
use crate::output::Output;

pub(crate) use options::{ApiToken, VerifyArgs};
pub(crate) use recompute::{RecomputeArgs, run as recompute};

/// Asset and start of a window.
type Key = (String, Timestamp);
type Windows = BTreeMap<Key, Window>;

pub(crate) async fn run(verify: VerifyArgs, output: Output) -> Result<(), ServiceError> {
    let clock = Context::system().clock;
    let VerifyArgs { from, to, recount: args } = &verify;
    let settings = args.settings(*from..*to)?;
    let api = Api::new(&args.api_url, args.token.read()?.as_ref().map(ApiToken::reveal))?;
    let codec = Codec::connect(&args.registry, &args.kafka.topic_prefix).await.map_err(codec_error)?;
    let codec = codec.sync(Handle::current());
    // If it cannot be asked, that is said now.
    api.assets().await?;
    let (analyser, stands_on) = analyser(args).await?;

    output.note(format!("reading {} from {} on", Topic::PostsRaw.name(), settings.reads_from()));
    let bar = output.progress("recounting");
    let started = clock.monotonic();
    let audit = Audit {
        kafka: args.kafka.clone(),
        recount: Recount::new(settings.clone(), codec, analyser),
        ends: None,
        complete_since: Timestamp::MIN,
        bar: bar.clone(),
        bucket: WINDOW,
    };
    let (audit, seconds) = first_read(audit, &settings, None, clock.clone(), started).await?;
    let first = audit.recount.read().records;
    bar.finish_and_clear();
    output.note(format!("read {first} records in {seconds:.1} s; waiting until they are counted"));
    let (audit, before) = catch_up(audit, Duration::from_millis(args.emit_interval_ms), args.wait, clock).await?;
    let mut report = Report::new(&verify, audit.recount.read(), seconds, first as f64 / seconds.max(0.001));

    output.note(format!("asking {} for what it serves", args.api_url));
    let mut spans = api.assets().await?;
    for (asset, start) in before.keys() {
        let end = start.saturating_add(WINDOW);
        let span = spans.entry(asset.clone()).or_insert(*start..end);
        *span = span.start.min(*start)..span.end.max(end);
    }
    let mut served: BTreeMap<Key, Served> = BTreeMap::new();
    for (asset, span) in spans {
        let range = span.start.max(settings.windows.start)..span.end.min(settings.windows.end);
        let windows = api.windows(&asset, &range).await?;
        served.extend(windows.into_iter().map(|(start, window)| ((asset.clone(), start), window)));
    }
    let (audit, after) = blocking(move || audit.read_on()).await?;
    let complete_since = audit.complete_since;
    let expired = |start: Timestamp| settings.earliest_arrival(start) < complete_since;
    let originals_expired = |start: Timestamp| settings.earliest_original(start) < complete_since;
    let keys: BTreeSet<&Key> = before.keys().chain(served.keys()).collect();
    for key in keys {
        let (recounted, now) = (before.get(key), after.get(key));
        let comparison =
            Comparison { served: served.get(key), recounted, stands_on: &stands_on, copies: !originals_expired(key.1) };
        let verdict = comparison.verdict(expired(key.1), recounted != now);
        report.add(key, verdict, comparison.has_sentiment(), output)?;
    }
    report.posts = before
        .iter()
        .filter(|((asset, _), _)| asset == vigie_schemas::WHOLE_MARKET)
        .map(|(_, window)| window.counts.posts)
        .sum();
    report.finish(output)
}

/// What a recount stands on.
#[derive(Clone, Debug)]
struct StandsOn {
    /// `None`: no sentiment is compared.
    model_sha256: Option<String>,
    assets_version: String,
}

async fn analyser(args: &RecountArgs) -> Result<(Analyser, StandsOn), ServiceError> {
    let (model, assets, counts_only) = (args.model.clone(), args.assets.clone(), args.counts_only);
    blocking(move || {
        let matcher = assets.load()?;
        let assets_version = matcher.table().version().to_owned();
        if counts_only {
            return Ok((recount::without_sentiment(matcher), StandsOn { model_sha256: None, assets_version }));
        }
        let analyser = Analyser::new(Box::new(model.check()?), matcher);
        let model_sha256 = Some(analyser.scorer().info().sha256.clone());
        Ok((analyser, StandsOn { model_sha256, assets_version }))
    })
    .await
}

/// A recount and how far it has read.
struct Audit {
    kafka: KafkaConfig,
    recount: Recount<SyncCodec>,
    /// `None` before the first read.
    ends: Option<BTreeMap<i32, i64>>,
    /// All posts that arrived since then are still on the topic, as far as the recount needs them.
    complete_since: Timestamp,
    bar: ProgressBar,
    /// Length of what is counted together.
    bucket: Duration,
}

async fn first_read(
    mut audit: Audit,
    settings: &RecountSettings,
    archive: Option<(Location, SyncCodec)>,
    clock: SharedClock,
    started: Duration,
) -> Result<(Audit, f64), ServiceError> {
    let since = settings.reads_from();
    blocking(move || {
        let admin = Admin::new(&audit.kafka).map_err(kafka_error)?;
        let mut starts = admin.offsets_for_time(Topic::PostsRaw.name(), since).map_err(kafka_error)?;
        let mut cut = BTreeSet::new();
        for (partition, start) in &mut starts {
            let at = TopicPartition::new(Topic::PostsRaw.name(), *partition);
            let oldest = admin.watermarks(&at).map_err(kafka_error)?.0;
            if oldest == 0 || *start > oldest {
                continue;
            }
            cut.insert(*partition);
            let Some((location, codec)) = &archive else { continue };
            let past = Past::open(location, codec, since)?;
            let part = past.part(&at, *start, oldest)?;
            *start = part.kafka_from;
            if part.is_whole {
                cut.remove(partition);
            }
            past.read(&part, |record| audit.take(&record, &mut cut))?;
        }
        audit.read(&starts, cut)?;
        let seconds = clock.monotonic().saturating_sub(started).as_secs_f64();
        Ok((audit, seconds))
    })
    .await
}

/// Reads what came during the first read, and waits until the pipeline has counted it.
async fn catch_up(
    audit: Audit,
    emit_interval: Duration,
    patience: Duration,
    clock: SharedClock,
) -> Result<(Audit, Windows), ServiceError> {
    blocking(move || {
        let (audit, windows) = audit.read_on()?;
        let ends = audit.ends.clone().unwrap_or_default();
        settled::wait(&audit.kafka, &ends, emit_interval, patience, &clock)?;
        Ok((audit, windows))
    })
    .await
}

impl Audit {
    fn read_on(mut self) -> Result<(Self, Windows), ServiceError> {
        let ends = self.ends.clone().unwrap_or_default();
        self.read(&ends, BTreeSet::new())?;
        let windows = self.recount.buckets(self.bucket).map_err(recount_error)?;
        Ok((self, windows))
    }

    /// Reads to the end. Partitions of `cut` have lost records from before their first.
    fn read(&mut self, starts: &BTreeMap<i32, i64>, mut cut: BTreeSet<i32>) -> Result<(), ServiceError> {
        let records = read_to_end(&self.kafka, Topic::PostsRaw.name(), &Start::Offsets(starts.clone()));
        let records = records.map_err(kafka_error)?;
        let ends: BTreeMap<i32, i64> = records.ends().iter().map(|(at, end)| (at.partition, *end)).collect();
        let length: i64 = ends.iter().map(|(partition, end)| end - starts.get(partition).copied().unwrap_or(0)).sum();
        self.bar.set_length(u64::try_from(length).unwrap_or(0));
        for record in records {
            self.take(&record.map_err(kafka_error)?, &mut cut)?;
        }
        if !cut.is_empty() {
            // All that was there has expired, and nobody knows when that was.
            self.complete_since = Timestamp::from_millis(i64::MAX);
        }
        self.ends = Some(ends);
        Ok(())
    }

    fn take(&mut self, record: &Record, cut: &mut BTreeSet<i32>) -> Result<(), ServiceError> {
        if cut.remove(&record.partition) {
            self.complete_since = self.complete_since.max(record.timestamp);
        }
        self.bar.inc(1);
        self.recount.take(record).map_err(recount_error)
    }
}

fn recount_error(error: RecountError) -> ServiceError {
    match error {
        RecountError::Codec(error) => codec_error(error),
        RecountError::Model(error) => ServiceError::failed(error),
    }
}

/// One window, from both sides.
struct Comparison<'a> {
    served: Option<&'a Served>,
    recounted: Option<&'a Window>,
    stands_on: &'a StandsOn,
    /// Whether all posts are there of which its posts can be copies.
    copies: bool,
}

enum Verdict {
    Equal { within_bounds: bool },
    Differs(Vec<compare::Difference>),
    Skipped(&'static str),
}

impl Comparison<'_> {
    /// Labels and scores are compared where both sides stand on one model.
    fn has_sentiment(&self) -> bool {
        let model = self.stands_on.model_sha256.as_ref();
        model.is_some() && self.served.is_none_or(|served| Some(&served.model_sha256) == model)
    }

    fn verdict(&self, expired: bool, changed: bool) -> Verdict {
        if expired {
            return Verdict::Skipped("posts_expired");
        }
        let sentiment = self.has_sentiment();
        // What is spam is part of what a model says.
        let comparable = Comparable { sentiment, copies: sentiment && self.copies };
        let found = differences(self.served, self.recounted, comparable);
        if found.is_empty() {
            let is_final = self.served.is_none_or(|served| served.is_final);
            let within_bounds = is_final && self.recounted.is_some_and(|window| window.bounds.is_some());
            return Verdict::Equal { within_bounds };
        }
        if changed {
            return Verdict::Skipped("changing");
        }
        match self.served {
            Some(served) if served.assets_version != self.stands_on.assets_version => Verdict::Skipped("other_assets"),
            _ => Verdict::Differs(found),
        }
    }
}

/// The last line.
#[derive(Serialize)]
struct Report {
    kind: &'static str,
    from: String,
    to: String,
    records: u64,
    posts: i64,
    duplicates: u64,
    dead_letters: u64,
    seconds: f64,
    records_per_second: f64,
    counts_only: bool,
    compared: u64,
    /// Of those compared: posts may have been late, so their counts are known within bounds only.
    within_bounds: u64,
    /// Of those compared: labels and scores were left out, as there is no model or another.
    without_sentiment: u64,
    differing: u64,
    skipped: BTreeMap<&'static str, u64>,
}

impl Report {
    /// `seconds` and `rate` (records per second) are of the first read, which is all but the last moments.
    fn new(args: &VerifyArgs, read: Read, seconds: f64, rate: f64) -> Self {
        Self {
            kind: "summary",
            from: args.from.to_string(),
            to: args.to.to_string(),
            records: read.records,
            posts: 0,
            duplicates: read.duplicates,
            dead_letters: read.dead_letters,
            seconds,
            records_per_second: rate.round(),
            counts_only: args.recount.counts_only,
            compared: 0,
            within_bounds: 0,
            without_sentiment: 0,
            differing: 0,
            skipped: BTreeMap::new(),
        }
    }

    fn add(
        &mut self,
        (asset, start): &Key,
        verdict: Verdict,
        has_sentiment: bool,
        output: Output,
    ) -> Result<(), ServiceError> {
        let found = match verdict {
            Verdict::Skipped(why) => {
                *self.skipped.entry(why).or_default() += 1;
                return Ok(());
            }
            Verdict::Equal { within_bounds } => {
                self.within_bounds += u64::from(within_bounds);
                Vec::new()
            }
            Verdict::Differs(found) => found,
        };
        self.compared += 1;
        self.without_sentiment += u64::from(!has_sentiment);
        self.differing += u64::from(!found.is_empty());
        for compare::Difference { field, served, recounted } in found {
            let window_start = start.to_string();
            let value: Value = json!({"kind": "difference", "asset": asset, "window_start": window_start, "field": field,
                "served": served, "recounted": recounted});
            output.result(&value, || {
                format!("{asset:<8} {window_start}  {field:<14} served {served}, recounted {recounted}")
            })?;
        }
        Ok(())
    }

    fn finish(self, output: Output) -> Result<(), ServiceError> {
        output.result(&self, || {
            let skipped: Vec<String> = self.skipped.iter().map(|(why, windows)| format!("{windows} {why}")).collect();
            let skipped = if skipped.is_empty() { "none".to_owned() } else { skipped.join(", ") };
            let Self { records, posts, duplicates, dead_letters, seconds, records_per_second, .. } = &self;
            format!(
                "{records} records in {seconds:.1} s ({records_per_second}/s): {posts} posts in the range; {duplicates} repetitions, \
                 {dead_letters} dead letters\n{} windows compared ({} within bounds as posts may have been late, {} without sentiment), {} differ; skipped: {skipped}",
                self.compared, self.within_bounds, self.without_sentiment, self.differing
            )
        })?;
        let skipped: u64 = self.skipped.values().sum();
        match (self.differing, self.compared) {
            (0, 0) if skipped > 0 => Err(ServiceError::failed(format!("none of {skipped} windows can be compared"))),
            (0, _) => Ok(()),
            (differing, compared) => Err(ServiceError::failed(format!("{differing} of {compared} windows differ"))),
        }
    }
}
