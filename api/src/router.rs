use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use vigie_daemon::{Context, ops_router};

use crate::app::App;
use crate::auth::Scope;
use crate::endpoints::{
    alerts, assets, authors, dashboard, docs, market, posts, runs, series, sources, stream, trends,
};
use crate::middleware::{guard, require, require_token};
use crate::problem::Problem;

type Route = (&'static str, MethodRouter<Arc<App>>);

/// Everything, by the scope that it needs where tokens are asked for.
fn routes() -> [(Option<Scope>, Vec<Route>); 5] {
    [
        (
            Some(Scope::Insights),
            vec![
                ("/v1/assets", get(assets::list)),
                ("/v1/assets/{asset}/series", get(series::series)),
                ("/v1/trends", get(trends::board)),
                ("/v1/market-trends", get(market::moods)),
                ("/v1/alerts", get(alerts::list)),
                ("/v1/stream", get(stream::subscribe)),
            ],
        ),
        (Some(Scope::Posts), vec![("/v1/assets/{asset}/posts", get(posts::list))]),
        (Some(Scope::Operations), vec![("/v1/sources", get(sources::list)), ("/v1/runs", get(runs::list))]),
        (Some(Scope::Authors), vec![("/v1/authors/{author_id}", get(authors::open))]),
        (
            None,
            vec![
                ("/", get(dashboard::page)),
                ("/assets/{file}", get(dashboard::file)),
                ("/docs", get(docs::page)),
                ("/openapi.json", get(docs::openapi)),
            ],
        ),
    ]
}

/// The paths of [`routes`], for a check against the documentation.
#[cfg(test)]
pub(crate) fn paths() -> Vec<&'static str> {
    routes()
        .into_iter()
        .flat_map(|(_, routes)| routes.into_iter().map(|(path, _)| path))
        .chain(["/livez", "/readyz", "/metrics"])
        .collect()
}

pub(crate) fn router(app: Arc<App>, ctx: Context) -> Router {
    let mut router = Router::new();
    for (scope, routes) in routes() {
        let mut group: Router<Arc<App>> = Router::new();
        for (path, handler) in routes {
            group = group.route(path, handler);
        }
        if scope == Some(Scope::Authors) {
            group = group.route_layer(from_fn(|request, next| require_token(Scope::Authors, request, next)));
        } else if let Some(scope) = scope {
            group = group.route_layer(from_fn(move |request, next| require(scope, request, next)));
        }
        router = router.merge(group);
    }
    router
        .with_state(app.clone())
        .merge(ops_router(ctx).route_layer(from_fn(protect_metrics)))
        .fallback(async || Problem::not_found("there is nothing at this path, see /docs"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed("expected GET or HEAD"))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app, guard))
        .layer(CompressionLayer::new())
}

/// Probes stay open: they must not need a token.
async fn protect_metrics(path: MatchedPath, request: Request, next: Next) -> Response {
    if path.as_str() == "/metrics" { require(Scope::Operations, request, next).await } else { next.run(request).await }
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of unknown kind"), "handler panicked");
    Problem::internal().into_response()
}
