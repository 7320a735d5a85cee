use axum::extract::State;
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use vigie_schemas::WHOLE_MARKET;

use crate::app::{App, SharedApp};
use crate::auth::Scope;
use crate::leaderboard::{self, Order, Period, Span, Trend};
use crate::params::Params;
use crate::problem::Problem;
use crate::store::lineage::Lineage;
use crate::store::posts::Post;
use crate::time::UtcTime;
use crate::{answer, middleware};

/// The leaderboard.
#[derive(Serialize, ToSchema)]
pub(crate) struct Board {
    /// `live`, or the id of a replay.
    run_id: String,
    /// Length of the compared periods: 1h, 6h, 24h or 7d.
    window: &'static str,
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

/// Which assets rise, and the posts that explain it
///
/// Compares the period of length `window` that ends at `at` with the one before. By default the board is sorted by `growth_z`, the z
/// statistic of the change of posts: a surge from 10 to 90 posts outranks a drift from 1000 to 1010.
#[utoipa::path(get, path = "/v1/trends", tag = "insights",
    params(
        ("window" = Option<String>, Query, description = "1h (default), 6h, 24h or 7d"),
        ("at" = Option<String>, Query, description = "End of the current period: RFC 3339 or a date; by default the newest time of the data"),
        ("sort" = Option<String>, Query, description = "growth (default), anomaly, posts, mean_score, mean_score_change or doubling_probability"),
        ("min_posts" = Option<i64>, Query, description = "Leave out assets with fewer posts in both periods together; 1 by default"),
        ("limit" = Option<i64>, Query, description = "Assets, 1 to 200; 20 by default"),
        ("posts" = Option<i64>, Query, description = "Explaining posts per asset, 0 to 10; 3 by default, or 0 for a token without read:posts"),
        ("run" = Option<String>, Query, description = "A replay's id; `live` by default")),
    responses((status = 200, body = Board)))]
pub(crate) async fn board(
    State(app): SharedApp,
    extensions: Extensions,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let allowed = middleware::has_scope(&extensions, Scope::Posts);
    let question = Question {
        run: params.run(),
        period: params.choice("window").unwrap_or(Period::Hour),
        at: params.time("at"),
        order: params.choice("sort").unwrap_or(Order::Growth),
        min_posts: params.integer("min_posts", 0..=1_000_000_000, 1),
        limit: params.integer("limit", 1..=200, 20) as usize,
        posts: params.integer("posts", 0..=10, if allowed.is_ok() { 3 } else { 0 }) as usize,
    };
    params.finish()?;
    if question.posts > 0 {
        allowed?;
    }
    answer::negotiate(&headers, &[answer::JSON])?;
    let body =
        app.cache.answer(format!("trends {question:?}"), async { answer::to_json(&build(&app, &question).await?) });
    Ok(answer::conditional(&headers, answer::JSON, body.await?))
}

#[derive(Debug)]
struct Question {
    run: String,
    period: Period,
    at: Option<UtcTime>,
    order: Order,
    min_posts: i64,
    limit: usize,
    posts: usize,
}

async fn build(app: &App, question: &Question) -> Result<Board, Problem> {
    let mut answer = Board {
        run_id: question.run.clone(),
        window: question.period.name(),
        at: None,
        from: None,
        newest: None,
        sample: false,
        market: None,
        trends: Vec::new(),
        lineage: Lineage::new(&question.run),
    };
    let Some(extent) = app.extent(&question.run).await? else { return Ok(answer) };
    let span = Span::ending_at(question.at.unwrap_or(extent.newest), question.period);
    let (totals, sample) = app.store.totals(&question.run, span).await?;
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
    for (at, trend) in trends.into_iter().enumerate() {
        let explained_by = explain(app, question, span, &trend).await?;
        answer.trends.push(RankedTrend { rank: at + 1, trend, explained_by });
    }
    answer.lineage = app.store.lineage(&question.run, None, span.previous_start(), span.end).await?;
    Ok(answer)
}

/// A smaller change of the mean score is no change that posts could explain.
const CLEAR_CHANGE: f64 = 0.1;

/// The posts that speak for the change of the mean score, or without a clear one for the mean score itself.
async fn explain(app: &App, question: &Question, span: Span, trend: &Trend) -> Result<Vec<Post>, Problem> {
    if question.posts == 0 || trend.current.posts.unwrap_or(0) == 0 {
        return Ok(Vec::new());
    }
    let change = trend.mean_score_change.filter(|change| change.abs() >= CLEAR_CHANGE);
    let towards = change.or(trend.current.mean_score).unwrap_or(0.0);
    let direction = if towards < 0.0 { -1.0 } else { 1.0 };
    let period = (span.start(), span.end);
    Ok(app.store.explaining_posts(&question.run, &trend.asset, period, direction, question.posts).await?)
}
