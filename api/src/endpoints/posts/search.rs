use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::WHOLE_MARKET;

use super::{Posts, PostsParams, PostsQuestion, check_range};
use crate::app::{App, SharedApp};
use crate::endpoints::insights::series::Interval;
use crate::http::page::page_params;
use crate::http::params::{AsOf, AssetId, End, Format, Moment, PostsFormat, Query, Run, Text};
use crate::http::problem::Problem;
use crate::http::rate_limit::Client;
use crate::http::table::{Form, Table};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::posts::LabelFilter;
use crate::store::posts::search::{VolumeQuery, Words};
use crate::time::UtcTime;

page_params!(
    /// What is searched for, and where.
    SearchParams {
        /// Words that all have to occur in the title or in the beginning of the text, a to z in any case; "a phrase", `or` between, `-` before
        /// what must not occur
        #[param(inline, required = true)]
        q: Option<Text<256>>,
        /// Only about this asset: its id, name or an alias
        #[param(inline)]
        asset: Option<AssetId>,
        /// Published at or after: RFC 3339, a date, or now-1h; by default 30 days before `to`, 92 at most
        #[param(inline)]
        from: Option<Moment>,
        /// Published before: RFC 3339, the end of a date, or now-1h
        #[param(inline)]
        to: Option<End>,
        /// Only with this label, or without one
        #[param(inline)]
        label: Option<LabelFilter>,
        /// Only in this language: ISO 639-1, as en
        #[param(inline)]
        language: Option<Text<8>>,
        /// Only posts that were scored by this time, in their present revision
        #[param(inline)]
        as_of: Option<AsOf>,
        /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
        #[param(inline)]
        run: Run,
    }
    /// Posts per page; NDJSON and Arrow have none
    PostsFormat
);

/// The posts with some words, newest first
#[utoipa::path(get, path = "/v1/search", tag = "posts", operation_id = "search", params(SearchParams),
    responses((status = 200, description = "A page of posts", content((Posts = "application/json"), (String = "text/csv"), (String = "application/x-ndjson")))))]
pub(crate) async fn search(
    State(app): SharedApp,
    headers: HeaderMap,
    Extension(client): Extension<Client>,
    Query(asked): Query<SearchParams>,
) -> Result<Response, Problem> {
    let SearchParams { q, asset, from, to, label, language, as_of, run, limit, cursor, format } = asked;
    let media = PostsFormat::media(format, &headers)?;
    let question = PostsQuestion {
        asset: about(&app, asset),
        words: Some(words(q)?),
        asked: PostsParams { from, to, label, language, as_of, run, limit, cursor, ..PostsParams::default() },
    };
    question.answer(app, client, &headers, media).await
}

fn words(q: Option<Text<256>>) -> Result<Words, Problem> {
    q.map(|Text(text)| Words::new(&text)).ok_or_else(|| Problem::invalid_parameter("q", "expected words"))
}

fn about(app: &App, asset: Option<AssetId>) -> AssetId {
    asset.map_or_else(|| AssetId(WHOLE_MARKET.to_owned()), |asset| app.names.canonical(&asset))
}

/// How many posts have some words.
#[derive(Serialize, ToSchema)]
pub(crate) struct Volume {
    /// Canonical id; `*` stands for all posts.
    asset: String,
    /// Length of a point.
    interval: Interval,
    /// Start of the first point.
    from: UtcTime,
    /// End of the last point.
    to: UtcTime,
    /// Every interval from `from` to `to`.
    points: Vec<VolumePoint>,
}

/// How many in an interval.
#[derive(Serialize, ToSchema)]
pub(crate) struct VolumePoint {
    /// Inclusive.
    start: UtcTime,
    /// Exclusive.
    end: UtcTime,
    /// Posts with the words, spam and copies included.
    posts: i64,
    /// The interval is over.
    complete: bool,
    /// The runs whose posts are counted.
    runs: Vec<String>,
}

impl Table for Volume {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        form.rows("start,end,posts,complete,runs", &self.points)
    }
}

/// What is counted, and where.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VolumeParams {
    /// As of /v1/search
    #[param(inline, required = true)]
    q: Option<Text<256>>,
    /// Only about this asset: its id, name or an alias
    #[param(inline)]
    asset: Option<AssetId>,
    /// RFC 3339, a date, or now-1h; by default as for a series, 92 days before `to` at most
    #[param(inline)]
    from: Option<Moment>,
    /// RFC 3339, the end of a date, or now-1h; by default the newest time of the data
    #[param(inline)]
    to: Option<End>,
    /// Length of a point; 5m by default. Weeks begin with the Monday, all in UTC
    #[param(inline)]
    interval: Interval,
    /// Only in this language: ISO 639-1, as en
    #[param(inline)]
    language: Option<Text<8>>,
    /// Only posts that were scored by this time, in their present revision
    #[param(inline)]
    as_of: Option<AsOf>,
    /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
    #[param(inline)]
    run: Run,
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// How many posts have some words, over time
#[utoipa::path(get, path = "/v1/search/volume", tag = "insights", operation_id = "search_volume", params(VolumeParams),
    responses((status = 200, description = "Every interval of the range", content((Volume = "application/json"), (String = "text/csv")))))]
pub(crate) async fn volume(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(mut asked): Query<VolumeParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format.take(), &headers)?;
    let (words, asset) = (words(asked.q.take())?, about(&app, asked.asset.take()));
    app.serving.answer(&headers, media, &VolumeQuestion { words, asset, asked }).await
}

#[derive(Debug)]
struct VolumeQuestion {
    words: Words,
    asset: AssetId,
    asked: VolumeParams,
}

impl Question for VolumeQuestion {
    const NAME: &'static str = "volume";
    type Answer = Volume;

    fn run(&self) -> &str {
        &self.asked.run.0
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<Volume, Problem> {
        let VolumeParams { from, to, interval, language, as_of, run: Run(run), .. } = &self.asked;
        data.check_words(&self.words).await?;
        let as_of = as_of.map(|time| time.0);
        let served = data.served(run, as_of);
        let ground = data.ground(&served, &self.asset.0).await?;
        let (reached, step) = (ground.reached(now), interval.seconds());
        let to = to.map_or(reached, |to| to.0.at(reached)).ceil(step);
        let from = from.map_or_else(|| to.plus(-interval.default_range().min(90 * 86_400)), |from| from.0.at(reached));
        let from = from.floor(step);
        if from >= to {
            let detail = format!("{from}, expected a time before the newest of the data ({to})");
            return Err(Problem::invalid_parameter("from", detail));
        }
        check_range(from, to)?;
        let query = VolumeQuery {
            served,
            asset: ground.asset,
            from,
            to,
            interval: step,
            words: self.words.clone(),
            language: language.as_ref().map(|language| language.0.to_lowercase()),
            as_of,
        };
        let counts = data.volume(&query).await?;
        let over = query.as_of.map_or(reached, |as_of| reached.min(as_of));
        let mut points = Vec::new();
        let mut start = from;
        while start < to {
            let end = start.plus(step);
            points.push(VolumePoint {
                start,
                end,
                posts: counts.get(&start).copied().unwrap_or(0),
                complete: end <= over,
                runs: query.served.runs((start, end)),
            });
            start = end;
        }
        Ok(Volume { asset: query.asset, interval: *interval, from, to, points })
    }
}
