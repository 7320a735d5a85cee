use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::app::{App, SharedApp};
use crate::leaderboard::{Period, Span};
use crate::mood::{self, Direction, Mood, Opinions};
use crate::params::Params;
use crate::problem::Problem;
use crate::store::lineage::Lineage;
use crate::time::UtcTime;

/// Moods of all assets.
#[derive(Serialize, ToSchema)]
pub(crate) struct MarketTrends {
    /// `live`, or the id of a replay.
    run_id: String,
    /// Length of the period: 1h, 6h, 24h or 7d.
    window: &'static str,
    /// Start of the period, inclusive; null if there is no data yet.
    from: Option<UtcTime>,
    /// End of the period, exclusive; null if there is no data yet.
    to: Option<UtcTime>,
    /// At least some of the data does not come from the public web.
    sample: bool,
    /// The asset with the most posts first.
    market_trends: Vec<MarketTrend>,
    /// What the numbers stand on.
    lineage: Lineage,
}

/// Whether an asset is talked up or down.
#[derive(Serialize, ToSchema)]
pub(crate) struct MarketTrend {
    /// Canonical id; `*` stands for all posts.
    asset: String,
    /// The estimate.
    #[serde(flatten)]
    mood: Mood,
    /// Posts in the period.
    posts: i64,
    /// Of them scored: the estimate stands on these.
    scored_posts: i64,
    /// Distinct authors of the scored posts; a post without a known author counts as one.
    voices: i64,
}

/// Whether assets are talked up or down, and how sure that is
///
/// Shares of positive, neutral and negative posts, scaled to the number of distinct authors, with a Jeffreys prior (1/2 each):
/// net = share of positive - share of negative, with its Dirichlet mean and variance. Bullish means net > 0.05, bearish net < -0.05.
/// The direction is the likeliest of the three in the normal approximation, the confidence its probability, the interval covers 95 %.
/// With fewer voices than `min_voices` the direction is `unknown` and the rest null.
#[utoipa::path(get, path = "/v1/market-trends", tag = "insights",
    params(
        ("window" = Option<String>, Query, description = "1h, 6h, 24h (default) or 7d"),
        ("at" = Option<String>, Query, description = "End of the period: RFC 3339 or a date; by default the newest time of the data"),
        ("min_voices" = Option<i64>, Query, description = "Fewer distinct authors than this are too few to tell; 10 by default"),
        ("direction" = Option<String>, Query, description = "Only bullish, neutral, bearish or unknown ones"),
        ("run" = Option<String>, Query, description = "A replay's id; `live` by default")),
    responses((status = 200, body = MarketTrends)))]
pub(crate) async fn moods(State(app): SharedApp, headers: HeaderMap, mut params: Params) -> Result<Response, Problem> {
    let question = Question {
        run: params.run(),
        period: params.choice("window").unwrap_or(Period::Day),
        at: params.time("at"),
        min_voices: params.integer("min_voices", 1..=1_000_000, 10),
        direction: params.choice("direction"),
    };
    params.finish()?;
    answer::negotiate(&headers, &[answer::JSON])?;
    let body =
        app.cache.answer(format!("market {question:?}"), async { answer::to_json(&build(&app, &question).await?) });
    Ok(answer::conditional(&headers, answer::JSON, body.await?))
}

#[derive(Debug)]
struct Question {
    run: String,
    period: Period,
    at: Option<UtcTime>,
    min_voices: i64,
    direction: Option<Direction>,
}

async fn build(app: &App, question: &Question) -> Result<MarketTrends, Problem> {
    let mut answer = MarketTrends {
        run_id: question.run.clone(),
        window: question.period.name(),
        from: None,
        to: None,
        sample: false,
        market_trends: Vec::new(),
        lineage: Lineage::new(&question.run),
    };
    let Some(extent) = app.extent(&question.run).await? else { return Ok(answer) };
    let span = Span::ending_at(question.at.unwrap_or(extent.newest), question.period);
    let (totals, sample) = app.store.totals(&question.run, span).await?;
    let opinions = app.store.opinions(&question.run, span).await?;
    for (asset, slices) in &totals {
        let current = slices.iter().skip(slices.len() / 2).flatten();
        let posts: i64 = current.map(|slice| slice.posts).sum();
        let of_asset = opinions.get(asset).copied().unwrap_or_default();
        let mood = mood::estimate(of_asset, question.min_voices);
        let Opinions { negative, neutral, positive, voices } = of_asset;
        if posts > 0 && question.direction.is_none_or(|wanted| wanted == mood.direction) {
            let scored_posts = negative + neutral + positive;
            answer.market_trends.push(MarketTrend { asset: asset.clone(), mood, posts, scored_posts, voices });
        }
    }
    answer.market_trends.sort_by(|a, b| b.posts.cmp(&a.posts).then_with(|| a.asset.cmp(&b.asset)));
    answer.from = Some(span.start());
    answer.to = Some(span.end);
    answer.sample = sample;
    answer.lineage = app.store.lineage(&question.run, None, span.start(), span.end).await?;
    Ok(answer)
}
