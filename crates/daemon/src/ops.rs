use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::TextEncoder;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::{Context, Mistake, ServiceError, State};

/// Where a service answers probes and scrapes.
#[derive(Clone, Debug, clap::Args)]
pub struct OpsConfig {
    /// Address of /livez, /readyz and /metrics
    #[arg(long, env = "VIGIE_OPS_LISTEN", default_value = "127.0.0.1:9464")]
    pub ops_listen: SocketAddr,
}

#[derive(Serialize)]
struct Probe {
    ok: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
    components: BTreeMap<String, State>,
}

/// `/livez`, `/readyz` and `/metrics` (Prometheus text format 0.0.4) of this process.
pub fn ops_router(ctx: Context) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ctx)
}

/// Serves [`ops_router`] until the shutdown.
///
/// # Errors
/// [`ServiceError::Config`] if the address cannot be bound.
pub async fn serve_ops(addr: SocketAddr, ctx: Context) -> Result<(), ServiceError> {
    let listener = tokio::net::TcpListener::bind(addr).await.map_err(|error| {
        Mistake::of::<OpsConfig>("ops-listen", format!("{addr}: {error}"), "a free address of this machine")
    })?;
    if let Ok(addr) = listener.local_addr() {
        info!(%addr, "ops endpoint listening");
    }
    let shutdown = ctx.shutdown.clone();
    axum::serve(listener, ops_router(ctx))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(ServiceError::failed)
}

async fn livez(Shared(ctx): Shared<Context>) -> Response {
    let report = ctx.health.report();
    probe(report.live(), false, report.components)
}

/// `?exclude=` names components, separated by commas, that the asker can do without.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    exclude: String,
}

async fn readyz(Shared(ctx): Shared<Context>, Query(asked): Query<Asked>) -> Response {
    let without: Vec<&str> = asked.exclude.split(',').collect();
    let report = ctx.health.report_without(&without);
    let draining = ctx.shutdown.is_cancelled();
    probe(report.ready && !draining, draining, report.components)
}

fn probe(ok: bool, draining: bool, components: Vec<(String, State)>) -> Response {
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Probe { ok, draining, components: components.into_iter().collect() })).into_response()
}

async fn metrics(Shared(ctx): Shared<Context>) -> Response {
    match TextEncoder::new().encode_to_string(&ctx.metrics.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode metrics: {error}")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(ctx: &Context, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = ops_router(ctx.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_names_the_component_that_holds_it_back() {
        let ctx = Context::system();
        let kafka = ctx.health.component("kafka");
        kafka.not_ready("no broker answers");
        let (status, body) = get(&ctx, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["components"]["kafka"]["reason"], "no broker answers");
        assert_eq!(get(&ctx, "/livez").await.0, StatusCode::OK);
        let store = ctx.health.component("store");
        store.ready();
        assert_eq!(get(&ctx, "/readyz?exclude=registry,kafka").await.0, StatusCode::OK);
        assert_eq!(get(&ctx, "/readyz?exclude=store").await.0, StatusCode::SERVICE_UNAVAILABLE);
        kafka.ready();
        assert_eq!(get(&ctx, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn readyz_fails_while_draining_and_livez_does_not() {
        let ctx = Context::system();
        ctx.health.component("kafka").ready();
        ctx.shutdown.cancel();
        let (status, body) = get(&ctx, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"draining\":true"));
        assert_eq!(get(&ctx, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn livez_asks_for_a_restart_after_a_failure() {
        let ctx = Context::system();
        ctx.health.component("task").failed("corrupt state");
        assert_eq!(get(&ctx, "/livez").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let ctx = Context::system();
        let counter = prometheus::IntCounter::new("vigie_test_things_total", "Things").unwrap();
        ctx.metrics.register(Box::new(counter.clone())).unwrap();
        counter.inc_by(3);
        let (status, body) = get(&ctx, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("# TYPE vigie_test_things_total counter\nvigie_test_things_total 3\n"), "{body}");
    }

    #[tokio::test]
    async fn taken_ops_port_is_a_configuration_error_that_names_the_address() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = taken.local_addr().unwrap();
        let error = serve_ops(addr, Context::system()).await.unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    }

    #[tokio::test]
    async fn serve_ops_ends_with_the_shutdown() {
        let ctx = Context::system();
        let server = tokio::spawn(serve_ops(SocketAddr::from(([127, 0, 0, 1], 0)), ctx.clone()));
        ctx.shutdown.cancel();
        server.await.unwrap().unwrap();
    }
}
