//! The routes, by the scope that they need, and what every request passes before them.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vigie_audit::Action;
use vigie_daemon::{Context, ops_router};

use crate::app::App;
use crate::auth::{Scope, require, require_token};
use crate::endpoints::access::{authors, keys, login};
use crate::endpoints::insights::{alerts, assets, market, metric, series, stream, terms, trends};
use crate::endpoints::operations::{dead_letters, diff, runs, sources};
use crate::endpoints::pages::{dashboard, resource};
use crate::endpoints::posts::{self, search};
use crate::http::problem::Problem;
use guard::guard;

mod asyncapi;
pub(crate) mod docs;
mod guard;

/// Every route with its documentation.
fn routes() -> OpenApiRouter<Arc<App>> {
    let insights = OpenApiRouter::default()
        .routes(routes!(assets::list))
        .routes(routes!(series::series))
        .routes(routes!(series::many))
        .routes(routes!(metric::catalogue))
        .routes(routes!(trends::board))
        .routes(routes!(market::moods))
        .routes(routes!(alerts::list))
        .routes(routes!(terms::list))
        .routes(routes!(search::volume))
        .routes(routes!(stream::subscribe));
    let posts = OpenApiRouter::default()
        .routes(routes!(posts::list))
        .routes(routes!(search::search))
        .routes(routes!(diff::diff));
    let operations = OpenApiRouter::default().routes(routes!(sources::list)).routes(routes!(runs::list));
    let dead_letters = OpenApiRouter::default().routes(routes!(dead_letters::list)).routes(routes!(dead_letters::one));
    let authors = described(Scope::Authors, OpenApiRouter::default().routes(routes!(authors::open)))
        .route_layer(from_fn(|request, next| require_token(Scope::Authors, |_| Action::AuthorOpen, request, next)));
    let keys = OpenApiRouter::default().routes(routes!(keys::list, keys::create)).routes(routes!(keys::revoke));
    let keys = described(Scope::Keys, keys)
        .layer(DefaultBodyLimit::max(keys::MAX_BODY))
        .route_layer(from_fn(|request, next| require_token(Scope::Keys, keys::action, request, next)));
    let pages = OpenApiRouter::default()
        .routes(routes!(dashboard::page))
        .routes(routes!(dashboard::file))
        .routes(routes!(docs::page))
        .routes(routes!(resource::metadata))
        .routes(routes!(login::begin))
        .routes(routes!(login::callback))
        .routes(routes!(login::session))
        .routes(routes!(login::end))
        .routes(routes!(docs::openapi))
        .routes(routes!(asyncapi::asyncapi));
    docs::base()
        .merge(open_to(Scope::Insights, insights))
        .merge(open_to(Scope::Posts, posts))
        .merge(open_to(Scope::Operations, operations))
        .merge(open_to(Scope::DeadLetters, dead_letters))
        .merge(authors)
        .merge(keys)
        .merge(pages)
}

/// The routes, for those with the scope where tokens are asked for.
fn open_to(scope: Scope, routes: OpenApiRouter<Arc<App>>) -> OpenApiRouter<Arc<App>> {
    described(scope, routes).route_layer(from_fn(move |request, next| require(scope, request, next)))
}

fn described(scope: Scope, mut routes: OpenApiRouter<Arc<App>>) -> OpenApiRouter<Arc<App>> {
    docs::open_to(scope, routes.get_openapi_mut());
    routes
}

pub(crate) fn router(app: Arc<App>, ctx: Context) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .with_state(app.clone())
        .merge(ops_router(ctx).route_layer(from_fn(protect_metrics)))
        .fallback(async || Problem::not_found("there is nothing at this path, see /docs"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
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
