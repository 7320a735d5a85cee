//! Sitemaps (sitemaps.org), with the news extension: each address is a post, with title, time and language where the extension has them.
//!
//! An index of sitemaps holds no posts: it lists the sitemaps, which the walk reads then, compressed ones (`.xml.gz`) too.

use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::xml::{Element, Space, Tree, resolve};
use crate::content::{charset, dates, identity, plain_text};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Nested, Origin, Page, Source};

pub(super) const NAME: &str = "sitemap";

pub(super) struct Sitemap;

impl Source for Sitemap {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let text = charset::decode(document.bytes, document.charset);
        let tree = Tree::read(&text);
        let root = tree.elements().find(|element| matches!(element.name(), "urlset" | "sitemapindex"));
        let Some(root) = root else {
            let begins = plain_text::cut(text.trim_start(), 40);
            return Err(ParseError::Feed(format!(
                "expected urlset or sitemapindex, the document begins with {begins:?}"
            )));
        };
        let mut page = Page::default();
        for url in root.children().filter(|child| child.name() == "url" && child.is_closed()) {
            if let Some(draft) = draft(url, document.base) {
                draft.add_to(&mut page, NAME, origin);
            }
        }
        let listed = root.children().filter(|child| child.name() == "sitemap" && child.is_closed());
        page.nested.extend(listed.filter_map(|sitemap| nested(sitemap, document.base, origin.fetched_at)));
        if page.posts.is_empty() && page.nested.is_empty() && (tree.is_cut || !root.is_closed()) {
            return Err(ParseError::Feed("a sitemap that ends early and holds no whole address".into()));
        }
        Ok(page)
    }

    fn has_archive(&self) -> bool {
        true
    }

    fn accept(&self) -> &'static str {
        "application/xml, text/xml;q=0.9, */*;q=0.1"
    }
}

/// The text of an element, if there is any.
fn said(element: Option<Element<'_>>) -> Option<String> {
    element.map(Element::text).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn nested(entry: Element<'_>, base: Option<&Url>, now: Timestamp) -> Option<Nested> {
    let url = resolve(base, &said(entry.child(Space::Core, "loc"))?)?;
    let modified = said(entry.child(Space::Core, "lastmod")).and_then(|text| dates::parse(&text));
    // A time that is not over yet says nothing, and must not hide what changes later.
    let modified = modified.filter(|modified| *modified <= now);
    matches!(url.scheme(), "http" | "https").then_some(Nested { url, modified })
}

fn draft(entry: Element<'_>, base: Option<&Url>) -> Option<Draft> {
    let url = resolve(base, &said(entry.child(Space::Core, "loc"))?)?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let news = entry.child(Space::News, "news");
    let of_news = |name: &str| said(news.and_then(|news| news.child(Space::News, name)));
    let publication = news.and_then(|news| news.child(Space::News, "publication"));
    let modified = said(entry.child(Space::Core, "lastmod")).and_then(|text| dates::parse(&text));
    let published = of_news("publication_date").and_then(|text| dates::parse(&text));
    Some(Draft {
        id: identity::page(NAME, &url),
        url: Some(url.into()),
        title: of_news("title").map(|title| plain_text::title(&title)),
        language: said(publication.and_then(|publication| publication.child(Space::News, "language"))),
        published: published.or(modified),
        edited: published.and(modified),
        ..Draft::default()
    })
}
