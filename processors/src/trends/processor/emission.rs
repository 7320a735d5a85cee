//! What a commit emits.
//!
//! Emitted are windows that are due, if the emission interval is over, and always those that settle, were newly forecast, or close. An open window
//! is judged when it is emitted, for an alert at once; one that settles, when it is learned, with those before it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use vigie_clock::Timestamp;
use vigie_schemas::TrendInsight;
use vigie_streams::{ProcessorContext, ProcessorError};

use super::{TrendsProcessor, TrendsSettings, WindowKey};
use crate::forecast::{Features, NoForecast};
use crate::service::record_codec::{RecordCodec, encode};
use crate::trends::alerts::{self, Finding, Judgement};
use crate::trends::history::{AssetHistory, Learned, TRUSTED_AFTER, Terms};
use crate::trends::stores;
use crate::trends::window::{InsightHeader, WindowState};

/// The inputs of the forecast that follows a window.
type Row = Result<Features, NoForecast>;

impl<C: RecordCodec> TrendsProcessor<C> {
    /// Emits the windows that are due, if it `is_time`, else those of them that settle; those whose forecast was made now; and for the last time
    /// those that begin before `closed_before`, which are then dropped. `settled` are those that stopped changing, as far as can be known.
    pub(in crate::trends) fn emit(
        &mut self,
        is_time: bool,
        closed_before: Timestamp,
        learned_before: Timestamp,
        settled: Vec<WindowKey>,
        terms: &Terms,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let all_due = self.due(ctx)?;
        let mut due: BTreeSet<WindowKey> = settled.iter().filter_map(|key| all_due.take(key)).collect();
        if is_time {
            due.append(all_due);
            self.emitted_at = Some(ctx.now());
        }
        due.extend(stores::windows_before(ctx, closed_before)?);
        let mut judged: BTreeMap<WindowKey, Judgement> = BTreeMap::new();
        let mut histories: BTreeMap<String, AssetHistory> = BTreeMap::new();
        let mut rows = Vec::new();
        let touched: BTreeSet<&WindowKey> = due.iter().chain(&settled).collect();
        for (start, asset) in touched {
            if let Entry::Vacant(absent) = histories.entry(asset.clone()) {
                let (history, learned) = self.history(asset, *start, learned_before, terms, ctx)?;
                rows.extend(learned.rows.into_iter().map(|(start, row)| (start, asset.clone(), row)));
                judged.extend(learned.judged.into_iter().map(|(start, one)| ((start, asset.clone()), one)));
                for (start, finding) in learned.findings {
                    self.forward_alert(&finding, start, asset, ctx)?;
                }
                absent.insert(history);
            }
        }
        due.extend(self.forecast(rows, ctx)?);
        for key in due {
            let history = histories.get_mut(&key.1).ok_or_else(|| {
                ProcessorError::fatal(format!("window {} of {} is due but its history was not read", key.0, key.1))
            })?;
            let judgement = judged.remove(&key);
            let last = key.0 < closed_before;
            self.emit_window(key, last, judgement, history, terms, ctx)?;
        }
        Ok(())
    }

