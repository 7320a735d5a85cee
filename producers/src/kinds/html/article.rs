//! A page that is one article.

use std::collections::HashMap;
use std::sync::LazyLock;

use ego_tree::NodeId;
use scraper::{ElementRef, Html, Selector};
use url::Url;
use vigie_clock::Timestamp;

use super::NAME;
use super::linked_data;
use super::meta::Meta;
use crate::content::document::ParseError;
use crate::content::xml::resolve;
use crate::content::{dates, identity, plain_text, web_page};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Origin, Page};

static ROOT: LazyLock<Selector> = LazyLock::new(|| web_page::constant("html"));
static CANONICAL: LazyLock<Selector> = LazyLock::new(|| web_page::constant("link[rel~=canonical][href]"));
static TITLE: LazyLock<Selector> = LazyLock::new(|| web_page::constant("head title, title"));
/// Where pages show who wrote them, best first.
static BYLINES: LazyLock<Vec<Selector>> = LazyLock::new(|| {
    let places = [
        "[itemprop~=author] [itemprop~=name]",
        "a[rel~=author]",
        "[class*=byline-name], [class*=author-name]",
        "[itemprop~=author]",
        ".author",
        "[class*=byline]",
    ];
    places.into_iter().map(web_page::constant).collect()
});
static TIME: LazyLock<Selector> = LazyLock::new(|| {
    web_page::constant("[itemprop~=datePublished], time[pubdate], article time[datetime], time[datetime]")
});
static PARAGRAPH: LazyLock<Selector> = LazyLock::new(|| web_page::constant("p, pre, blockquote, h2, h3, li"));
static LINK: LazyLock<Selector> = LazyLock::new(|| web_page::constant("a"));

/// Longest byline that is taken for a name, in bytes.
const MAX_BYLINE: usize = 120;

/// Shortest paragraph (bytes) that counts as prose.
const PROSE: usize = 25;

pub(super) fn read(
    html: &Html,
    came_from: Option<&Url>,
    base: Option<&Url>,
    origin: Origin<'_>,
    page: &mut Page,
) -> Result<(), ParseError> {
    let data = linked_data::read(html);
    let meta = Meta::read(html);
    let href = html.select(&CANONICAL).find_map(|link| link.attr("href"));
    let addresses = [href, meta.first(&["og:url"]), data.url.as_deref()];
    let url = addresses.into_iter().flatten().find_map(|url| resolve(base, url.trim())).filter(is_web);
    let url = url.or_else(|| came_from.cloned());
    let title = data.title.clone().filter(|title| !title.is_empty()).or_else(|| title(html, &meta));
    let body = data.body.filter(|body| body.len() > 200).or_else(|| prose(html));
    let summary = || meta.first(&["og:description", "description", "twitter:description"]).map(plain_text::from_html);
    let text = body.or(data.summary).or_else(summary).unwrap_or_default();
    if title.is_none() && text.is_empty() {
        return Err(ParseError::Page("neither a title nor prose".into()));
    }
    let language = html.select(&ROOT).find_map(|root| root.attr("lang").or_else(|| root.attr("xml:lang")));
    let published = data.published.or_else(|| published(html, &meta));
    let modified = meta.first(&["article:modified_time", "og:updated_time", "datemodified"]).and_then(dates::parse);
    Draft {
        id: match &url {
            Some(url) => identity::page(NAME, url),
            None => identity::named(NAME, &format!("{}\n{text}", title.as_deref().unwrap_or_default())),
        },
        url: url.map(String::from),
        author: data.author.or_else(|| author(html, &meta)),
        title,
        text,
        language: language.map(str::to_owned).or(data.language),
        published,
        edited: data.modified.or(modified),
        ..Draft::default()
    }
    .add_to(page, NAME, origin);
    Ok(())
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn title(html: &Html, meta: &Meta) -> Option<String> {
    let said = meta.first(&[
        "dc:title",
        "dcterms:title",
        "og:title",
        "weibo:article:title",
        "title",
        "twitter:title",
        "parsely-title",
    ]);
    let own = || html.select(&TITLE).next().map(web_page::line_of);
    said.map(plain_text::title).or_else(own).filter(|title| !title.is_empty())
}

fn author(html: &Html, meta: &Meta) -> Option<String> {
    let names = [
        "dc:creator",
        "dcterms:creator",
        "author",
        "parsely-author",
        "sailthru:author",
        "byl",
        "article:author",
        "cxenseparse:author",
    ];
    let said = names.iter().filter_map(|name| meta.first(&[name])).find(|name| !name.contains("://"));
    let shown = || {
        let mut lines = BYLINES.iter().flat_map(|place| html.select(place)).map(web_page::line_of);
        lines.find(|line| !line.is_empty() && line.len() <= MAX_BYLINE)
    };
    let name = said.map(plain_text::title).or_else(shown)?;
    let name =
        ["By ", "by ", "BY ", "Par ", "Von "].iter().find_map(|word| name.strip_prefix(word)).unwrap_or(&name).trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn published(html: &Html, meta: &Meta) -> Option<Timestamp> {
    let names = [
        "article:published_time",
        "og:published_time",
        "og:article:published_time",
        "datepublished",
        "parsely-pub-date",
        "pubdate",
        "publishdate",
        "publish-date",
        "sailthru:date",
        "dc:date:issued",
        "dcterms:issued",
        "dc:date",
        "dcterms:created",
        "dcterms:date",
        "ptime",
        "date",
    ];
    let said = names.iter().filter_map(|name| meta.first(&[name])).find_map(dates::parse);
    said.or_else(|| {
        html.select(&TIME)
            .find_map(|time| ["datetime", "content"].iter().filter_map(|name| time.attr(name)).find_map(dates::parse))
    })
}

/// The text of the element whose paragraphs hold the most prose; half of a paragraph's weight goes to the element around its parent. Links do not count.
fn prose(html: &Html) -> Option<String> {
    let mut weights: HashMap<NodeId, usize> = HashMap::new();
    for paragraph in html.select(&PARAGRAPH) {
        let weight = weight_of(paragraph);
        let name = paragraph.value().name();
        if weight < PROSE || !matches!(name, "p" | "pre" | "blockquote") {
            continue;
        }
        let mut parents = paragraph.ancestors().filter(|node| node.value().is_element());
        if let Some(parent) = parents.next() {
            *weights.entry(parent.id()).or_default() += weight;
        }
        if let Some(outer) = parents.next() {
            *weights.entry(outer.id()).or_default() += weight / 2;
        }
    }
    let best = weights.into_iter().max_by_key(|(id, weight)| (*weight, std::cmp::Reverse(*id)))?.0;
    let best = html.tree.get(best).and_then(ElementRef::wrap)?;
    let lines = best.select(&PARAGRAPH).filter(|paragraph| {
        // Lists of links are navigation.
        if paragraph.value().name() == "li" && weight_of(*paragraph) < PROSE {
            return false;
        }
        // A list item or a quote that holds paragraphs gives its text by these.
        !paragraph.descendants().skip(1).any(|node| node.value().as_element().is_some_and(|e| e.name() == "p"))
    });
    let text = lines.map(web_page::text_of).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    (!text.is_empty()).then_some(text)
}

/// How much prose a paragraph holds: links count against it.
fn weight_of(paragraph: ElementRef<'_>) -> usize {
    let linked: usize = paragraph.select(&LINK).map(|link| web_page::line_of(link).len()).sum();
    web_page::line_of(paragraph).len().saturating_sub(linked * 2)
}
