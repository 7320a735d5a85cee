//! Logging in to the dashboard, and out.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::{IntoParams, ToSchema};
use vigie_clock::Timestamp;

use crate::app::{App, SharedApp};
use crate::auth::{Answer, Authenticator, CSRF, Login, Session, is_same_origin};
use crate::http::params::{NoParams, Query, Text};
use crate::http::problem::{Details, Problem};
use crate::time::UtcTime;

/// By which those of replicas may differ.
const CLOCKS: Duration = Duration::from_secs(60);
const NO_STORE: (header::HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// What an issuer answers by the browser.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct CallbackParams {
    /// What is exchanged for tokens
    #[param(value_type = String, required = false)]
    code: Option<Text<4096>>,
    /// As it was sent to the issuer
    #[param(value_type = String, required = false)]
    state: Option<Text<64>>,
    /// The issuer (RFC 9207)
    #[param(value_type = String, required = false)]
    iss: Option<Text<2048>>,
    /// Why there is no code
    #[param(value_type = String, required = false)]
    error: Option<Text<64>>,
}

/// Who has logged in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Visitor {
    /// Whether one can log in here.
    login: bool,
    /// As the issuer calls them; null if nobody has.
    name: Option<String>,
    /// To be sent as X-CSRF-Token where something is changed.
    csrf: Option<String>,
    /// When the session ends.
    expires_at: Option<UtcTime>,
}

fn login(app: &App) -> Result<(&Authenticator, &Login), Problem> {
    let login = app.auth.as_ref().and_then(|auth| Some((auth, auth.login.as_ref()?)));
    login.ok_or_else(|| Problem::not_found("nobody logs in here: the server has no --login-issuer"))
}

/// The session of a request. One that does not hold is none.
async fn living(auth: &Authenticator, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    match auth.session(headers).await {
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => Ok(None),
        session => session,
    }
}

fn see_other(location: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(location).map_err(|_| Problem::internal())?;
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location), NO_STORE]).into_response();
    response.headers_mut().extend(cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

/// Log in
///
/// Sends a browser to the issuer, and back to the dashboard with a session.
#[utoipa::path(get, path = "/login", tag = "pages", operation_id = "login",
    responses((status = 303, description = "To the issuer"),
        (status = 404, description = "Nobody logs in here", body = Details, content_type = "application/problem+json")))]
pub(crate) async fn begin(State(app): SharedApp, _: Query<NoParams>) -> Result<Response, Problem> {
    let (_, login) = login(&app)?;
    let (url, cookie) = login.begin(app.clock.now()).await?;
    see_other(url.as_str(), [cookie])
}

/// Come back from the issuer
#[utoipa::path(get, path = "/login/callback", tag = "pages", operation_id = "login_callback", params(CallbackParams),
    responses((status = 303, description = "To the dashboard"),
        (status = 400, description = "No answer to a login of this browser, or the issuer refuses it", body = Details,
            content_type = "application/problem+json"),
        (status = 403, description = "Nothing here is for who has logged in", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "Nobody logs in here", body = Details, content_type = "application/problem+json")))]
pub(crate) async fn callback(
    State(app): SharedApp,
    answered: Result<Query<CallbackParams>, Problem>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, login) = login(&app)?;
    let Query(CallbackParams { code, state, iss, error }) = answered?;
    let code = match (code, error) {
        (Some(Text(code)), None) => Ok(code),
        (_, Some(Text(error))) => Err(error),
        (None, None) => return Err(Problem::invalid_parameter("code", "not given")),
    };
    let answer = Answer { state: state.map(|Text(state)| state), issuer: iss.map(|Text(iss)| iss), code };
    let now = app.clock.now();
    match login.finish(&headers, answer, now).await? {
        None => see_other("/", []),
        Some(session) => {
            let response = see_other("/", login.opened(&session, now)?)?;
            info!(subject = session.subject, "logged in");
            Ok(response)
        }
    }
}

/// Who has logged in
#[utoipa::path(get, path = "/login/session", tag = "pages", operation_id = "login_session",
    responses((status = 200, description = "Who, if anybody", body = Visitor)))]
pub(crate) async fn session(
    State(app): SharedApp,
    _: Query<NoParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let has_login = login(&app);
    let session = match &has_login {
        Ok((auth, _)) => living(auth, &headers).await?,
        Err(_) => None,
    };
    let expires_at = session.as_ref().map(|session| UtcTime::from_seconds(session.expires));
    let (name, csrf) = session.map(|session| (session.name, session.csrf)).unzip();
    Ok(([NO_STORE], Json(Visitor { login: has_login.is_ok(), name, csrf, expires_at })).into_response())
}

/// Log out
///
/// By a page of this server only, with its session's token against forgery. The session ends at every replica within a second.
#[utoipa::path(post, path = "/logout", tag = "pages", operation_id = "logout",
    params(("X-CSRF-Token" = Option<String>, Header, description = "As /login/session says")),
    responses((status = 204, description = "There is no session any more"),
        (status = 403, description = "Sent by another site", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "Nobody logs in here", body = Details, content_type = "application/problem+json")))]
pub(crate) async fn end(State(app): SharedApp, _: Query<NoParams>, headers: HeaderMap) -> Result<Response, Problem> {
    let (auth, login) = login(&app)?;
    if !is_same_origin(&headers, login.origin()) {
        return Err(Problem::cross_site("expected Origin or Sec-Fetch-Site of a page of this server"));
    }
    if let Some(session) = living(auth, &headers).await? {
        if headers.get(CSRF).is_none_or(|csrf| csrf != session.csrf.as_str()) {
            return Err(Problem::cross_site("expected the X-CSRF-Token of this session"));
        }
        let until = Timestamp::from_millis(session.expires.saturating_mul(1000)).saturating_add(CLOCKS);
        // Who has copied the cookie goes too.
        match app.store.end_session(session.id(), until).await {
            Ok(true) => {}
            Ok(false) => warn!("too many revocations: copies of a session that was logged out hold until its end"),
            Err(error) => warn!(%error, "copies of a session that was logged out hold until its end"),
        }
        info!(subject = session.subject, "logged out");
    }
    Ok((StatusCode::NO_CONTENT, [NO_STORE, (header::SET_COOKIE, login.closed())]).into_response())
}
