use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::params::{Format, Query};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::store::operations::sources::{Source, SourceHealth};

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

impl Table for Sources {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "\
            source,kind,url,health,at,decision,status,reason,bytes,duration_ms,posts_seen,\
            posts_new,posts_new_24h,last_success_at,sample";
        form.rows(columns, &self.sources)
    }
}

/// How the sources are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SourcesParams {
    /// By default what `Accept` prefers
    #[param(inline)]
    format: Option<Format>,
}

/// Where posts come from, and how well that works
#[utoipa::path(get, path = "/v1/sources", tag = "operations", operation_id = "list_sources", params(SourcesParams),
    responses((status = 200, description = "The sources by id", content((Sources = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(asked): Query<SourcesParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format, &headers)?;
    let data = app.store.snapshot().await?;
    let sources = data.sources(app.clock.now().into()).await?;
    data.end().await;
    let healthy = sources.iter().filter(|source| source.health == SourceHealth::Ok).count();
    let sample = sources.iter().any(|source| source.sample);
    let file_rejected = app.health.degraded("sources-file");
    let answer = Sources { total: sources.len(), healthy, sample, file_rejected, sources };
    answer.respond(&headers, media)
}
