//! Entries of a page by CSS selectors.

use scraper::{ElementRef, Html, Selector};
use url::Url;

use crate::dates;
use crate::draft::Draft;
use crate::identity;
use crate::source::{Kind, Origin, Page, ParseError};
use crate::web_page;
use crate::xml::resolve;

/// Where the parts of an entry are. All but `item` are looked for inside the item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// One entry.
    pub item: String,
    /// Its title.
    pub title: Option<String>,
    /// What links to it; without it, the first link of the item.
    pub link: Option<String>,
    /// Its text; without it, the text of the item.
    pub text: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When: a `datetime` attribute, or text.
    pub date: Option<String>,
}

impl Selectors {
    /// Whether this is a selector.
    pub fn is_selector(css: &str) -> bool {
        css.len() <= 1000 && Selector::parse(css).is_ok()
    }

    /// Reads the entries of a page.
    pub(super) fn read(
        &self,
        html: &Html,
        base: Option<&Url>,
        origin: Origin<'_>,
        page: &mut Page,
    ) -> Result<(), ParseError> {
        let parse =
            |css: &str| Selector::parse(css).map_err(|_| ParseError::Page(format!("selector {css:?} is malformed")));
        let part = |css: &Option<String>| css.as_deref().map(parse).transpose();
        let (item, title, text) = (parse(&self.item)?, part(&self.title)?, part(&self.text)?);
        let (author, date) = (part(&self.author)?, part(&self.date)?);
        let link = parse(self.link.as_deref().unwrap_or("a[href]"))?;
        for element in html.select(&item) {
            let find =
                |selector: &Option<Selector>| selector.as_ref().and_then(|selector| element.select(selector).next());
            let url = std::iter::once(element).filter(|e| link.matches(e)).chain(element.select(&link));
            let url = url
                .filter_map(|link| resolve(base, link.attr("href")?.trim()))
                .find(|url| matches!(url.scheme(), "http" | "https"));
            let title = find(&title).map(web_page::line_of).filter(|title| !title.is_empty());
            let text = match &text {
                Some(selector) => element.select(selector).map(web_page::text_of).collect::<Vec<_>>().join("\n"),
                None => web_page::text_of(element),
            };
            if title.is_none() && url.is_none() && text.is_empty() {
                continue;
            }
            Draft {
                id: match &url {
                    Some(url) => identity::page(Kind::Html, url),
                    None => identity::named(Kind::Html, &format!("{}\n{text}", title.as_deref().unwrap_or_default())),
                },
                url: url.map(String::from),
                author: find(&author).map(web_page::line_of),
                title,
                text,
                published: find(&date).and_then(time),
                ..Draft::default()
            }
            .add_to(page, Kind::Html, origin);
        }
        Ok(())
    }
}

fn time(element: ElementRef<'_>) -> Option<vigie_clock::Timestamp> {
    let said = ["datetime", "content", "title"].iter().filter_map(|name| element.attr(name)).find_map(dates::parse);
    said.or_else(|| dates::parse(&web_page::line_of(element)))
}
