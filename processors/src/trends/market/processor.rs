//! A market task's processor.

use std::collections::BTreeSet;
use std::sync::Arc;

use vigie_clock::Timestamp;
use vigie_schemas::{MarketPart, MarketProgress, WHOLE_MARKET};
use vigie_streams::{Outcome, Processor, ProcessorContext, ProcessorError, Punctuation, Record};

use super::bounds::{Bounds, Reached};
use super::{copies, merge};
use crate::service::record_codec::{RecordCodec, Rejection, decode};
use crate::service::state;
use crate::trends::counting::POSTS;
use crate::trends::history::{Terms, boundary};
use crate::trends::metrics::TrendsMetrics;
use crate::trends::processor::{TrendsProcessor, TrendsSettings};
use crate::trends::share::{BANDS, MERGE};
use crate::trends::stores::{self, PROGRESS};
use crate::trends::window::WindowState;

/// Under which names the two stages' progress is stored.
const TASKS: &str = "tasks";
const OF_COPIES: &str = "copies";

/// One task's processor.
pub(crate) struct MarketProcessor<C> {
    settings: Arc<TrendsSettings>,
    codec: C,
    metrics: TrendsMetrics,
    /// Judges and emits windows, as any asset's.
    windows: TrendsProcessor<C>,
    /// How far the trends tasks have come, and the search for copies; read from the store with the first batch or commit.
    stages: Option<Stages>,
}

#[derive(Default)]
struct Stages {
    tasks: Bounds,
    copies: Bounds,
    /// What was last announced, and acted on. After a start it is done again.
    announced: Option<Reached>,
    closed: Option<Reached>,
}

impl<C: RecordCodec> MarketProcessor<C> {
    /// A processor that has seen nothing; its state is in the task's stores.
    pub(crate) fn new(settings: Arc<TrendsSettings>, codec: C, metrics: TrendsMetrics) -> Self {
        let windows = TrendsProcessor::new(Arc::clone(&settings), codec.clone(), metrics.clone());
        Self { settings, codec, metrics, windows, stages: None }
    }
}

impl<C: RecordCodec> Processor for MarketProcessor<C> {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let mut touched = BTreeSet::new();
        for record in batch {
            let rejection = match decode::<MarketPart>(&self.codec, record)? {
                Ok(part) => match self.take_in(part, record.offset, &mut touched, ctx)? {
                    Ok(outcome) => {
                        outcome.into_iter().for_each(|outcome| ctx.settle(outcome, 1));
                        continue;
                    }
                    Err(rejection) => rejection,
                },
                Err(rejection) => rejection,
            };
            self.metrics.dead_letters.with_label_values(&[rejection.reason.as_str()]).inc();
            ctx.dead_letter(record, rejection.reason.as_str(), &rejection.detail);
        }
        for start in touched {
            merge::add_up(ctx, start)?;
            self.windows.due(ctx)?.insert((start, WHOLE_MARKET.to_owned()));
        }
        Ok(())
    }

    fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        if !at.before_commit {
            return Ok(());
        }
        let stages = self.stages(ctx)?;
        let reached = stages.tasks.reached();
        if reached != stages.announced
            && let Some(Reached { watermark, closed_before: window_start, .. }) = reached
        {
            stages.announced = reached;
            let progress = Some(MarketProgress { watermark, of_copies: true, idle: false });
            self.windows.send(MarketPart { window_start, progress, ..MarketPart::default() }, MERGE, ctx)?;
            stores::delete_posts_before(ctx, window_start, self.settings.windows.size);
        }
        if ctx.partition() == MERGE { self.emit(ctx) } else { Ok(()) }
    }

    fn audit(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<Option<String>, ProcessorError> {
        merge::disagreement(ctx)
    }
}

