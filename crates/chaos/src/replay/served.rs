//! What the API serves of the history, against the oracle: the run that answers for each window, and that run's numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use vigie_clock::Timestamp;
use vigie_schemas::WHOLE_MARKET;

use crate::check::Violations;
use crate::check::oracle::{Counts, Expected, WINDOW_MS};
use crate::wire::http;

const LABELS: [&str; 3] = ["negative", "neutral", "positive"];
/// Windows whose newest posts are looked at, each time.
const PAGES: usize = 3;
/// How often an answer may not come.
const TRIES: usize = 10;

/// What should be served.
#[derive(Clone)]
pub(super) struct Served {
    /// Event time of the history, in milliseconds: whole windows.
    pub(super) range: Range<i64>,
    /// By run, the live one among them.
    pub(super) runs: BTreeMap<&'static str, Arc<Expected>>,
    /// The latest last.
    pub(super) promoted: Vec<(&'static str, Range<i64>)>,
}

impl Served {
    fn run_at(&self, at: i64) -> &'static str {
        self.promoted.iter().rev().find(|(_, range)| range.contains(&at)).map_or("live", |(run, _)| run)
    }

    fn starts(&self) -> impl Iterator<Item = i64> {
        self.range.clone().step_by(WINDOW_MS as usize)
    }

    /// Whether an event `switch` says the same: segments without gaps, each of the run that it should be of.
    pub(super) fn is_announced(&self, served: &Value) -> bool {
        let time = |value: &Value| Timestamp::parse_rfc3339(value.as_str()?).ok().map(Timestamp::as_millis);
        let segments = served.as_array().map(Vec::as_slice).unwrap_or_default();
        let runs_at = |at: i64| {
            let holds =
                move |s: &&Value| time(&s["from"]).is_none_or(|f| f <= at) && time(&s["to"]).is_none_or(|t| at < t);
            segments.iter().filter(holds).map(|segment| segment["run_id"].as_str().unwrap_or_default())
        };
        let outside = [self.range.start - WINDOW_MS, self.range.end];
        self.starts().chain(outside).all(|at| runs_at(at).eq([self.run_at(at)]))
    }

    /// The answer about some assets; of one run, or what is served.
    pub(super) async fn answer(&self, api: u16, assets: &str, run: Option<&str>) -> Option<Value> {
        let (from, to) = (Timestamp::from_millis(self.range.start), Timestamp::from_millis(self.range.end));
        let metrics = "posts,unique_authors,negative,neutral,positive,mean_score";
        let run = run.map(|run| format!("&run={run}")).unwrap_or_default();
        let path =
            format!("/v1/series?assets={assets}&interval=5m&from={from}&to={to}&metrics={metrics}&sources=true{run}");
        serde_json::from_str(&http::get(api, &path).await?).ok()
    }

    /// What is wrong with such an answer.
    pub(super) fn judge(&self, answer: &Value, run: Option<&str>) -> Violations {
        let mut violations = Violations::default();
        for series in answer["series"].as_array().into_iter().flatten() {
            let asset = series["asset"].as_str().unwrap_or_default();
            let points = series["points"].as_array().map(Vec::as_slice).unwrap_or_default();
            if points.len() != self.starts().count() {
                violations.add(format!("api: {asset} has {} points", points.len()));
            }
            for (start, point) in self.starts().zip(points) {
                let run = run.unwrap_or_else(|| self.run_at(start));
                let should = self.runs[run].windows.get(&(asset.to_owned(), start)).cloned().unwrap_or_default();
                let number = |name: &str| point[name].as_i64().unwrap_or_default();
                let is = Counts {
                    posts: number("posts"),
                    unique_authors: number("unique_authors"),
                    labels: LABELS.map(number),
                    mean_score: point["mean_score"].as_f64(),
                    sources: serde_json::from_value(point["sources"].clone()).unwrap_or_default(),
                };
                if !is.agrees(&should) || (should.posts > 0 && point["runs"] != serde_json::json!([run])) {
                    let runs = &point["runs"];
                    violations.add(format!(
                        "api: {asset} at {} is {is:?} of {runs}, expected {should:?} of {run}",
                        Timestamp::from_millis(start)
                    ));
                }
            }
        }
        violations
    }

