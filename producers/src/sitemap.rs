//! Sitemaps (sitemaps.org), with the news extension: each address is a post, with title, time and language where the extension tells them.
//!
//! An index of sitemaps holds no posts: name the sitemap itself.

use url::Url;
use vigie_clock::Timestamp;

use crate::charset;
use crate::dates;
use crate::draft::Draft;
use crate::identity;
use crate::plain_text;
use crate::source::{Document, Kind, Older, Origin, Overlap, Page, ParseError, Source, SourceConfig};
use crate::xml::{Element, Space, Tree, resolve};

/// Reads sitemaps.
#[derive(Clone, Copy, Debug)]
pub struct Sitemap;

impl Source for Sitemap {
    fn kind(&self) -> Kind {
        Kind::Sitemap
    }

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
                draft.add_to(&mut page, Kind::Sitemap, origin);
            }
        }
        if page.posts.is_empty() && (tree.is_cut || !root.is_closed()) {
            return Err(ParseError::Feed("a sitemap that ends early and holds no whole address".into()));
        }
        Ok(page)
    }

    fn newest(&self, source: &SourceConfig, _: Option<Timestamp>) -> Url {
        source.url.clone()
    }

    fn older(&self, _: &SourceConfig, _: Option<Timestamp>, _: &Older) -> Option<Url> {
        None
    }

    fn overlap(&self) -> Overlap {
        Overlap::SinglePage
    }

    fn accept(&self) -> &'static str {
        "application/xml, text/xml;q=0.9, */*;q=0.1"
    }
}

fn draft(entry: Element<'_>, base: Option<&Url>) -> Option<Draft> {
    let said = |element: Option<Element<'_>>| {
        element.map(Element::text).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
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
        id: identity::page(Kind::Sitemap, &url),
        url: Some(url.into()),
        title: of_news("title").map(|title| plain_text::title(&title)),
        language: said(publication.and_then(|publication| publication.child(Space::News, "language"))),
        published: published.or(modified),
        edited: published.and(modified),
        ..Draft::default()
    })
}
