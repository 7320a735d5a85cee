use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::answer;
use crate::http::params::{Query, Run};
use crate::http::problem::Problem;
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::assets::Asset;
use crate::store::lineage::Lineage;
use crate::time::UtcTime;

/// The assets of a run.
#[derive(Serialize, ToSchema)]
pub(crate) struct Assets {
    /// `live`, or the id of a replay.
    run_id: String,
    /// Start of the oldest window; null if there is no data yet.
    oldest: Option<UtcTime>,
    /// End of the newest window: the "now" of the data. Archives play the past. Null if there is no data yet.
    newest: Option<UtcTime>,
    /// At least some of the data does not come from the public web.
    sample: bool,
    /// By id; `*` stands for all posts.
    assets: Vec<Asset>,
    /// What the last 24 hours stand on.
    lineage: Lineage,
}

/// What can be asked about assets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AssetsParams {
    /// A replay's id; `live` by default
    #[param(inline)]
    run: Run,
}

/// All assets that posts have mentioned
#[utoipa::path(get, path = "/v1/assets", tag = "insights", operation_id = "list_assets", params(AssetsParams),
    responses((status = 200, description = "The assets by id", body = Assets)))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(asked): Query<AssetsParams>,
) -> Result<Response, Problem> {
    answer::negotiate(&headers, &[answer::JSON])?;
    app.serving.answer(&headers, answer::JSON, &asked).await
}

impl Question for AssetsParams {
    const NAME: &'static str = "assets";

    fn run(&self) -> &str {
        &self.run.0
    }

    async fn build(&self, data: &Snapshot) -> Result<Bytes, Problem> {
        let run = &self.run.0;
        let empty = Assets {
            run_id: run.clone(),
            oldest: None,
            newest: None,
            sample: false,
            assets: Vec::new(),
            lineage: Lineage::new(run),
        };
        let Some(extent) = data.extent(run).await? else { return answer::to_json(&empty) };
        let ((assets, sample), lineage) =
            try_join!(data.assets(run, extent), data.lineage(run, extent.newest.plus(-86_400), extent.newest))?;
        let (oldest, newest) = (Some(extent.oldest), Some(extent.newest));
        answer::to_json(&Assets { oldest, newest, sample, assets, lineage, ..empty })
    }
}
