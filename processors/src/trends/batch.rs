//! Windows of mentions that are all there already, as in a replay: no watermark, nothing is late, every window has one revision.
//!
//! Each window is judged by what was learned from all windows before it, so the result depends on the mentions alone and not on the order
//! in which they were read. The forecast after a window stands on the windows up to it, as in the live run. Alerts are those that the live run
//! raises of windows that have settled: of what an open one showed for a while, nothing is left.

use std::collections::BTreeMap;
use std::convert::Infallible;

use vigie_clock::Timestamp;
use vigie_schemas::{Alert, Mention, TrendInsight};
use vigie_streams::{KeyValueStore, ProcessorError, TumblingWindows};

use super::alerts::{self, AlertPolicy, Finding};
use super::copies;
use super::counting::{self, Place};
use super::history::{AssetHistory, Learned, Terms};
use super::window::{InsightHeader, WindowState};
use crate::forecast::{Features, NoForecast, SharedForecaster};
use crate::inference::ModelError;

/// The inputs of the forecast that follows a window.
type Row = Result<Features, NoForecast>;

/// An alert, and the place of the window that brought it to light.
pub type Raised = (usize, Alert);

/// Windows being filled.
#[derive(Debug, Default)]
pub struct Batch {
    counts: Counts,
}

/// What a task has in stores.
#[derive(Debug)]
struct Counts {
    windows: BTreeMap<(Timestamp, String), WindowState>,
    posts: KeyValueStore,
    authors: KeyValueStore,
}

impl Default for Counts {
    fn default() -> Self {
        let posts = KeyValueStore::indexed(copies::index_keys);
        Self { windows: BTreeMap::new(), posts, authors: KeyValueStore::default() }
    }
}

impl Place for Counts {
    fn window(&mut self, start: Timestamp, asset: &str) -> Result<&mut WindowState, ProcessorError> {
        Ok(self.windows.entry((start, asset.to_owned())).or_default())
    }

    fn posts(&mut self) -> &mut KeyValueStore {
        &mut self.posts
    }

    fn authors(&mut self) -> &mut KeyValueStore {
        &mut self.authors
    }
}

impl Batch {
    /// Counts a mention that was read at `offset`.
    ///
    /// # Errors
    /// If what was kept of another mention cannot be read: never, unless this program is wrong.
    pub fn add(&mut self, spec: &TumblingWindows, mention: &Mention, offset: i64) -> Result<(), ProcessorError> {
        counting::take_in(&mut self.counts, spec, mention, offset).map(drop)
    }

    /// How many windows there are.
    pub(crate) fn len(&self) -> usize {
        self.counts.windows.len()
    }

    /// The final revision of every window, in the order of time, and the alerts, each with the place of the window that brought it to light, in
    /// the same order. Nothing is known of the time before the first window. `input` is the topic and partition of the offsets; `policy` says what
    /// is worth an alert.
    ///
    /// # Errors
    /// If the forecaster fails.
    pub fn insights(
        mut self,
        spec: &TumblingWindows,
        run_id: &str,
        input: (&str, i32),
        emitted_at: Timestamp,
        policy: AlertPolicy,
        forecaster: Option<&SharedForecaster>,
    ) -> Result<(Vec<TrendInsight>, Vec<Raised>), ModelError> {
        let complete_from = self.counts.windows.keys().next().map(|(start, _)| *start);
        let terms = Terms { policy, complete_before: Timestamp::from_millis(i64::MAX), complete_from };
        let (rows, findings) = self.judge_all(spec, &terms);
        let mut raised = Vec::new();
        for (place, ((start, asset), findings)) in self.counts.windows.keys().zip(&findings).enumerate() {
            let alert = |finding| alerts::alert(finding, spec, (*start, asset), run_id, emitted_at);
            raised.extend(findings.iter().map(|finding| (place, alert(finding))));
        }
        let forecasts = match forecaster {
            Some(forecaster) => forecaster.forecast_where_possible(&rows)?,
            None => rows.iter().map(|_| Err(NoForecast::NoModel)).collect(),
        };
        let mut insights = Vec::with_capacity(self.counts.windows.len());
        for (((start, asset), window), forecast) in self.counts.windows.iter_mut().zip(forecasts) {
            window.set_forecast(forecast);
            insights.push(window.insight(&InsightHeader {
                asset,
                start: *start,
                end: spec.starting_at(*start).end,
                last: true,
                emitted_at,
                run_id,
                input_topic: input.0,
                input_partition: input.1,
            }));
        }
        Ok((insights, raised))
    }

