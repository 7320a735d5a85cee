//! Who asks, and the layers that ask for a scope.

use axum::extract::Request;
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vigie_audit::{Action, AuditLog, Event, Outcome};

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

/// The layer of the routes that are audited: a token with the scope is needed even where nothing else needs one, and a refusal is audited.
pub(crate) async fn require_token(
    scope: Scope,
    action: fn(&Method) -> Action,
    request: Request,
    next: Next,
) -> Response {
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
    if let Some(audit) = request.extensions().get::<AuditLog>() {
        let event = Event::new(subject.as_deref(), action(request.method()), author_id(request.uri().path()));
        let event = event.outcome(Outcome::Refused).with("status", problem.status).with("scope", scope.name());
        if subject.is_some() { audit.note(event) } else { audit.mention(event) }
    }
    problem.into_response()
}

/// Nothing else of a path is audited: somebody may have put a handle there.
fn author_id(path: &str) -> Option<&str> {
    path.rsplit('/').next().filter(|last| is_author_id(last))
}

/// Whether the text is a pseudonym, known or not.
pub(crate) fn is_author_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Whom the caller's token speaks for.
pub(crate) fn subject(extensions: &Extensions) -> Option<&str> {
    identity(extensions).map(|identity| &*identity.subject)
}

/// Who asks, where tokens are asked for.
pub(crate) fn identity(extensions: &Extensions) -> Option<&Identity> {
    extensions.get::<Caller>().and_then(|Caller(identity)| identity.as_ref().ok())
}

/// Whether the caller has the scope: for answers that hold more for some.
pub(crate) fn has_scope(extensions: &Extensions, scope: Scope) -> Result<(), Problem> {
    match extensions.get::<Caller>() {
        None => Ok(()),
        Some(Caller(Ok(identity))) => identity.require(scope),
        Some(Caller(Err(problem))) => Err(problem.clone()),
    }
}
