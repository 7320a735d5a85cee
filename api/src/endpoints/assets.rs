use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::app::SharedApp;
use crate::params::Params;
use crate::problem::Problem;
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

/// All assets that posts have mentioned
#[utoipa::path(get, path = "/v1/assets", tag = "insights",
    params(("run" = Option<String>, Query, description = "A replay's id; `live` by default")),
    responses((status = 200, body = Assets)))]
pub(crate) async fn list(State(app): SharedApp, headers: HeaderMap, mut params: Params) -> Result<Response, Problem> {
    let run = params.run();
    params.finish()?;
    answer::negotiate(&headers, &[answer::JSON])?;
    let body = app.cache.answer(format!("assets {run}"), async {
        let empty = Assets {
            run_id: run.clone(),
            oldest: None,
            newest: None,
            sample: false,
            assets: Vec::new(),
            lineage: Lineage::new(&run),
        };
        let Some(extent) = app.extent(&run).await? else { return answer::to_json(&empty) };
        let (assets, sample) = app.store.assets(&run, extent).await?;
        let lineage = app.store.lineage(&run, None, extent.newest.plus(-86_400), extent.newest).await?;
        answer::to_json(&Assets {
            oldest: Some(extent.oldest),
            newest: Some(extent.newest),
            sample,
            assets,
            lineage,
            ..empty
        })
    });
    Ok(answer::conditional(&headers, answer::JSON, body.await?))
}
