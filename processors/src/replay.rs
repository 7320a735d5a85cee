//! Doing a range of history again, with any model, beside the live run.
//!
//! ```text
//! posts.raw.v1, a range ─▶ sentiment topology ─▶ replays.sentiment.v1
//!  (own group, own ids)            └─▶ replay.<run>.mentions ─▶ windows ─▶ replays.trends.v1
//!                                                                  └─▶ replay.<run>.journal
//! ```
//!
//! **Which posts.** Those whose `published_at` lies in the range, which is widened to whole windows. A post arrives at most an hour before its
//! `published_at` (later ones were rejected), so the scan begins at the first record that arrived an hour before the range, and ends at what
//! is there when the replay begins. Or those in a range of offsets. Of a post that is there more than once, the first copy in the scan counts.
//! Where Kafka no longer has the beginning and an archive does, both are copied to a topic of the run's own first, and that is scanned.
//!
//! **Guarantees.** A replay has a consumer group, transactional ids, state and a run id of its own: it neither sees nor disturbs the live run.
//! Its windows are all final and have one revision; they are complete, so posts that were late for the live run are in them. Anomaly scores are
//! judged, and forecasts made, in the order of time, from the start of the range on. It raises no alerts and writes no dead letters.
//!
//! **Failures.** A replay that was killed, or failed, or was paused for less than the week that brokers keep offsets, goes on under the same run
//! id where its last transaction ended: posts by the committed offsets of its group, windows by its journal, which is written in their
//! transactions. What it keeps in Kafka until then is deleted by [`clean_up`].

mod archived;
mod config;
mod control;
mod journal;
mod restored;
mod scope;
mod survey;
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use config::{Checked, Config, new_run_id};
pub use control::{Control, Phase, Progress, Wanted};
use journal::{Begun, Entry, Journal};
use parking_lot::Mutex;
use scope::Names;
pub use scope::{Offsets, Selection, clean_up};
use serde::{Serialize, Serializer};
pub use survey::{PartitionSurvey, Survey, survey};
use vigie_authors::AuthorKey;
use vigie_clock::Timestamp;
use vigie_daemon::{Context, Mistake, ServiceError};
use vigie_kafka_client::{Admin, TopicPartition, committed_offsets};
use vigie_schemas::{SyncCodec, Topic};
use vigie_streams::{PlainDeadLetters, StateBackend, StreamsApp, StreamsConfig};

use crate::forecast::SharedForecaster;
use crate::inference::ModelInfo;
use crate::sentiment::{self, SentimentMetrics, SentimentSettings, SharedAnalyser};
use crate::service::{self, kafka_error, streams_error};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// How often a paused replay looks whether it may go on.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long the group coordinator may take.
const WAIT: Duration = Duration::from_secs(30);

/// What a replay did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport {
    /// The run's id, in the lineage of everything that it wrote.
    pub run_id: String,
    /// The topic that was read.
    pub topic: String,
    /// Start of the range, inclusive; none if it was one of offsets only.
    #[serde(serialize_with = "optional_text")]
    pub from: Option<Timestamp>,
    /// End of the range, exclusive.
    #[serde(serialize_with = "optional_text")]
    pub to: Option<Timestamp>,
    /// The model.
    pub model: ModelInfo,
    /// Posts in the range.
    pub posts: u64,
    /// Windows written, of all assets.
    pub windows: u64,
    /// What this process did of it.
    pub work: Work,
}

/// What one process did of a replay, by which later ones are estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Work {
    /// Records read.
    pub records: u64,
    /// Posts scored.
    pub posts: u64,
    /// Seconds that it took, pauses left out.
    pub seconds: f64,
}

pub(crate) fn optional_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

/// A replay that is ready to go, or to go on.
pub struct Replay {
    names: Names,
    config: Config,
    ctx: Context,
    codec: SyncCodec,
    analyser: Arc<SharedAnalyser>,
    author_key: AuthorKey,
    forecaster: Option<SharedForecaster>,
    journal: Journal,
    begun: Begun,
}

/// Prepares a replay: a new one, or the rest of one of the same run id. Another process of the run can write no window from now on.
///
/// # Errors
/// See [`ServiceError`]; [`ServiceError::Config`] if the run was begun with a different range, model, asset table or window.
pub async fn open(checked: Checked, ctx: Context) -> Result<Replay, ServiceError> {
    let Checked { config, analyser, author_key, forecaster } = checked;
    let codec = service::connect(&config.registry, &config.kafka).await?;
    let work = move || {
        let run_id = config.run_id.clone().unwrap_or_else(|| new_run_id(ctx.clock.now()));
        let names = Names { run_id };
        let (journal, begun) = begin(&names, &config, &analyser, &codec, &ctx)?;
        let analyser = Arc::new(analyser);
        Ok(Replay { names, config, ctx, codec, analyser, author_key, forecaster, journal, begun })
    };
    tokio::task::spawn_blocking(work).await.map_err(ServiceError::failed)?
}

