//! What a page says of its feeds: link elements, the software that made it, links in its text; and where feeds usually are.

use scraper::{Html, Selector};
use std::sync::LazyLock;
use url::Url;

use super::Candidate;
use crate::content::web_page::{self, constant};
use crate::content::xml::resolve;
use crate::kinds::Kind;

static ALTERNATE: LazyLock<Selector> = LazyLock::new(|| constant("link[rel][href]"));
static GENERATOR: LazyLock<Selector> = LazyLock::new(|| constant("meta[content]"));
static LINK: LazyLock<Selector> = LazyLock::new(|| constant("a[href]"));

/// Links of one page that are looked at, and candidates that one page gives.
const MAX_LINKS: usize = 3000;
const MAX_CANDIDATES: usize = 12;

/// Where feeds usually are.
const USUAL: [&str; 9] =
    ["feed", "rss", "feed.xml", "rss.xml", "atom.xml", "index.xml", "feed.json", "feed/", "feeds/posts/default"];

/// The candidates of a page, best first.
pub(super) fn candidates(html: &Html, url: &Url) -> Vec<Candidate> {
    let base = web_page::base(html, Some(url));
    let base = base.as_ref().unwrap_or(url);
    let mut found = Vec::new();
    by_software(html, url, &mut found);
    for link in html.select(&ALTERNATE).take(MAX_LINKS) {
        let says = |name: &str| link.attr(name).unwrap_or_default().to_ascii_lowercase();
        let is_alternate = says("rel").split_whitespace().any(|rel| matches!(rel, "alternate" | "feed"));
        let is_feed = ["rss", "atom", "feed+json"].iter().any(|part| says("type").contains(part));
        // Every story has a feed of its comments, which is not what is asked for.
        let is_of_comments = says("title").contains("comment") || says("href").contains("/comments/");
        if is_alternate && is_feed && !is_of_comments {
            add(&mut found, base, link.attr("href").unwrap_or_default(), "the page names it");
        }
    }
    for link in html.select(&LINK).take(MAX_LINKS) {
        let href = link.attr("href").unwrap_or_default();
        if looks_like_feed(href) {
            add(&mut found, base, href, "the page links to it");
        }
    }
    found
}

/// The usual places of feeds: beside the page, then at the root of its site.
pub(super) fn usual(url: &Url) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut folder = url.clone();
    folder.set_query(None);
    folder.set_fragment(None);
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", folder.path()));
    }
    let root = folder.join("/").ok();
    for start in [Some(&folder).filter(|folder| folder.path() != "/"), root.as_ref()].into_iter().flatten() {
        for path in USUAL {
            add(&mut found, start, path, "a usual place");
        }
    }
    found
}

fn by_software(html: &Html, url: &Url, found: &mut Vec<Candidate>) {
    let site = url.origin().ascii_serialization();
    let host = url.host_str().unwrap_or_default();
    for meta in html.select(&GENERATOR).take(MAX_LINKS) {
        let content = meta.attr("content").unwrap_or_default().trim();
        let name = meta.attr("name").or_else(|| meta.attr("itemprop")).unwrap_or_default().to_ascii_lowercase();
        let (kind, address, platform) = match name.as_str() {
            "generator" if content.starts_with("Discourse") => {
                (Kind::Discourse, format!("{site}/posts.json"), "Discourse")
            }
            "channelid" | "identifier" if content.starts_with("UC") && host.ends_with("youtube.com") => {
                (Kind::Rss, format!("https://www.youtube.com/feeds/videos.xml?channel_id={content}"), "YouTube")
            }
            _ => continue,
        };
        if let Ok(url) = Url::parse(&address) {
            found.push(Candidate { kind, url, platform, name: host.to_owned() });
        }
    }
}

fn add(found: &mut Vec<Candidate>, base: &Url, href: &str, platform: &'static str) {
    let Some(url) = resolve(Some(base), href.trim()).filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return;
    };
    let is_new = found.iter().all(|known| known.url != url);
    if is_new && found.len() < 2 * MAX_CANDIDATES {
        let name = url.host_str().unwrap_or_default().to_owned();
        found.push(Candidate { kind: Kind::Rss, url, platform, name });
    }
}

fn looks_like_feed(href: &str) -> bool {
    let href = href.to_ascii_lowercase();
    let path = href.split(['?', '#']).next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(last, "feed" | "rss" | "atom" | "rss.xml" | "feed.xml" | "atom.xml" | "index.rss" | "feed.json")
        || last.ends_with(".rss")
        || last.ends_with(".atom")
        || last.ends_with(".rdf")
        || (last.ends_with(".xml") && path.split('/').any(|part| matches!(part, "feed" | "feeds" | "rss" | "atom")))
        || href.contains("feeds.feedburner.com/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(html: &str) -> Vec<(Kind, String)> {
        let url = Url::parse("https://news.example/blog/").unwrap();
        candidates(&Html::parse_document(html), &url).into_iter().map(|c| (c.kind, c.url.to_string())).collect()
    }

    #[test]
    fn named_feeds_come_before_linked_ones_and_those_of_comments_do_not_come() {
        let html = "<head><base href='/en/'><link rel=stylesheet href=x.css><link rel=alternate hreflang=fr href=/fr/>\
                    <link rel='alternate' type='application/rss+xml' title='Comments on x' href='/comments/feed/'>\
                    <link rel='alternate' type='application/atom+xml' href='atom.xml'></head><a href='/about.xml'>x</a><a href='/rss/all.xml'>feed</a><a href='/news.rss'>feed</a>";
        let expected = [
            (Kind::Rss, "https://news.example/en/atom.xml"),
            (Kind::Rss, "https://news.example/rss/all.xml"),
            (Kind::Rss, "https://news.example/news.rss"),
        ];
        assert_eq!(addresses(html), expected.map(|(kind, url)| (kind, url.to_owned())));
    }

    #[test]
    fn forums_are_known_by_their_software() {
        let html = "<meta name='generator' content='Discourse 3.2.0'>";
        assert_eq!(addresses(html), [(Kind::Discourse, "https://news.example/posts.json".to_owned())]);
    }
}
