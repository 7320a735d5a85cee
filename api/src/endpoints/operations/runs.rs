use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::page::{Page, page_params};
use crate::http::params::{Format, Query};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::store::runs::Run;

/// A page of runs, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Runs {
    /// Newest first.
    runs: Vec<Run>,
    /// Give it as `cursor=` for the next page; null on the last one.
    next: Option<String>,
}

impl Table for Runs {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "run_id,topic,from_time,to_time,model,state,started_at,finished_at,posts";
        form.page(columns, &self.runs, self.next.as_deref())
    }
}

page_params!(
    /// What can be asked about runs.
    RunsParams {}
    /// Runs per page
    Format
);

/// Live and replayed computations, newest first
#[utoipa::path(get, path = "/v1/runs", tag = "operations", operation_id = "list_runs", params(RunsParams),
    responses((status = 200, description = "A page of runs", content((Runs = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(asked): Query<RunsParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format, &headers)?;
    let page = Page::new("runs".to_owned(), asked.cursor.as_ref(), asked.limit)?;
    let data = app.store.snapshot().await?;
    let mut runs = data.runs(&page).await?;
    data.end().await;
    let next = page.end(&mut runs, |last| (last.started_at, &last.run_id));
    Runs { runs, next }.respond(&headers, media)
}
