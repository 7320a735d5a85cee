use std::collections::BTreeMap;
use std::fmt::Write;

use arrow_schema::{DataType, Field};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::try_join_all;
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::coop::consume_budget;
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::WHOLE_MARKET;

use crate::app::{App, SharedApp};
use crate::endpoints::insights::metric::{Metric, Metrics};
use crate::http::params::{AsOf, AssetId, AssetIds, AssetPath, End, Format, List, Moment, Path, Query, Run};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table, field};
use crate::http::{answer, arrow};
use crate::insights::conviction;
use crate::serving::Question;
use crate::store::windows::lineage::Lineage;
use crate::store::windows::series::{ByAsset, SeriesQuery};
use crate::store::{Plans, Snapshot, StoreError};
use crate::time::{EARLIEST, UtcTime, WINDOW_SECONDS, When};
use point::{Place, Point, Values};

mod point;

const MAX_POINTS: i64 = 10_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum Interval {
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "15m")]
    QuarterHour,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "4h")]
    FourHours,
    #[serde(rename = "1d")]
    Day,
    #[serde(rename = "1w")]
    Week,
}

impl Interval {
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::FiveMinutes => WINDOW_SECONDS,
            Self::QuarterHour => 900,
            Self::Hour => 3600,
            Self::FourHours => 4 * 3600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
        }
    }

    /// Seconds that are answered if no `from` is given.
    pub(crate) fn default_range(self) -> i64 {
        match self {
            Self::FiveMinutes | Self::QuarterHour => 86_400,
            Self::Hour => 7 * 86_400,
            Self::FourHours => 30 * 86_400,
            Self::Day => 90 * 86_400,
            Self::Week => 364 * 86_400,
        }
    }
}

/// A time series of an asset.
#[derive(Serialize, ToSchema)]
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
    /// Those of each point.
    #[serde(skip)]
    metrics: Vec<Metric>,
}

/// Time series of several assets, over the same intervals.
#[derive(Serialize, ToSchema)]
pub(crate) struct ManySeries {
    /// In the order in which they were asked for.
    series: Vec<Series>,
}

/// Parameters, with those that every series has.
macro_rules! series_params {
    ($(#[$meta:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $($own)*
            /// Separated by commas, see /v1/metrics; by default all but weighted_sentiment
            #[param(inline, style = Form, explode = false)]
            metrics: Option<Metrics>,
            /// RFC 3339, a date, or now-1h; by default a day (5m, 15m), a week (1h), 30 (4h) or 90 days (1d), or a year (1w) before `to`. A
            /// range has 10,000 points at most, those of all assets together
            #[param(inline)]
            from: Option<Moment>,
            /// RFC 3339, a date, of which the end is meant, or now-1h; by default the end of the newest window. `now` is the newest time of
            /// the data, so that archives can be played
            #[param(inline)]
            to: Option<End>,
            /// Length of a point; 5m by default. Weeks begin with the Monday, all in UTC
            #[param(inline)]
            interval: Interval,
            /// Only what was known at this time, so that a backtest does not see the future
            #[param(inline)]
            as_of: Option<AsOf>,
            /// Whether to end with the last point that is final, for all assets; false by default
            finalized: bool,
            /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
            #[param(inline)]
            run: Run,
            /// Whether each point includes its lineage, and its posts by source
            lineage: bool,
            /// Whether each point includes its posts by source
            sources: bool,
            /// By default what `Accept` prefers
            #[param(inline)]
            format: Option<Format>,
        }

        impl $name {
            fn about(self, assets: &[AssetId], app: &App) -> SeriesQuestion {
                let by_default = || Metric::ALL.into_iter().filter(|metric| metric.by_default()).collect();
                SeriesQuestion {
                    assets: distinct(assets.iter().map(|asset| app.names.canonical(asset)).collect()),
                    metrics: distinct(self.metrics.map_or_else(by_default, |List(metrics)| metrics)),
                    from: self.from,
                    to: self.to,
                    interval: self.interval,
                    as_of: self.as_of.map(|time| time.0),
                    finalized: self.finalized,
                    run: self.run,
                    lineage: self.lineage,
                    sources: self.sources || self.lineage,
                }
            }
        }
    };
}

series_params!(
    /// What can be asked about a series.
    SeriesParams {}
);

