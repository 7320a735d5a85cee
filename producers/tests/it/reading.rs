//! Documents of the tests' own, read without a server.

use url::Url;
use vigie_clock::Timestamp;
use vigie_producers::Kind;
use vigie_producers::content::document::{Document, ParseError};
use vigie_producers::kinds::source::{Origin, Page};

/// Where the feeds come from.
pub(crate) const FEED: &str = "https://news.example/feeds/all.xml";

/// 2026-11-23T00:00:00Z.
const FETCHED_AT: Timestamp = Timestamp::from_millis(1_795_392_000_000);

/// A source without settings.
pub(crate) const ORIGIN: Origin<'static> =
    Origin { source: "s", language: None, sample: false, select: None, fetched_at: FETCHED_AT };

/// Reads a document that came from `base`.
pub(crate) fn read(kind: Kind, bytes: &[u8], base: &str) -> Result<Page, ParseError> {
    read_as(kind, bytes, base, ORIGIN)
}

/// The same, for a source with settings.
pub(crate) fn read_as(kind: Kind, bytes: &[u8], base: &str, origin: Origin<'_>) -> Result<Page, ParseError> {
    let base = Url::parse(base).unwrap();
    kind.read(Document { bytes, charset: None, base: Some(&base) }, origin)
}
