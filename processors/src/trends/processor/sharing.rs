//! Counting this task's share of the whole market.

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_schemas::{MarketPart, MarketProgress, Mention, WHOLE_MARKET};
use vigie_streams::{Outcome, ProcessorContext, ProcessorError, Punctuation};

use super::{TaskState, TrendsProcessor};
use crate::service::record_codec::{RecordCodec, encode};
use crate::service::state;
use crate::trends::counted::{Counted, post_key};
use crate::trends::share::OWN;
use crate::trends::{counting, stores};

/// How far the task has come, as announced: watermark, before when windows are closed, and whether it is idle.
pub(super) type Announced = (Timestamp, Timestamp, bool);

impl<C: RecordCodec> TrendsProcessor<C> {
    /// Takes in a mention of the whole market, and announces it where copies are looked for.
    pub(super) fn take_in_share(
        &self,
        mut mention: Mention,
        offset: i64,
        place: &mut TaskState<'_, '_>,
    ) -> Result<Outcome, ProcessorError> {
        let market = &self.settings.market;
        if market.partitions == 0 {
            let missing = format!("the whole market is shared, but there was no topic {} at the start", market.name);
            return Err(ProcessorError::fatal(format!("{missing}: run vigie topics apply, then start trends again")));
        }
        market.share();
        OWN.clone_into(&mut mention.asset);
        let windows = &self.settings.windows;
        let start = windows.window_of(mention.published_at).start;
        let before = counting::counted(place, start, &post_key(OWN, &mention.post_id))?;
        let outcome = counting::take_in(place, windows, &mention, offset)?;
        if outcome == Outcome::Duplicate {
            return Ok(outcome);
        }
        let now = (outcome == Outcome::Counted).then(|| Counted::of(&mention, false));
        for (counted, gone) in before.iter().map(|before| (before, true)).chain(now.iter().map(|now| (now, false))) {
            for (partition, post) in market.posts(&mention.post_id, counted, gone) {
                let part = MarketPart { window_start: start, post: Some(post), ..MarketPart::default() };
                self.send(part, partition, place.ctx)?;
            }
        }
        Ok(outcome)
    }

    /// Tells what is due, if it `is_time` or the task has come further, and then how far; nothing while nobody shares the market.
    pub(super) fn share(
        &mut self,
        is_time: bool,
        at: Punctuation,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        if !self.settings.market.is_shared() {
            return Ok(());
        }
        let (size, idle_timeout) = (self.settings.windows.size, self.settings.idle_timeout);
        let progress = self.progress(ctx)?;
        let watermark = progress.watermark().map_or(Timestamp::MIN, |watermark| watermark.window_start(size));
        let reached = (watermark, progress.closed_before(), progress.is_idle(at.wall_clock, idle_timeout));
        let has_moved = self.announced != Some(reached);
        if !has_moved && !is_time {
            return Ok(());
        }
        self.share_counts(reached.1, ctx)?;
        if has_moved {
            let (watermark, window_start, idle) = reached;
            for partition in 0..self.settings.market.partitions {
                let progress = Some(MarketProgress { watermark, of_copies: false, idle });
                self.send(MarketPart { window_start, progress, ..MarketPart::default() }, partition, ctx)?;
            }
            self.announced = Some(reached);
        }
        Ok(())
    }

    /// Tells the counts that are due, and drops the windows that are closed.
    fn share_counts(&mut self, closed_before: Timestamp, ctx: &mut ProcessorContext<'_>) -> Result<(), ProcessorError> {
        let due = self.due(ctx)?;
        let mut starts: Vec<Timestamp> =
            due.iter().filter(|(_, asset)| asset == OWN).map(|(start, _)| *start).collect();
        due.retain(|(_, asset)| asset != OWN);
        starts.extend(
            stores::windows_before(ctx, closed_before)?.into_iter().filter(|key| key.1 == OWN).map(|key| key.0),
        );
        for start in starts {
            let Some(mut window) = stores::window(ctx, start, OWN)? else { continue };
            if stores::window(ctx, start, WHOLE_MARKET)?.is_some() {
                return Err(ProcessorError::fatal(format!(
                    "posts of window {start} of {WHOLE_MARKET} are counted both in one place and spread: VIGIE_SPREAD_MARKET_FROM must be later \
                     than all that was published when it was first set, and the same for all replicas"
                )));
            }
            if window.is_due() {
                window.announced();
                let counts = Some(state::text(OWN, &window)?);
                let part = MarketPart { window_start: start, counts, ..MarketPart::default() };
                self.send(part, crate::trends::share::MERGE, ctx)?;
            }
            if start < closed_before {
                stores::delete_window(ctx, start, OWN);
            } else {
                stores::put_window(ctx, start, OWN, &window)?;
            }
        }
        Ok(())
    }

    /// Tells the market task of `partition`.
    pub(in crate::trends) fn send(
        &self,
        part: MarketPart,
        partition: i32,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let part = MarketPart { task: ctx.partition(), ..part };
        let topic = self.settings.market.name;
        let value = encode(&self.codec, topic, &part)?;
        let (key, now) = (Bytes::from_static(WHOLE_MARKET.as_bytes()), ctx.now());
        ctx.forward_with(topic, Some(partition), Some(key), Some(value), now, Vec::new());
        Ok(())
    }
}
