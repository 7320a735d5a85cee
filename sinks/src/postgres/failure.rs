//! What a failure of PostgreSQL means for the rows that met it.

use tokio_postgres::error::SqlState;

use crate::sink::SinkError;

/// Classes 22 (data exception) and 23 (integrity constraint violation) are about the rows; the rest passes or is mended. So is a row without a
/// partition (a check violation of no constraint): it was dropped since the session made it, and the next session makes it again.
pub(crate) fn classify(error: tokio_postgres::Error) -> SinkError {
    let text = describe(&error);
    let Some(db) = error.as_db_error() else { return SinkError::Retry(text) };
    let no_partition = *db.code() == SqlState::CHECK_VIOLATION && db.constraint().is_none();
    match &db.code().code()[..2] {
        "22" | "23" if !no_partition => SinkError::Rejected(text),
        _ => SinkError::Retry(text),
    }
}

/// The error with its cause; not with its row, which may quote a post.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{}: {}", db.code().code(), db.message());
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