/// Reads what the run began with, or begins it.
fn begin(
    names: &Names,
    config: &Config,
    analyser: &SharedAnalyser,
    codec: &SyncCodec,
    ctx: &Context,
) -> Result<(Journal, Begun), ServiceError> {
    let admin = Admin::new(&config.kafka).map_err(kafka_error)?;
    let asked = config.selection();
    let is_new = admin.partitions(&names.journal()).map_err(kafka_error)?.is_none();
    if is_new && asked.is_none() {
        let expected = "a run that can go on, or --from and --to, or --offsets, of a new one";
        return Err(Mistake::new("--run-id", &names.run_id, expected).into());
    }
    names.create_topics(&admin).map_err(kafka_error)?;
    let mut journal = Journal::open(&config.kafka, names)?;
    let begun = journal.begun.clone();
    let selection = asked.or_else(|| begun.as_ref().map(|begun| begun.selection.clone())).unwrap_or_default();
    let (source, bounds, complete) = match &begun {
        Some(begun) => (begun.source.clone(), begun.bounds.clone(), begun.complete),
        None => {
            let (source, bounds, complete) = restored::source(names, config, &selection, codec, ctx)?;
            (source, bounds, Some(complete))
        }
    };
    let window_millis = u64::try_from(config.trends.window.as_millis()).unwrap_or(u64::MAX);
    let assets_version = analyser.assets_version().to_owned();
    let model = analyser.model().clone();
    let now = Begun { selection, source, bounds, model, assets_version, window_millis, complete };
    match begun {
        Some(begun) => now.refuse_change(&begun, &names.run_id)?,
        None => journal.write(&[], Entry::Begun(Box::new(now.clone())))?,
    }
    Ok((journal, now))
}

