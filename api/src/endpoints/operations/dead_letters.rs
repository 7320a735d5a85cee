use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::SharedApp;
use crate::http::answer;
use crate::http::page::{Page, page_params};
use crate::http::params::{End, Format, Moment, NoParams, Path, Query, Text, range};
use crate::http::problem::Problem;
use crate::http::table::{Form, Table};
use crate::store::operations::dead_letters::{DeadLetter, DeadLetterCount, DeadLettersQuery};

/// A page of dead letters, latest failure first.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadLetters {
    /// Of all that was asked for, on every page; most letters first.
    counts: Vec<DeadLetterCount>,
    /// Latest failure first.
    dead_letters: Vec<DeadLetter>,
    /// Give it as `cursor=` for the next page; null on the last one.
    next: Option<String>,
}

impl Table for DeadLetters {
    fn list(&self, form: Form) -> Result<Bytes, Problem> {
        let columns = "\
            topic,letter,partition,offset,appended_at,stage,reason,detail,failed_at,version,key,\
            value_bytes,attempts,redriven_at";
        form.page(columns, &self.dead_letters, self.next.as_deref())
    }
}

page_params!(
    /// Which dead letters.
    DeadLettersParams {
        /// Only of records of this topic
        #[param(inline)]
        topic: Option<Text<128>>,
        /// Only where this stage gave up
        #[param(inline)]
        stage: Option<Text<64>>,
        /// Only with this reason
        #[param(inline)]
        reason: Option<Text<64>>,
        /// What failed at or after: RFC 3339, a date, or now-1h
        #[param(inline)]
        from: Option<Moment>,
        /// What failed before: RFC 3339, the end of a date, or now-1h
        #[param(inline)]
        to: Option<End>,
    }
    /// Letters per page
    Format
);

/// Records that could not be processed, latest first, with counts by topic, stage and reason
///
/// Of the last 30 days. `vigie dlq redrive` sends them to their topic again.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters", operation_id = "list_dead_letters", params(DeadLettersParams),
    responses((status = 200, description = "A page of dead letters", content((DeadLetters = "application/json"), (String = "text/csv")))))]
pub(crate) async fn list(
    State(app): SharedApp,
    headers: HeaderMap,
    Query(asked): Query<DeadLettersParams>,
) -> Result<Response, Problem> {
    let DeadLettersParams { topic, stage, reason, from, to, limit, cursor, format } = asked;
    let media = Format::media(format, &headers)?;
    let question = format!("dead letters {topic:?} {stage:?} {reason:?} {from:?} {to:?}");
    let page = Page::new(question, cursor.as_ref(), limit)?;
    let query = DeadLettersQuery {
        topic: topic.as_ref().map(|Text(text)| text.as_str()),
        stage: stage.as_ref().map(|Text(text)| text.as_str()),
        reason: reason.as_ref().map(|Text(text)| text.as_str()),
        range: range(from, to, app.clock.now().into()),
    };
    let data = app.store.snapshot().await?;
    let counts = data.dead_letter_counts(&query).await?;
    let mut dead_letters = data.dead_letters(&query, &page).await?;
    data.end().await;
    let next = page.end(&mut dead_letters, |last| (last.failed_at, &last.place));
    let answer = DeadLetters { counts, dead_letters, next };
    answer.respond(&headers, media)
}

/// A dead letter with its record as it was.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadRecord {
    #[serde(flatten)]
    letter: DeadLetter,
    /// The key's bytes, in Base64.
    raw_key: Option<String>,
    /// The value's bytes, in Base64.
    raw_value: Option<String>,
}

/// Which dead letter.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DeadLetterPath {
    /// Topic of the record
    topic: String,
    /// As `letter` of the list: PARTITION:OFFSET
    #[param(pattern = "^[0-9]+:[0-9]+$")]
    letter: String,
}

/// One record that could not be processed, with its bytes
#[utoipa::path(get, path = "/v1/dead-letters/{topic}/{letter}", tag = "dead letters", operation_id = "dead_letter", params(DeadLetterPath),
    responses((status = 200, description = "The letter", body = DeadRecord)))]
pub(crate) async fn one(
    State(app): SharedApp,
    Path(DeadLetterPath { topic, letter }): Path<DeadLetterPath>,
    _: Query<NoParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("no such dead letter, or it has expired");
    let at = letter.parse().map_err(|_| unknown())?;
    let data = app.store.snapshot().await?;
    let found = data.dead_letter(&topic, at).await?;
    data.end().await;
    let (letter, key, value) = found.ok_or_else(unknown)?;
    let base64 = |bytes: Option<Vec<u8>>| bytes.map(|bytes| STANDARD.encode(bytes));
    answer::json(&headers, &DeadRecord { letter, raw_key: base64(key), raw_value: base64(value) })
}
