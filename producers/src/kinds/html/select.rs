//! Entries of a page by CSS selectors.

use scraper::{ElementRef, Html, Selector};
use url::Url;

use super::NAME;
use crate::content::document::ParseError;
use crate::content::xml::resolve;
use crate::content::{dates, identity, web_page};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::selectors::Selectors;
use crate::kinds::source::{Origin, Page};

/// Reads the entries of a page.
pub(super) fn read(
    selectors: &Selectors,
    html: &Html,
    base: Option<&Url>,
    origin: Origin<'_>,
    page: &mut Page,
) -> Result<(), ParseError> {
    let parse =
        |css: &str| Selector::parse(css).map_err(|_| ParseError::Page(format!("selector {css:?} is malformed")));
    let part = |css: &Option<String>| css.as_deref().map(parse).transpose();
    let (item, title, text) = (parse(&selectors.item)?, part(&selectors.title)?, part(&selectors.text)?);
    let (author, date) = (part(&selectors.author)?, part(&selectors.date)?);
    let link = parse(selectors.link.as_deref().unwrap_or("a[href]"))?;
    let texts = html.select(&item).filter_map(|element| date.as_ref().and_then(|date| element.select(date).next()));
    let order = dates::order(texts.flat_map(time_in), origin.fetched_at);
    for element in html.select(&item) {
        let find = |selector: &Option<Selector>| selector.as_ref().and_then(|selector| element.select(selector).next());
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
                Some(url) => identity::page(NAME, url),
                None => identity::named(NAME, &format!("{}\n{text}", title.as_deref().unwrap_or_default())),
            },
            url: url.map(String::from),
            author: find(&author).map(web_page::line_of),
            title,
            text,
            published: find(&date)
                .and_then(|date| time_in(date).into_iter().find_map(|text| dates::parse_as(&text, order))),
            ..Draft::default()
        }
        .add_to(page, NAME, origin);
    }
    Ok(())
}

/// Where an element says a time, best first.
fn time_in(element: ElementRef<'_>) -> Vec<String> {
    let said = ["datetime", "content", "title"].iter().filter_map(|name| element.attr(name)).map(str::to_owned);
    said.chain([web_page::line_of(element)]).collect()
}
