//! Doing a range of history again, with any model, beside the live run.
//!
//! ```text
//! posts.raw.v1, a range ─▶ sentiment topology ─▶ replays.sentiment.v1
//!  (own group, own ids)            └─▶ replay.<run>.mentions ─▶ windows ─▶ replays.trends.v1, replays.alerts.v1
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
//! judged, and forecasts and alerts made, in the order of time, from the start of the range on: it raises the alerts that a live run begun there
//! would have raised had no post been late. It writes no dead letters.
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
use journal::{Begun, Counted, Entry, Journal, Origin};
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
    /// Alerts that they brought to light.
    pub alerts: u64,
    /// Whether all records were there that it needed when it began; none: an older version began it.
    pub complete: Option<bool>,
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

/// What a replay works with.
struct Means {
    names: Names,
    config: Config,
    ctx: Context,
    codec: SyncCodec,
    analyser: Arc<SharedAnalyser>,
    author_key: AuthorKey,
    forecaster: Option<SharedForecaster>,
}

/// A replay that only this process writes for, of which it is known what it is of.
pub struct Opened {
    means: Means,
    journal: Journal,
    selection: Selection,
}

/// A replay that is ready to go, or to go on.
pub struct Replay {
    means: Means,
    journal: Journal,
    begun: Begun,
}

/// Opens a replay: a new one, or the rest of one of the same run id. Another process of the run can write no window from now on.
///
/// # Errors
/// See [`ServiceError`]; [`ServiceError::Config`] if the run was begun with a different range, model, asset table, window or policy.
pub async fn open(checked: Checked, ctx: Context) -> Result<Opened, ServiceError> {
    let Checked { config, analyser, author_key, forecaster } = checked;
    let codec = service::connect(&config.registry, &config.kafka).await?;
    let run_id = config.run_id.clone().unwrap_or_else(|| new_run_id(ctx.clock.now()));
    let (names, analyser) = (Names { run_id }, Arc::new(analyser));
    let means = Means { names, config, ctx, codec, analyser, author_key, forecaster };
    tokio::task::spawn_blocking(|| Opened::new(means)).await.map_err(ServiceError::failed)?
}

impl Opened {
    fn new(means: Means) -> Result<Self, ServiceError> {
        let Means { names, config, .. } = &means;
        let admin = Admin::new(&config.kafka).map_err(kafka_error)?;
        let asked = config.selection();
        let is_new = admin.partitions(&names.journal()).map_err(kafka_error)?.is_none();
        let unknown = || {
            let expected = "a run that can go on, or --from and --to, or --offsets, of a new one";
            Mistake::new("--run-id", &names.run_id, expected)
        };
        if is_new && asked.is_none() {
            return Err(unknown().into());
        }
        names.create_topics(&admin).map_err(kafka_error)?;
        let mut journal = Journal::open(&config.kafka, names)?;
        let selection = asked.or_else(|| journal.asked.clone()).ok_or_else(unknown)?;
        match journal.begun.clone() {
            Some(begun) => means.begin(selection.clone(), begun.origin.clone()).refuse_change(&begun, &names.run_id)?,
            None => journal.write(&[], Entry::Asked(selection.clone()))?,
        }
        Ok(Self { means, journal, selection })
    }

    /// Which posts it is of.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Copies what Kafka no longer has from the archive, if that was not done before; `None` if it was cancelled meanwhile. Of a paused one it
    /// waits in between.
    ///
    /// # Errors
    /// See [`ServiceError`]; also if the context asks to stop before the end.
    pub async fn begin(mut self, control: Control) -> Result<Option<Replay>, ServiceError> {
        let work = tokio::task::spawn_blocking(move || {
            let begun = match self.journal.begun.take() {
                Some(begun) => begun,
                None => {
                    let Some(origin) = restored::origin(&self.means, &self.selection, &control)? else {
                        return Ok(None);
                    };
                    let begun = self.means.begin(self.selection, origin);
                    self.journal.write(&[], Entry::Begun(Box::new(begun.clone())))?;
                    begun
                }
            };
            Ok(Some(Replay { means: self.means, journal: self.journal, begun }))
        });
        work.await.map_err(ServiceError::failed)?
    }
}