series_params!(
    /// Whose series are asked for, and what about them.
    ManyParams {
        /// Ids, names or aliases, separated by commas, up to 50; `*` is the whole market
        #[param(inline, style = Form, explode = false, required = true)]
        assets: Option<AssetIds>,
    }
);

/// A time series of an asset
///
/// Longer intervals are put together exactly from the windows of 5 minutes; /v1/metrics says how, and what each metric means. `from` and
/// `to` are widened to whole intervals, of which the last may not be over: then `complete` is false.
#[utoipa::path(get, path = "/v1/assets/{asset}/series", tag = "insights", operation_id = "series", params(AssetPath, SeriesParams),
    responses((status = 200, description = "Every interval of the range", content((Series = "application/json"), (String = "text/csv")))))]
pub(crate) async fn series(
    State(app): SharedApp,
    Path(AssetPath { asset }): Path<AssetPath>,
    headers: HeaderMap,
    Query(asked): Query<SeriesParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format, &headers)?;
    let question = OneQuestion(asked.about(&[asset], &app));
    app.serving.answer(&headers, media, &question).await
}

/// Time series of several assets
///
/// As for one asset, from one state of the data. CSV and Arrow have a row for each asset and interval.
#[utoipa::path(get, path = "/v1/series", tag = "insights", operation_id = "many_series", params(ManyParams),
    responses((status = 200, description = "Every interval of the range, of each asset", content((ManySeries = "application/json"), (String = "text/csv")))))]
pub(crate) async fn many(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(mut asked): Query<ManyParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format, &headers)?;
    let Some(List(assets)) = asked.assets.take() else {
        return Err(Problem::invalid_parameter("assets", "expected 1 to 50 assets, separated by commas"));
    };
    app.serving.answer(&headers, media, &asked.about(&assets, &app)).await
}

#[derive(Debug)]
struct SeriesQuestion {
    assets: Vec<AssetId>,
    metrics: Vec<Metric>,
    from: Option<Moment>,
    to: Option<End>,
    interval: Interval,
    as_of: Option<UtcTime>,
    finalized: bool,
    run: Run,
    lineage: bool,
    sources: bool,
}

#[derive(Debug)]
struct OneQuestion(SeriesQuestion);

impl Question for SeriesQuestion {
    const NAME: &'static str = "many series";
    type Answer = ManySeries;

    fn run(&self) -> &str {
        &self.run.0
    }

    fn is_timeless(&self, now: UtcTime) -> bool {
        let over = |to: End| matches!(to.0, When::At(to) if to.ceil(self.interval.seconds()) <= now);
        let begins = self.from.is_none_or(|from| matches!(from.0, When::At(_)));
        self.to.is_some_and(over) && begins && !self.finalized
    }

    fn plans(&self) -> Plans {
        self.plans()
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<ManySeries, Problem> {
        Ok(ManySeries { series: build(data, self, now).await? })
    }
}

impl Question for OneQuestion {
    const NAME: &'static str = "series";
    type Answer = Series;

    fn run(&self) -> &str {
        self.0.run()
    }

    fn is_timeless(&self, now: UtcTime) -> bool {
        self.0.is_timeless(now)
    }

    fn plans(&self) -> Plans {
        self.0.plans()
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<Series, Problem> {
        build(data, &self.0, now).await?.pop().ok_or_else(Problem::internal)
    }
}

/// No one twice.
fn distinct<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

impl SeriesQuestion {
    /// Whether a point is a window, and tells no lineage of its own.
    fn reads_windows(&self) -> bool {
        self.interval == Interval::FiveMinutes && !self.lineage
    }

    /// An index answers the statements of such a question for any time.
    fn plans(&self) -> Plans {
        let is_plain = self.reads_windows()
            && self.as_of.is_none()
            && !self.sources
            && !self.metrics.contains(&Metric::WeightedSentiment);
        if is_plain { Plans::Once } else { Plans::Each }
    }

