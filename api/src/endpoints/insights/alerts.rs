use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_schemas::WHOLE_MARKET;

use crate::app::SharedApp;
use crate::http::page::{Page, page_params};
use crate::http::params::{AsOf, AssetId, End, Format, Moment, Query, Run, is_relative, range};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::serving::Question;
use crate::store::Snapshot;
use crate::store::windows::alerts::{Alert, AlertKind, AlertsQuery};
use crate::time::UtcTime;

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

page_params!(
    /// What can be asked about alerts.
    AlertsParams {
        /// Only about this asset: its id, name or an alias
        #[param(inline)]
        asset: Option<AssetId>,
        /// Only of this kind
        #[param(inline)]
        kind: Option<AlertKind>,
        /// Windows that start at or after: RFC 3339, a date, or now-1h
        #[param(inline)]
        from: Option<Moment>,
        /// Windows that start before: RFC 3339, the end of a date, or now-1h
        #[param(inline)]
        to: Option<End>,
        /// Only what had been raised at this time
        #[param(inline)]
        as_of: Option<AsOf>,
        /// `live`, or a replay's id; by default what is served: promoted runs in their ranges, `live` elsewhere
        #[param(inline)]
        run: Run,
    }
    /// Alerts per page
    Format
);

impl Table for Alerts {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "\
            alert_id,run_id,asset,kind,window_start,window_end,value,expected,anomaly_score,\
            raised_at,sample,scale_seconds";
        form.page(columns, &self.alerts, self.next.as_deref())
    }
}

/// What deserves a look, newest first
#[utoipa::path(get, path = "/v1/alerts", tag = "insights", operation_id = "list_alerts", params(AlertsParams),
    responses((status = 200, description = "A page of alerts", content((Alerts = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(mut asked): Query<AlertsParams>,
) -> Result<Response, Problem> {
    let media = Format::media(asked.format.take(), &headers)?;
    asked.asset = asked.asset.map(|asset| app.names.canonical(&asset));
    app.serving.answer(&headers, media, &asked).await
}

impl Question for AlertsParams {
    const NAME: &'static str = "alerts";
    type Answer = Alerts;

    fn run(&self) -> &str {
        &self.run.0
    }

    fn is_timeless(&self, _now: UtcTime) -> bool {
        !is_relative(self.from, self.to)
    }

    async fn build(&self, data: &Snapshot, now: UtcTime) -> Result<Alerts, Problem> {
        let Self { asset, kind, from, to, as_of, run: Run(run), limit, cursor, format: _ } = self;
        let question = format!("alerts {run} {asset:?} {kind:?} {from:?} {to:?} {as_of:?}");
        let page = Page::new(question, cursor.as_ref(), *limit)?;
        let as_of = as_of.map(|time| time.0);
        let served = data.served(run, as_of);
        let ground = data.ground(&served, asset.as_ref().map_or(WHOLE_MARKET, |asset| &asset.0)).await?;
        let query = AlertsQuery {
            served,
            asset: asset.as_ref().map(|_| ground.asset.clone()),
            kind: *kind,
            range: range(*from, *to, ground.reached(now)),
            as_of,
            page,
        };
        let mut alerts = data.alerts(&query).await?;
        let next = query.page.end(&mut alerts, |last| (last.window_start, &last.alert_id));
        let sample = alerts.iter().any(|alert| alert.sample);
        Ok(Alerts { sample, alerts, next })
    }
}