impl Means {
    fn begin(&self, selection: Selection, origin: Origin) -> Begun {
        Begun {
            selection,
            origin,
            model: self.analyser.model().clone(),
            assets_version: self.analyser.assets_version().to_owned(),
            window_millis: u64::try_from(self.config.trends.window.as_millis()).unwrap_or(u64::MAX),
            policy: Some(self.config.trends.policy()),
        }
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
}

impl Replay {
    /// Whether all records were there that it needs when it began; `None`: an older version began it.
    pub fn is_complete(&self) -> Option<bool> {
        self.begun.origin.complete
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
            let Counted { posts, windows, alerts } = self.journal.done.unwrap_or_default();
            let published = self.begun.selection.published;
            Ok((!ended).then(|| RunReport {
                run_id: self.means.names.run_id,
                topic: Topic::PostsRaw.name().to_owned(),
                from: published.as_ref().map(|range| range.start),
                to: published.as_ref().map(|range| range.end),
                model: self.begun.model,
                posts,
                windows,
                alerts,
                complete: self.begun.origin.complete,
                work,
            }))
        });
        work.await.map_err(ServiceError::failed)?
    }

    /// The bounded application that scores.
    fn scoring(&self) -> Result<(StreamsApp, SentimentMetrics), ServiceError> {
        let settings = SentimentSettings {
            run_id: self.means.names.run_id.clone(),
            source: self.begun.origin.source.clone(),
            scored: Topic::ReplaysSentiment.name().to_owned(),
            mentions: self.means.names.mentions(),
            // Within one scan a post counts once, however long the scan is.
            dedupe_retention: Duration::MAX,
            // Its windows are filled from all mentions of a partition at once.
            spread_market_from: None,
            published: self.begun.selection.published.clone(),
            only: self.begun.selection.only.clone(),
            dead_letters: false,
            author_key: self.means.author_key.clone(),
        };
        // Registries of its own: the names are the live run's, and a run id is no label.
        let registry = prometheus::Registry::new();
        let metrics = SentimentMetrics::new(&registry);
        let analyser = Arc::clone(&self.means.analyser);
        let max_batch = self.means.config.max_batch;
        let topology = sentiment::topology(settings, max_batch, analyser, self.means.codec.clone(), metrics.clone())
            .map_err(ServiceError::failed)?;
        let kafka = self.means.config.kafka.clone();
        let mut streams = StreamsConfig::new(kafka, self.means.names.application_id(), &self.means.config.streams);
        // It is done once and keeps nothing.
        streams.state_dir = None;
        streams.state_backend = StateBackend::Memory;
        streams.rate = self.means.config.rate;
        let Origin { source, bounds, .. } = &self.begun.origin;
        streams.start_at = bounds.iter().map(|bound| (bound.at(source), bound.start)).collect();
        streams.stop_at = Some(bounds.iter().map(|bound| (bound.at(source), bound.end)).collect());
        let clock = self.means.ctx.clock.clone();
        Ok((StreamsApp::new(streams, topology, Arc::new(PlainDeadLetters), clock, &registry), metrics))
    }

    /// Scores what is not scored yet; `false` if it was cancelled.
    fn score(&self, control: &Control, work: &mut Work) -> Result<bool, ServiceError> {
        let (app, metrics) = self.scoring()?;
        let clock = &self.means.ctx.clock;
        let (before, of) = self.scored_before()?;
        loop {
            if !self.means.goes_on(control)? {
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
                let stop = self.means.ctx.shutdown.is_cancelled() || control.wanted() != Wanted::Run;
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
        let Origin { source, bounds, .. } = &self.begun.origin;
        let partitions: Vec<TopicPartition> = bounds.iter().map(|bound| bound.at(source)).collect();
        let committed =
            committed_offsets(&self.means.config.kafka, &self.means.names.application_id(), &partitions, WAIT);
        let committed = committed.map_err(kafka_error)?;
        let (mut done, mut of) = (0, 0);
        for bound in bounds {
            let position = committed.get(&bound.at(source)).map_or(bound.start, |found| found.offset);
            done += u64::try_from(position.min(bound.end) - bound.start).unwrap_or(0);
            of += u64::try_from(bound.end - bound.start).unwrap_or(0);
        }
        Ok((done, of))
    }

    /// Fills and writes the windows that are not written yet; `false` if it was cancelled.
    fn count(&mut self, control: &Control, work: &mut Work) -> Result<bool, ServiceError> {
        let kafka = &self.means.config.kafka;
        let admin = Admin::new(kafka).map_err(kafka_error)?;
        let partitions = admin.partitions(&self.means.names.mentions()).map_err(kafka_error)?.unwrap_or(0);
        let of = u64::try_from(partitions).unwrap_or(0);
        let spec = self.means.config.trends.windows();
        let mut all = Counted::default();
        for partition in 0..partitions {
            if !self.means.goes_on(control)? {
                return Ok(false);
            }
            let began = self.means.ctx.clock.monotonic();
            let mut writer = windows::Writer {
                kafka: &self.means.config.kafka,
                names: &self.means.names,
                codec: &self.means.codec,
                clock: &self.means.ctx.clock,
                policy: self.means.config.trends.policy(),
                forecaster: self.means.forecaster.as_ref(),
                journal: &mut self.journal,
            };
            let counted = writer.partition(partition, &spec)?;
            all.posts += counted.posts;
            all.windows += counted.windows;
            all.alerts += counted.alerts;
            let seconds = self.means.ctx.clock.monotonic().saturating_sub(began).as_secs_f64();
            work.seconds += seconds;
            let done = u64::try_from(partition).unwrap_or(0) + 1;
            control.report(Progress::new(Phase::Counting, (done, of), 1, seconds));
        }
        self.journal.write(&[], Entry::Done(all))?;
        Ok(true)
    }
}
