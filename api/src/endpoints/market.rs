use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::answer;
use crate::http::params::{Int, Moment, Query, Run};
use crate::http::problem::Problem;
use crate::insights::leaderboard::{Period, Span};
use crate::insights::mood::{self, Direction, Mood, Opinions};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::lineage::Lineage;
use crate::time::UtcTime;

/// Moods of all assets.
#[derive(Serialize, ToSchema)]
pub(crate) struct MarketTrends {
    /// `live`, or the id of a replay.
    run_id: String,
    /// Length of the period.
    window: Period,
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

type MinVoices = Int<1, 1_000_000, 10>;

/// What can be asked about moods.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MoodsParams {
    /// Length of the period; 24h by default
    #[param(inline)]
    window: Option<Period>,
    /// End of the period: RFC 3339 or a date; by default the newest time of the data
    #[param(inline)]
    at: Option<Moment>,
    /// Fewer distinct authors than this are too few to tell
    #[param(inline)]
    min_voices: MinVoices,
    /// Only those of this direction
    #[param(inline)]
    direction: Option<Direction>,
    /// A replay's id; `live` by default
    #[param(inline)]
    run: Run,
}

/// Whether assets are talked up or down, and how sure that is
///
/// Shares of positive, neutral and negative posts, scaled to the number of distinct authors, with a Jeffreys prior (1/2 each):
/// net = share of positive - share of negative, with its Dirichlet mean and variance. Bullish means net > 0.05, bearish net < -0.05.
/// The direction is the likeliest of the three in the normal approximation, the confidence its probability, the interval covers 95 %.
/// With fewer voices than `min_voices` the direction is `unknown` and the rest null.
#[utoipa::path(get, path = "/v1/market-trends", tag = "insights", operation_id = "list_moods", params(MoodsParams),
    responses((status = 200, description = "Moods, the asset with the most posts first", body = MarketTrends)))]
pub(crate) async fn moods(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(asked): Query<MoodsParams>,
) -> Result<Response, Problem> {
    answer::negotiate(&headers, &[answer::JSON])?;
    app.serving.answer(&headers, answer::JSON, &asked).await
}

impl Question for MoodsParams {
    const NAME: &'static str = "moods";

    fn run(&self) -> &str {
        &self.run.0
    }

    async fn build(&self, data: &Snapshot) -> Result<Bytes, Problem> {
        answer::to_json(&build(data, self).await?)
    }
}

async fn build(data: &Snapshot, asked: &MoodsParams) -> Result<MarketTrends, Problem> {
    let (run, period) = (asked.run.0.as_str(), asked.window.unwrap_or(Period::Day));
    let mut answer = MarketTrends {
        run_id: run.to_owned(),
        window: period,
        from: None,
        to: None,
        sample: false,
        market_trends: Vec::new(),
        lineage: Lineage::new(run),
    };
    let Some(extent) = data.extent(run).await? else { return Ok(answer) };
    let span = Span::ending_at(asked.at.map_or(extent.newest, |at| at.0), period);
    let ((totals, sample), opinions, lineage) =
        try_join!(data.totals(run, span), data.opinions(run, span), data.lineage(run, span.start(), span.end))?;
    for (asset, slices) in &totals {
        let current = slices.iter().skip(slices.len() / 2).flatten();
        let posts: i64 = current.map(|slice| slice.posts).sum();
        let of_asset = opinions.get(asset).copied().unwrap_or_default();
        let mood = mood::estimate(of_asset, asked.min_voices.0);
        let Opinions { negative, neutral, positive, voices } = of_asset;
        if posts > 0 && asked.direction.is_none_or(|wanted| wanted == mood.direction) {
            let scored_posts = negative + neutral + positive;
            answer.market_trends.push(MarketTrend { asset: asset.clone(), mood, posts, scored_posts, voices });
        }
    }
    answer.market_trends.sort_by(|a, b| b.posts.cmp(&a.posts).then_with(|| a.asset.cmp(&b.asset)));
    answer.from = Some(span.start());
    answer.to = Some(span.end);
    answer.sample = sample;
    answer.lineage = lineage;
    Ok(answer)
}