    /// The range that is meant, in whole intervals, and up to where it is over.
    async fn query(&self, data: &Snapshot, now: UtcTime) -> Result<(SeriesQuery, UtcTime), Problem> {
        let served = data.served(&self.run.0, self.as_of);
        let grounds = try_join_all(self.assets.iter().map(|asset| data.ground(&served, &asset.0))).await?;
        let step = self.interval.seconds();
        let extent = grounds.first().and_then(|ground| ground.extent);
        let reached = extent.map_or(now, |extent| extent.reached(now));
        // The window that is going on, but none of a post that is dated into the future.
        let newest = extent.map_or(now, |extent| extent.newest).min(now.plus(WINDOW_SECONDS));
        let to = self.to.map_or(newest, |to| to.0.at(reached)).ceil(step);
        let from = self.from.map_or_else(|| to.plus(-self.interval.default_range()), |from| from.0.at(reached));
        let from = from.floor(step);
        if from >= to {
            return Err(Problem::invalid_parameter(
                "from",
                format!("{from}, expected a time before the newest of the data ({to})"),
            ));
        }
        let count = (to.seconds() - from.seconds()) / step * self.assets.len() as i64;
        if count > MAX_POINTS {
            return Err(Problem::invalid_parameter(
                "from",
                format!("{count} points, expected {MAX_POINTS} or fewer: choose a shorter range or a longer interval"),
            ));
        }
        let assets = distinct(grounds.into_iter().map(|ground| ground.asset).collect());
        let query = SeriesQuery { served, assets, from, to, interval: step, as_of: self.as_of };
        Ok((query, self.as_of.map_or(reached, |as_of| reached.min(as_of))))
    }
}

/// The series of all assets; what does not depend on each other is sent at once.
async fn build(data: &Snapshot, asked: &SeriesQuestion, now: UtcTime) -> Result<Vec<Series>, Problem> {
    let (mut query, reached) = asked.query(data, now).await?;
    let with_market = query.with_market();
    let closed = data.closed(&query.served, &with_market, ((query.from, query.to), i64::MAX), query.as_of).await?;
    let closed_for = |asset: &str, from| closed.until(asset, from).min(closed.until(WHOLE_MARKET, from));
    if asked.finalized {
        let all = query.assets.iter().map(|asset| closed_for(asset, query.from)).min().unwrap_or(UtcTime(EARLIEST));
        query.to = query.to.min(all.floor(query.interval)).max(query.from);
    }
    // Within one window the topology has counted the authors; over several they must be recounted.
    let count_authors = query.interval > WINDOW_SECONDS && asked.metrics.contains(&Metric::UniqueAuthors);
    let authors = async { if count_authors { data.unique_authors(&query).await.map(Some) } else { Ok(None) } };
    let sources = async { if asked.sources { data.series_sources(&query).await } else { Ok(BTreeMap::new()) } };
    let is_weighted = asked.metrics.contains(&Metric::WeightedSentiment);
    let weighted = async { if is_weighted { weighted(data, &query, reached).await } else { Ok(BTreeMap::new()) } };
    let counted = async {
        if asked.reads_windows() {
            data.single_windows(&query, asked.metrics.iter().any(|metric| metric.is_of_forecasts())).await
        } else {
            try_join!(data.buckets(&query), data.series_lineage(&query, asked.lineage))
        }
    };
    let ((buckets, mut lineages), authors, mut sources, weighted) = try_join!(counted, authors, sources, weighted)?;
    let none = BTreeMap::new();
    let runs = query.served.runs((query.from, query.to));
    let runs_of = |range| if runs.len() == 1 { runs.clone() } else { query.served.runs(range) };
    let market = buckets.get(WHOLE_MARKET).unwrap_or(&none);
    let mut all = Vec::with_capacity(query.assets.len());
    for asset in &query.assets {
        let own = buckets.get(asset).unwrap_or(&none);
        let mut lineages = lineages.remove(asset).unwrap_or_default();
        let lineage = lineages.values().fold(Lineage::new(&query.served, (query.from, query.to)), Lineage::union);
        let mut sources = sources.remove(asset).unwrap_or_default();
        let mut points = Vec::new();
        let mut start = query.from;
        while start < query.to {
            consume_budget().await;
            let end = start.plus(query.interval);
            let of_start = |counts: &ByAsset<i64>| counts.get(asset).and_then(|counts| counts.get(&start)).copied();
            let place = Place {
                own: own.get(&start),
                market: market.get(&start),
                authors: authors.as_ref().map(|authors| of_start(authors).unwrap_or(0)),
                weighted_sentiment: weighted.get(asset).and_then(|scores| scores.get(&start)).copied().flatten(),
                length: query.interval / WINDOW_SECONDS,
            };
            points.push(Point {
                start,
                end,
                metrics: Values(asked.metrics.iter().map(|metric| (*metric, place.value(*metric))).collect()),
                windows: place.own.map_or(0, |bucket| bucket.windows),
                revision: place.own.map(|bucket| bucket.revision),
                complete: end <= reached,
                r#final: end <= closed_for(asset, start)
                    && place.own.into_iter().chain(place.market).all(|bucket| bucket.r#final),
                computed_at: place.own.map(|bucket| bucket.computed_at),
                runs: runs_of((start, end)),
                lineage: if asked.lineage { lineages.remove(&start) } else { None },
                sources: sources.remove(&start),
            });
            start = end;
        }
        all.push(Series {
            asset: asset.clone(),
            interval: asked.interval,
            from: query.from,
            to: query.to,
            as_of: query.as_of,
            sample: own.values().any(|bucket| bucket.sample),
            points,
            lineage,
            metrics: asked.metrics.clone(),
        });
    }
    Ok(all)
}

/// The weighted sentiment of the intervals that are over.
async fn weighted(data: &Snapshot, query: &SeriesQuery, reached: UtcTime) -> Result<ByAsset<Option<f64>>, StoreError> {
    let from = query.from.plus(-conviction::LOOKBACK).floor(query.interval);
    let query = SeriesQuery { from, to: query.to.min(reached.floor(query.interval)), ..query.clone() };
    let convictions = data.convictions(&query).await?;
    let none = BTreeMap::new();
    let market = convictions.get(WHOLE_MARKET).unwrap_or(&none);
    let mut scores = ByAsset::new();
    for asset in &query.assets {
        let own = convictions.get(asset).unwrap_or(&none);
        let mut xs = Vec::new();
        let mut start = query.from;
        while start < query.to {
            let x = match own.get(&start) {
                Some(own) => conviction::x(own.unique_posts, own.mean_score),
                None => market.get(&start).map(|_| 0.0),
            };
            xs.push((start, x));
            start = start.plus(query.interval);
        }
        let weighted = conviction::weighted(&xs);
        scores.insert(asset.clone(), xs.iter().map(|(start, _)| *start).zip(weighted).collect());
    }
    Ok(scores)
}

impl Table for Series {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        rows(form, std::slice::from_ref(self), false)
    }
}

impl Table for ManySeries {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        rows(form, &self.series, true)
    }
}

/// A row for each interval, after the name of its asset if that is given.
fn rows(form: Form, all: &[Series], named: bool) -> Result<Bytes, Problem> {
    if form == Form::Arrow {
        return typed(all, named);
    }
    let mut text = String::from(if named { "asset,start,end" } else { "start,end" });
    for metric in all.first().map_or(&[][..], |series| &series.metrics) {
        let name = serde_json::to_value(metric).unwrap_or_default();
        let _ = write!(text, ",{}", field(&name));
    }
    text.push_str(",windows,revision,final,complete,computed_at,runs\r\n");
    for series in all {
        for point in &series.points {
            if named {
                let _ = write!(text, "{},", field(&series.asset.as_str().into()));
            }
            let _ = write!(text, "{},{}", point.start, point.end);
            for (_, value) in &point.metrics.0 {
                let _ = write!(text, ",{}", field(value));
            }
            let revision = point.revision.map(|revision| revision.to_string()).unwrap_or_default();
            let computed_at = point.computed_at.map(|time| time.to_string()).unwrap_or_default();
            let (windows, complete, r#final) = (point.windows, point.complete, point.r#final);
            let runs = field(&point.runs.join(" ").into());
            let _ = write!(text, ",{windows},{revision},{final},{complete},{computed_at},{runs}\r\n");
        }
    }
    Ok(Bytes::from(text))
}

/// The same with types.
fn typed(all: &[Series], named: bool) -> Result<Bytes, Problem> {
    let mut fields = if named { vec![Field::new("asset", DataType::Utf8, true)] } else { Vec::new() };
    fields.extend(arrow::fields::<Point>("start,end")?);
    for metric in all.first().map_or(&[][..], |series| &series.metrics) {
        let kind = if metric.is_count() { DataType::Int64 } else { DataType::Float64 };
        fields.push(Field::new(field(&answer::to_value(metric)?), kind, true));
    }
    fields.extend(arrow::fields::<Point>("windows,revision,complete,final,computed_at,runs")?);
    let mut rows = Vec::new();
    for series in all {
        for point in &series.points {
            let mut row = answer::to_value(point)?;
            row["asset"] = Value::from(&*series.asset);
            rows.push(row);
        }
    }
    arrow::stream(fields, &rows)
}
