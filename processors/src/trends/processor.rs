//! The trends topology's processor: mentions in, window revisions and alerts out.
//!
//! ```text
//! process:             mention ─▶ late? ─▶ counted before? a copy? ─▶ window (+ author) ─▶ dirty
//! before each commit:  watermark ─▶ learn what is usual ─▶ forecasts of all assets, one run ─▶ emit dirty, newly forecast and closing
//!                      windows ─▶ alerts
//! ```

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_schemas::{Mention, TrendInsight};
use vigie_streams::{
    KeyValueStore, Processor, ProcessorContext, ProcessorError, Punctuation, Record, TumblingWindows, WindowStore,
};

use super::alerts::{AlertPolicy, alerts};
use super::copies::COPIED_WITHIN;
use super::counting::{self, Place};
use super::history::{AssetHistory, Judgement, TRUSTED_AFTER, boundary};
use super::metrics::TrendsMetrics;
use super::progress::Progress;
use super::stores;
use super::window::{InsightHeader, WindowState, validate};
use crate::forecast::{Features, NoForecast, SharedForecaster};
use crate::record_codec::{RecordCodec, Rejection, decode, encode};

/// What the topology does, apart from where it runs.
#[derive(Clone, Debug)]
pub struct TrendsSettings {
    /// The run that the insights belong to.
    pub run_id: String,
    /// Topic of mentions.
    pub source: String,
    /// Topic of window revisions.
    pub insights: String,
    /// Topic of alerts.
    pub alerts: String,
    /// Shape of the windows.
    pub windows: TumblingWindows,
    /// How long after its end a window is still expected to change; then it is learned as history.
    pub settle: Duration,
    /// Silence, by the wall clock, after which an upstream partition does not hold the watermark back.
    pub idle_timeout: Duration,
    /// When to raise alerts.
    pub policy: AlertPolicy,
    /// Says what is expected after a window; it must be for windows of this length.
    pub forecaster: Option<SharedForecaster>,
}

/// The inputs of the forecast that follows a window.
type Row = Result<Features, NoForecast>;

/// One task's processor.
pub struct TrendsProcessor<C> {
    settings: Arc<TrendsSettings>,
    codec: C,
    metrics: TrendsMetrics,
    /// As in the store; read with the first batch.
    progress: Option<Progress>,
    /// Windows that changed since the last commit.
    dirty: BTreeSet<(Timestamp, String)>,
}

impl<C: RecordCodec> TrendsProcessor<C> {
    /// A processor that has seen nothing; its state is in the task's stores.
    pub fn new(settings: Arc<TrendsSettings>, codec: C, metrics: TrendsMetrics) -> Self {
        Self { settings, codec, metrics, progress: None, dirty: BTreeSet::new() }
    }
}

