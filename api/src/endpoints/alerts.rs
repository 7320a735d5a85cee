use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::WHOLE_MARKET;

use crate::app::SharedApp;
use crate::http::params::{AssetId, Cursor, End, Int, Moment, PageLimit, Query, Run};
use crate::http::problem::Problem;
use crate::http::{answer, cursor};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::alerts::{Alert, AlertKind, AlertsQuery};
use crate::time::{EARLIEST, LATEST, UtcTime};

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

/// What can be asked about alerts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AlertsParams {
    /// Only about this asset
    #[param(inline)]
    asset: Option<AssetId>,
    /// Only of this kind
    #[param(inline)]
    kind: Option<AlertKind>,
    /// Windows that start at or after: RFC 3339 or a date
    #[param(inline)]
    from: Option<Moment>,
    /// Windows that start before: RFC 3339, or the end of a date
    #[param(inline)]
    to: Option<End>,
    /// A replay's id; `live` by default
    #[param(inline)]
    run: Run,
    /// Alerts per page
    #[param(inline)]
    limit: PageLimit,
    /// `next` of the page before
    #[param(inline)]
    cursor: Option<Cursor>,
}

/// What deserves a look, newest first
#[utoipa::path(get, path = "/v1/alerts", tag = "insights", operation_id = "list_alerts", params(AlertsParams),
    responses((status = 200, description = "A page of alerts", body = Alerts)))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(asked): Query<AlertsParams>,
) -> Result<Response, Problem> {
    answer::negotiate(&headers, &[answer::JSON])?;
    app.serving.answer(&headers, answer::JSON, &asked).await
}

impl Question for AlertsParams {
    const NAME: &'static str = "alerts";

    fn run(&self) -> &str {
        &self.run.0
    }

    async fn build(&self, data: &Snapshot) -> Result<Bytes, Problem> {
        let Self { asset, kind, from, to, run: Run(run), limit: Int(limit), cursor } = self;
        let question = format!("alerts {run} {asset:?} {kind:?} {from:?} {to:?}");
        let after = cursor::read(cursor.as_ref(), &question)?;
        let ground = data.ground(run, asset.as_ref().map_or(WHOLE_MARKET, |asset| &asset.0)).await?;
        let query = AlertsQuery {
            run: run.clone(),
            asset: asset.as_ref().map(|_| ground.asset),
            kind: *kind,
            from: from.map_or(UtcTime(EARLIEST), |from| from.0),
            to: to.map_or(UtcTime(LATEST), |to| to.0),
            after,
            limit: limit + 1,
        };
        let mut alerts = data.alerts(&query).await?;
        let next = cursor::end_page(&mut alerts, *limit, &question, |last| (last.window_start, &last.alert_id));
        let sample = alerts.iter().any(|alert| alert.sample);
        answer::to_json(&Alerts { sample, alerts, next })
    }
}
