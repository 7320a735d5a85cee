use std::ops::Deref;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, as RFC 9457 problem details (`application/problem+json`).
///
/// `type` names the kind of problem and resolves to its description on `/docs`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    /// A URI reference that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words; the same for all of its kind.
    pub title: &'static str,
    /// The HTTP status code.
    pub status: u16,
    /// What is wrong with this very request.
    pub detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Find the request in the log by this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Every wrong parameter, if parameters are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<WrongParameter>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A query parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct WrongParameter {
    /// Its name.
    pub parameter: String,
    /// What was given, and what was expected.
    pub detail: String,
}

/// [`Details`] on the heap, for most results are none.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Details>);

impl Deref for Problem {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind: format!("/docs#problem-{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
            request_id: None,
            errors: Vec::new(),
            headers: Vec::new(),
        }))
    }

    /// As JSON, with the path and the id of the request.
    pub(crate) fn locate(mut self, path: &str, request_id: &str) -> String {
        self.0.instance = Some(path.chars().take(256).collect());
        self.0.request_id = Some(request_id.to_owned());
        self.to_json()
    }

    fn to_json(&self) -> String {
        serde_json::to_string(&*self.0).unwrap_or_default()
    }

    pub(crate) fn invalid_parameters(errors: Vec<WrongParameter>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.parameter, one.detail),
            many => format!("{} parameters are wrong", many.len()),
        };
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "invalid-parameters", "invalid parameters", detail);
        problem.0.errors = errors;
        problem
    }

    pub(crate) fn invalid_parameter(parameter: &str, detail: impl Into<String>) -> Self {
        Self::invalid_parameters(vec![WrongParameter { parameter: parameter.to_owned(), detail: detail.into() }])
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "not found", detail)
    }

    /// The router adds `Allow`.
    pub(crate) fn method_not_allowed() -> Self {
        let detail = "expected one of the methods that Allow lists";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "method not allowed", detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>, challenge: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid bearer token is needed", detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "the token does not allow this", detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer error="insufficient_scope""#))
    }

    pub(crate) fn cross_site(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross-site", "not sent by a page of this server", detail)
    }

    pub(crate) fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", "gone for good", detail)
    }

    pub(crate) fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-implemented", "this server is not set up for this", detail)
    }

    pub(crate) fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "no acceptable format", detail)
    }

    pub(crate) fn body_too_large(limit: u64) -> Self {
        let detail = format!("the request's body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "body too large", detail)
    }

    pub(crate) fn rate_limited(wait: Duration) -> Self {
        let seconds = whole_seconds(wait);
        let detail = format!("too many requests, try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "too many requests", detail).retry_after(seconds)
    }

    pub(crate) fn too_many_openings(most: u32, wait: Duration) -> Self {
        let detail = format!("{most} authors were opened today (UTC), which is the limit of a subject");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "too many requests", detail)
            .retry_after(whole_seconds(wait))
    }

    pub(crate) fn too_many_streams(most: usize) -> Self {
        let detail = format!("this client has {most} live streams already, close one");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "too many requests", detail).retry_after(2)
    }

    pub(crate) fn misdirected(host: &str) -> Self {
        let shown: String = host.chars().take(64).collect();
        let detail = format!("{shown:?} is no name of this server, expected localhost or one of --api-host");
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "asked for by another name", detail)
    }

    pub(crate) fn internal() -> Self {
        let detail = "the request failed for a reason that is in the server's log, under the request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "temporarily unavailable", detail).retry_after(2)
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        let detail = format!("the answer took longer than {} s, ask for a shorter time range", limit.as_secs_f64());
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed-out", "timed out", detail).retry_after(2)
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }
}

/// Rounded up, at least 1: `Retry-After` has no fractions.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for Problem {
    /// The problem also travels as an extension, so that the outermost layer can add the request's path and id.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = self.to_json();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_rounds_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
    }

    #[test]
    fn one_wrong_parameter_is_named_in_the_detail() {
        let problem = Problem::invalid_parameter("limit", "0, expected 1 to 200");
        assert_eq!(problem.detail, "limit: 0, expected 1 to 200");
        let json = serde_json::to_value(&*problem.0).unwrap();
        assert_eq!(json["type"], "/docs#problem-invalid-parameters");
        assert_eq!(json["errors"][0]["parameter"], "limit");
    }
}
