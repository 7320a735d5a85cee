use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;
use futures_util::future::try_join_all;
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::WHOLE_MARKET;

use crate::app::SharedApp;
use crate::auth::{self, Scope};
use crate::http::answer;
use crate::http::params::{Int, Moment, Query, Run};
use crate::http::problem::Problem;
use crate::insights::leaderboard::{self, Order, Period, Span, Trend};
use crate::serving::Question;
use crate::store::lineage::Lineage;
use crate::store::posts::Post;
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// The leaderboard.
#[derive(Serialize, ToSchema)]
pub(crate) struct Board {
    /// `live`, or the id of a replay.
    run_id: String,
    /// Length of the compared periods.
    window: Period,
    /// End of the current period; null if there is no data yet.
    at: Option<UtcTime>,
    /// Start of the current period, end of the previous one.
    from: Option<UtcTime>,
    /// End of the newest window of the data.
    newest: Option<UtcTime>,
    /// At least some of the data does not come from the public web.
    sample: bool,
    /// All posts together.
    market: Option<Trend>,
    /// The highest ranked first.
    trends: Vec<RankedTrend>,
    /// What the numbers stand on.
    lineage: Lineage,
}

/// An asset, and why it is where it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct RankedTrend {
    /// 1 is the highest.
    rank: usize,
    #[serde(flatten)]
    trend: Trend,
    /// The posts of the period that speak most clearly in the direction in which the mean score moved, or for the mean score if it
    /// moved by less than 0.1. No text twice.
    explained_by: Vec<Post>,
}

type MinPosts = Int<0, 1_000_000_000, 1>;
type BoardLimit = Int<1, 200, 20>;
/// Without a default: it depends on the caller's scopes.
type ExplainingPosts = Int<0, 10, 3>;

/// What can be asked about the leaderboard.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BoardParams {
    /// Length of the compared periods; 1h by default
    #[param(inline)]
    window: Option<Period>,
    /// End of the current period: RFC 3339 or a date; by default the newest time of the data
    #[param(inline)]
    at: Option<Moment>,
    /// What the board is sorted by; growth by default
    #[param(inline)]
    sort: Option<Order>,
    /// Leave out assets with fewer posts in both periods together
    #[param(inline)]
    min_posts: MinPosts,
    /// Assets
    #[param(inline)]
    limit: BoardLimit,
    /// Explaining posts per asset; 3 by default, or 0 for a token without read:posts
    #[param(inline)]
    posts: Option<ExplainingPosts>,
    /// A replay's id; `live` by default
    #[param(inline)]
    run: Run,
}

/// Which assets rise, and the posts that explain it
///
/// Compares the period of length `window` that ends at `at` with the one before. By default the board is sorted by `growth_z`, the z
/// statistic of the change of posts: a surge from 10 to 90 posts outranks a drift from 1000 to 1010.
#[utoipa::path(get, path = "/v1/trends", tag = "insights", operation_id = "leaderboard", params(BoardParams),
    responses((status = 200, description = "The leaderboard", body = Board)))]
pub(crate) async fn board(
    State(app): SharedApp,
    extensions: Extensions,
    headers: HeaderMap,
    Query(asked): Query<BoardParams>,
) -> Result<Response, Problem> {
    let allowed = auth::has_scope(&extensions, Scope::Posts);
    let posts = asked.posts.map_or(if allowed.is_ok() { ExplainingPosts::default().0 } else { 0 }, |posts| posts.0);
    if posts > 0 {
        allowed?;
    }
    let question = BoardQuestion {
        run: asked.run,
        period: asked.window.unwrap_or(Period::Hour),
        at: asked.at,
        order: asked.sort.unwrap_or(Order::Growth),
        min_posts: asked.min_posts.0,
        limit: asked.limit.0 as usize,
        posts: posts as usize,
    };
    answer::negotiate(&headers, &[answer::JSON])?;
    app.serving.answer(&headers, answer::JSON, &question).await
}

#[derive(Debug)]
struct BoardQuestion {
    run: Run,
    period: Period,
    at: Option<Moment>,
    order: Order,
    min_posts: i64,
    limit: usize,
    /// 0 for those who may not read posts.
    posts: usize,
}

impl Question for BoardQuestion {
    const NAME: &'static str = "trends";

    fn run(&self) -> &str {
        &self.run.0
    }

    async fn build(&self, data: &Snapshot) -> Result<Bytes, Problem> {
        answer::to_json(&build(data, self).await?)
    }
}

async fn build(data: &Snapshot, question: &BoardQuestion) -> Result<Board, Problem> {
    let run = question.run.0.as_str();
    let mut answer = Board {
        run_id: run.to_owned(),
        window: question.period,
        at: None,
        from: None,
        newest: None,
        sample: false,
        market: None,
        trends: Vec::new(),
        lineage: Lineage::new(run),
    };
    let Some(extent) = data.extent(run).await? else { return Ok(answer) };
    let span = Span::ending_at(question.at.map_or(extent.newest, |at| at.0), question.period);
    let ((totals, sample), lineage) =
        try_join!(data.totals(run, span), data.lineage(run, span.previous_start(), span.end))?;
    let market = totals.get(WHOLE_MARKET);
    let mut trends: Vec<Trend> = totals
        .iter()
        .filter(|(asset, _)| *asset != WHOLE_MARKET)
        .map(|(asset, slices)| leaderboard::trend(asset, slices, market))
        .filter(|trend| trend.current.posts.unwrap_or(0) + trend.previous.posts.unwrap_or(0) >= question.min_posts)
        .collect();
    leaderboard::rank(&mut trends, question.order);
    trends.truncate(question.limit);
    answer.at = Some(span.end);
    answer.from = Some(span.start());
    answer.newest = Some(extent.newest);
    answer.sample = sample;
    answer.market = market.map(|slices| leaderboard::trend(WHOLE_MARKET, slices, None));
    answer.lineage = lineage;
    // All are sent at once.
    let explained = try_join_all(trends.iter().map(|trend| explain(data, question, span, trend))).await?;
    for (at, (trend, explained_by)) in trends.into_iter().zip(explained).enumerate() {
        answer.trends.push(RankedTrend { rank: at + 1, trend, explained_by });
    }
    Ok(answer)
}

/// A smaller change of the mean score is no change that posts could explain.
const CLEAR_CHANGE: f64 = 0.1;

/// The posts that speak for the change of the mean score, or without a clear one for the mean score itself.
async fn explain(
    data: &Snapshot,
    question: &BoardQuestion,
    span: Span,
    trend: &Trend,
) -> Result<Vec<Post>, StoreError> {
    if question.posts == 0 || trend.current.posts.unwrap_or(0) == 0 {
        return Ok(Vec::new());
    }
    let change = trend.mean_score_change.filter(|change| change.abs() >= CLEAR_CHANGE);
    let towards = change.or(trend.current.mean_score).unwrap_or(0.0);
    let direction = if towards < 0.0 { -1.0 } else { 1.0 };
    let period = (span.start(), span.end);
    data.explaining_posts(&question.run.0, &trend.asset, period, direction, question.posts).await
}
