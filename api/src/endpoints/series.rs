use std::collections::BTreeMap;
use std::fmt::Write;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vigie_schemas::WHOLE_MARKET;

use crate::answer;
use crate::app::{App, SharedApp};
use crate::leaderboard::NextHour;
use crate::params::{Choice, Params};
use crate::problem::Problem;
use crate::store::lineage::Lineage;
use crate::store::series::{Bucket, SeriesQuery};
use crate::time::{UtcTime, WINDOW_SECONDS};

const MAX_POINTS: i64 = 10_000;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Choice for Metric {
    const ALL: &'static [(&'static str, Self)] = &[
        ("posts", Self::Posts),
        ("unique_authors", Self::UniqueAuthors),
        ("mean_score", Self::MeanScore),
        ("dominance", Self::Dominance),
        ("negative", Self::Negative),
        ("neutral", Self::Neutral),
        ("positive", Self::Positive),
        ("anomaly_score", Self::AnomalyScore),
        ("expected_posts", Self::ExpectedPosts),
        ("next_hour_p10", Self::NextHourP10),
        ("next_hour_p50", Self::NextHourP50),
        ("next_hour_p90", Self::NextHourP90),
        ("doubling_probability", Self::DoublingProbability),
        ("unique_posts", Self::UniquePosts),
        ("spam_posts", Self::SpamPosts),
    ];
}

impl Metric {
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, Copy, Debug)]
enum Interval {
    FiveMinutes,
    Hour,
    Day,
}

impl Choice for Interval {
    const ALL: &'static [(&'static str, Self)] = &[("5m", Self::FiveMinutes), ("1h", Self::Hour), ("1d", Self::Day)];
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl Choice for Format {
    const ALL: &'static [(&'static str, Self)] = &[("json", Self::Json), ("csv", Self::Csv)];
}

/// A time series of an asset.
#[derive(Serialize, ToSchema)]
pub(crate) struct Series {
    /// Canonical id; `*` stands for all posts.
    asset: String,
    /// 5m, 1h or 1d.
    interval: &'static str,
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
#[derive(Serialize, ToSchema)]
pub(crate) struct Point {
    /// Inclusive.
    start: UtcTime,
    /// Exclusive.
    end: UtcTime,
    /// The metrics asked for.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Option<f64>>)]
    metrics: Map<String, Value>,
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

/// A time series of an asset
///
/// Hours and days are put together exactly from the windows of 5 minutes: posts are summed, the mean score is weighted by scored posts,
/// the anomaly score is the highest, authors are counted from the posts so that each counts once, and posts were expected only where there
/// was a forecast for every window. `next_hour_p10`, `next_hour_p50`, `next_hour_p90` and `doubling_probability` are what is expected of the hour after
/// the newest window of the interval that has such a forecast. `dominance` is the asset's part of all
/// posts. `unique_posts` leaves out spam (`spam_posts`) and near duplicates of a post about the asset that was published in the 24 hours before. `from` and `to` are widened to whole intervals.
#[utoipa::path(get, path = "/v1/assets/{asset}/series", tag = "insights",
    params(
        ("asset" = String, Path, description = "Canonical id, as BTC; `*` for all posts"),
        ("metrics" = Option<String>, Query, description = "Separated by commas: posts, unique_authors, mean_score, dominance, negative, neutral, positive, anomaly_score, expected_posts, next_hour_p10, next_hour_p50, next_hour_p90, doubling_probability, unique_posts, spam_posts; all by default"),
        ("from" = Option<String>, Query, description = "RFC 3339 or a date; by default a day (5m), a week (1h) or 90 days (1d) before `to`"),
        ("to" = Option<String>, Query, description = "RFC 3339 or a date, of which the end is meant; by default the newest time of the data"),
        ("interval" = Option<String>, Query, description = "5m (default), 1h or 1d"),
        ("as_of" = Option<String>, Query, description = "Only what was known at this time, so that a backtest does not see the future"),
        ("run" = Option<String>, Query, description = "A replay's id; `live` by default"),
        ("lineage" = Option<bool>, Query, description = "Whether each point tells its lineage, and its posts by source"),
        ("format" = Option<String>, Query, description = "json or csv; by default what `Accept` prefers")),
    responses((status = 200, content((Series = "application/json"), (String = "text/csv")))))]
