use std::collections::BTreeMap;
use std::fmt::Write;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::try_join;
use serde::Deserialize;
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::WHOLE_MARKET;

use crate::app::SharedApp;
use crate::endpoints::posts::AssetPath;
use crate::http::answer;
use crate::http::params::{AssetId, End, List, Moment, Path, Query, Run};
use crate::http::problem::Problem;
use crate::insights::leaderboard::NextHour;
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::lineage::Lineage;
use crate::store::series::{Bucket, SeriesQuery};
use crate::time::{LATEST, UtcTime, WINDOW_SECONDS};

const MAX_POINTS: i64 = 10_000;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Metric {
    Posts,
    UniqueAuthors,
    MeanScore,
    Dominance,
    Negative,
    Neutral,
    Positive,
    AnomalyScore,
    ExpectedPosts,
    NextHourP10,
    NextHourP50,
    NextHourP90,
    DoublingProbability,
    UniquePosts,
    SpamPosts,
}

impl Metric {
    const ALL: [Self; 15] = [
        Self::Posts,
        Self::UniqueAuthors,
        Self::MeanScore,
        Self::Dominance,
        Self::Negative,
        Self::Neutral,
        Self::Positive,
        Self::AnomalyScore,
        Self::ExpectedPosts,
        Self::NextHourP10,
        Self::NextHourP50,
        Self::NextHourP90,
        Self::DoublingProbability,
        Self::UniquePosts,
        Self::SpamPosts,
    ];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize, ToSchema)]
enum Interval {
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "1d")]
    Day,
}

impl Interval {
    fn seconds(self) -> i64 {
        match self {
            Self::FiveMinutes => WINDOW_SECONDS,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// Seconds that are answered if no `from` is given.
    fn default_range(self) -> i64 {
        match self {
            Self::FiveMinutes => 86_400,
            Self::Hour => 7 * 86_400,
            Self::Day => 90 * 86_400,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Json,
    Csv,
}

/// A time series of an asset.
#[derive(serde::Serialize, ToSchema)]
pub(crate) struct Series {
    /// Canonical id; `*` stands for all posts.
    asset: String,
    /// Length of a point.
    interval: Interval,
    /// Start of the first point.
    from: UtcTime,
    /// End of the last point.
    to: UtcTime,
    /// If given: only what was known at this time.
    as_of: Option<UtcTime>,
    /// At least some of the data does not come from the public web.
    sample: bool,
    /// Every interval from `from` to `to`.
    points: Vec<Point>,
    /// What the points stand on.
    lineage: Lineage,
}

/// One interval. Missing is null: where nothing at all was observed, and where a mean has nothing to be taken of. An asset that no
/// post mentions while others are mentioned has 0 posts.
#[derive(serde::Serialize, ToSchema)]
pub(crate) struct Point {
    /// Inclusive.
    start: UtcTime,
    /// Exclusive.
    end: UtcTime,
    /// The metrics asked for.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Option<f64>>)]
    metrics: Values,
    /// Windows of 5 minutes that the asset has in the interval.
    windows: i64,
    /// Highest revision of these windows; null if there is none.
    revision: Option<i32>,
    /// No window of the interval will be revised; null if there is none.
    r#final: Option<bool>,
    /// What the point stands on, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    lineage: Option<Lineage>,
    /// Posts by source, if the lineage is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<BTreeMap<String, i64>>,
}

/// The metrics that were asked for, with their values.
struct Values(Vec<(Metric, Value)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(metric, value)| (metric, value)))
    }
}

/// What can be asked about a series.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SeriesParams {
    /// Separated by commas; all by default
    #[param(inline, style = Form, explode = false, value_type = Vec<Metric>)]
    metrics: Option<List<Metric>>,
    /// RFC 3339 or a date; by default a day (5m), a week (1h) or 90 days (1d) before `to`
    #[param(inline)]
    from: Option<Moment>,
    /// RFC 3339 or a date, of which the end is meant; by default the newest time of the data
    #[param(inline)]
    to: Option<End>,
    /// Length of a point; 5m by default
    #[param(inline)]
    interval: Interval,
    /// Only what was known at this time, so that a backtest does not see the future
    #[param(inline)]
    as_of: Option<Moment>,
    /// A replay's id; `live` by default
    #[param(inline)]
    run: Run,
    /// Whether each point tells its lineage, and its posts by source
    lineage: bool,
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// A time series of an asset
///
/// Hours and days are put together exactly from the windows of 5 minutes: posts are summed, the mean score is weighted by scored posts,
/// the anomaly score is the highest, authors are counted from the posts so that each counts once, and posts were expected only where there
/// was a forecast for every window. `next_hour_p10`, `next_hour_p50`, `next_hour_p90` and `doubling_probability` are what is expected of the hour after
/// the newest window of the interval that has such a forecast. `dominance` is the asset's part of all
/// posts. `unique_posts` leaves out spam (`spam_posts`) and near duplicates of a post about the asset that was published in the 24 hours before. `from` and `to` are widened to whole intervals.
#[utoipa::path(get, path = "/v1/assets/{asset}/series", tag = "insights", operation_id = "series", params(AssetPath, SeriesParams),
    responses((status = 200, description = "Every interval of the range", content((Series = "application/json"), (String = "text/csv")))))]
