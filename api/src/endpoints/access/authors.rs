//! Opening a sealed handle: for a token with the scope only, never without tokens, and never unseen.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vigie_audit::{Action, AuditError, Event, Outcome};
use vigie_authors::{Keyring, OpenError, Sealed, WrappedKey};
use vigie_clock::Timestamp;

use crate::app::{App, SharedApp};
use crate::auth::{self, is_author_id};
use crate::http::answer;
use crate::http::params::{NoParams, Path, Query};
use crate::http::problem::Problem;
use crate::store::StoreError;
use crate::store::operations::authors::AuthorRows;
use crate::time::UtcTime;

const DAY: Duration = Duration::from_secs(86_400);

/// Who is behind a pseudonym.
#[derive(Serialize, ToSchema)]
pub(crate) struct Author {
    /// The pseudonym.
    author_id: String,
    /// The handle as published.
    handle: String,
    /// Kind of the sources that the posts come from, as `reddit`.
    kind: Option<String>,
    /// The earliest post was published then.
    first_seen: Option<UtcTime>,
    /// The latest post was published then.
    last_seen: Option<UtcTime>,
    /// Posts of the author that the history holds.
    posts: i64,
}

/// Whose handle is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AuthorPath {
    /// As `author_id` of a post
    #[param(pattern = "^[0-9a-f]{32}$")]
    author_id: String,
}

/// The handle behind an author id
///
/// Handles are personal data. Needs a token with the scope `authors:read` even where nothing else needs one. Every call is audited with
/// the token's subject; a handle that cannot be audited is not answered (503), nor one above the subject's limit of a day (429).
#[utoipa::path(get, path = "/v1/authors/{author_id}", tag = "authors", operation_id = "open_author", params(AuthorPath),
    responses((status = 200, description = "The author", body = Author)))]
pub(crate) async fn open(
    State(app): SharedApp,
    Path(AuthorPath { author_id }): Path<AuthorPath>,
    _: Query<NoParams>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let subject = auth::subject(&extensions);
    let is_id = is_author_id(&author_id);
    let outcome = match (&app.keyring, is_id) {
        (_, false) => Err(Problem::not_found("an author id is 32 digits of lower-case hexadecimal")),
        (None, true) => Err(Problem::not_implemented(
            "this server has no keyring, so it opens no handles: give it --author-keyring-file or VIGIE_AUTHOR_KEYRING",
        )),
        (Some(keyring), true) => match rows(&app, &author_id).await {
            Ok(rows) => handle(keyring, &author_id, rows),
            Err(error) => Err(error.into()),
        },
    };
    // What is no id may be a handle.
    let event = Event::new(subject, Action::AuthorOpen, is_id.then_some(&author_id));
    match &outcome {
        Ok(_) => app.audit.write(event).await.map_err(|error| not_opened(error, app.clock.now()))?,
        Err(problem) => app.audit.note(event.outcome(Outcome::Refused).with("status", problem.status)),
    }
    let mut response = answer::json(&headers, &outcome?)?;
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.remove(header::ETAG);
    Ok(response)
}

async fn rows(app: &App, author_id: &str) -> Result<AuthorRows, StoreError> {
    let data = app.store.snapshot().await?;
    let author = data.author(author_id).await?;
    data.end().await;
    Ok(author)
}

fn not_opened(error: AuditError, now: Timestamp) -> Problem {
    match error {
        AuditError::OverQuota { limit } => {
            let tomorrow = now.window_start(DAY).saturating_add(DAY);
            Problem::too_many_openings(limit, tomorrow.since(now))
        }
        _ => Problem::unavailable("the opening cannot be audited at the moment, so the handle stays closed"),
    }
}

fn handle(keyring: &Keyring, author_id: &str, author: AuthorRows) -> Result<Author, Problem> {
    let opened = author.sealed.as_deref().map_or(Ok(None), |sealed| open_one(keyring, author_id, &author, sealed));
    if let Some(handle) = opened.map_err(|e| Problem::unavailable(format!("the handle cannot be opened here: {e}")))? {
        let AuthorRows { kind, first_seen, last_seen, posts, .. } = author;
        return Ok(Author { author_id: author_id.to_owned(), handle, kind, first_seen, last_seen, posts });
    }
    if let Some(erased_at) = author.erased_at {
        let at = erased_at.0;
        return Err(Problem::gone(format!("the author was erased at {at}: the keys of the handle are destroyed")));
    }
    if author.sealed.is_some() {
        return Err(Problem::gone("the keys of the handle are destroyed, or have not arrived yet"));
    }
    Err(Problem::not_found("no post with a sealed handle has this author id"))
}

/// `None` if the data key is not there.
fn open_one(
    keyring: &Keyring,
    author_id: &str,
    author: &AuthorRows,
    sealed: &[u8],
) -> Result<Option<String>, OpenError> {
    let sealed = Sealed::parse(sealed)?;
    let id = sealed.data_key().to_string();
    let Some(row) = author.keys.iter().find(|key| key.dek_id == id) else { return Ok(None) };
    let wrapped = WrappedKey { id: sealed.data_key(), keyring_key: row.kek_id.clone(), bytes: row.wrapped_key.clone() };
    wrapped.unwrap(author_id, keyring)?.open(author_id, sealed).map(Some)
}

#[cfg(test)]
mod tests {
    use vigie_authors::DataKey;

    use super::*;
    use crate::store::operations::authors::AuthorKeyRow;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn keyring(id: &str) -> Keyring {
        format!("{id} {}", "01".repeat(32)).parse().unwrap()
    }

    fn rows() -> AuthorRows {
        let key = DataKey::new();
        let wrapped = key.wrap(ID, &keyring("1")).unwrap();
        let row =
            AuthorKeyRow { dek_id: wrapped.id.to_string(), kek_id: wrapped.keyring_key, wrapped_key: wrapped.bytes };
        let sealed = Some(key.seal(ID, "satoshi"));
        AuthorRows { sealed, keys: vec![row], posts: 2, ..AuthorRows::default() }
    }

    fn status(keyring: &Keyring, rows: AuthorRows) -> u16 {
        handle(keyring, ID, rows).map_or_else(|problem| problem.status, |_| 200)
    }

    #[test]
    fn a_handle_that_has_its_key_is_opened() {
        assert_eq!(handle(&keyring("1"), ID, rows()).map(|author| author.handle).ok().as_deref(), Some("satoshi"));
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let ring = keyring("1");
        let erased = Some(UtcTime::from_seconds(0));
        assert_eq!(status(&keyring("2"), rows()), 503, "the keyring lacks the key");
        assert_eq!(status(&ring, AuthorRows { keys: Vec::new(), erased_at: erased, ..rows() }), 410);
        assert_eq!(status(&ring, AuthorRows { keys: Vec::new(), ..rows() }), 410);
        assert_eq!(status(&ring, AuthorRows { erased_at: erased, ..AuthorRows::default() }), 410);
        assert_eq!(status(&ring, AuthorRows { erased_at: erased, ..rows() }), 200, "written after the erasure");
        assert_eq!(status(&ring, AuthorRows::default()), 404);
        assert!(is_author_id(ID) && !is_author_id("satoshi") && !is_author_id(&ID.to_uppercase()));
    }
}
