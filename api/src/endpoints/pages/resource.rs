//! Whom to ask for a token (RFC 9728).

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::auth::Scope;
use crate::http::answer;
use crate::http::params::{NoParams, Query};
use crate::http::problem::Problem;

/// This API as a resource of OAuth 2.0.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProtectedResource {
    /// Its URL.
    resource: String,
    /// What it is called.
    resource_name: &'static str,
    /// Where it is described.
    resource_documentation: String,
    /// Issuers of the tokens that it takes.
    authorization_servers: Vec<String>,
    /// What tokens can allow.
    scopes_supported: Vec<&'static str>,
    /// How tokens are sent.
    bearer_methods_supported: [&'static str; 1],
}

/// Whom to ask for a token (RFC 9728)
#[utoipa::path(get, path = "/.well-known/oauth-protected-resource", tag = "pages", operation_id = "protected_resource",
    responses((status = 200, description = "The issuers and scopes", body = ProtectedResource),
        (status = 404, description = "The server does not say", body = crate::http::problem::Details,
            content_type = "application/problem+json")))]
pub(crate) async fn metadata(
    State(app): SharedApp,
    _: Query<NoParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let described =
        app.auth.as_ref().and_then(|auth| Some((auth.resource.clone()?, auth.authorization_servers.clone())));
    let (resource, authorization_servers) =
        described.ok_or_else(|| Problem::not_found("this server asks for no tokens, or has no --auth-resource"))?;
    let described = ProtectedResource {
        resource_name: "vigie",
        resource_documentation: format!("{resource}/docs"),
        resource,
        authorization_servers,
        scopes_supported: Scope::ALL.map(Scope::name).into(),
        bearer_methods_supported: ["header"],
    };
    answer::json(&headers, &described)
}
