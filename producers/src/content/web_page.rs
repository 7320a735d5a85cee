//! Whole HTML pages: parsed within bounds, and a little to find one's way in them.

use std::sync::LazyLock;

use scraper::{ElementRef, Html, Selector};
use url::Url;

use crate::content::document::{Document, ParseError};
use crate::content::quotes::Prose;
use crate::content::xml::resolve;
use crate::content::{charset, plain_text};

/// A page longer than this (bytes) is cut before it is parsed.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// Parses a page.
///
/// # Errors
/// If it is empty, or nested so deep that building its tree would take for ever.
pub(crate) fn parse(document: Document<'_>) -> Result<Html, ParseError> {
    let text = charset::decode(document.bytes, document.charset);
    let text = plain_text::cut(&text, MAX_PAGE);
    if text.trim().is_empty() {
        return Err(ParseError::Page("it is empty".into()));
    }
    if plain_text::is_extravagant(text) {
        return Err(ParseError::Page("thousands of elements inside one another, or of attributes on one".into()));
    }
    Ok(Html::parse_document(text))
}

/// A selector that is a constant of this program.
pub(crate) fn constant(css: &str) -> Selector {
    Selector::parse(css).expect("a constant selector is well formed")
}

static BASE: LazyLock<Selector> = LazyLock::new(|| constant("base[href]"));

/// Where the relative links of a page start: where it says, else where it came from.
pub(crate) fn base(html: &Html, came_from: Option<&Url>) -> Option<Url> {
    let said = html.select(&BASE).next().and_then(|base| resolve(came_from, base.attr("href")?.trim()));
    said.filter(|url| matches!(url.scheme(), "http" | "https")).or_else(|| came_from.cloned())
}

/// The words of an element, by the rules of [`plain_text`].
pub(crate) fn text_of(element: ElementRef<'_>) -> String {
    plain_text::from_html(&element.inner_html())
}

/// The same, apart from what it quotes.
pub(crate) fn prose_of(element: ElementRef<'_>) -> Prose {
    plain_text::read_html(&element.inner_html(), true)
}

/// The same on one line.
pub(crate) fn line_of(element: ElementRef<'_>) -> String {
    element.text().flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}
