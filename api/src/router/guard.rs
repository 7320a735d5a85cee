//! What every request passes on its way in and every answer on its way out.
//!
//! ```text
//!   request ─▶ id ─▶ host ─▶ identity ─▶ rate ─▶ body size ─▶ place ─▶ time limit ─▶ turn, if expensive ─▶ scope ─▶ handler
//!   answer  ◀─ id, instance, security headers, CORS, metrics ◀─────────────────────────────────┘
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{debug, info};

use crate::app::App;
use crate::auth::Caller;
use crate::http::answer;
use crate::http::cost::{cost, is_expensive};
use crate::http::problem::Problem;
use crate::http::rate_limit::Client;
use crate::store::runs::diff::PATIENCE;

/// No request has a body that we read.
const MAX_BODY: u64 = 4096;

/// A request that has waited so long for its turn is refused: others will too, and who asked may be gone.
const QUEUE_TIME: Duration = Duration::from_millis(500);

/// Reads two runs as a whole.
const COMPARISON: &str = "/v1/runs/{run}/diff";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No script, style or request but our own; shown in no frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The outermost layer.
pub(crate) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = app.clock.monotonic();
    let id = request_id(request.headers(), &app);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".to_owned(), |m| m.as_str().to_owned());
    let origin = allowed_origin(&app, request.headers());

    let mut rate_headers = HeaderMap::new();
    let response = match admit(&app, &mut request, &route, &mut rate_headers).await {
        Err(problem) => problem.into_response(),
        Ok(_) if method == Method::OPTIONS && origin.is_some() => preflight(),
        Ok(_) if is_probe(&route) => next.run(request).await,
        Ok(turn) => match tokio::time::timeout(QUEUE_TIME, app.requests.acquire()).await {
            Err(_) => Problem::unavailable("too many requests are being answered at the moment").into_response(),
            Ok(_place) => {
                let limit = app.timeout * if route == COMPARISON { PATIENCE } else { 1 };
                let answer = async {
                    let _turn = match &turn {
                        Some(client) => Some(app.turns.take(client).await),
                        None => None,
                    };
                    next.run(request).await
                };
                let answered = tokio::time::timeout(limit, answer).await;
                answered.unwrap_or_else(|_| Problem::timed_out(limit).into_response())
            }
        },
    };

    let mut response = locate(response, &path, &id);
    response.headers_mut().extend(rate_headers);
    if let Some(auth) = &app.auth {
        auth.guide(response.headers_mut());
    }
    secure(response.headers_mut());
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("etag, ratelimit, ratelimit-policy, retry-after, x-request-id"),
        );
    }
    if !app.cors_origins.is_empty() {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let took = app.clock.monotonic().saturating_sub(started);
    app.metrics.answered(&route, response.status(), took);
    let status = response.status().as_u16();
    let seconds = took.as_secs_f64();
    if response.status().is_server_error() {
        info!(request_id = id, %method, route, status, seconds, "request failed");
    } else {
        debug!(request_id = id, %method, route, status, seconds, "request answered");
    }
    response
}

/// Who is to wait for a turn, if the question is an expensive one.
async fn admit(
    app: &App,
    request: &mut Request,
    route: &str,
    rate_headers: &mut HeaderMap,
) -> Result<Option<Client>, Problem> {
    // Probes must get through whatever else happens.
    if is_probe(route) {
        return Ok(None);
    }
    check_host(app, request)?;
    let caller = match &app.auth {
        Some(auth) => Some(Caller(auth.identify(request.method(), request.headers()).await)),
        None => None,
    };
    let client = match &caller {
        Some(Caller(Ok(identity))) => Client::Subject(identity.subject.clone()),
        _ => Client::from_address(address(app, request)),
    };
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    request.extensions_mut().insert(client.clone());
    request.extensions_mut().insert(app.audit.clone());
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cost = cost(route, request.uri().query().unwrap_or_default(), accept, app.clock.now().into());
    if let Some(rate) = &app.rate {
        let (headers, outcome) = rate.check(&client, cost).await;
        *rate_headers = headers;
        outcome?;
    }
    answer::coding(request.headers())?;
    check_body(request.headers())?;
    Ok(is_expensive(route, cost).then_some(client))
}

fn is_probe(route: &str) -> bool {
    matches!(route, "/livez" | "/readyz")
}

/// A web site may point its own name at the loopback interface and have its visitors' browsers ask us (DNS rebinding). They send that name.
fn check_host(app: &App, request: &Request) -> Result<(), Problem> {
    let Some(names) = &app.hosts else { return Ok(()) };
    let field = || request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("not text"));
    let Some(host) = request.uri().authority().map(Authority::as_str).or_else(field) else { return Ok(()) };
    let name = host.parse::<Authority>().map_or_else(|_| host.to_owned(), |authority| authority.host().to_lowercase());
    let is_local =
        name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_local || names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
        return Ok(());
    }
    Err(Problem::misdirected(host))
}

/// A length of more than we would read, or none at all for a body that comes in chunks, which nobody reads.
fn check_body(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else { return Ok(()) };
    let length = length.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length <= MAX_BODY) { Ok(()) } else { Err(Problem::body_too_large(MAX_BODY)) }
}

fn address(app: &App, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    app.proxies.client(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), request.headers())
}

/// The caller's id if it is a sensible one, or a new one.
fn request_id(headers: &HeaderMap, app: &App) -> String {
    let sensible = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if let Some(id) = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sensible) {
        return id.to_owned();
    }
    format!("{:x}-{:x}", app.clock.now().as_millis(), NEXT_ID.fetch_add(1, Ordering::Relaxed))
}

/// Problems name the path where they happened.
fn locate(mut response: Response, path: &str, id: &str) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && response.extensions().get::<Problem>().is_none() {
        let allowed = response.headers_mut().remove(header::ALLOW);
        response = Problem::method_not_allowed().into_response();
        response.headers_mut().extend(allowed.map(|methods| (header::ALLOW, methods)));
    }
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (parts, _) = response.into_parts();
    let mut response = Response::from_parts(parts, problem.locate(path, id).into());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn allowed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    app.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

fn preflight() -> Response {
    let allow = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, if-none-match, last-event-id, x-api-key"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ];
    (StatusCode::NO_CONTENT, allow).into_response()
}
