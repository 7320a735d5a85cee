//! Doing a range of history again, with any model, beside the live run.
//!
//! ```text
//! posts.raw.v1, a range ─▶ sentiment topology ─▶ replays.sentiment.v1
//!  (own group, own ids)            └─▶ replay.<run>.mentions ─▶ windows ─▶ replays.trends.v1
//! ```
//!
//! **Which posts.** Those whose `published_at` lies in the range, which is widened to whole windows. A post arrives at most an hour before its
//! `published_at` (later ones were rejected), so the scan begins at the first record that arrived an hour before the range, and ends at what
//! is there when the replay starts. Of a post that is there more than once, the first copy in the scan counts. Where Kafka no longer has the
//! beginning and an archive does, both are copied to a topic of the run's own first, and that is scanned.
//!
//! **Guarantees.** A replay has a consumer group, transactional ids, state and a run id of its own: it neither sees nor disturbs the live run.
//! Its windows are all final and have one revision; they are complete, so posts that were late for the live run are in them. Anomaly scores are
//! judged, and forecasts made, in the order of time, from the start of the range on. It raises no alerts and writes no dead letters.
//!
//! **Failures.** A replay that fails or is interrupted deletes what it keeps in Kafka and reports an error; what it wrote until then stays on the
//! replay topics under its run id. Start again with a new run id.

mod config;
mod plan;
mod restored;
mod windows;

use std::sync::Arc;
use std::time::Duration;

pub use config::{Checked, Config, new_run_id};
use plan::{Bounds, Plan};
use serde::Serialize;
use vigie_authors::AuthorKey;
use vigie_clock::Timestamp;
use vigie_daemon::{Context, ServiceError};
use vigie_schemas::{SyncCodec, Topic};
use vigie_streams::{PlainDeadLetters, StateBackend, StreamsApp, StreamsConfig};

use crate::forecast::SharedForecaster;
use crate::inference::ModelInfo;
use crate::sentiment::{self, SentimentMetrics, SentimentSettings, SharedAnalyser};
use crate::service::{self, kafka_error, streams_error};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// How far a replay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Progress {
    /// Copying the range from the archive, and what follows it from Kafka.
    Restoring {
        /// Records copied.
        records: u64,
        /// Records in the files, and offsets in Kafka.
        of: u64,
    },
    /// Scanning raw posts and scoring those in the range.
    Scoring {
        /// Records read.
        records: u64,
        /// Offsets to read: at least the records.
        of: u64,
        /// Posts in the range so far.
        posts: u64,
    },
    /// Filling windows.
    Windows {
        /// Partitions of mentions done.
        partitions: u32,
        /// All of them.
        of: u32,
    },
}

/// What a replay did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The run's id, in the lineage of everything that it wrote.
    pub run_id: String,
    /// The topic that was read.
    pub topic: String,
    /// Start of the range, inclusive.
    pub from: Timestamp,
    /// End of the range, exclusive.
    pub to: Timestamp,
    /// The model.
    pub model: ModelInfo,
    /// Posts in the range.
    pub posts: u64,
    /// Windows written, of all assets.
    pub windows: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// When it finished.
    pub finished_at: Timestamp,
}

