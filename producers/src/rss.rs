//! Feeds: RSS 0.9x, 1.0 and 2.0, Atom, JSON Feed.

use feed_rs::model::{Entry, Feed, Text};
use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::charset;
use crate::dates;
use crate::identity;
use crate::plain_text;
use crate::source::{Document, Kind, Older, Origin, Overlap, Page, ParseError, Source, SourceConfig, event_time};

/// Reads feeds.
#[derive(Clone, Copy, Debug)]
pub struct Rss;

impl Source for Rss {
    fn kind(&self) -> Kind {
        Kind::Rss
    }

    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let text = prepare(&charset::decode(document.bytes, document.charset));
        let feed = read(&text, document.base)?;
        let host = host_of(&feed, document.base);
        let posts = feed.entries.iter().map(|entry| post(entry, &feed, &host, origin));
        let says_something = |post: &RawPost| post.title.is_some() || post.url.is_some() || !post.text.is_empty();
        let posts = posts.filter(says_something).collect();
        Ok(Page { posts, older: None })
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
        "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.8, */*;q=0.1"
    }
}

fn read(text: &str, base: Option<&Url>) -> Result<Feed, ParseError> {
    // The library makes a random id for an entry without one: leave it empty and name the entry ourselves. Its own dates are stricter than the web.
    let parser = feed_rs::parser::Builder::new()
        .base_uri(base.map(Url::as_str))
        .id_generator(|_, _, _| String::new())
        .sanitize_content(false)
        .timestamp_parser(|text| {
            let time = dates::parse(text)?.to_jiff()?;
            Some(std::time::SystemTime::from(time).into())
        })
        .build();
    // `separate_addresses` keeps the one panic of feed-rs 3.0 that we know of away; should there be another, a bad feed is data, not an end.
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parser.parse(text.as_bytes())));
    match parsed {
        Ok(Ok(feed)) => Ok(feed),
        Ok(Err(error)) => {
            Err(ParseError::Feed(format!("{error} (the document begins with {:?})", plain_text::cut(text, 40))))
        }
        Err(_) => Err(ParseError::Feed("the feed parser gave up on it".into())),
    }
}

/// Text that the feed parser can take: no declaration (the encoding it names is done with), nothing before the root, no characters that XML forbids,
/// a version of RSS that it knows.
fn prepare(text: &str) -> String {
    let mut rest = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if !rest.starts_with('{') {
        rest = rest.find('<').map_or("", |at| &rest[at..]);
    }
    if rest.starts_with("<?xml") {
        rest = rest.find("?>").map_or(rest, |end| &rest[end + 2..]);
    }
    let mut text: String = rest.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect();
    if let Some(tag) = rss_tag(&text) {
        let known = ["2.0", "0.91", "0.92"]
            .iter()
            .any(|v| tag.contains(&format!("\"{v}\"")) || tag.contains(&format!("'{v}'")));
        if !known {
            let renamed = tag.replacen("version", "x-version", 1).replacen("<rss", "<rss version=\"2.0\"", 1);
            text = text.replacen(&tag, &renamed, 1);
        }
    }
    separate_addresses(text)
}

/// Puts a space between a mail address and a character beside it that is not ASCII: feed-rs 3.0 looks for addresses in author names and cuts one byte away
/// from them, which panics inside such a character.
fn separate_addresses(text: String) -> String {
    if text.is_ascii() || !text.contains('@') {
        return text;
    }
    let is_local = |b: &u8| b.is_ascii_alphanumeric() || b"._%+-".contains(b);
    let is_domain = |b: &u8| b.is_ascii_alphanumeric() || b".-".contains(b);
    let bytes = text.as_bytes();
    let is_wide = |n: usize| bytes.get(n).is_some_and(|b| !b.is_ascii());
    let mut gaps = Vec::new();
    for (at, _) in text.match_indices('@') {
        let mut start = at - bytes[..at].iter().rev().take_while(|b| is_local(b)).count();
        if bytes[..start].ends_with(b"mailto:") {
            start -= b"mailto:".len();
        }
        let end = at + 1 + bytes[at + 1..].iter().take_while(|b| is_domain(b)).count();
        gaps.extend((start > 0 && is_wide(start - 1)).then_some(start));
        gaps.extend(is_wide(end).then_some(end));
    }
    gaps.sort_unstable();
    gaps.dedup();
    let mut out = String::with_capacity(text.len() + gaps.len());
    let mut from = 0;
    for gap in gaps {
        out.push_str(&text[from..gap]);
        out.push(' ');
        from = gap;
    }
    out.push_str(&text[from..]);
    out
}

