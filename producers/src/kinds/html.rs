//! Any web page: an article by what it says of itself (JSON-LD, OpenGraph, Dublin Core, other meta elements) and its longest run of paragraphs, or a list of
//! entries by CSS selectors that the source names.

mod article;
mod linked_data;
mod meta;
mod select;

use crate::content::document::{Document, ParseError};
use crate::content::web_page;
use crate::kinds::source::{Origin, Page, Source};

pub(super) const NAME: &str = "html";

pub(super) struct WebPage;

impl Source for WebPage {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let html = web_page::parse(document)?;
        let base = web_page::base(&html, document.base);
        let mut page = Page::default();
        match origin.select {
            Some(selectors) => select::read(selectors, &html, base.as_ref(), origin, &mut page)?,
            None => article::read(&html, document.base, base.as_ref(), origin, &mut page)?,
        }
        Ok(page)
    }

    fn accept(&self) -> &'static str {
        "text/html, application/xhtml+xml;q=0.9, */*;q=0.1"
    }
}