    /// Every window of every asset, and pages of posts; of one run, or what is served.
    pub(super) async fn check(&self, api: u16, run: Option<&str>, rng: &mut StdRng) -> Violations {
        // Others are unknown, and so answered. Outside of the history the live run answers.
        let answering = self.starts().map(|start| self.run_at(start)).chain(["live"]);
        let answering: BTreeSet<&str> = run.map_or_else(|| answering.collect(), |run| [run].into());
        let assets: BTreeSet<&str> = answering
            .into_iter()
            .flat_map(|run| self.runs[run].windows.keys())
            .map(|(asset, _)| asset.as_str())
            .collect();
        let mut violations = Violations::default();
        for assets in assets.into_iter().collect::<Vec<_>>().chunks(10) {
            let mut answer = Value::Null;
            for _ in 0..TRIES {
                answer = self.answer(api, &assets.join(","), run).await.unwrap_or_default();
                if !answer.is_null() {
                    break;
                }
            }
            if answer["series"].as_array().map(Vec::len) != Some(assets.len()) {
                violations.add(format!("api: no series of each of {assets:?}"));
            }
            violations.extend(self.judge(&answer, run));
        }
        for _ in 0..PAGES {
            let windows = (self.range.end - self.range.start) / WINDOW_MS;
            let start = self.range.start + rng.random_range(0..windows) * WINDOW_MS;
            let (from, to) = (Timestamp::from_millis(start), Timestamp::from_millis(start + WINDOW_MS));
            let of = run.map(|run| format!("&run={run}")).unwrap_or_default();
            let path = format!("/v1/assets/*/posts?limit=200&from={from}&to={to}{of}");
            let mut page = None;
            for _ in 0..TRIES {
                page = http::get(api, &path).await;
                if page.is_some() {
                    break;
                }
            }
            let page: Value = serde_json::from_str(&page.unwrap_or_default()).unwrap_or_default();
            violations.extend(self.judge_page(&page, start, run.unwrap_or_else(|| self.run_at(start))));
        }
        violations
    }