/// The start tag of an RSS document.
fn rss_tag(text: &str) -> Option<String> {
    let head = plain_text::cut(text, 8192);
    let start = head.find("<rss").filter(|at| head[at + 4..].starts_with([' ', '>', '\n', '\t', '\r']))?;
    let end = head[start..].find('>')?;
    Some(head[start..=start + end].to_owned())
}

/// What scopes guids that are not unique by themselves.
fn host_of(feed: &Feed, base: Option<&Url>) -> String {
    let of = |url: &Url| url.host_str().map(str::to_owned);
    feed.links
        .iter()
        .filter_map(|link| Url::parse(&link.href).ok())
        .find_map(|url| of(&url))
        .or_else(|| base.and_then(of))
        .unwrap_or_else(|| feed.title.as_ref().map(|title| title.content.clone()).unwrap_or_default())
}

fn post(entry: &Entry, feed: &Feed, host: &str, origin: Origin<'_>) -> RawPost {
    let link = link_of(entry);
    let title = entry.title.as_ref().map(|title| plain_text::title(&title.content)).filter(|title| !title.is_empty());
    let text = text_of(entry);
    let published = entry.published.or(entry.updated).map(|time| Timestamp::from_millis(time.timestamp_millis()));
    let (published_at, published_at_estimated) = event_time(published, origin.fetched_at);
    let language = entry
        .language
        .as_deref()
        .or(feed.language.as_deref())
        .filter(|language| !language.is_empty())
        .or(origin.language);
    RawPost {
        post_id: identity::feed_entry(
            entry.id.trim(),
            link.as_ref(),
            host,
            title.as_deref().unwrap_or_default(),
            &text,
        ),
        source: origin.source.to_owned(),
        kind: Kind::Rss.name().to_owned(),
        url: link.map(String::from),
        author: author_of(entry, feed),
        title,
        text,
        parent_id: None,
        declared_language: language.map(str::to_owned),
        published_at,
        published_at_estimated,
        fetched_at: origin.fetched_at,
        sample: origin.sample,
    }
}

/// The page of an entry: its alternate link, else its first one that is no enclosure, else a guid that is an address.
fn link_of(entry: &Entry) -> Option<Url> {
    let web = |href: &str| Url::parse(href.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let is_page = |rel: Option<&str>| matches!(rel, None | Some("alternate"));
    let mut pages = entry.links.iter().filter(|link| link.target.is_none() && is_page(link.rel.as_deref()));
    pages
        .find_map(|link| web(&link.href))
        .or_else(|| {
            let others = entry.links.iter().filter(|link| link.target.is_none());
            others
                .filter(|link| !matches!(link.rel.as_deref(), Some("enclosure" | "self" | "edit" | "replies")))
                .find_map(|link| web(&link.href))
        })
        .or_else(|| web(&entry.id))
}

/// The longest of what is there in full: content, else summary, else what media elements say.
fn text_of(entry: &Entry) -> String {
    let content = entry.content.as_ref().and_then(|content| content.body.as_deref()).map(plain_text::from_html);
    let summary = |text: &Text| plain_text::from_html(&text.content);
    content
        .filter(|text| !text.is_empty())
        .or_else(|| entry.summary.as_ref().map(summary).filter(|text| !text.is_empty()))
        .or_else(|| entry.media.iter().find_map(|media| media.description.as_ref().map(summary)))
        .unwrap_or_default()
}

/// Who wrote an entry; the feed's authors where the entry names none (RFC 4287, section 4.1.2).
fn author_of(entry: &Entry, feed: &Feed) -> Option<String> {
    let authors = if entry.authors.is_empty() { &feed.authors } else { &entry.authors };
    let mut names: Vec<String> = Vec::new();
    for person in authors {
        let name = person.name.as_deref().or(person.email.as_deref()).map(plain_text::title).unwrap_or_default();
        // RSS has "mail (name)".
        let name = name.strip_prefix('(').and_then(|name| name.strip_suffix(')')).unwrap_or(&name).trim().to_owned();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { None } else { Some(names.join(", ")) }
}
