use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::params::Params;
use crate::problem::Problem;
use crate::store::runs::Run;
use crate::{answer, cursor};

/// A page of runs, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Runs {
    /// Newest first.
    runs: Vec<Run>,
    /// Give it as `cursor=` for the next page; null on the last one.
    next: Option<String>,
}

/// Live and replayed computations, newest first
#[utoipa::path(get, path = "/v1/runs", tag = "operations",
    params(
        ("limit" = Option<i64>, Query, description = "Runs per page, 1 to 200; 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Runs)))]
pub(crate) async fn list(State(app): SharedApp, headers: HeaderMap, mut params: Params) -> Result<Response, Problem> {
    let limit = params.integer("limit", 1..=200, 50);
    let after = cursor::take(&mut params, "runs");
    params.finish()?;
    let mut runs = app.store.runs(after, limit + 1).await?;
    let more = runs.len() as i64 > limit;
    runs.truncate(limit as usize);
    let next = runs.last().filter(|_| more).map(|last| cursor::encode("runs", last.started_at, &last.run_id));
    answer::json(&headers, &Runs { runs, next })
}
