//! The trends topology's processor: mentions in, window revisions and alerts out.
//!
//! ```text
//! process:             mention ─▶ late? ─▶ counted before? a copy? ─▶ window (+ author) ─▶ due
//!                         └─ of the whole market, spread ─▶ counted before? ─▶ own share ─▶ due, announced to the market tasks
//! before a commit:     watermark ─▶ judge and learn what settles ─▶ alerts ─▶ forecasts of all assets, one run ─▶ emit ─▶ alerts
//! ```

mod emission;
mod sharing;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use vigie_clock::Timestamp;
use vigie_schemas::Mention;
use vigie_streams::{KeyValueStore, Processor, ProcessorContext, ProcessorError, Punctuation, Record, TumblingWindows};

use super::alerts::AlertPolicy;
use super::counting::{self, Place};
use super::history::{Terms, boundary};
use super::metrics::TrendsMetrics;
use super::progress::Progress;
use super::share::{self, MarketTopic, OWN};
use super::stores;
use super::window::{WindowState, validate};
use crate::forecast::SharedForecaster;
use crate::service::record_codec::{RecordCodec, Rejection, decode};

/// What the topology does, apart from where it runs.
#[derive(Clone, Debug)]
pub struct TrendsSettings {
    /// The run that the insights belong to.
    pub run_id: String,
    /// Topic of mentions.
    pub source: String,
    /// Topic of what tasks send each other about the whole market.
    pub market: MarketTopic,
    /// Topic of window revisions.
    pub insights: String,
    /// Topic of alerts.
    pub alerts: String,
    /// Shape of the windows.
    pub windows: TumblingWindows,
    /// How long after its end a window is still expected to change; then it is learned as history.
    pub settle: Duration,
    /// Time by the wall clock between two emissions of windows that just changed.
    pub emit_interval: Duration,
    /// Silence, by the wall clock, after which an upstream partition does not hold the watermark back.
    pub idle_timeout: Duration,
    /// When to raise alerts.
    pub policy: AlertPolicy,
    /// Says what is expected after a window; it must be for windows of this length.
    pub forecaster: Option<SharedForecaster>,
}

/// Start and asset.
pub(super) type WindowKey = (Timestamp, String);

/// One task's processor.
pub struct TrendsProcessor<C> {
    settings: Arc<TrendsSettings>,
    codec: C,
    metrics: TrendsMetrics,
    /// As in the store; read with the first batch.
    progress: Option<Progress>,
    /// Windows that may differ from their last revision; read from the store with the first batch or commit.
    due: Option<BTreeSet<WindowKey>>,
    /// When windows were last emitted because the interval was over.
    emitted_at: Option<Timestamp>,
    /// Mentions were observed since the progress was stored.
    observed: bool,
    /// What was last announced of the progress; nothing since the start.
    announced: Option<sharing::Announced>,
}

impl<C: RecordCodec> TrendsProcessor<C> {
    /// A processor that has seen nothing; its state is in the task's stores.
    pub fn new(settings: Arc<TrendsSettings>, codec: C, metrics: TrendsMetrics) -> Self {
        Self { settings, codec, metrics, progress: None, due: None, emitted_at: None, observed: false, announced: None }
    }
}

/// The stores of a task, and the windows of a batch before they are stored.
struct TaskState<'a, 'c> {
    ctx: &'a mut ProcessorContext<'c>,
    touched: &'a mut BTreeMap<WindowKey, WindowState>,
}

impl Place for TaskState<'_, '_> {
    fn window(&mut self, start: Timestamp, asset: &str) -> Result<&mut WindowState, ProcessorError> {
        Ok(match self.touched.entry((start, asset.to_owned())) {
            Entry::Occupied(present) => present.into_mut(),
            Entry::Vacant(absent) => absent.insert(stores::window(self.ctx, start, asset)?.unwrap_or_default()),
        })
    }

    fn posts(&mut self) -> &mut KeyValueStore {
        self.ctx.store(counting::POSTS)
    }

    fn authors(&mut self) -> &mut KeyValueStore {
        self.ctx.store(stores::AUTHORS)
    }
}

