//! Windows as the API serves them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::{Mistake, ServiceError};
use vigie_processors::recount::Counts;
use vigie_schemas::{LIVE_RUN, WINDOW};

const TIMEOUT: Duration = Duration::from_secs(60);
/// As many points as the API gives in one answer.
const MOST_POINTS: u32 = 10_000;
/// How often an API that is busy, or asks for patience, is asked again.
const ATTEMPTS: u32 = 10;
const METRICS: &str = "posts,unique_authors,negative,neutral,positive,mean_score";

/// A window as it is served.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Served {
    pub(super) counts: Counts,
    pub(super) is_final: bool,
    pub(super) model_sha256: String,
    pub(super) assets_version: String,
}

/// The API.
pub(super) struct Api {
    client: Client,
    base: Url,
    token: Option<String>,
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
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(Mistake::new("--api-url", base, "http:// or https://").into());
        }
        // Whoever comes first installs the process's TLS provider; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(ServiceError::failed)?;
        Ok(Self { client, base: base.clone(), token: token.map(str::to_owned) })
    }

    /// All assets that have windows, from the start of the first to the end of the last.
    pub(super) async fn assets(&self) -> Result<BTreeMap<String, Range<Timestamp>>, ServiceError> {
        let mut url = self.url(&["v1", "assets"]);
        url.query_pairs_mut().append_pair("run", LIVE_RUN);
        let answer: Option<Assets> = self.get(url).await?;
        let answer = answer.ok_or_else(|| self.unavailable("it has no /v1/assets"))?;
        let span = |asset: &Asset| asset.first_window.into()..asset.latest_window.end.into();
        Ok(answer.assets.into_iter().map(|asset| (asset.asset.clone(), span(&asset))).collect())
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
            let mut url = self.url(&["v1", "assets", asset, "series"]);
            let query = [("metrics", METRICS), ("interval", "5m"), ("lineage", "true"), ("run", LIVE_RUN)];
            url.query_pairs_mut()
                .extend_pairs(query)
                .append_pair("from", &from.to_string())
                .append_pair("to", &to.to_string());
            // No answer: no post ever mentioned it.
            let series: Option<Series> = self.get(url).await?;
            let points = series.into_iter().flat_map(|series| series.points).filter(|point| point.windows > 0);
            let found = points.map(|point| (Timestamp::from(point.start), Served::from(point)));
            windows.extend(found.filter(|(start, _)| range.contains(start)));
            from = to;
        }
        Ok(windows)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// `None`: there is no such thing.
    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<Option<T>, ServiceError> {
        for _ in 0..ATTEMPTS {
            let mut request = self.client.get(url.clone());
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.map_err(|e| self.unavailable(ServiceError::failed(e).chain()))?;
            match response.status() {
                StatusCode::OK => {
                    let answer = response.json().await;
                    return answer.map(Some).map_err(|e| self.unavailable(ServiceError::failed(e).chain()));
                }
                StatusCode::NOT_FOUND => return Ok(None),
                status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                    let found = format!("the API answers {status}");
                    return Err(Mistake::new("--token", found, "a token with read:insights").into());
                }
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    let after =
                        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                    tokio::time::sleep(Duration::from_secs(after.unwrap_or(1))).await;
                }
                status => return Err(self.unavailable(format!("{} answers {status}", url.path()))),
            }
        }
        Err(self.unavailable(format!("it is busy, asked {ATTEMPTS} times")))
    }

    fn unavailable(&self, detail: impl ToString) -> ServiceError {
        ServiceError::unavailable(format!("the API at {}", self.base), detail)
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
            },
            is_final: point.r#final.unwrap_or(false),
            model_sha256,
            assets_version,
        }
    }
}
