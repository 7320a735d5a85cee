//! Windows as the API serves them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::ServiceError;
use vigie_processors::recount::Counts;
use vigie_schemas::{LIVE_RUN, WINDOW};

use crate::api_client;

const TIMEOUT: Duration = Duration::from_secs(60);
/// As many points as the API gives in one answer.
const MOST_POINTS: u32 = 10_000;
const METRICS: &str = "posts,unique_authors,negative,neutral,positive,mean_score,unique_posts,spam_posts";

/// A window as it is served.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Served {
    pub(super) counts: Counts,
    pub(super) is_final: bool,
    pub(super) model_sha256: String,
    pub(super) assets_version: String,
}

/// The API.
pub(super) struct Api(api_client::Api);

/// What is served of one interval.
pub(super) struct Bucket {
    /// Its id.
    pub(super) asset: String,
    pub(super) served: Served,
    /// As the API has it.
    pub(super) lineage: Value,
}

#[derive(Deserialize)]
struct Posts {
    posts: Vec<Post>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Post {
    post_id: String,
}

#[derive(Deserialize)]
struct Assets {
    assets: Vec<Asset>,
}

#[derive(Deserialize)]
struct Asset {
    asset: String,
    first_window: jiff::Timestamp,
    latest_window: LatestWindow,
}

#[derive(Deserialize)]
struct LatestWindow {
    end: jiff::Timestamp,
}

#[derive(Deserialize)]
struct Series {
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    start: jiff::Timestamp,
    windows: i64,
    r#final: Option<bool>,
    posts: Option<i64>,
    unique_authors: Option<i64>,
    negative: Option<i64>,
    neutral: Option<i64>,
    positive: Option<i64>,
    mean_score: Option<f64>,
    unique_posts: Option<i64>,
    spam_posts: Option<i64>,
    #[serde(default)]
    sources: BTreeMap<String, i64>,
    lineage: Option<Lineage>,
}

#[derive(Deserialize)]
struct Lineage {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    sha256: String,
    assets_version: String,
}

impl Api {
    /// Does not connect yet.
    pub(super) fn new(base: &Url, token: Option<&str>) -> Result<Self, ServiceError> {
        api_client::Api::new(base, token, "read:insights", TIMEOUT).map(Self)
    }

    /// All assets that have windows, from the start of the first to the end of the last.
    pub(super) async fn assets(&self) -> Result<BTreeMap<String, Range<Timestamp>>, ServiceError> {
        let answer: Option<Assets> = self.0.get(&format!("v1/assets?run={LIVE_RUN}")).await?;
        let answer = answer.ok_or_else(|| self.0.unavailable("it has no /v1/assets"))?;
        let span = |asset: &Asset| asset.first_window.into()..asset.latest_window.end.into();
        Ok(answer.assets.into_iter().map(|asset| (asset.asset.clone(), span(&asset))).collect())
    }

    /// What a run has of `asset` in one interval; `None` if it has no window in it.
    pub(super) async fn bucket(
        &self,
        asset: &str,
        run: &str,
        interval: &str,
        range: &Range<Timestamp>,
    ) -> Result<Option<Bucket>, ServiceError> {
        let asked = format!(
            "metrics={METRICS}&interval={interval}&lineage=true&run={run}&from={}&to={}",
            range.start, range.end
        );
        let mut answer: Value = self.0.get(&format!("v1/assets/{asset}/series?{asked}")).await?.unwrap_or_default();
        let asset = answer["asset"].as_str().unwrap_or(asset).to_owned();
        let Some(point) = answer["points"].as_array_mut().and_then(Vec::pop) else { return Ok(None) };
        let lineage = point["lineage"].clone();
        let point: Point = serde_json::from_value(point).map_err(|error| self.0.unavailable(error))?;
        Ok((point.windows > 0).then(|| Bucket { asset, lineage, served: point.into() }))
    }

    /// The ids of the posts about `asset` that a run lists in a range.
    pub(super) async fn posts(
        &self,
        asset: &str,
        run: &str,
        range: &Range<Timestamp>,
    ) -> Result<BTreeSet<String>, ServiceError> {
        let asked = format!("v1/assets/{asset}/posts?run={run}&from={}&to={}&limit=200", range.start, range.end);
        let (mut ids, mut path) = (BTreeSet::new(), asked.clone());
        while let Some(page) = self.0.get::<Posts>(&path).await? {
            ids.extend(page.posts.into_iter().map(|post| post.post_id));
            let Some(next) = page.next else { break };
            path = format!("{asked}&cursor={next}");
        }
        Ok(ids)
    }

    /// The windows of `asset` that start in `range`.
    pub(super) async fn windows(
        &self,
        asset: &str,
        range: &Range<Timestamp>,
    ) -> Result<BTreeMap<Timestamp, Served>, ServiceError> {
        let mut windows = BTreeMap::new();
        let mut from = range.start.window_start(WINDOW);
        while from < range.end {
            let to = from.saturating_add(WINDOW * MOST_POINTS).min(range.end);
            let asked = format!("metrics={METRICS}&interval=5m&lineage=true&run={LIVE_RUN}&from={from}&to={to}");
            let path = format!("v1/assets/{asset}/series?{asked}");
            // No answer: no post ever mentioned it.
            let series: Option<Series> = self.0.get(&path).await?;
            let points = series.into_iter().flat_map(|series| series.points).filter(|point| point.windows > 0);
            let found = points.map(|point| (Timestamp::from(point.start), Served::from(point)));
            windows.extend(found.filter(|(start, _)| range.contains(start)));
            from = to;
        }
        Ok(windows)
    }
}

impl From<Point> for Served {
    fn from(point: Point) -> Self {
        let model = point.lineage.and_then(|lineage| lineage.models.into_iter().next());
        let (model_sha256, assets_version) = model.map_or_else(Default::default, |m| (m.sha256, m.assets_version));
        Self {
            counts: Counts {
                posts: point.posts.unwrap_or(0),
                unique_authors: point.unique_authors.unwrap_or(0),
                labels: [point.negative, point.neutral, point.positive].map(|posts| posts.unwrap_or(0)),
                mean_score: point.mean_score,
                sources: point.sources,
                unique_posts: point.unique_posts,
                spam_posts: point.spam_posts,
            },
            is_final: point.r#final.unwrap_or(false),
            model_sha256,
            assets_version,
        }
    }
}
