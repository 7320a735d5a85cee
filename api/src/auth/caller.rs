//! Who asks, and the layers that ask for a scope.

use axum::extract::Request;
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::info;
use vigie_daemon::AUDIT;

use super::{Identity, Scope};
use crate::http::problem::Problem;

/// Who asks: a valid identity, or why there is none. Only where tokens are asked for.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Result<Identity, Problem>);

/// The layer of the routes that need a scope, where tokens are asked for.
pub(crate) async fn require(scope: Scope, request: Request, next: Next) -> Response {
    let allowed = match request.extensions().get::<Caller>() {
        None => Ok(()),
        Some(Caller(Ok(identity))) => identity.require(scope),
        Some(Caller(Err(problem))) => Err(problem.clone()),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The layer of the routes to personal data: a token with the scope is needed even where nothing else needs one, and who lacks it is
/// written to the log.
pub(crate) async fn require_token(scope: Scope, request: Request, next: Next) -> Response {
    let (refused, subject) = match request.extensions().get::<Caller>() {
        None => {
            let detail = format!(
                "this server asks for no tokens, and this is opened only for one with scope {}: start it with --auth jwt",
                scope.name()
            );
            (Some(Problem::forbidden(detail)), None)
        }
        Some(Caller(Ok(identity))) => (identity.require(scope).err(), Some(identity.subject.clone())),
        Some(Caller(Err(problem))) => (Some(problem.clone()), None),
    };
    let Some(problem) = refused else { return next.run(request).await };
    info!(target: AUDIT, subject, scope = scope.name(), status = problem.status, "access to personal data refused");
    problem.into_response()
}

/// Whom the caller's token speaks for.
pub(crate) fn subject(extensions: &Extensions) -> Option<&str> {
    match extensions.get::<Caller>() {
        Some(Caller(Ok(identity))) => Some(&identity.subject),
        _ => None,
    }
}

/// When the caller's token ends, in Unix seconds.
pub(crate) fn expires(extensions: &Extensions) -> Option<i64> {
    match extensions.get::<Caller>() {
        Some(Caller(Ok(identity))) => Some(identity.expires),
        _ => None,
    }
}

/// Whether the caller has the scope: for answers that hold more for some.
pub(crate) fn has_scope(extensions: &Extensions, scope: Scope) -> Result<(), Problem> {
    match extensions.get::<Caller>() {
        None => Ok(()),
        Some(Caller(Ok(identity))) => identity.require(scope),
        Some(Caller(Err(problem))) => Err(problem.clone()),
    }
}
