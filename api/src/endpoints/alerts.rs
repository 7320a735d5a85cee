use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::params::Params;
use crate::problem::Problem;
use crate::store::alerts::{Alert, AlertsQuery};
use crate::time::{EARLIEST, LATEST, UtcTime};
use crate::{answer, cursor};

/// A page of alerts, newest window first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alerts {
    /// At least some of these alerts are about sample data.
    sample: bool,
    /// Newest window first.
    alerts: Vec<Alert>,
    /// Give it as `cursor=` for the next page; null on the last one.
    next: Option<String>,
}

/// What deserves a look, newest first
#[utoipa::path(get, path = "/v1/alerts", tag = "insights",
    params(
        ("asset" = Option<String>, Query, description = "Only about this asset"),
        ("kind" = Option<String>, Query, description = "Only of this kind: attention_spike or sentiment_drop"),
        ("from" = Option<String>, Query, description = "Windows that start at or after: RFC 3339 or a date"),
        ("to" = Option<String>, Query, description = "Windows that start before: RFC 3339, or the end of a date"),
        ("run" = Option<String>, Query, description = "A replay's id; `live` by default"),
        ("limit" = Option<i64>, Query, description = "Alerts per page, 1 to 200; 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Alerts)))]
pub(crate) async fn list(State(app): SharedApp, headers: HeaderMap, mut params: Params) -> Result<Response, Problem> {
    let asset = params.text("asset", 64);
    let kind = params.text("kind", 64);
    let (from, to) = (params.time("from"), params.end("to"));
    params.check_order(from, to);
    let run = params.run();
    let limit = params.integer("limit", 1..=200, 50);
    let question = format!("alerts {run} {asset:?} {kind:?} {from:?} {to:?}");
    let after = cursor::take(&mut params, &question);
    params.finish()?;
    app.extent(&run).await?;
    let query = AlertsQuery {
        run,
        asset,
        kind,
        from: from.unwrap_or(UtcTime(EARLIEST)),
        to: to.unwrap_or(UtcTime(LATEST)),
        after,
        limit: limit + 1,
    };
    let mut alerts = app.store.alerts(&query).await?;
    let more = alerts.len() as i64 > limit;
    alerts.truncate(limit as usize);
    let next = alerts.last().filter(|_| more).map(|last| cursor::encode(&question, last.window_start, &last.alert_id));
    let sample = alerts.iter().any(|alert| alert.sample);
    answer::json(&headers, &Alerts { sample, alerts, next })
}
