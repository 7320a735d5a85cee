//! The description of the API. Each route and its parameters are described where they are; here is what is common to all.

use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, KnownFormat, ObjectBuilder, Ref, RefOr, ResponseBuilder, SchemaFormat};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::auth::Scope;
use crate::endpoints::pages::dashboard;
use crate::http::answer;
use crate::http::problem::{Details, WrongParameter};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "vigie",
        description = "What people say about crypto assets: who talks about what, how they feel, what is about to trend. Every number is \
            traceable to the posts behind it. Times are UTC. Missing is null, never 0."
    ),
    paths(livez, readyz, metrics),
    components(schemas(Details, WrongParameter)),
    tags(
        (name = "insights", description = "Numbers"),
        (name = "posts", description = "What they are made of"),
        (name = "authors", description = "Personal data"),
        (name = "keys", description = "Who may ask"),
        (name = "operations", description = "How it is going"),
        (name = "dead letters", description = "Records that could not be processed"),
        (name = "pages", description = "For people")
    )
)]
struct Base;

/// What the routes are added to.
pub(super) fn base() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Base::openapi())
}

/// Of these routes, who may ask.
pub(super) fn open_to(scope: Scope, doc: &mut utoipa::openapi::OpenApi) {
    doc.paths.paths.values_mut().flat_map(operations).for_each(|operation| ask_for(scope, operation));
}

fn ask_for(scope: Scope, operation: &mut Operation) {
    let mut security = ["bearer", "api_key"].map(|scheme| SecurityRequirement::new(scheme, [scope.name()])).to_vec();
    if !matches!(scope, Scope::Authors | Scope::Keys) {
        security.insert(0, SecurityRequirement::default());
    }
    operation.security = Some(security);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten()
}

/// Adds the problems that answer any request, and those of resources under /v1.
fn complete(doc: &mut utoipa::openapi::OpenApi) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A token or an API key; needed only where the server asks for one"))
        .build();
    let key = ApiKeyValue::with_description("X-API-Key", "An API key, in place of the bearer token");
    let components = doc.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    for (path, item) in &mut doc.paths.paths {
        operations(item).for_each(|operation| describe(path, operation));
        operations(item).for_each(offer_arrow);
        let is_kept = !matches!(path.as_str(), "/livez" | "/readyz" | "/metrics" | "/v1/stream");
        let is_kept = is_kept && !path.starts_with("/login");
        if let Some(operation) = item.get.as_mut().filter(|_| is_kept && !path.starts_with("/v1/authors/")) {
            let response = ResponseBuilder::new().description("The client has this answer, as If-None-Match says");
            operation.responses.responses.insert("304".to_owned(), response.build().into());
        }
    }
}

/// Whatever is a table is one of Arrow, too.
fn offer_arrow(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.content.contains_key("text/csv")
        {
            let bytes = ObjectBuilder::new().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
            let content = ContentBuilder::new().schema(Some(bytes)).build();
            response.content.insert(answer::ARROW.to_owned(), RefOr::T(content));
        }
    }
}

/// The problems of one operation.
fn describe(path: &str, operation: &mut Operation) {
    let mut problems = vec![
        ("431", "The request's line and fields are too long; by the connection, without a body"),
        ("500", "A mistake of ours: its request id is in the log"),
    ];
    if !matches!(path, "/livez" | "/readyz") {
        problems.extend([
            ("406", "No acceptable format"),
            ("413", "The request has a body that nobody would read"),
            ("421", "Asked for by a name that is not the server's"),
            ("429", "Too many requests: see Retry-After"),
            ("503", "The answer took too long, or what it is read from is away: see Retry-After"),
        ]);
    }
    if path == "/metrics" {
        ask_for(Scope::Operations, operation);
    }
    if operation.security.is_some() {
        problems.extend([("401", "No valid token or API key"), ("403", "The token or API key lacks the scope")]);
    }
    if path.starts_with("/v1/authors/") {
        problems.extend([("410", "The author was erased"), ("501", "The server has no keyring")]);
    }
    if path.starts_with("/login") || path == "/logout" {
        problems.push(("400", "The parameters are wrong"));
    }
    if path.starts_with("/v1/") {
        problems.push(("400", "Parameters are wrong: every one is listed"));
        problems.push(("404", "No such asset, run, author, dead letter or key"));
    } else if path.contains('{') {
        problems.push(("400", "The path is no text"));
        problems.push(("404", "No such file"));
    }
    for (status, description) in problems {
        let mut response = ResponseBuilder::new().description(description);
        if status != "431" {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            response = response.content("application/problem+json", content);
        }
        // What a route says itself stands.
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
    }
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(openapi_json()));

/// The OpenAPI description of the API.
pub fn openapi_json() -> String {
    let mut doc = super::routes().into_openapi();
    complete(&mut doc);
    doc.to_json().unwrap_or_default()
}

/// This API in OpenAPI
#[utoipa::path(get, path = "/openapi.json", tag = "pages", operation_id = "openapi",
    responses((status = 200, description = "The description", body = Object)))]
pub(crate) async fn openapi(headers: HeaderMap) -> Response {
    answer::conditional(&headers, answer::JSON, DOCUMENT.clone())
}

/// This API for people
#[utoipa::path(get, path = "/docs", tag = "pages", operation_id = "docs",
    responses((status = 200, description = "The page", body = String, content_type = "text/html")))]
pub(crate) async fn page(headers: HeaderMap) -> Response {
    dashboard::html(&headers, include_str!("../../assets/docs.html"))
}

/// Whether the process should go on: 503 asks for a restart
#[utoipa::path(get, path = "/livez", tag = "operations", operation_id = "livez",
    responses((status = 200, description = "It should", body = Object), (status = 503, description = "It is stuck", body = Object)))]
#[expect(dead_code, reason = "documents a route of vigie-daemon")]
fn livez() {}

/// Whether the process can serve
#[utoipa::path(get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses((status = 200, description = "It can", body = Object), (status = 503, description = "It cannot: why", body = Object)))]
#[expect(dead_code, reason = "documents a route of vigie-daemon")]
fn readyz() {}

/// Figures for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain")))]
#[expect(dead_code, reason = "documents a route of vigie-daemon")]
fn metrics() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> serde_json::Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    #[test]
    fn operations_have_ids_of_their_own_and_responses_descriptions() {
        let doc = document();
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in doc["paths"].as_object().unwrap() {
            let operations = ["get", "post", "delete"].into_iter().filter_map(|method| item.get(method));
            for operation in operations {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}: {operation}");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    assert!(!response["description"].as_str().unwrap_or_default().is_empty(), "{path} {status}");
                }
                for parameter in operation["parameters"].as_array().unwrap_or(&Vec::new()) {
                    assert!(!parameter["description"].as_str().unwrap_or_default().is_empty(), "{path}: {parameter}");
                    assert_ne!(parameter["schema"], serde_json::json!({}), "{path}: {parameter}");
                }
            }
        }
    }

    #[test]
    fn every_reference_has_a_target() {
        let json = document();
        fn walk(value: &serde_json::Value, root: &serde_json::Value) {
            match value {
                serde_json::Value::Object(fields) => {
                    if let Some(target) = fields.get("$ref").and_then(|r| r.as_str()) {
                        assert!(root.pointer(target.trim_start_matches('#')).is_some(), "{target}");
                    }
                    fields.values().for_each(|field| walk(field, root));
                }
                serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, root)),
                _ => {}
            }
        }
        walk(&json, &json);
        assert!(json["openapi"].as_str().unwrap().starts_with("3."));
    }
}
