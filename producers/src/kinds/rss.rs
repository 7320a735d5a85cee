//! Feeds: RSS 0.9x, 1.0 and 2.0, Atom 0.3 and 1.0, JSON Feed.
//!
//! Feeds are read whether or not they are well formed. One that is cut off gives the entries that are whole; that the last one is missing does no harm,
//! since the next fetch brings it.

mod entry;
mod imprint;
mod json_feed;
mod namesakes;
mod schedule;

use url::Url;

use crate::content::document::{Document, ParseError};
use crate::content::xml::{Element, Space, Tree};
use crate::content::{charset, dates, plain_text};
use crate::kinds::source::draft::MAX_POSTS;
use crate::kinds::source::{Origin, Page, Source};

pub(super) const NAME: &str = "rss";

pub(super) struct Rss;

impl Source for Rss {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let text = charset::decode(document.bytes, document.charset);
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n', '\0']);
        if text.starts_with('{') {
            return json_feed::read(text, document.base, origin);
        }
        read(text, document.base, origin)
    }

    fn accept(&self) -> &'static str {
        "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.8, */*;q=0.1"
    }
}

fn read(text: &str, base: Option<&Url>, origin: Origin<'_>) -> Result<Page, ParseError> {
    let tree = Tree::read(text);
    let begins = || format!("the document begins with {:?}", plain_text::cut(text, 40));
    let Some(first) = tree.elements().next() else {
        return Err(ParseError::Feed(format!("no element, {}", begins())));
    };
    let is_root = |element: &Element<'_>| {
        matches!(element.name(), "rss" | "rdf" | "feed" | "channel")
            || (element.name() == "entry" && element.parent().is_none())
    };
    // A page is no feed, unless one is wrapped into it.
    let is_page = first.name() == "html";
    let root = tree
        .elements()
        .find(|element| is_root(element) && (!is_page || matches!(element.name(), "rss" | "rdf" | "feed")));
    let Some(root) = root else {
        let name = plain_text::cut(first.qualified(), 40);
        return Err(ParseError::Feed(format!("the root is <{name}>, expected rss, rdf:RDF or feed, {}", begins())));
    };
    // RSS 1.0 has its channel beside the items, RSS 2.0 around them.
    let channel = root.children().find(|child| child.name() == "channel").unwrap_or(root);
    let mut feed = entry::Feed::read(channel, root, base);
    let mut items = tree.elements().filter(|element| is_item(*element));
    let whole: Vec<Element<'_>> = items
        .by_ref()
        .take(MAX_POSTS)
        .filter(|element| element.is_closed() || is_whole(*element, &tree, text))
        .collect();
    feed.order = dates::order(whole.iter().flat_map(|element| entry::dates_in(*element)), origin.fetched_at);
    let mut page = Page { schedule: schedule::read(channel), left_out: items.count(), ..Page::default() };
    namesakes::add(whole.into_iter().filter_map(|element| entry::read(element, &feed)).collect(), origin, &mut page);
    if page.posts.is_empty() && (tree.is_cut || !root.is_closed()) {
        return Err(ParseError::Feed(format!("it ends early and holds no whole entry, {}", begins())));
    }
    Ok(page)
}

fn is_item(element: Element<'_>) -> bool {
    let is = |element: Element<'_>| {
        element.space() == Space::Core
            && (matches!(element.name(), "item" | "entry"))
            && element.qualified().len() <= 32
    };
    is(element) && !std::iter::successors(element.parent(), |e| e.parent()).any(is)
}

/// Whether an item whose end tag is missing can be used: the document goes on to its end regularly, so that the tag was forgotten, not cut off.
fn is_whole(element: Element<'_>, tree: &Tree<'_>, text: &str) -> bool {
    let names_itself = |child: Element<'_>| matches!(child.name(), "guid" | "id" | "link");
    !tree.is_cut && text.trim_end().ends_with('>') && element.children().any(names_itself)
}
