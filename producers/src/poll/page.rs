//! One page of a source, asked for and parsed: the step that polls and backfills have in common.

use std::time::Duration;

use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::{Decision, FetchRecord};

use crate::content::document::{Document, ParseError};
use crate::fetcher::{Body, FetchError, Request};
use crate::kinds::source::{Origin, Page};
use crate::sources::SourceConfig;

/// Why a page was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Parse(#[from] ParseError),
}

impl Failure {
    /// Whether asking again soon would bring the same.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_lasting(),
            Self::Parse(_) => true,
        }
    }

    /// The HTTP status, if it is what went wrong.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Fetch(FetchError::Status { status, .. }) => Some(*status),
            _ => None,
        }
    }

    /// How long the server asks us to stay away.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Fetch(FetchError::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// How long the host has to be waited for, where nothing was asked: it is not the source that failed.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Fetch(FetchError::Wait { wait, .. }) => Some(*wait),
            _ => None,
        }
    }

    /// The decision in the fetch ledger.
    pub(crate) fn decision(&self) -> Decision {
        match self {
            Self::Fetch(FetchError::Blocked(_)) => Decision::Blocked,
            Self::Fetch(FetchError::Wait { .. }) => Decision::Waited,
            Self::Fetch(_) => Decision::Failed,
            Self::Parse(_) => Decision::Unparsable,
        }
    }
}

/// The request for an address of a source. Nothing of an earlier answer goes along.
pub(crate) fn request(source: &SourceConfig, url: Url) -> Request {
    let access = source.access();
    let url = access.as_ref().map_or(url.clone(), |access| access.address(url));
    Request { access, ..Request::new(url, source.kind.source().accept(), source.local) }
}

/// Reads an answer of a source.
pub(crate) fn parse(source: &SourceConfig, body: &Body, fetched_at: Timestamp) -> Result<Page, ParseError> {
    let document = Document { bytes: &body.bytes, charset: body.charset.as_deref(), base: Some(&body.url) };
    let origin = Origin {
        source: &source.id,
        language: source.language.as_deref(),
        sample: source.sample,
        select: source.select.as_ref(),
        fetched_at,
    };
    source.kind.read(document, origin).map_err(|error| match error {
        ParseError::Reported(message) => ParseError::Reported(hide_key(source, message)),
        other => other,
    })
}

/// A server may repeat what it was sent.
pub(crate) fn hide_key(source: &SourceConfig, message: String) -> String {
    match &source.key {
        Some(key) => key.hide(message),
        None => message,
    }
}

/// What the ledger says of posts that are left out.
pub(crate) fn left_out(posts: usize) -> Option<String> {
    (posts > 0).then(|| format!("{posts} posts left out, more than are taken of one answer"))
}

/// The ledger entry of a fetch that went well and brought nothing.
pub(crate) fn record(source: &SourceConfig, at: Timestamp) -> FetchRecord {
    FetchRecord {
        source: source.id.clone(),
        kind: source.kind.name().to_owned(),
        url: source.url.to_string(),
        at,
        decision: Decision::Fetched.to_string(),
        status: None,
        bytes: 0,
        posts_seen: 0,
        posts_new: 0,
        duration_ms: 0,
        next_at: at,
        reason: None,
        sample: source.sample,
    }
}
