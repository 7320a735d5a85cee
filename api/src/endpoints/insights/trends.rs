use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::WHOLE_MARKET;

use crate::app::SharedApp;
use crate::auth::{self, Scope};
use crate::http::params::{AsOf, Format, Int, Moment, Query, Run};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::insights::leaderboard::{self, Order, Period, Periods, Slices, Span, Trend};
use crate::serving::Question;
use crate::store::posts::Post;
use crate::store::runs::served::Served;
use crate::store::windows::lineage::Lineage;
use crate::store::{Snapshot, StoreError};
use crate::time::{EARLIEST, LATEST, UtcTime, WINDOW_SECONDS};

/// The leaderboard.
#[derive(Serialize, ToSchema)]
pub(crate) struct Board {
    /// `live`, or the id of a replay; `served` where several runs have a part.
    run_id: String,
    /// Length of the compared periods.
    window: Period,
    /// End of the current period; null if there is no data yet.
    at: Option<UtcTime>,
    /// Start of the current period, end of the previous one.
    from: Option<UtcTime>,
    /// The current period is over; null if there is no data yet. One that is not is compared with nothing.
    complete: Option<bool>,
    /// If given: only what was known at this time.
    as_of: Option<UtcTime>,
    /// Up to where time has passed: the end of the newest window that is over.
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

impl Table for Board {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "\
            rank,asset,posts,unique_posts,spam_posts,negative,neutral,positive,sentiment_balance,\
            mean_score,dominance,previous.posts,previous.unique_posts,previous.mean_score,\
            previous.dominance,growth,growth_z,mean_score_change,anomaly_score,expected_posts,\
            next_hour.p10,next_hour.p50,next_hour.p90,next_hour.doubling_probability,final,\
            computed_at";
        form.rows(columns, &self.trends)
    }
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
    /// End of the current period: RFC 3339, a date, or now-1h; by default the newest time of the data
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
    /// Only what was known at this time; the explaining posts are those that were scored by then
    #[param(inline)]
    as_of: Option<AsOf>,
    /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
    #[param(inline)]
    run: Run,
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// Which assets rise, and the posts that explain it
///
/// Compares the period of length `window` that ends at `at` with the one before. By default the board is sorted by `growth_z`, the z
/// statistic of the change of posts: a surge from 10 to 90 posts outranks a drift from 1000 to 1010.
#[utoipa::path(get, path = "/v1/trends", tag = "insights", operation_id = "leaderboard", params(BoardParams),
    responses((status = 200, description = "The leaderboard", content((Board = "application/json"), (String = "text/csv")))))]
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
        as_of: asked.as_of.map(|time| time.0),
    };
    app.serving.answer(&headers, Format::media(asked.format, &headers)?, &question).await
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
    as_of: Option<UtcTime>,
}

impl Question for BoardQuestion {
    const NAME: &'static str = "trends";
    type Answer = Board;

    fn run(&self) -> &str {
        &self.run.0
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<Board, Problem> {
        build(data, self, now).await
    }
}

async fn build(data: &Snapshot, question: &BoardQuestion, now: UtcTime) -> Result<Board, Problem> {
    let served = data.served(&question.run.0, question.as_of);
    let all = Lineage::new(&served, (UtcTime(EARLIEST), UtcTime(LATEST)));
    let mut answer = Board {
        run_id: all.run_id.clone(),
        window: question.period,
        at: None,
        from: None,
        complete: None,
        as_of: question.as_of,
        newest: None,
        sample: false,
        market: None,
        trends: Vec::new(),
        lineage: all,
    };
    let Some(extent) = data.extent(&served).await? else { return Ok(answer) };
    let reached = extent.reached(now).min(question.as_of.unwrap_or(now));
    let span = Span::ending_at(question.at.map_or(reached, |at| at.0.at(reached)), question.period);
    let (totals, sample, lineage) = data.totals(&served, (span, Periods::Both), question.as_of).await?;
    let complete = span.end <= reached;
    let market = totals.get(WHOLE_MARKET);
    let mut trends: Vec<Trend> = totals
        .iter()
        .filter(|(asset, _)| *asset != WHOLE_MARKET)
        .map(|(asset, own)| leaderboard::trend(asset, own, market, complete))
        .filter(|trend| trend.current.posts.unwrap_or(0) + trend.previous.posts.unwrap_or(0) >= question.min_posts)
        .collect();
    leaderboard::rank(&mut trends, question.order);
    trends.truncate(question.limit);
    answer.at = Some(span.end);
    answer.from = Some(span.start());
    answer.complete = Some(complete);
    answer.newest = Some(extent.reached(now));
    answer.sample = sample;
    answer.market = market.map(|own| leaderboard::trend(WHOLE_MARKET, own, None, complete));
    answer.run_id.clone_from(&lineage.run_id);
    answer.lineage = lineage;
    let mut names: Vec<&str> = trends.iter().map(|trend| trend.asset.as_str()).collect();
    names.push(WHOLE_MARKET);
    let closed = data.closed(&served, &names, ((span.start(), span.end), WINDOW_SECONDS), question.as_of);
    let slices = data.slices(&served, (span, &names), question.as_of);
    let (closed, slices, mut explained) = try_join!(closed, slices, explain(data, &served, question, span, &trends))?;
    let market = slices.get(WHOLE_MARKET);
    for trend in trends.iter_mut().chain(&mut answer.market) {
        let market = market.filter(|_| trend.asset != WHOLE_MARKET);
        trend.add_slices(slices.get(&trend.asset).unwrap_or(&Slices::default()), market);
        trend.r#final &= closed.until(&trend.asset, span.start()) >= span.end;
    }
    for (at, trend) in trends.into_iter().enumerate() {
        let explained_by = explained.remove(&trend.asset).unwrap_or_default();
        answer.trends.push(RankedTrend { rank: at + 1, trend, explained_by });
    }
    Ok(answer)
}

/// A smaller change of the mean score is no change that posts could explain.
const CLEAR_CHANGE: f64 = 0.1;

/// By asset, the posts that speak for the change of the mean score, or without a clear one for the mean score itself.
async fn explain(
    data: &Snapshot,
    served: &Served,
    question: &BoardQuestion,
    span: Span,
    trends: &[Trend],
) -> Result<BTreeMap<String, Vec<Post>>, StoreError> {
    let towards = |trend: &Trend| {
        let change = trend.mean_score_change.filter(|change| change.abs() >= CLEAR_CHANGE);
        if change.or(trend.current.mean_score).unwrap_or(0.0) < 0.0 { -1.0 } else { 1.0 }
    };
    let with_posts = trends.iter().filter(|trend| trend.current.posts.unwrap_or(0) > 0);
    let towards: Vec<_> = with_posts.map(|trend| (trend.asset.as_str(), towards(trend))).collect();
    if question.posts == 0 || towards.is_empty() {
        return Ok(BTreeMap::new());
    }
    let period = (span.start(), span.end);
    data.explaining_posts(served, &towards, period, (question.posts, question.as_of)).await
}
