//! A terms task's processor.
//!
//! ```text
//! process:         scored post ─▶ its words, to task 0
//!                  words ─▶ late? ─▶ revision known? ─▶ kept ─▶ index of its hour, and of its day
//! before a commit: watermark ─▶ windows that close: reported for the last time, learned ─▶ else, if the interval is over, windows that changed: reported
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_kafka_client::Headers;
use vigie_schemas::{ScoredPost, TermPost};
use vigie_streams::{Outcome, Processor, ProcessorContext, ProcessorError, Punctuation, Record, TumblingWindows};

use super::baseline::hash;
use super::index::{Kept, WindowIndex};
use super::split::split;
use super::windows::{KnownAssets, Scale, WindowId, Windows, end, windows_of};
use super::{TermsMetrics, TermsSettings, stores};
use crate::service::record_codec::{RecordCodec, Rejection, decode, encode};
use crate::trends::progress::Progress;

/// The task that counts.
const COUNTS: i32 = 0;

/// One task's processor.
pub(super) struct TermsProcessor<C> {
    settings: Arc<TermsSettings>,
    codec: C,
    metrics: TermsMetrics,
    known: Arc<KnownAssets>,
    /// Made of the stores with the first words or commit.
    state: Option<State>,
}

struct State {
    windows: Windows,
    progress: Progress,
    /// Posts were observed since the progress was stored.
    observed: bool,
    /// Windows to be rebuilt from their posts: one went, or there are too many.
    stale: BTreeSet<WindowId>,
    /// Windows that may differ from what was reported of them.
    changed: BTreeSet<WindowId>,
    reported_at: Option<Timestamp>,
}

impl State {
    fn make_anew(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        for window in std::mem::take(&mut self.stale) {
            let posts = stores::posts(ctx, window.0, end(window))?;
            self.windows.open.insert(window, WindowIndex::rebuilt(&posts));
        }
        Ok(())
    }
}

impl<C: RecordCodec> TermsProcessor<C> {
    pub(super) fn new(settings: Arc<TermsSettings>, codec: C, metrics: TermsMetrics, known: Arc<KnownAssets>) -> Self {
        Self { settings, codec, metrics, known, state: None }
    }
}

impl<C: RecordCodec> Processor for TermsProcessor<C> {
    fn process(&mut self, batch: &[Record], ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        for record in batch {
            let rejection = match *record.topic == *self.settings.source {
                true => self.forward(record, ctx)?,
                false => self.take_in(record, ctx)?,
            };
            if let Some(rejection) = rejection {
                self.metrics.dead_letters.with_label_values(&[rejection.reason.as_str()]).inc();
                ctx.dead_letter(record, rejection.reason.as_str(), &rejection.detail);
            }
        }
        Ok(())
    }

    fn punctuate(&mut self, at: Punctuation, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        if !at.before_commit || ctx.partition() != COUNTS {
            return Ok(());
        }
        let settings = Arc::clone(&self.settings);
        let state = self.state(ctx)?;
        let moved = state.progress.advance(at.wall_clock, settings.idle_timeout, &hours(&settings));
        if moved || std::mem::take(&mut state.observed) {
            stores::put_progress(ctx, &state.progress)?;
        }
        if moved {
            self.close(ctx)?;
        }
        self.tell_what_changed(ctx)
    }
}

impl<C: RecordCodec> TermsProcessor<C> {
    /// Sends the words of a post to the task that counts.
    fn forward(&self, record: &Record, ctx: &mut ProcessorContext<'_>) -> Result<Option<Rejection>, ProcessorError> {
        let post = match decode::<ScoredPost>(&self.codec, record)? {
            Ok(post) => split(post),
            Err(rejection) => return Ok(Some(rejection)),
        };
        let value = encode(&self.codec, &self.settings.words, &post)?;
        let (key, at) = (Some(Bytes::from(post.post_id)), record.timestamp);
        ctx.forward_with(&self.settings.words, Some(COUNTS), key, Some(value), at, Headers::new());
        ctx.settle(Outcome::Counted, 1);
        Ok(None)
    }

