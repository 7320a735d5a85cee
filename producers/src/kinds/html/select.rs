//! Entries of a page by CSS selectors.

use scraper::{ElementRef, Html, Selector};
use serde::Deserialize;
use url::Url;

use super::NAME;
use crate::content::document::ParseError;
use crate::content::xml::resolve;
use crate::content::{dates, identity, web_page};
use crate::kinds::draft::Draft;
use crate::kinds::source::{Origin, Page};

/// Where the parts of an entry are. All but `item` are looked for inside the item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// What is wrong with them, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let all = [
            ("item", Some(&self.item)),
            ("title", self.title.as_ref()),
            ("link", self.link.as_ref()),
            ("text", self.text.as_ref()),
            ("author", self.author.as_ref()),
            ("date", self.date.as_ref()),
        ];
        let bad = |css: &&String| css.len() > 1000 || Selector::parse(css).is_err();
        let named = all.into_iter().filter_map(|(name, css)| Some((name, css.filter(bad)?)));
        named.map(|(name, css)| format!("select.{name} {css:?}, expected a css selector")).collect()
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
                    Some(url) => identity::page(NAME, url),
                    None => identity::named(NAME, &format!("{}\n{text}", title.as_deref().unwrap_or_default())),
                },
                url: url.map(String::from),
                author: find(&author).map(web_page::line_of),
                title,
                text,
                published: find(&date).and_then(time),
                ..Draft::default()
            }
            .add_to(page, NAME, origin);
        }
        Ok(())
    }
}

fn time(element: ElementRef<'_>) -> Option<vigie_clock::Timestamp> {
    let said = ["datetime", "content", "title"].iter().filter_map(|name| element.attr(name)).find_map(dates::parse);
    said.or_else(|| dates::parse(&web_page::line_of(element)))
}