    /// Judges every window, and gives the inputs of the forecast that follows it and what it brings to light, in the order of the windows.
    fn judge_all(&mut self, spec: &TumblingWindows, terms: &Terms) -> (Vec<Row>, Vec<Vec<Finding>>) {
        let mut histories: BTreeMap<String, AssetHistory> = BTreeMap::new();
        let keys: Vec<_> = self.counts.windows.keys().cloned().collect();
        let (mut rows, mut findings) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for (start, asset) in keys {
            let history = histories.entry(asset.clone()).or_insert_with(|| AssetHistory::new(start, Timestamp::MIN));
            let windows = &self.counts.windows;
            let found = |at| Ok::<_, Infallible>(windows.get(&(at, asset.clone())).cloned());
            // Those since the last one had no posts, so this one alone is judged and brings something to light.
            let Ok(learned) = history.learn(spec, spec.starting_at(start).end, terms, found);
            let Learned { rows: mut row, judged, findings: found, .. } = learned;
            rows.push(row.pop().map_or(Err(NoForecast::LatePosts), |(_, row)| row));
            findings.push(found.into_iter().map(|(_, finding)| finding).collect());
            if let Some(window) = self.counts.windows.get_mut(&(start, asset)) {
                judged.iter().for_each(|(_, judgement)| judgement.write(window));
            }
        }
        (rows, findings)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::mention;

    const SPEC: TumblingWindows = TumblingWindows { size: Duration::from_secs(300), grace: Duration::ZERO };

    fn judged(mentions: &[Mention]) -> (Vec<TrendInsight>, Vec<(usize, Alert)>) {
        let mut batch = Batch::default();
        mentions.iter().for_each(|mention| batch.add(&SPEC, mention, 0).unwrap());
        let policy = AlertPolicy { min_anomaly_score: 0.5, min_posts: 10 };
        batch.insights(&SPEC, "replay-1", ("mentions", 0), Timestamp::from_millis(1), policy, None).unwrap()
    }

    fn insights(mentions: &[Mention]) -> Vec<TrendInsight> {
        judged(mentions).0
    }

    #[test]
    fn an_author_counts_once_per_window_and_asset() {
        let by = |author: &str, post: &str, seconds| Mention {
            author_id: Some(author.into()),
            ..mention("BTC", post, seconds, Some(0.5))
        };
        let windows = insights(&[by("a", "1", 0), by("a", "2", 9), by("b", "3", 9), by("a", "4", 300)]);
        let counts: Vec<_> = windows.iter().map(|w| (w.posts, w.unique_authors, w.r#final, w.revision)).collect();
        assert_eq!(counts, [(3, 2, true, 1), (1, 1, true, 1)]);
    }

    #[test]
    fn windows_count_what_the_stores_list_until_an_entry_is_lost() {
        let by = |author: &str, post: &str, revision, retracted| Mention {
            author_id: Some(author.into()),
            revision,
            retracted,
            ..mention("BTC", post, 0, Some(0.5))
        };
        let mut batch = Batch::default();
        for posted in [by("a", "1", 1, false), by("b", "2", 1, false), by("a", "1", 2, false), by("b", "2", 2, true)] {
            batch.add(&SPEC, &posted, 0).unwrap();
        }
        let counted: Vec<_> =
            batch.counts.windows.iter().map(|(key, window)| (key.clone(), (window.posts, window.authors))).collect();
        assert_eq!(counting::disagreement(&mut batch.counts, &counted).unwrap(), None);
        let (key, _) = batch.counts.posts.iter().next().map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap();
        batch.counts.posts.delete(key);
        let found = counting::disagreement(&mut batch.counts, &counted).unwrap().unwrap();
        assert!(found.ends_with("of BTC counts 1 posts and 1 authors, listed are 0 and 1"), "{found}");
    }

    #[test]
    fn a_burst_after_a_quiet_day_is_anomalous_and_alerted_once() {
        let quiet = (0..200).flat_map(|w| (0..4).map(move |i| mention("BTC", &format!("{w}-{i}"), w * 300, None)));
        let burst = (0..600).map(|i| mention("BTC", &format!("burst-{i}"), (200 + i % 2) * 300, None));
        let (windows, alerts) = judged(&quiet.chain(burst).collect::<Vec<_>>());
        assert_eq!(windows[10].anomaly_score, None);
        assert!(windows[150].anomaly_score.is_some_and(|score| score < 0.1));
        assert!(windows[200].anomaly_score.is_some_and(|score| score > 0.8), "{:?}", windows[200]);
        let posted: Vec<_> =
            alerts.iter().map(|(place, alert)| (*place, alert.alert_id.as_str(), alert.value)).collect();
        assert_eq!(posted, [(200, "replay-1/BTC/attention_spike/1970-01-01T16:40:00Z", 300.0)]);
    }

    proptest! {
        #[test]
        fn the_order_of_the_mentions_does_not_matter(
            posts in prop::collection::vec((0_i64..4000, 0_usize..3, -1.0_f64..=1.0), 0..80),
            seed in any::<u64>(),
        ) {
            let mut mentions: Vec<_> = posts.iter().enumerate()
                .map(|(i, (at, asset, score))| mention(["BTC", "ETH", "*"][*asset], &format!("p{i}"), *at, Some(*score)))
                .collect();
            let forward = judged(&mentions);
            mentions.sort_by_key(|m| m.post_id.bytes().fold(seed | 1, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))));
            prop_assert_eq!(forward, judged(&mentions));
        }
    }
}
