//! API keys, made and revoked by those who may.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_audit::{Action, AuditError, Event, Outcome};

use crate::app::SharedApp;
use crate::auth::credentials::{self, KeyInfo, NewKey};
use crate::auth::{self, Scope};
use crate::http::answer;
use crate::http::page::Page;
use crate::http::params::{Cursor, NoParams, PageLimit, Path, Query};
use crate::http::problem::Problem;
use crate::time::UtcTime;

const MAX_DAYS: u32 = 3660;
/// Of an order, in bytes.
pub(crate) const MAX_BODY: usize = 4096;

/// What a request asks for.
pub(crate) fn action(method: &Method) -> Action {
    match *method {
        Method::POST => Action::KeyCreate,
        Method::DELETE => Action::KeyRevoke,
        _ => Action::KeyList,
    }
}

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyOrder {
    /// Who or what it is for.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    name: String,
    /// What it allows: nothing that the caller may not do.
    #[schema(min_items = 1, max_items = 5)]
    scopes: Vec<Scope>,
    /// How long it is valid, in days; 90 if not given.
    #[serde(default = "ninety")]
    #[schema(minimum = 1, maximum = 3660, default = 90)]
    days: u32,
}

const fn ninety() -> u32 {
    90
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeKey {
    /// Its id, for revoking it.
    id: String,
    /// The key itself: the only time that it can be seen.
    key: String,
    /// When it ends.
    expires_at: UtcTime,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct Keys {
    /// Newest first; of revoked and expired ones too.
    keys: Vec<KeyInfo>,
    /// Give it as `cursor=` for the next page; null on the last one.
    next: Option<String>,
}

/// What can be asked about keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeysParams {
    /// Keys per page
    #[param(inline)]
    limit: PageLimit,
    /// `next` of the page before
    #[param(inline)]
    cursor: Option<Cursor>,
}

/// Which key.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// Its id
    #[param(pattern = "^[0-9A-Za-z]{10}$")]
    key_id: String,
}

/// Make an API key
///
/// Needs a token or key with the scope `admin:keys`. It is answered once it is audited.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", operation_id = "create_key", request_body = KeyOrder,
    responses((status = 201, description = "The key", body = MadeKey)))]
pub(crate) async fn create(
    State(app): SharedApp,
    _: Query<NoParams>,
    extensions: Extensions,
    headers: HeaderMap,
    order: Result<Json<KeyOrder>, JsonRejection>,
) -> Result<Response, Problem> {
    answer::negotiate(&headers, &[answer::JSON])?;
    let Json(KeyOrder { name, scopes, days }) = order.map_err(|rejection| unreadable(&rejection))?;
    if !credentials::is_name(&name) {
        return Err(Problem::invalid_parameter("name", "expected 1 to 100 characters, none of control"));
    }
    if !(1..=Scope::ALL.len()).contains(&scopes.len()) {
        return Err(Problem::invalid_parameter("scopes", format!("{}, expected 1 to 5", scopes.len())));
    }
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(Problem::invalid_parameter("days", format!("{days}, expected 1 to {MAX_DAYS}")));
    }
    let (key, now) = (NewKey::random(), app.clock.now());
    let names = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ");
    let event = Event::new(auth::subject(&extensions), Action::KeyCreate, Some(&key.id));
    let event = event.with("name", &name).with("scopes", names).with("days", days);
    if let Some(refused) = scopes.iter().find_map(|scope| auth::has_scope(&extensions, *scope).err()) {
        app.audit.note(event.outcome(Outcome::Refused).with("status", refused.status));
        return Err(refused);
    }
    app.audit.write(event.clone()).await.map_err(unaudited)?;
    let lifetime = Duration::from_secs(u64::from(days) * 86_400);
    let stored = app.store.store_key(&key, &name, &scopes, lifetime, now).await.map_err(Problem::from);
    let stored = stored.and_then(|is_stored| match is_stored {
        true => Ok(()),
        false => Err(Problem::unavailable("there are as many API keys as can be, revoke one first")),
    });
    if let Err(problem) = stored {
        app.audit.note(event.outcome(Outcome::Failed).with("status", problem.status));
        return Err(problem);
    }
    let expires_at = now.saturating_add(lifetime).into();
    let made = MadeKey { id: key.id, key: key.key.reveal().to_owned(), expires_at };
    let mut response = (StatusCode::CREATED, Json(made)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// API keys, newest first
///
/// Needs a token or key with the scope `admin:keys`. The keys themselves are nowhere.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", operation_id = "list_keys", params(KeysParams),
    responses((status = 200, description = "A page of keys", body = Keys)))]
pub(crate) async fn list(
    State(app): SharedApp,
    extensions: Extensions,
    headers: HeaderMap,
    Query(asked): Query<KeysParams>,
) -> Result<Response, Problem> {
    let page = Page::new("keys".to_owned(), asked.cursor.as_ref(), asked.limit)?;
    let data = app.store.snapshot().await?;
    let mut keys = data.keys(&page).await?;
    data.end().await;
    app.audit.note(Event::new(auth::subject(&extensions), Action::KeyList, None));
    let next = page.end(&mut keys, |(created_at, key)| (*created_at, &key.id));
    let keys = keys.into_iter().map(|(_, key)| key).collect();
    answer::json(&headers, &Keys { keys, next })
}

/// Revoke an API key for good
///
/// Needs a token or key with the scope `admin:keys`. Every server refuses the key within a second, and ends its live streams.
#[utoipa::path(delete, path = "/v1/keys/{key_id}", tag = "keys", operation_id = "revoke_key", params(KeyPath),
    responses((status = 204, description = "It is revoked")))]
pub(crate) async fn revoke(
    State(app): SharedApp,
    Path(KeyPath { key_id }): Path<KeyPath>,
    _: Query<NoParams>,
    extensions: Extensions,
) -> Result<StatusCode, Problem> {
    let is_id = key_id.len() == 10 && key_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_id || !app.store.revoke_key(&key_id, app.clock.now()).await? {
        return Err(Problem::not_found("there is no key of this id that is not revoked"));
    }
    // It takes rights away: it is done whether it can be audited or not, and is in the log in any case.
    app.audit.note(Event::new(auth::subject(&extensions), Action::KeyRevoke, Some(&key_id)));
    Ok(StatusCode::NO_CONTENT)
}

fn unreadable(rejection: &JsonRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(MAX_BODY as u64),
        _ => Problem::invalid_parameter("body", rejection.body_text()),
    }
}

fn unaudited(_: AuditError) -> Problem {
    Problem::unavailable("it cannot be audited at the moment, so no key is made")
}