    fn judge_page(&self, page: &Value, start: i64, run: &str) -> Violations {
        let mut violations = Violations::default();
        let expected = &self.runs[run];
        let posts = page["posts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let there = expected.windows.get(&(WHOLE_MARKET.to_owned(), start)).map_or(0, |counts| counts.posts);
        if posts.len() as i64 != there.min(200) {
            violations.add(format!("api: a page of {} posts, expected {there}, or 200", posts.len()));
        }
        for post in posts {
            let id = post["post_id"].as_str().unwrap_or_default();
            let should = expected.labels.get(id).map(|label| LABELS[*label]);
            if post["lineage"]["run_id"] != run || post["label"].as_str() != should {
                let is = (&post["label"], &post["lineage"]["run_id"]);
                violations.add(format!("api: {id} is {is:?}, expected {should:?} of {run}"));
            }
        }
        violations
    }

    /// What `vigie replay diff` says of a run beside the live one.
    pub(super) fn judge_diff(&self, diff: &Value, run: &'static str) -> Violations {
        let mut violations = Violations::default();
        let (own, live) = (&self.runs[run], &self.runs["live"]);
        let all = own.posts.len();
        let posts = serde_json::json!({"run": all, "with": all, "both": all, "only_run": 0, "only_with": 0});
        if diff["posts"] != posts {
            violations.add(format!("diff of {run}: posts are {}, expected {posts}", diff["posts"]));
        }
        let mut flips: BTreeMap<(String, String), i64> = BTreeMap::new();
        for (post, label) in &own.labels {
            match live.labels.get(post) {
                Some(before) if before != label => {
                    *flips.entry((LABELS[*before].to_owned(), LABELS[*label].to_owned())).or_default() += 1;
                }
                _ => {}
            }
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let announced = diff["flips"].as_array().into_iter().flatten();
        let announced: BTreeMap<(String, String), i64> = announced
            .map(|flip| ((text(&flip["label_with"]), text(&flip["label"])), flip["posts"].as_i64().unwrap_or(-1)))
            .collect();
        if announced != flips {
            violations.add(format!("diff of {run}: labels changed {announced:?}, expected {flips:?}"));
        }
        let sums = |expected: &Expected| {
            let mut sums: BTreeMap<String, i64> = BTreeMap::new();
            for ((asset, _), counts) in &expected.windows {
                *sums.entry(asset.clone()).or_default() += counts.posts;
            }
            sums
        };
        let (own, live) = (sums(own), sums(live));
        let assets = diff["assets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names: BTreeSet<&String> = own.keys().chain(live.keys()).collect();
        if assets.len() != names.len() {
            violations.add(format!("diff of {run}: {} assets, expected {}", assets.len(), names.len()));
        }
        for asset in assets {
            let name = text(&asset["asset"]);
            let is = [&asset["posts"], &asset["posts_with"]].map(|posts| posts.as_i64().unwrap_or(-1));
            let should = [&own, &live].map(|sums| sums.get(&name).copied().unwrap_or(0));
            if is != should {
                violations.add(format!("diff of {run}: {name} has {is:?} posts, expected {should:?}"));
            }
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two windows of one asset; the live run has 1 and 2 posts in them, the other 10 more.
    fn served(promoted: Vec<(&'static str, Range<i64>)>) -> Served {
        let run = |more: i64| {
            let counts = |posts| Counts { posts: posts + more, ..Counts::default() };
            let windows = [(("*".to_owned(), 0), counts(1)), (("*".to_owned(), WINDOW_MS), counts(2))].into();
            Arc::new(Expected { windows, ..Expected::default() })
        };
        Served { range: 0..2 * WINDOW_MS, runs: [("live", run(0)), ("other", run(10))].into(), promoted }
    }

    fn answer(points: [(i64, &str); 2]) -> Value {
        let point = |(posts, run)| json!({"posts": posts, "runs": [run], "sources": {}});
        json!({"series": [{"asset": "*", "points": points.map(point)}]})
    }

    #[test]
    fn an_answer_must_be_of_the_run_that_is_served() {
        let (before, after) = (served(Vec::new()), served(vec![("other", 0..2 * WINDOW_MS)]));
        let live = answer([(1, "live"), (2, "live")]);
        assert!(before.judge(&live, None).is_empty() && !after.judge(&live, None).is_empty());
        assert!(after.judge(&live, Some("live")).is_empty());
        let mixed = answer([(11, "other"), (2, "live")]);
        assert!(!before.judge(&mixed, None).is_empty() && !after.judge(&mixed, None).is_empty());
        assert!(served(vec![("other", 0..WINDOW_MS)]).judge(&mixed, None).is_empty());
        assert!(!before.judge(&answer([(1, "other"), (2, "live")]), None).is_empty(), "the wrong name");
    }

    #[test]
    fn a_switch_must_tell_every_window() {
        let border = Timestamp::from_millis(WINDOW_MS);
        let promoted = served(vec![("other", WINDOW_MS..2 * WINDOW_MS)]);
        let end = Timestamp::from_millis(2 * WINDOW_MS);
        let segment = |run: &str, from: Option<Timestamp>, to: Option<Timestamp>| json!({"run_id": run, "from": from.map(|t| t.to_string()), "to": to.map(|t| t.to_string())});
        let (first, last) = (segment("live", None, Some(border)), segment("live", Some(end), None));
        let other = segment("other", Some(border), Some(end));
        assert!(promoted.is_announced(&json!([first, other, last])));
        assert!(!promoted.is_announced(&json!([first, last])), "a gap");
        assert!(!promoted.is_announced(&json!([segment("live", None, None)])));
    }
}
