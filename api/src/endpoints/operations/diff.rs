//! A run beside another.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::LIVE_RUN;

use crate::app::SharedApp;
use crate::http::answer;
use crate::http::params::{Int, Path, Query, Text};
use crate::http::problem::Problem;
use crate::store::runs::diff::{AlertDiff, AssetDiff, Flip, FlippedPost, PostCounts};
use crate::time::UtcTime;

/// What two runs say of the same range of time.
#[derive(Serialize, ToSchema)]
pub(crate) struct Diff {
    /// The run.
    run: String,
    /// The run that it is compared with.
    with: String,
    /// Start of the range, inclusive: that of the run, or what two replays have in common.
    from: UtcTime,
    /// End of the range, exclusive.
    to: UtcTime,
    /// How many posts each has.
    posts: PostCounts,
    /// By asset: `*` first, then by posts in either run.
    assets: Vec<AssetDiff>,
    /// Labels that changed, most posts first.
    flips: Vec<Flip>,
    /// Posts whose labels changed, those first whose scores changed most.
    examples: Vec<FlippedPost>,
    /// The alerts of both; null if one of them has not raised its own: it goes on, has failed, or is of a version that raised none.
    alerts: Option<AlertDiff>,
}

/// Which run.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RunPath {
    /// Id of a replay
    #[param(inline)]
    run: Text<128>,
}

/// What it is compared with.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DiffParams {
    /// The other run; by default the live one
    #[param(inline)]
    with: Option<Text<128>>,
    /// Assets, examples and alerts to show at most
    #[param(inline)]
    limit: Int<1, 200, 20>,
}

/// A replay beside the live run, or beside another
///
/// Volume, mood with the confidence interval of its shift, ranks, labels and alerts, over the range of the run. Reads the rows of that range
/// only.
#[utoipa::path(get, path = "/v1/runs/{run}/diff", tag = "operations", operation_id = "diff_runs", params(RunPath, DiffParams),
    responses((status = 200, description = "The differences", body = Diff)))]
pub(crate) async fn diff(
    State(app): SharedApp,
    Path(RunPath { run: Text(run) }): Path<RunPath>,
    headers: HeaderMap,
    Query(asked): Query<DiffParams>,
) -> Result<Response, Problem> {
    let DiffParams { with, limit: Int(limit) } = asked;
    let with = with.map_or_else(|| LIVE_RUN.to_owned(), |Text(with)| with);
    let data = app.store.snapshot().await?;
    let Some(pair) = data.pair(&run, &with).await? else {
        return Err(Problem::not_found(
            "the first is no replay with a range or windows, or the other no run: see /v1/runs",
        ));
    };
    let mut flips = data.labels(&pair).await?;
    let both = flips.iter().map(|flip| flip.posts).sum();
    flips.retain(|flip| flip.label != flip.label_with);
    let diff = Diff {
        posts: data.post_counts(&pair, both).await?,
        assets: data.asset_diffs(&pair, limit).await?,
        flips,
        examples: data.flipped_posts(&pair, limit).await?,
        alerts: data.alert_diff(&pair, limit).await?,
        run: pair.run,
        with: pair.with,
        from: pair.from,
        to: pair.to,
    };
    data.end().await;
    answer::json(&headers, &diff)
}