impl<C: RecordCodec> Processor for TrendsProcessor<C> {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let now = ctx.now();
        let windows = self.settings.windows;
        let closed_before = self.progress(ctx)?.closed_before();
        let mut touched: BTreeMap<WindowKey, WindowState> = BTreeMap::new();
        for record in batch {
            let mention = match self.check(record)? {
                Ok(mention) => mention,
                Err(rejection) => {
                    self.metrics.dead_letters.with_label_values(&[rejection.reason.as_str()]).inc();
                    ctx.dead_letter(record, rejection.reason.as_str(), &rejection.detail);
                    continue;
                }
            };
            ctx.observe_event_time(mention.published_at);
            self.observed = true;
            self.progress(ctx)?.observe(mention.lineage.input_partition, mention.published_at, now);
            let window = windows.window_of(mention.published_at);
            if window.start < closed_before {
                self.metrics.late.inc();
                ctx.count_late(1);
                continue;
            }
            self.metrics.mentions.inc();
            let mut place = TaskState { ctx, touched: &mut touched };
            let outcome = match record.key.as_deref().is_some_and(share::is_spread) {
                true => self.take_in_share(mention, record.offset, &mut place)?,
                false => counting::take_in(&mut place, &windows, &mention, record.offset)?,
            };
            ctx.settle(outcome, 1);
        }
        for ((start, asset), state) in touched {
            stores::put_window(ctx, start, &asset, &state)?;
            self.due(ctx)?.insert((start, asset));
        }
        Ok(())
    }

    fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        if !at.before_commit {
            return Ok(());
        }
        let settings = Arc::clone(&self.settings);
        let windows = settings.windows;
        let progress = self.progress(ctx)?;
        let moved = progress.advance(at.wall_clock, settings.idle_timeout, &settings.windows);
        let (watermark, closed_before) = (progress.watermark(), progress.closed_before());
        let learned_before = boundary(watermark.unwrap_or(Timestamp::MIN), &settings.windows, settings.settle);
        let settled = progress.settle(learned_before.window_start(settings.windows.size));
        let mut settled = stores::windows_in(ctx, settled)?;
        let terms = Terms::new(settings.policy, &mut self.progress(ctx)?.complete, &settled, at.wall_clock);
        settled.retain(|(_, asset)| asset != OWN);
        if (moved || std::mem::take(&mut self.observed))
            && let Some(progress) = &self.progress
        {
            stores::put_progress(ctx, progress)?;
        }
        let is_time = self.is_time(ctx)?;
        self.share(is_time, at, ctx)?;
        if !moved && !is_time {
            return Ok(());
        }
        self.emit(is_time, closed_before, learned_before, settled, &terms, ctx)?;
        stores::delete_authors_before(ctx, closed_before);
        stores::delete_posts_before(ctx, closed_before, windows.size);
        if let Some(watermark) = watermark {
            let partition = ctx.partition().to_string();
            self.metrics.watermark.with_label_values(&[&partition]).set(watermark.as_millis() / 1000);
        }
        Ok(())
    }

    fn audit(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<Option<String>, ProcessorError> {
        let mut counted = Vec::new();
        for (start, asset) in stores::windows_in(ctx, Timestamp::MIN..Timestamp::from_millis(i64::MAX))? {
            let Some(window) = stores::window(ctx, start, &asset)? else { continue };
            counted.push(((start, asset), (window.posts, window.authors)));
        }
        counting::disagreement(&mut TaskState { ctx, touched: &mut BTreeMap::new() }, &counted)
    }
}

impl<C: RecordCodec> TrendsProcessor<C> {
    fn progress(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<&mut Progress, ProcessorError> {
        if self.progress.is_none() {
            self.progress = stores::progress(ctx)?;
        }
        Ok(self.progress.get_or_insert_default())
    }

    /// The mention in a record, if it can be counted.
    fn check(&self, record: &Record) -> Result<Result<Mention, Rejection>, ProcessorError> {
        let mention: Mention = match decode(&self.codec, record)? {
            Ok(mention) => mention,
            Err(rejection) => return Ok(Err(rejection)),
        };
        if !record.key.as_deref().is_some_and(|key| share::is_key(key, &mention)) {
            let detail = "the key is not the asset, so the mention may lie in another partition than its asset's";
            return Ok(Err(Rejection::invalid(detail)));
        }
        if mention.published_at.to_jiff().is_none() {
            let detail = format!("published_at {} is out of range", mention.published_at);
            return Ok(Err(Rejection::invalid(detail)));
        }
        Ok(validate(&mention).map(|()| mention).map_err(Rejection::invalid))
    }

    /// Whether there is what to emit, and the emission interval is over.
    pub(super) fn is_time(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<bool, ProcessorError> {
        let is_over = emission::is_over(self.settings.emit_interval, self.emitted_at, ctx.now());
        Ok(!self.due(ctx)?.is_empty() && is_over)
    }

    /// Windows that may differ from their last revision.
    pub(super) fn due(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<&mut BTreeSet<WindowKey>, ProcessorError> {
        if self.due.is_none() {
            self.due = Some(stores::windows_due(ctx)?);
        }
        Ok(self.due.get_or_insert_default())
    }
}