    fn take_in(
        &mut self,
        record: &Record,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<Option<Rejection>, ProcessorError> {
        let post: TermPost = match decode(&self.codec, record)? {
            Ok(post) => post,
            Err(rejection) => return Ok(Some(rejection)),
        };
        if post.published_at.to_jiff().is_none() {
            return Ok(Some(Rejection::invalid(format!("published_at {} is out of range", post.published_at))));
        }
        if ctx.partition() != COUNTS {
            return Ok(Some(Rejection::invalid("words of a post where none are counted: they belong in partition 0")));
        }
        ctx.observe_event_time(post.published_at);
        let now = ctx.now();
        let state = self.state(ctx)?;
        state.progress.observe(post.input_partition, post.published_at, now);
        state.observed = true;
        let windows = windows_of(post.published_at);
        if windows[0].0 < state.progress.closed_before() {
            self.metrics.late.inc();
            ctx.count_late(1);
            return Ok(None);
        }
        let old = stores::post(ctx, post.published_at, &post.post_id)?;
        if old.as_ref().is_some_and(|old| old.revision >= post.revision) {
            ctx.settle(Outcome::Duplicate, 1);
            return Ok(None);
        }
        if old.is_some() || !post.gone {
            state.changed.extend(windows);
        }
        if old.is_some() {
            stores::delete_post(ctx, post.published_at, &post.post_id);
            state.stale.extend(windows);
        }
        if post.gone {
            ctx.settle(if old.is_some() { Outcome::Retracted } else { Outcome::Skipped }, 1);
            return Ok(None);
        }
        let post_id = post.post_id.clone();
        let kept = Kept::from(post);
        stores::put_post(ctx, &post_id, &kept)?;
        if old.is_none() {
            state.stale.extend(state.windows.add(&post_id, &kept));
        }
        ctx.settle(Outcome::Counted, 1);
        Ok(None)
    }

    /// The windows that take no more posts: reported for the last time, and learned.
    fn close(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let state = self.state(ctx)?;
        state.make_anew(ctx)?;
        let bound = state.progress.closed_before();
        for window in state.windows.closed_by(bound) {
            self.send(window, true, ctx)?;
            let state = self.state(ctx)?;
            state.windows.close(window);
            state.changed.remove(&window);
            stores::put_baseline(ctx, window.1, &state.windows.baselines[window.1 as usize])?;
        }
        stores::expire_posts(ctx, bound.window_start(Scale::Day.size()));
        Ok(())
    }

    fn tell_what_changed(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let (now, interval) = (ctx.now(), self.settings.interval);
        let state = self.state(ctx)?;
        if state.changed.is_empty() || state.reported_at.is_some_and(|at| now < at.saturating_add(interval)) {
            return Ok(());
        }
        state.reported_at = Some(now);
        state.make_anew(ctx)?;
        for window in std::mem::take(&mut state.changed) {
            self.send(window, false, ctx)?;
        }
        Ok(())
    }

    /// Reports of the terms of a window what was not reported yet.
    fn send(&mut self, window: WindowId, last: bool, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let settings = Arc::clone(&self.settings);
        let now = ctx.now();
        let reported = stores::reported(ctx, window)?;
        let state = self.state(ctx)?;
        let mut insights = Vec::new();
        for rising in state.windows.rising(window, &reported.keys().cloned().collect()) {
            let insight = state.windows.insight(window, rising);
            let said = hash(&crate::service::state::text("reported", &insight)?);
            let revision = match reported.get(&insight.term) {
                Some((_, before)) if *before == said && !last => continue,
                before => before.map_or(1, |(revision, _)| revision + 1),
            };
            match last {
                true => stores::delete_reported(ctx, window, &insight.term),
                false => stores::put_reported(ctx, window, &insight.term, (revision, said))?,
            }
            insights.push((revision, insight));
        }
        for (revision, mut insight) in insights {
            (insight.revision, insight.r#final, insight.emitted_at) = (revision, last, now);
            insight.run_id.clone_from(&settings.run_id);
            let value = encode(&self.codec, &settings.insights, &insight)?;
            self.metrics.revisions.inc();
            ctx.forward(&settings.insights, Some(Bytes::from(insight.term)), Some(value), insight.window_end);
        }
        Ok(())
    }

    fn state(&mut self, ctx: &mut ProcessorContext<'_>) -> Result<&mut State, ProcessorError> {
        if self.state.is_none() {
            let mut windows = Windows::new(Arc::clone(&self.known));
            for scale in Scale::ALL {
                stores::load_baseline(ctx, scale, &mut windows.baselines[scale as usize])?;
            }
            let progress = stores::progress(ctx)?;
            let bound = progress.closed_before();
            let posts = stores::posts(ctx, Timestamp::MIN, Timestamp::from_millis(i64::MAX))?;
            let of = posts.iter().flat_map(|(_, kept)| windows_of(kept.published_at));
            let open: BTreeSet<WindowId> = of.filter(|window| end(*window) > bound).collect();
            for window in &open {
                windows.open.insert(*window, WindowIndex::default());
            }
            let (stale, changed) = (open.clone(), open);
            self.state = Some(State { windows, progress, observed: false, stale, changed, reported_at: None });
        }
        self.state.as_mut().ok_or_else(|| ProcessorError::fatal("state that was just made is gone"))
    }
}

fn hours(settings: &TermsSettings) -> TumblingWindows {
    TumblingWindows { size: Scale::Hour.size(), grace: settings.grace }
}