pub(crate) async fn series(
    State(app): SharedApp,
    Path(AssetPath { asset }): Path<AssetPath>,
    headers: HeaderMap,
    Query(asked): Query<SeriesParams>,
) -> Result<Response, Problem> {
    let media = match asked.format {
        Some(Format::Json) => answer::JSON,
        Some(Format::Csv) => answer::CSV,
        None => answer::negotiate(&headers, &[answer::JSON, answer::CSV])?,
    };
    let mut metrics = asked.metrics.map_or(Metric::ALL.to_vec(), |List(metrics)| metrics);
    let mut seen = Vec::new();
    metrics.retain(|metric| {
        !seen.contains(metric) && {
            seen.push(*metric);
            true
        }
    });
    let question = SeriesQuestion {
        asset,
        metrics,
        from: asked.from,
        to: asked.to,
        interval: asked.interval,
        as_of: asked.as_of,
        run: asked.run,
        lineage: asked.lineage,
        csv: media == answer::CSV,
        now: asked.to.is_none().then(|| UtcTime::from(app.clock.now()).ceil(WINDOW_SECONDS)),
    };
    app.serving.answer(&headers, media, &question).await
}

#[derive(Debug)]
struct SeriesQuestion {
    asset: AssetId,
    metrics: Vec<Metric>,
    from: Option<Moment>,
    to: Option<End>,
    interval: Interval,
    as_of: Option<Moment>,
    run: Run,
    lineage: bool,
    csv: bool,
    /// Where the range ends if neither the question nor the data says it.
    now: Option<UtcTime>,
}

impl Question for SeriesQuestion {
    const NAME: &'static str = "series";

    fn run(&self) -> &str {
        &self.run.0
    }

    async fn build(&self, data: &Snapshot) -> Result<Bytes, Problem> {
        let query = self.query(data).await?;
        let series = build(data, &query, self).await?;
        if self.csv { Ok(csv(&series, &self.metrics)) } else { answer::to_json(&series) }
    }
}

impl SeriesQuestion {
    /// The range that is meant, in whole intervals.
    async fn query(&self, data: &Snapshot) -> Result<SeriesQuery, Problem> {
        let ground = data.ground(&self.run.0, &self.asset.0).await?;
        let step = self.interval.seconds();
        let newest = ground.extent.map(|extent| extent.newest).or(self.now);
        let to = self.to.map(|to| to.0).or(newest).unwrap_or(UtcTime(LATEST)).ceil(step);
        let from = self.from.map_or_else(|| to.plus(-self.interval.default_range()), |from| from.0).floor(step);
        if from >= to {
            return Err(Problem::invalid_parameter(
                "from",
                format!("{from}, expected a time before the newest of the data ({to})"),
            ));
        }
        let count = (to.seconds() - from.seconds()) / step;
        if count > MAX_POINTS {
            return Err(Problem::invalid_parameter(
                "from",
                format!("{count} points, expected {MAX_POINTS} or fewer: choose a shorter range or a longer interval"),
            ));
        }
        let as_of = self.as_of.map(|time| time.0);
        Ok(SeriesQuery { run: self.run.0.clone(), asset: ground.asset, from, to, interval: step, as_of })
    }
}

