use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::params::{AsOf, Format, Int, Moment, Query, Run};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::insights::leaderboard::{Half, Period, Periods, Span};
use crate::insights::mood::{self, Direction, Mood, Opinions};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::windows::lineage::Lineage;
use crate::time::{EARLIEST, LATEST, UtcTime, WINDOW_SECONDS};

/// Moods of all assets.
#[derive(Serialize, ToSchema)]
pub(crate) struct MarketTrends {
    /// `live`, or the id of a replay; `served` where several runs have a part.
    run_id: String,
    /// Length of the period.
    window: Period,
    /// Start of the period, inclusive; null if there is no data yet.
    from: Option<UtcTime>,
    /// End of the period, exclusive; null if there is no data yet.
    to: Option<UtcTime>,
    /// The period is over; null if there is no data yet.
    complete: Option<bool>,
    /// If given: only what was known at this time.
    as_of: Option<UtcTime>,
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
    /// No window of the period can come or be revised.
    r#final: bool,
    /// When the newest of the counts was made.
    computed_at: Option<UtcTime>,
}

impl Table for MarketTrends {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "\
            asset,direction,confidence,net,probabilities.bullish,probabilities.neutral,\
            probabilities.bearish,posts,scored_posts,voices,final,computed_at";
        form.rows(columns, &self.market_trends)
    }
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
    /// End of the period: RFC 3339, a date, or now-1h; by default the newest time of the data
    #[param(inline)]
    at: Option<Moment>,
    /// Fewer distinct authors than this are too few to judge
    #[param(inline)]
    min_voices: MinVoices,
    /// Only those of this direction
    #[param(inline)]
    direction: Option<Direction>,
    /// Only what was known at this time
    #[param(inline)]
    as_of: Option<AsOf>,
    /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
    #[param(inline)]
    run: Run,
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// Whether assets are talked up or down, and how sure that is
///
/// Shares of positive, neutral and negative posts as the windows count them, scaled to the number of distinct authors, with a Jeffreys prior (1/2 each):
/// net = share of positive - share of negative, with its Dirichlet mean and variance. Bullish means net > 0.05, bearish net < -0.05.
/// The direction is the likeliest of the three in the normal approximation, the confidence its probability, the interval covers 95 %.
/// With fewer voices than `min_voices` the direction is `unknown` and the rest null.
#[utoipa::path(get, path = "/v1/market-trends", tag = "insights", operation_id = "list_moods", params(MoodsParams),
    responses((status = 200, description = "Moods, the asset with the most posts first", content((MarketTrends = "application/json"), (String = "text/csv")))))]
pub(crate) async fn moods(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(mut asked): Query<MoodsParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format.take(), &headers)?;
    app.serving.answer(&headers, media, &asked).await
}

impl Question for MoodsParams {
    const NAME: &'static str = "moods";
    type Answer = MarketTrends;

    fn run(&self) -> &str {
        &self.run.0
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<MarketTrends, Problem> {
        build(data, self, now).await
    }
}

async fn build(data: &Snapshot, asked: &MoodsParams, now: UtcTime) -> Result<MarketTrends, Problem> {
    let period = asked.window.unwrap_or(Period::Day);
    let as_of = asked.as_of.map(|time| time.0);
    let served = data.served(&asked.run.0, as_of);
    let all = Lineage::new(&served, (UtcTime(EARLIEST), UtcTime(LATEST)));
    let mut answer = MarketTrends {
        run_id: all.run_id.clone(),
        window: period,
        from: None,
        to: None,
        complete: None,
        as_of,
        sample: false,
        market_trends: Vec::new(),
        lineage: all,
    };
    let Some(extent) = data.extent(&served).await? else { return Ok(answer) };
    let reached = extent.reached(now).min(as_of.unwrap_or(now));
    let span = Span::ending_at(asked.at.map_or(reached, |at| at.0.at(reached)), period);
    let range = (span.start(), span.end);
    let totals = data.totals(&served, (span, Periods::Current), as_of);
    let ((totals, sample, lineage), voices) = try_join!(totals, data.voices(&served, span, as_of))?;
    let names: Vec<&str> = totals.keys().map(String::as_str).collect();
    let closed = data.closed(&served, &names, (range, WINDOW_SECONDS), as_of).await?;
    for (asset, totals) in &totals {
        let Some(current) = &totals.current else { continue };
        let Half { negative, neutral, positive, .. } = *current;
        let (posts, scored_posts) = (current.posts, negative + neutral + positive);
        // Posts that came when their window was closed have authors, but are not counted.
        let voices = voices.get(asset).copied().unwrap_or(0).min(scored_posts);
        let mood = mood::estimate(Opinions { negative, neutral, positive, voices }, asked.min_voices.0);
        if posts > 0 && asked.direction.is_none_or(|wanted| wanted == mood.direction) {
            let r#final = current.r#final && closed.until(asset, span.start()) >= span.end;
            let computed_at = Some(current.computed_at);
            let asset = asset.clone();
            answer.market_trends.push(MarketTrend { asset, mood, posts, scored_posts, voices, r#final, computed_at });
        }
    }
    answer.market_trends.sort_by(|a, b| b.posts.cmp(&a.posts).then_with(|| a.asset.cmp(&b.asset)));
    answer.from = Some(span.start());
    answer.to = Some(span.end);
    answer.complete = Some(span.end <= reached);
    answer.sample = sample;
    answer.run_id.clone_from(&lineage.run_id);
    answer.lineage = lineage;
    Ok(answer)
}