    fn judge(
        &self,
        history: &AssetHistory,
        start: Timestamp,
        asset: &str,
        window: &WindowState,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<Option<Judgement>, ProcessorError> {
        let TrendsSettings { windows, policy, .. } = &*self.settings;
        let now = ctx.now();
        history.judge(windows, (start, window), policy, now, |earlier| stores::window(ctx, earlier, asset))
    }

    /// Emits a window as its next revision unless it would say the same as the one before. It is judged now if it was not `judged` when it was
    /// learned.
    fn emit_window(
        &mut self,
        (start, asset): WindowKey,
        last: bool,
        judged: Option<Judgement>,
        history: &mut AssetHistory,
        terms: &Terms,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let mut window = stores::window(ctx, start, &asset)?
            .ok_or_else(|| ProcessorError::fatal(format!("window {start} of {asset} is due but not in the store")))?;
        let windows = self.settings.windows;
        if history.correct(&windows, start, &window) {
            for (last, finding) in history.findings_after_correction(&windows, &window, terms) {
                self.forward_alert(&finding, last, &asset, ctx)?;
            }
            stores::put_history(ctx, &asset, history)?;
        }
        if let Some(due) = &mut self.due {
            due.remove(&(start, asset.clone()));
        }
        if !last && !window.is_due() {
            return Ok(());
        }
        let open = self.judge(history, start, &asset, &window, ctx)?;
        if let Some(judgement) = open {
            self.alert_at_once(start, &asset, &judgement, &mut window, history, ctx)?;
        }
        self.explain_missing_forecast(&mut window, history.has_learned(start));
        let insight = self.insight(start, &asset, last, &mut window, judged.or(open), ctx);
        self.forward_insight(&insight, ctx)?;
        if last {
            stores::delete_window(ctx, start, &asset);
            return Ok(());
        }
        stores::put_window(ctx, start, &asset, &window)
    }

    /// Makes the forecasts that follow windows just learned, of all assets in one run, and stores them; returns the windows that got one.
    fn forecast(
        &self,
        rows: Vec<(Timestamp, String, Row)>,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<Vec<WindowKey>, ProcessorError> {
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

    /// What is usual for `asset`, learned up to `learned_before`, and what was learned now. `first` is its first window if it has no history yet.
    fn history(
        &self,
        asset: &str,
        first: Timestamp,
        learned_before: Timestamp,
        terms: &Terms,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(AssetHistory, Learned), ProcessorError> {
        let stored = stores::history(ctx, asset)?;
        let is_new = stored.is_none();
        let mut history = stored.unwrap_or_else(|| AssetHistory::new(first, ctx.now().saturating_add(TRUSTED_AFTER)));
        let windows = &self.settings.windows;
        let mut learned = history.learn(windows, learned_before, terms, |start| stores::window(ctx, start, asset))?;
        if !history.is_trusted(ctx.now()) {
            learned.rows.iter_mut().for_each(|(_, row)| *row = Err(NoForecast::YoungHistory));
        }
        if learned.any || is_new {
            stores::put_history(ctx, asset, &history)?;
        }
        Ok((history, learned))
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
        if let Some(judgement) = judgement {
            judgement.write(window);
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

    /// Raises what the open window deserves and was not raised yet.
    fn alert_at_once(
        &self,
        start: Timestamp,
        asset: &str,
        judgement: &Judgement,
        window: &mut WindowState,
        history: &mut AssetHistory,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let mut found = alerts::findings(&self.settings.policy, window, judgement);
        found.retain(|finding| !window.has_raised(finding.kind));
        if found.is_empty() {
            return Ok(());
        }
        for finding in found {
            if history.is_news(&self.settings.windows, start, &finding) {
                self.forward_alert(&finding, start, asset, ctx)?;
            }
            window.alerted.push(finding.kind.to_string());
        }
        stores::put_history(ctx, asset, history)
    }

    fn forward_alert(
        &self,
        finding: &Finding,
        start: Timestamp,
        asset: &str,
        ctx: &mut ProcessorContext<'_>,
    ) -> Result<(), ProcessorError> {
        let settings = &self.settings;
        let alert = alerts::alert(finding, &settings.windows, (start, asset), &settings.run_id, ctx.now());
        let value = encode(&self.codec, &settings.alerts, &alert)?;
        ctx.forward(&settings.alerts, Some(Bytes::from(alert.asset)), Some(value), alert.raised_at);
        self.metrics.alerts.with_label_values(&[&alert.kind]).inc();
        Ok(())
    }
}

/// Whether `interval` is over since `last`, or the clock was set back to before it.
pub(super) fn is_over(interval: Duration, last: Option<Timestamp>, now: Timestamp) -> bool {
    !last.is_some_and(|last| (last..last.saturating_add(interval)).contains(&now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_over_when_it_has_passed_and_when_the_clock_was_set_back() {
        let at = Timestamp::from_millis;
        let over = |now| is_over(Duration::from_secs(2), Some(at(10_000)), at(now));
        assert_eq!([9_999, 10_000, 11_999, 12_000].map(over), [true, false, false, true]);
        assert!(is_over(Duration::from_secs(2), None, at(0)));
        assert!(is_over(Duration::ZERO, Some(at(0)), at(0)));
    }
}