async fn build(data: &Snapshot, query: &SeriesQuery, asked: &SeriesQuestion) -> Result<Series, Problem> {
    // Within one window the topology has counted the authors; over several they must be recounted.
    let count_authors = query.interval > WINDOW_SECONDS && asked.metrics.contains(&Metric::UniqueAuthors);
    let authors = async { if count_authors { data.unique_authors(query).await.map(Some) } else { Ok(None) } };
    let sources = async { if asked.lineage { data.series_sources(query).await } else { Ok(BTreeMap::new()) } };
    // All are sent at once.
    let (buckets, mut lineages, authors, mut sources) =
        try_join!(data.buckets(query), data.series_lineage(query, asked.lineage), authors, sources)?;
    let lineage = lineages.values().fold(Lineage::new(&query.run), Lineage::union);
    let none = BTreeMap::new();
    let [own, market] = [query.asset.as_str(), WHOLE_MARKET].map(|asset| buckets.get(asset).unwrap_or(&none));

    let sample = own.values().any(|bucket| bucket.sample);
    let mut points = Vec::new();
    let mut start = query.from;
    while start < query.to {
        let place = Place {
            own: own.get(&start),
            market: market.get(&start),
            authors: authors.as_ref().map(|authors| authors.get(&start).copied().unwrap_or(0)),
        };
        points.push(Point {
            start,
            end: start.plus(query.interval),
            metrics: Values(asked.metrics.iter().map(|metric| (*metric, place.value(*metric))).collect()),
            windows: place.own.map_or(0, |bucket| bucket.windows),
            revision: place.own.map(|bucket| bucket.revision),
            r#final: place.own.or(place.market).map(|bucket| bucket.r#final),
            lineage: if asked.lineage { lineages.remove(&start) } else { None },
            sources: sources.remove(&start),
        });
        start = start.plus(query.interval);
    }
    Ok(Series {
        asset: query.asset.clone(),
        interval: asked.interval,
        from: query.from,
        to: query.to,
        as_of: query.as_of,
        sample,
        points,
        lineage,
    })
}

/// What is known about one interval.
struct Place<'a> {
    own: Option<&'a Bucket>,
    market: Option<&'a Bucket>,
    /// Counted from the posts, where the windows cannot tell.
    authors: Option<i64>,
}

impl Place<'_> {
    fn next_hour(&self, field: fn(&NextHour) -> f64) -> Value {
        Value::from(self.own.and_then(|bucket| bucket.next_hour.as_ref()).map(field))
    }

    /// A count that windows of before it was counted do not have.
    fn volume(&self, field: fn(&Bucket) -> Option<i64>) -> Value {
        Value::from(match self.own {
            Some(bucket) => field(bucket),
            None => self.market.map(|_| 0),
        })
    }

    fn value(&self, metric: Metric) -> Value {
        // Others were mentioned, this asset was not: that is a count of 0, and the mean of nothing.
        let zero = self.market.map(|_| 0);
        let count = |field: fn(&Bucket) -> i64| Value::from(self.own.map(field).or(zero));
        match metric {
            Metric::Posts => count(|b| b.posts),
            Metric::UniquePosts => self.volume(|b| b.unique_posts),
            Metric::SpamPosts => self.volume(|b| b.spam_posts),
            Metric::Negative => count(|b| b.negative),
            Metric::Neutral => count(|b| b.neutral),
            Metric::Positive => count(|b| b.positive),
            Metric::UniqueAuthors => {
                let counted = self.own.map(|bucket| self.authors.unwrap_or(bucket.unique_authors));
                Value::from(counted.or(zero))
            }
            Metric::MeanScore => Value::from(self.own.and_then(|b| b.mean_score)),
            Metric::AnomalyScore => Value::from(self.own.and_then(|b| b.anomaly_score)),
            // A window without a mention has no forecast: then the sum is not that of the interval.
            Metric::ExpectedPosts => {
                let complete = |own: &&Bucket| self.market.is_none_or(|market| market.windows == own.windows);
                Value::from(self.own.filter(complete).and_then(|b| b.expected_posts))
            }
            Metric::NextHourP10 => self.next_hour(|hour| hour.p10),
            Metric::NextHourP50 => self.next_hour(|hour| hour.p50),
            Metric::NextHourP90 => self.next_hour(|hour| hour.p90),
            Metric::DoublingProbability => self.next_hour(|hour| hour.doubling_probability),
            Metric::Dominance => {
                let market = self.market.map(|b| b.posts).filter(|posts| *posts > 0);
                Value::from(market.map(|all| self.own.map_or(0, |b| b.posts) as f64 / all as f64))
            }
        }
    }
}

/// RFC 4180; null is the empty field.
fn csv(series: &Series, metrics: &[Metric]) -> Bytes {
    let mut text = String::from("start,end");
    for metric in metrics {
        let name = serde_json::to_value(metric).unwrap_or_default();
        let _ = write!(text, ",{}", name.as_str().unwrap_or_default());
    }
    text.push_str(",windows,revision,final\r\n");
    for point in &series.points {
        let _ = write!(text, "{},{}", point.start, point.end);
        for (_, value) in &point.metrics.0 {
            text.push(',');
            if !value.is_null() {
                let _ = write!(text, "{value}");
            }
        }
        let revision = point.revision.map(|r| r.to_string()).unwrap_or_default();
        let r#final = point.r#final.map(|f| f.to_string()).unwrap_or_default();
        let _ = write!(text, ",{},{revision},{final}\r\n", point.windows);
    }
    Bytes::from(text)
}