pub(crate) async fn series(
    State(app): SharedApp,
    Path(asset): Path<String>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let metrics = params.choices::<Metric>("metrics").unwrap_or_else(|| Metric::ALL.iter().map(|(_, m)| *m).collect());
    let (from, to) = (params.time("from"), params.end("to"));
    params.check_order(from, to);
    let interval = params.choice("interval").unwrap_or(Interval::FiveMinutes);
    let as_of = params.time("as_of");
    let run = params.run();
    let with_lineage = params.flag("lineage");
    let format = params.choice::<Format>("format");
    params.finish()?;
    let format = match format {
        Some(format) => format,
        None if answer::negotiate(&headers, &[answer::JSON, answer::CSV])? == answer::CSV => Format::Csv,
        None => Format::Json,
    };
    let extent = app.extent(&run).await?;
    let asset = app.asset(&run, asset).await?;

    let step = interval.seconds();
    let newest = extent.map_or_else(|| UtcTime::from(app.clock.now()), |extent| extent.newest);
    let to = to.unwrap_or(newest).ceil(step);
    let from = from.unwrap_or_else(|| to.plus(-interval.default_range())).floor(step);
    if from >= to {
        return Err(Problem::invalid_parameter(
            "from",
            format!("{from}, expected a time before the newest of the data ({newest})"),
        ));
    }
    let count = (to.seconds() - from.seconds()) / step;
    if count > MAX_POINTS {
        return Err(Problem::invalid_parameter(
            "from",
            format!("{count} points, expected {MAX_POINTS} or fewer: choose a shorter range or a longer interval"),
        ));
    }
    let query = SeriesQuery { run, asset, from, to, interval: step, as_of };
    let series = build(&app, &query, &metrics, with_lineage).await?;
    Ok(match format {
        Format::Json => answer::conditional(&headers, answer::JSON, answer::to_json(&series)?),
        Format::Csv => answer::conditional(&headers, answer::CSV, csv(&series, &metrics)),
    })
}

async fn build(app: &App, query: &SeriesQuery, metrics: &[Metric], with_lineage: bool) -> Result<Series, Problem> {
    let buckets = app.store.buckets(query, &query.asset).await?;
    let market =
        if query.asset == WHOLE_MARKET { buckets.clone() } else { app.store.buckets(query, WHOLE_MARKET).await? };
    // Within one window the topology has counted the authors; over several they must be recounted.
    let count_authors = query.interval > WINDOW_SECONDS && metrics.contains(&Metric::UniqueAuthors);
    let authors = if count_authors { Some(app.store.unique_authors(query).await?) } else { None };
    let by_bucket = app.store.series_lineage(query).await?;
    let mut lineages: BTreeMap<UtcTime, Lineage> = by_bucket.into_iter().collect();
    let mut sources = if with_lineage { app.store.series_sources(query).await? } else { BTreeMap::new() };
    let lineage = lineages.values().fold(Lineage::new(&query.run), Lineage::union);

    let sample = buckets.values().any(|bucket| bucket.sample);
    let mut points = Vec::new();
    let mut start = query.from;
    while start < query.to {
        let place = Place {
            own: buckets.get(&start),
            market: market.get(&start),
            authors: authors.as_ref().map(|authors| authors.get(&start).copied().unwrap_or(0)),
        };
        points.push(Point {
            start,
            end: start.plus(query.interval),
            metrics: metrics.iter().map(|metric| (metric.name().to_owned(), place.value(*metric))).collect(),
            windows: place.own.map_or(0, |bucket| bucket.windows),
            revision: place.own.map(|bucket| bucket.revision),
            r#final: place.own.or(place.market).map(|bucket| bucket.r#final),
            lineage: if with_lineage { lineages.remove(&start) } else { None },
            sources: sources.remove(&start),
        });
        start = start.plus(query.interval);
    }
    let interval = Interval::ALL.iter().find(|(_, i)| i.seconds() == query.interval).map_or("", |(name, _)| name);
    Ok(Series {
        asset: query.asset.clone(),
        interval,
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
        let _ = write!(text, ",{}", metric.name());
    }
    text.push_str(",windows,revision,final\r\n");
    for point in &series.points {
        let _ = write!(text, "{},{}", point.start, point.end);
        for metric in metrics {
            text.push(',');
            if let Some(value) = point.metrics.get(metric.name()).filter(|value| !value.is_null()) {
                let _ = write!(text, "{value}");
            }
        }
        let revision = point.revision.map(|r| r.to_string()).unwrap_or_default();
        let r#final = point.r#final.map(|f| f.to_string()).unwrap_or_default();
        let _ = write!(text, ",{},{revision},{final}\r\n", point.windows);
    }
    Bytes::from(text)
}
