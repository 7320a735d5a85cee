use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::http::answer;
use crate::http::params::{NoParams, Query};
use crate::http::problem::Problem;
use crate::store::sources::{Source, SourceHealth};

/// All sources.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sources {
    /// How many there are.
    total: usize,
    /// How many of them are ok.
    healthy: usize,
    /// At least some are sample data.
    sample: bool,
    /// Why the changed file of sources is not used; null if nothing is wrong with it. Known only where the producers run in this process, as in `up`;
    /// else /readyz of the producers has it.
    file_rejected: Option<String>,
    /// By id.
    sources: Vec<Source>,
}

/// Where posts come from, and how well that works
#[utoipa::path(get, path = "/v1/sources", tag = "operations", operation_id = "list_sources",
    responses((status = 200, description = "The sources by id", body = Sources)))]
pub(crate) async fn list(State(app): SharedApp, headers: HeaderMap, _: Query<NoParams>) -> Result<Response, Problem> {
    let data = app.store.snapshot().await?;
    let sources = data.sources(app.clock.now().into()).await?;
    data.end().await;
    let healthy = sources.iter().filter(|source| source.health == SourceHealth::Ok).count();
    let sample = sources.iter().any(|source| source.sample);
    let file_rejected = app.health.degraded("sources-file");
    answer::json(&headers, &Sources { total: sources.len(), healthy, sample, file_rejected, sources })
}