impl<C: RecordCodec> MarketProcessor<C> {
    /// What became of the record; `None` if that is said already. `touched` gets the windows to be added up.
    fn take_in(
        &mut self,
        part: MarketPart,
        offset: i64,
        touched: &mut BTreeSet<Timestamp>,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<Result<Option<Outcome>, Rejection>, ProcessorError> {
        let start = part.window_start;
        match part {
            MarketPart { post: Some(post), .. } => {
                let Some(asset) = usize::try_from(post.band).ok().and_then(|band| BANDS.get(band)) else {
                    let detail = format!("band {} of a fingerprint, expected 0 to {}", post.band, BANDS.len() - 1);
                    return Ok(Err(Rejection::invalid(detail)));
                };
                // What nobody counts any more must not make copies of others.
                if start < self.stages(ctx)?.tasks.closed_before() {
                    return Ok(Ok(Some(Outcome::Skipped)));
                }
                let (outcome, found) = copies::take_in(ctx.store(POSTS), &self.settings.windows, asset, &post);
                for (window_start, copy) in found {
                    let part = MarketPart { window_start, copy: Some(copy), ..MarketPart::default() };
                    self.windows.send(part, MERGE, ctx)?;
                }
                Ok(Ok(Some(outcome)))
            }
            MarketPart { copy: Some(copy), .. } => {
                if start < self.stages(ctx)?.copies.closed_before() {
                    return Ok(Ok(Some(Outcome::Skipped)));
                }
                if merge::take_in_copy(ctx, start, &copy)? {
                    touched.insert(start);
                }
                Ok(Ok(Some(Outcome::Counted)))
            }
            MarketPart { counts: Some(counts), task, .. } => {
                let counts: WindowState = match serde_json::from_str(&counts) {
                    Ok(counts) => counts,
                    Err(error) => return Ok(Err(Rejection::undecodable(error))),
                };
                let more = merge::take_in_share(ctx, start, task, counts, offset)?;
                if start < self.stages(ctx)?.copies.closed_before() {
                    let late = u64::try_from(more).unwrap_or(0);
                    self.metrics.late.inc_by(late);
                    ctx.count_late_events(late);
                    return Ok(Ok(None));
                }
                touched.insert(start);
                Ok(Ok(Some(Outcome::Counted)))
            }
            MarketPart { progress: Some(progress), task, .. } => {
                let MarketProgress { watermark, of_copies, idle } = progress;
                let announced = Reached { watermark, closed_before: start, idle };
                let partitions = self.settings.market.partitions;
                let now = ctx.now();
                let stages = self.stages(ctx)?;
                let bounds = if of_copies { &mut stages.copies } else { &mut stages.tasks };
                bounds.hear(task, announced, partitions);
                bounds.complete.observe(now);
                let (name, value) = match of_copies {
                    true => (OF_COPIES, state::encode(PROGRESS, bounds)?),
                    false => (TASKS, state::encode(PROGRESS, bounds)?),
                };
                ctx.store(PROGRESS).put(name, value);
                Ok(Ok(Some(Outcome::Counted)))
            }
            _ => Ok(Err(Rejection::invalid("it is empty"))),
        }
    }

    /// Emits the windows of the whole market that are due, settle or close.
    fn emit(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let is_time = self.windows.is_time(ctx)?;
        let settings = Arc::clone(&self.settings);
        let stages = self.stages(ctx)?;
        let reached = stages.copies.reached();
        let moved = reached != stages.closed;
        if !moved && !is_time {
            return Ok(());
        }
        stages.closed = reached;
        let watermark = reached.map_or(Timestamp::MIN, |reached| reached.watermark);
        let closed_before = stages.copies.closed_before();
        let learned_before = boundary(watermark, &settings.windows, settings.settle);
        let settled = stages.copies.settle(learned_before.window_start(settings.windows.size));
        let settled = stores::windows_in(ctx, settled)?;
        let terms = Terms::new(settings.policy, &mut stages.copies.complete, &settled, ctx.now());
        if moved {
            let value = state::encode(PROGRESS, &stages.copies)?;
            ctx.store(PROGRESS).put(OF_COPIES, value);
        }
        self.windows.emit(is_time, closed_before, learned_before, settled, &terms, ctx)?;
        let stages = self.stages(ctx)?;
        merge::forget(ctx, closed_before, &stages.tasks);
        Ok(())
    }

    fn stages(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<&mut Stages, ProcessorError> {
        if self.stages.is_none() {
            let mut read = |name: &str| state::decode(PROGRESS, ctx.store(PROGRESS).get(name.as_bytes()));
            let (tasks, copies) = (read(TASKS)?.unwrap_or_default(), read(OF_COPIES)?.unwrap_or_default());
            self.stages = Some(Stages { tasks, copies, announced: None, closed: None });
        }
        Ok(self.stages.get_or_insert_default())
    }
}