/// The stores of a task, and the windows of a batch before they are stored.
struct TaskState<'a, 'c> {
    ctx: &'a mut ProcessorContext<'c>,
    touched: &'a mut BTreeMap<(Timestamp, String), WindowState>,
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
        let mut touched: BTreeMap<(Timestamp, String), WindowState> = BTreeMap::new();
        for record in batch {
            let mention = match self.check(record)? {
                Ok(mention) => mention,
                Err(rejection) => {
                    self.metrics.dead_letters.with_label_values(&[rejection.reason]).inc();
                    ctx.dead_letter(record, rejection.reason, &rejection.detail);
                    continue;
                }
            };
            ctx.observe_event_time(mention.published_at);
            self.progress(ctx)?.observe(mention.lineage.input_partition, mention.published_at, now);
            let window = windows.window_of(mention.published_at);
            if window.start < closed_before {
                self.metrics.late.inc();
                ctx.count_late(1);
                continue;
            }
            self.metrics.mentions.inc();
            let mut place = TaskState { ctx, touched: &mut touched };
            let outcome = counting::take_in(&mut place, &windows, &mention, record.offset)?;
            ctx.settle(outcome, 1);
        }
        for ((start, asset), state) in touched {
            stores::put_window(ctx, start, &asset, &state)?;
            self.dirty.insert((start, asset));
        }
        Ok(())
    }

    fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        if !at.before_commit {
            return Ok(());
        }
        let settings = Arc::clone(&self.settings);
        let progress = self.progress(ctx)?;
        let moved = progress.advance(at.wall_clock, settings.idle_timeout, &settings.windows);
        let (watermark, closed_before) = (progress.watermark(), progress.closed_before());
        let learned_before = boundary(watermark.unwrap_or(Timestamp::MIN), &settings.windows, settings.settle);
        if !moved && self.dirty.is_empty() {
            return Ok(());
        }
        let settled = self.progress(ctx)?.settle(learned_before.window_start(settings.windows.size));
        if let Some(progress) = &self.progress {
            stores::put_progress(ctx, progress)?;
        }
        let settled = stores::windows_in(ctx, settled)?;
        self.emit(closed_before, learned_before, settled, ctx)?;
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
        if record.key.as_deref() != Some(mention.asset.as_bytes()) {
            let detail = "the key is not the asset, so the mention may lie in another partition than its asset's";
            return Ok(Err(Rejection::invalid(detail)));
        }
        if mention.published_at.to_jiff().is_none() {
            let detail = format!("published_at {} is out of range", mention.published_at);
            return Ok(Err(Rejection::invalid(detail)));
        }
        Ok(validate(&mention).map(|()| mention).map_err(Rejection::invalid))
    }

    /// Emits the windows that changed, those whose forecast was made now, and for the last time those that begin before `closed_before`, which
    /// are then dropped. `settled` are those that stopped changing, as far as can be known.
    fn emit(
        &mut self,
        closed_before: Timestamp,
        learned_before: Timestamp,
        settled: Vec<(Timestamp, String)>,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let mut due = std::mem::take(&mut self.dirty);
        due.extend(stores::windows_before(ctx, closed_before)?);
        let mut histories: BTreeMap<String, AssetHistory> = BTreeMap::new();
        let mut rows = Vec::new();
        let touched: BTreeSet<&(Timestamp, String)> = due.iter().chain(&settled).collect();
        for (start, asset) in touched {
            if let Entry::Vacant(absent) = histories.entry(asset.clone()) {
                absent.insert(self.history(asset, *start, learned_before, &mut rows, ctx)?);
            }
        }
        due.extend(self.forecast(rows, ctx)?);
        for (start, asset) in due {
            let history = histories.get_mut(&asset).ok_or_else(|| {
                ProcessorError::fatal(format!("window {start} of {asset} is due but its history was not read"))
            })?;
            let mut window = stores::window(ctx, start, &asset)?.ok_or_else(|| {
                ProcessorError::fatal(format!("window {start} of {asset} is due but not in the store"))
            })?;
            let (spec, now) = (&self.settings.windows, ctx.now());
            let judgement = history.judge(spec, start, &window, now, |earlier| stores::window(ctx, earlier, &asset))?;
            if history.correct(&self.settings.windows, start, &window) {
                stores::put_history(ctx, &asset, history)?;
            }
            self.explain_missing_forecast(&mut window, history.has_learned(start));
            let last = start < closed_before;
            let insight = self.insight(start, &asset, last, &mut window, judgement, ctx);
            self.forward_insight(&insight, ctx)?;
            self.forward_alerts(&insight, judgement, &mut window, ctx)?;
            if last {
                stores::delete_window(ctx, start, &asset);
            } else {
                stores::put_window(ctx, start, &asset, &window)?;
            }
        }
        stores::delete_authors_before(ctx, closed_before);
        // The last post of a window is as old as its end, and nothing can be a copy of it any more.
        let kept = COPIED_WITHIN.saturating_add(self.settings.windows.size);
        WindowStore::over(ctx.store(counting::POSTS)).expire(closed_before.saturating_sub(kept));
        Ok(())
    }

    /// Makes the forecasts that follow windows just learned, of all assets in one run, and stores them; returns the windows that got one.
    fn forecast(
        &self,
        rows: Vec<(Timestamp, String, Row)>,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<Vec<(Timestamp, String)>, ProcessorError> {
        let Some(forecaster) = &self.settings.forecaster else { return Ok(Vec::new()) };
        let (keys, rows): (Vec<_>, Vec<_>) = rows.into_iter().map(|(start, asset, row)| ((start, asset), row)).unzip();
        let forecasts = forecaster.forecast_where_possible(&rows).map_err(ProcessorError::fatal)?;
        let mut made = Vec::new();
        for ((start, asset), forecast) in keys.into_iter().zip(forecasts) {
            let Some(mut window) = stores::window(ctx, start, &asset)? else { continue };
            let is_made = forecast.is_ok();
            window.set_forecast(forecast);
            stores::put_window(ctx, start, &asset, &window)?;
            if is_made {
                made.push((start, asset));
            }
        }
        self.metrics.forecasts.inc_by(made.len() as u64);
        Ok(made)
    }

    fn explain_missing_forecast(&self, window: &mut WindowState, is_learned: bool) {
        if window.forecast.is_some() {
            return;
        }
        let found_when_learned =
            window.no_forecast_reason.as_deref().is_some_and(|r| r != NoForecast::Settling.as_str());
        let reason = match &self.settings.forecaster {
            None => NoForecast::NoModel,
            Some(_) if !is_learned => NoForecast::Settling,
            Some(_) if found_when_learned => return,
            Some(_) => NoForecast::LatePosts,
        };
        window.set_forecast(Err(reason));
    }

    /// What is usual for `asset`, learned up to `learned_before`. `first` is its first window if it has no history yet. `rows` gets the inputs of
    /// the forecasts after the windows that were learned.
    fn history(
        &self,
        asset: &str,
        first: Timestamp,
        learned_before: Timestamp,
        rows: &mut Vec<(Timestamp, String, Row)>,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<AssetHistory, ProcessorError> {
        let stored = stores::history(ctx, asset)?;
        let is_new = stored.is_none();
        let mut history = stored.unwrap_or_else(|| AssetHistory::new(first, ctx.now().saturating_add(TRUSTED_AFTER)));
        let windows = &self.settings.windows;
        let learned = history.learn(windows, learned_before, |start| stores::window(ctx, start, asset))?;
        let trusted = history.is_trusted(ctx.now());
        rows.extend(
            learned.rows.into_iter().map(|(start, row)| {
                (start, asset.to_owned(), if trusted { row } else { Err(NoForecast::YoungHistory) })
            }),
        );
        if learned.any || is_new {
            stores::put_history(ctx, asset, &history)?;
        }
        Ok(history)
    }

    fn insight(
        &self,
        start: Timestamp,
        asset: &str,
        last: bool,
        window: &mut WindowState,
        judgement: Option<Judgement>,
        ctx: &ProcessorContext<'_>,
    ) -> TrendInsight {
        if let Some(Judgement { anomaly_score, expected_posts, .. }) = judgement {
            (window.anomaly_score, window.expected_posts) = (anomaly_score, expected_posts);
        }
        window.insight(&InsightHeader {
            asset,
            start,
            end: self.settings.windows.starting_at(start).end,
            last,
            emitted_at: ctx.now(),
            run_id: &self.settings.run_id,
            input_topic: &self.settings.source,
            input_partition: ctx.partition(),
        })
    }

    fn forward_insight(&self, insight: &TrendInsight, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let value = encode(&self.codec, &self.settings.insights, insight)?;
        ctx.forward(&self.settings.insights, Some(Bytes::from(insight.asset.clone())), Some(value), insight.emitted_at);
        self.metrics.revisions.with_label_values(&[if insight.r#final { "true" } else { "false" }]).inc();
        Ok(())
    }

    /// Raises the alerts that the window deserves and has not raised. A window that is learned already (no judgement) raises none: a post
    /// that comes hours late is no news.
    fn forward_alerts(
        &self,
        insight: &TrendInsight,
        judgement: Option<Judgement>,
        window: &mut WindowState,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let Some(Judgement { drop_from, .. }) = judgement else { return Ok(()) };
        for alert in alerts(&self.settings.policy, insight, drop_from) {
            if window.alerted.contains(&alert.kind) {
                continue;
            }
            let value = encode(&self.codec, &self.settings.alerts, &alert)?;
            ctx.forward(&self.settings.alerts, Some(Bytes::from(alert.asset)), Some(value), alert.raised_at);
            self.metrics.alerts.with_label_values(&[&alert.kind]).inc();
            window.alerted.push(alert.kind);
        }
        Ok(())
    }
}
