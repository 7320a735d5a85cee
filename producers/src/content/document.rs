//! An answer in memory, and why it cannot be read.

use url::Url;

/// One answer, as it came over the wire (already decompressed).
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// The body.
    pub bytes: &'a [u8],
    /// What the `Content-Type` header says about the character set.
    pub charset: Option<&'a str>,
    /// Where it came from, after redirects: base of relative links.
    pub base: Option<&'a Url>,
}

/// Why an answer could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is a damaged or too large gzip file.
    #[error("gzip: {0}")]
    Packed(String),
    /// It is no feed.
    #[error("not a feed: {0}")]
    Feed(String),
    /// It is no JSON.
    #[error("not json: {0}")]
    Json(String),
    /// It is JSON of another shape.
    #[error("unexpected json: {0}")]
    Shape(String),
    /// It is no page of this kind.
    #[error("not a page of this kind: {0}")]
    Page(String),
    /// The source answered with an error in the body.
    #[error("the source reports an error: {0}")]
    Reported(String),
}