/// Runs a replay to its end. `progress` is called now and then.
///
/// # Errors
/// See [`ServiceError`]; also if the context asks to stop before the end.
pub async fn run(
    checked: Checked,
    ctx: Context,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<RunReport, ServiceError> {
    let Checked { config, analyser, author_key, forecaster } = checked;
    let started_at = ctx.clock.now();
    let codec = service::connect(&config.registry, &config.kafka).await?;
    let run_id = config.run_id.clone().unwrap_or_else(|| new_run_id(started_at));
    let plan = Plan { run_id, published: config.range(), kafka: config.kafka.clone() };
    let (analyser, progress) = (Arc::new(analyser), Arc::new(progress));
    let replay = Replay { plan, config, ctx, codec, analyser, forecaster, progress };
    let work = tokio::task::spawn_blocking(move || replay.run(author_key, started_at));
    work.await.map_err(ServiceError::failed)?
}

struct Replay {
    plan: Plan,
    config: Config,
    ctx: Context,
    codec: SyncCodec,
    analyser: Arc<SharedAnalyser>,
    forecaster: Option<SharedForecaster>,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl Replay {
    fn run(&self, author_key: AuthorKey, started_at: Timestamp) -> Result<RunReport, ServiceError> {
        self.plan.create_mentions_topic().map_err(kafka_error)?;
        let progress = |records, of| (self.progress)(Progress::Restoring { records, of });
        let archive = self.config.archive.archive_url.as_ref();
        let source = restored::source(&self.plan, archive, &self.codec, &self.ctx, &progress);
        let app = source.and_then(|(topic, bounds)| self.scoring(author_key, topic, bounds));
        let outcome = app.and_then(|(app, metrics, records)| {
            let outcome = self.score(&app, &metrics, records).and_then(|()| self.fill_windows());
            let cleaned = app.delete_state().map_err(streams_error);
            outcome.and_then(|done| cleaned.map(|()| done))
        });
        let cleaned = self.plan.delete_topics().map_err(kafka_error);
        let (posts, windows) = outcome?;
        cleaned?;
        Ok(RunReport {
            run_id: self.plan.run_id.clone(),
            topic: Topic::PostsRaw.name().to_owned(),
            from: self.plan.published.start,
            to: self.plan.published.end,
            model: self.analyser.model().clone(),
            posts,
            windows,
            started_at,
            finished_at: self.ctx.clock.now(),
        })
    }

    /// The bounded application that scores, and the number of offsets that it will read.
    fn scoring(
        &self,
        author_key: AuthorKey,
        source: String,
        bounds: Bounds,
    ) -> Result<(StreamsApp, SentimentMetrics, u64), ServiceError> {
        let offsets: i64 = bounds.values().map(|(start, end)| end - start).sum();
        let settings = SentimentSettings {
            run_id: self.plan.run_id.clone(),
            source,
            scored: Topic::ReplaysSentiment.name().to_owned(),
            mentions: self.plan.mentions_topic(),
            // Within one scan a post counts once, however long the scan is.
            dedupe_retention: Duration::MAX,
            // Its windows are filled from all mentions of a partition at once.
            spread_market_from: None,
            published: Some(self.plan.published.clone()),
            dead_letters: false,
            author_key,
        };
        // Registries of its own: the names are the live run's, and a run id is no label.
        let registry = prometheus::Registry::new();
        let metrics = SentimentMetrics::new(&registry);
        let analyser = Arc::clone(&self.analyser);
        let max_batch = self.config.max_batch;
        let topology = sentiment::topology(settings, max_batch, analyser, self.codec.clone(), metrics.clone())
            .map_err(ServiceError::failed)?;
        let mut streams = StreamsConfig::new(self.plan.kafka.clone(), self.plan.application_id(), &self.config.streams);
        // It is done once and keeps nothing.
        streams.state_dir = None;
        streams.state_backend = StateBackend::Memory;
        streams.start_at = bounds.iter().map(|(partition, (start, _))| (partition.clone(), *start)).collect();
        streams.stop_at = Some(bounds.into_iter().map(|(partition, (_, end))| (partition, end)).collect());
        let clock = self.ctx.clock.clone();
        let app = StreamsApp::new(streams, topology, Arc::new(PlainDeadLetters), clock, &registry);
        Ok((app, metrics, u64::try_from(offsets).unwrap_or(0)))
    }

    fn score(&self, app: &StreamsApp, metrics: &SentimentMetrics, of: u64) -> Result<(), ServiceError> {
        let report = || {
            (self.progress)(Progress::Scoring { records: metrics.records.get(), of, posts: metrics.emitted() });
        };
        let next_report = parking_lot::Mutex::new(self.ctx.clock.monotonic());
        let stop = || {
            // Asked every 100 ms or so by the stream threads: also the moment to report.
            let now = self.ctx.clock.monotonic();
            let mut next = next_report.lock();
            if now >= *next {
                *next = now + PROGRESS_INTERVAL;
                report();
            }
            self.ctx.shutdown.is_cancelled()
        };
        app.run(stop).map_err(streams_error)?;
        if self.ctx.shutdown.is_cancelled() {
            return Err(ServiceError::failed(format!("replay {} was interrupted", self.plan.run_id)));
        }
        report();
        Ok(())
    }

    fn fill_windows(&self) -> Result<(u64, u64), ServiceError> {
        let (codec, clock) = (self.codec.clone(), self.ctx.clock.clone());
        let mut writer = windows::Writer::new(&self.plan, codec, clock, self.forecaster.clone())?;
        let partitions = self.plan.mention_partitions().map_err(kafka_error)?;
        let total = u32::try_from(partitions).unwrap_or(0);
        for partition in 0..partitions {
            if self.ctx.shutdown.is_cancelled() {
                return Err(ServiceError::failed(format!("replay {} was interrupted", self.plan.run_id)));
            }
            writer.partition(partition, &self.config.trends.windows())?;
            (self.progress)(Progress::Windows { partitions: u32::try_from(partition).unwrap_or(0) + 1, of: total });
        }
        Ok((writer.posts, writer.windows))
    }
}