impl Replay {
    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.names.run_id
    }

    /// Which posts it is of.
    pub fn selection(&self) -> &Selection {
        &self.begun.selection
    }

    /// Whether all records were there that it needs when it began; `None`: an older version began it.
    pub fn is_complete(&self) -> Option<bool> {
        self.begun.complete
    }

    /// Runs to the end; `None` if it was cancelled. Afterwards there is still what [`clean_up`] deletes.
    ///
    /// # Errors
    /// See [`ServiceError`]; also if the context asks to stop before the end.
    pub async fn run(mut self, control: Control) -> Result<Option<RunReport>, ServiceError> {
        let work = tokio::task::spawn_blocking(move || {
            let mut work = Work::default();
            let ended = self.journal.done.is_none()
                && !(self.score(&control, &mut work)? && self.count(&control, &mut work)?);
            let (posts, windows) = self.journal.done.unwrap_or_default();
            let published = self.begun.selection.published;
            Ok((!ended).then(|| RunReport {
                run_id: self.names.run_id,
                topic: Topic::PostsRaw.name().to_owned(),
                from: published.as_ref().map(|range| range.start),
                to: published.as_ref().map(|range| range.end),
                model: self.begun.model,
                posts,
                windows,
                work,
            }))
        });
        work.await.map_err(ServiceError::failed)?
    }

    /// Whether to go on; waits while the replay is paused.
    fn goes_on(&self, control: &Control) -> Result<bool, ServiceError> {
        loop {
            if self.ctx.shutdown.is_cancelled() {
                return Err(ServiceError::failed(format!("replay {} was interrupted", self.names.run_id)));
            }
            match control.wanted() {
                Wanted::Run => return Ok(true),
                Wanted::Cancel => return Ok(false),
                Wanted::Pause => {
                    control.report(Progress { paused: true, eta_seconds: None, ..control.progress() });
                    self.ctx.clock.sleep(LOOK_AGAIN);
                }
            }
        }
    }

    /// The bounded application that scores.
    fn scoring(&self) -> Result<(StreamsApp, SentimentMetrics), ServiceError> {
        let settings = SentimentSettings {
            run_id: self.names.run_id.clone(),
            source: self.begun.source.clone(),
            scored: Topic::ReplaysSentiment.name().to_owned(),
            mentions: self.names.mentions(),
            // Within one scan a post counts once, however long the scan is.
            dedupe_retention: Duration::MAX,
            // Its windows are filled from all mentions of a partition at once.
            spread_market_from: None,
            published: self.begun.selection.published.clone(),
            only: self.begun.selection.only.clone(),
            dead_letters: false,
            author_key: self.author_key.clone(),
        };
        // Registries of its own: the names are the live run's, and a run id is no label.
        let registry = prometheus::Registry::new();
        let metrics = SentimentMetrics::new(&registry);
        let analyser = Arc::clone(&self.analyser);
        let max_batch = self.config.max_batch;
        let topology = sentiment::topology(settings, max_batch, analyser, self.codec.clone(), metrics.clone())
            .map_err(ServiceError::failed)?;
        let kafka = self.config.kafka.clone();
        let mut streams = StreamsConfig::new(kafka, self.names.application_id(), &self.config.streams);
        // It is done once and keeps nothing.
        streams.state_dir = None;
        streams.state_backend = StateBackend::Memory;
        streams.rate = self.config.rate;
        let Begun { source, bounds, .. } = &self.begun;
        streams.start_at = bounds.iter().map(|bound| (bound.at(source), bound.start)).collect();
        streams.stop_at = Some(bounds.iter().map(|bound| (bound.at(source), bound.end)).collect());
        let clock = self.ctx.clock.clone();
        Ok((StreamsApp::new(streams, topology, Arc::new(PlainDeadLetters), clock, &registry), metrics))
    }

    /// Scores what is not scored yet; `false` if it was cancelled.
    fn score(&self, control: &Control, work: &mut Work) -> Result<bool, ServiceError> {
        let (app, metrics) = self.scoring()?;
        let clock = &self.ctx.clock;
        let (before, of) = self.scored_before()?;
        loop {
            if !self.goes_on(control)? {
                return Ok(false);
            }
            let (began, first) = (clock.monotonic(), metrics.records.get());
            let report = |now: Duration| {
                let records = metrics.records.get();
                let seconds = now.saturating_sub(began).as_secs_f64();
                control.report(Progress::new(Phase::Scoring, (before + records, of), records - first, seconds));
            };
            let next_report = Mutex::new(began);
            let asked = AtomicBool::new(false);
            let stop = || {
                // Asked every 100 ms or so by the stream threads: also the moment to report.
                let now = clock.monotonic();
                let mut next = next_report.lock();
                if now >= *next {
                    *next = now + PROGRESS_INTERVAL;
                    report(now);
                }
                let stop = self.ctx.shutdown.is_cancelled() || control.wanted() != Wanted::Run;
                asked.fetch_or(stop, Ordering::SeqCst) || stop
            };
            app.run(stop).map_err(streams_error)?;
            work.seconds += clock.monotonic().saturating_sub(began).as_secs_f64();
            (work.records, work.posts) = (metrics.records.get(), metrics.emitted());
            if !asked.load(Ordering::SeqCst) {
                return Ok(true);
            }
        }
    }

    /// Offsets that earlier processes of the run have done, and all.
    fn scored_before(&self) -> Result<(u64, u64), ServiceError> {
        let partitions: Vec<TopicPartition> =
            self.begun.bounds.iter().map(|bound| bound.at(&self.begun.source)).collect();
        let committed = committed_offsets(&self.config.kafka, &self.names.application_id(), &partitions, WAIT);
        let committed = committed.map_err(kafka_error)?;
        let (mut done, mut of) = (0, 0);
        for bound in &self.begun.bounds {
            let position = committed.get(&bound.at(&self.begun.source)).map_or(bound.start, |found| found.offset);
            done += u64::try_from(position.min(bound.end) - bound.start).unwrap_or(0);
            of += u64::try_from(bound.end - bound.start).unwrap_or(0);
        }
        Ok((done, of))
    }

    /// Fills and writes the windows that are not written yet; `false` if it was cancelled.
    fn count(&mut self, control: &Control, work: &mut Work) -> Result<bool, ServiceError> {
        let kafka = &self.config.kafka;
        let admin = Admin::new(kafka).map_err(kafka_error)?;
        let partitions = admin.partitions(&self.names.mentions()).map_err(kafka_error)?.unwrap_or(0);
        let of = u64::try_from(partitions).unwrap_or(0);
        let spec = self.config.trends.windows();
        let (mut posts, mut windows) = (0, 0);
        for partition in 0..partitions {
            if !self.goes_on(control)? {
                return Ok(false);
            }
            let began = self.ctx.clock.monotonic();
            let mut writer = windows::Writer {
                kafka: &self.config.kafka,
                names: &self.names,
                codec: &self.codec,
                clock: &self.ctx.clock,
                forecaster: self.forecaster.as_ref(),
                journal: &mut self.journal,
            };
            let counted = writer.partition(partition, &spec)?;
            posts += counted.posts;
            windows += counted.windows;
            let seconds = self.ctx.clock.monotonic().saturating_sub(began).as_secs_f64();
            work.seconds += seconds;
            let done = u64::try_from(partition).unwrap_or(0) + 1;
            control.report(Progress::new(Phase::Counting, (done, of), 1, seconds));
        }
        self.journal.write(&[], Entry::Done { posts, windows })?;
        Ok(true)
    }
}
