//! One entry of a feed.

use url::Url;
use vigie_clock::Timestamp;

use super::{NAME, imprint};
use crate::content::dates::{self, Order};
use crate::content::quotes::Prose;
use crate::content::xml::{Element, Space, decode, resolve};
use crate::content::{identity, plain_text};
use crate::kinds::source::draft::Draft;

/// What the entries of a feed inherit from it.
pub(super) struct Feed {
    /// What scopes guids that are not unique by themselves.
    host: String,
    /// Where relative links start: where the feed came from, else where it says it is, else the page that it belongs to.
    base: Option<Url>,
    language: Option<String>,
    author: Option<String>,
    /// How it writes dates in numbers.
    pub(super) order: Option<Order>,
}

impl Feed {
    pub(super) fn read(channel: Element<'_>, root: Element<'_>, base: Option<&Url>) -> Self {
        let own =
            links(channel, None).into_iter().find(|link| link.rel.as_deref() == Some("self")).map(|link| link.url);
        let base = base.cloned().or(own);
        // CDF says so in an attribute.
        let of_channel = channel.attribute("base").filter(|_| channel.name() == "channel");
        let base = of_channel.and_then(|of_channel| resolve(base.as_ref(), of_channel.trim())).or(base);
        let page = links(channel, base.as_ref()).into_iter().find(|link| link.is_page()).map(|link| link.url);
        let host_of = |url: &Url| url.host_str().map(str::to_owned);
        let title = || channel.child(Space::Core, "title").map(|title| title_of(title)).unwrap_or_default();
        let language = [Space::Core, Space::Dublin].into_iter().find_map(|space| channel.child(space, "language"));
        let language =
            language.map(|language| language.text().trim().to_owned()).filter(|language| !language.is_empty());
        Self {
            host: page.as_ref().and_then(host_of).or_else(|| base.as_ref().and_then(host_of)).unwrap_or_else(title),
            base: base.or(page),
            language: language.or_else(|| channel.language()).or_else(|| root.language()),
            author: authors(channel),
            order: None,
        }
    }
}

/// Reads an entry; `None` if there is nothing in it.
pub(super) fn read(item: Element<'_>, feed: &Feed) -> Option<Draft> {
    let base = feed.base.as_ref();
    let id = id_of(item);
    let link = link_of(item, &id, base);
    let title = title(item);
    let Prose { text, quoted } = text_of(item);
    let published = date_of(item, &PUBLISHED, feed.order);
    let updated = date_of(item, &UPDATED, feed.order);
    let editor = || item.child(Space::Core, "managingeditor").map(person).filter(|name| !name.is_empty());
    let author = authors(item).or_else(editor);
    let says_nothing = title.is_none() && link.is_none() && text.is_empty();
    let has_anything = || item.children().any(|child| child.has_attributes() || !child.text().trim().is_empty());
    if says_nothing && id.is_empty() && author.is_none() && !has_anything() {
        return None;
    }
    // What has neither words nor a name is identified by all that it has.
    let words = if says_nothing { item.markup(true) } else { String::new() };
    let words = if says_nothing { &words } else { &text };
    let language = item.child(Space::Dublin, "language").map(|language| language.text().trim().to_owned());
    let parent = item.child(Space::Thread, "in-reply-to").and_then(|parent| {
        let name = parent.attribute("ref").unwrap_or_default();
        let link = parent.attribute("href").and_then(|href| resolve(base, href.trim()));
        (!name.is_empty() || link.is_some())
            .then(|| identity::feed_entry(NAME, name.trim(), link.as_ref(), &feed.host, "", ""))
    });
    Some(Draft {
        id: identity::feed_entry(NAME, &id, link.as_ref(), &feed.host, title.as_deref().unwrap_or_default(), words),
        url: link.map(String::from),
        author: author.or_else(|| item.child(Space::Core, "source").and_then(authors)).or_else(|| feed.author.clone()),
        title,
        text,
        quoted,
        parent,
        language: language.or_else(|| item.language()).or_else(|| feed.language.clone()),
        published: published.or(updated),
        edited: published.and(updated),
    })
}

/// Where an entry says when it was published, best first.
const PUBLISHED: [(Space, &str); 8] = [
    (Space::Core, "pubdate"),
    (Space::Core, "published"),
    (Space::Core, "issued"),
    (Space::Core, "created"),
    (Space::Dublin, "date"),
    (Space::Dublin, "issued"),
    (Space::Dublin, "created"),
    (Space::Core, "date"),
];

/// Where it says when it was last changed.
const UPDATED: [(Space, &str); 4] =
    [(Space::Core, "updated"), (Space::Core, "modified"), (Space::Dublin, "modified"), LASTMOD];

const LASTMOD: (Space, &str) = (Space::Core, "lastmod");

/// What an entry says of its times.
pub(super) fn dates_in(item: Element<'_>) -> impl Iterator<Item = String> {
    let is_date =
        |child: &Element<'_>| PUBLISHED.iter().chain(&UPDATED).any(|name| *name == (child.space(), child.name()));
    item.children().filter(is_date).map(|child| child.text().trim().to_owned())
}

fn date_of(item: Element<'_>, names: &[(Space, &str)], order: Option<Order>) -> Option<Timestamp> {
    let named = names.iter().find_map(|(space, name)| {
        let mut named = item.children().filter(|child| child.space() == *space && child.name() == *name);
        named.find_map(|child| dates::parse_as(&child.text(), order))
    });
    // In CDF the date is an attribute.
    named.or_else(|| {
        names
            .contains(&LASTMOD)
            .then(|| item.attribute(LASTMOD.1))
            .flatten()
            .and_then(|date| dates::parse_as(&date, order))
    })
}

/// The guid, the Atom id or what the item is about.
fn id_of(item: Element<'_>) -> String {
    let child = |space, name| item.child(space, name).map(|id| id.text().trim().to_owned()).filter(|id| !id.is_empty());
    child(Space::Core, "guid")
        .or_else(|| child(Space::Core, "id"))
        .or_else(|| item.attribute("about").map(|about| about.trim().to_owned()).filter(|about| !about.is_empty()))
        .or_else(|| child(Space::Dublin, "identifier"))
        .unwrap_or_default()
}

struct Link {
    rel: Option<String>,
    media_type: Option<String>,
    url: Url,
}

impl Link {
    fn is_page(&self) -> bool {
        matches!(self.rel.as_deref(), None | Some("alternate" | ""))
    }

    fn is_html(&self) -> bool {
        self.media_type.as_deref().is_none_or(|media_type| media_type.is_empty() || media_type.contains("html"))
    }
}

fn links(item: Element<'_>, base: Option<&Url>) -> Vec<Link> {
    let mut found = Vec::new();
    for link in item.children().filter(|child| child.space() == Space::Core && child.name() == "link") {
        let text = link.text();
        let address = link.attribute("href").unwrap_or(text);
        let address = address.trim();
        // An empty reference in Atom is the document that the base names (RFC 3986, 4.4); an empty element is none.
        if address.is_empty() && (link.attribute("href").is_none() || link.base(None).is_none()) {
            continue;
        }
        if let Some(url) = resolve(link.base(base).as_ref(), address).filter(is_web) {
            // The long form of a relation is the same (RFC 4287, 4.2.7.2).
            let rel = link.attribute("rel").map(|rel| {
                let rel = rel.trim().to_ascii_lowercase();
                rel.strip_prefix("http://www.iana.org/assignments/relation/").map(str::to_owned).unwrap_or(rel)
            });
            found.push(Link { rel, media_type: link.attribute("type"), url });
        }
    }
    found
}

/// The page of an entry: its alternate link, else an id that is an address. Links to related pages are not the entry.
fn link_of(item: Element<'_>, id: &str, base: Option<&Url>) -> Option<Url> {
    let links = links(item, base);
    let found = links
        .iter()
        .find(|link| link.is_page() && link.is_html())
        .or_else(|| links.iter().find(|link| link.is_page()))
        .or_else(|| links.iter().find(|link| link.rel.as_deref() == Some("canonical")));
    found
        .map(|link| link.url.clone())
        .or_else(|| permalink(item, id, base))
        .or_else(|| resolve(base, item.attribute("href")?.trim()).filter(is_web))
        .or_else(|| resolve(base, item.child(Space::Core, "a")?.attribute("href")?.trim()).filter(is_web))
}

/// An id that is an address, unless the feed says that it leads nowhere.
fn permalink(item: Element<'_>, id: &str, base: Option<&Url>) -> Option<Url> {
    let says = item.child(Space::Core, "guid").and_then(|guid| guid.attribute("ispermalink"));
    match says.as_deref().map(str::trim) {
        Some("false" | "False" | "FALSE" | "no" | "0") => None,
        Some("true") => resolve(base, id).filter(is_web),
        _ => Url::parse(id).ok().filter(is_web),
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn title(item: Element<'_>) -> Option<String> {
    let places = [Space::Core, Space::Dublin, Space::Media, Space::Itunes];
    let own = places.into_iter().filter_map(|space| item.child(space, "title")).map(title_of);
    own.chain(media(item).filter_map(|media| media.child(Space::Media, "title")).map(title_of))
        .find(|title| !title.is_empty())
}

/// How a text construct of Atom is written; for RSS, which does not say, what it looks like.
enum Shape {
    Plain,
    Html,
    Unknown,
}

fn shape(element: Element<'_>) -> Shape {
    let is_atom = element.parent().is_some_and(|parent| matches!(parent.name(), "entry" | "feed"));
    match (
        element.attribute("type").unwrap_or_default().trim().to_ascii_lowercase().as_str(),
        element.attribute("mode"),
    ) {
        _ if element.has_markup() => Shape::Html,
        ("html" | "text/html" | "xhtml" | "application/xhtml+xml", _) => Shape::Html,
        ("text" | "text/plain", _) => Shape::Plain,
        ("", Some(_)) => Shape::Unknown,
        ("", None) if is_atom && element.space() == Space::Core => Shape::Plain,
        _ => Shape::Unknown,
    }
}

/// What an element holds, base64 decoded.
fn body(element: Element<'_>) -> String {
    let media_type = element.attribute("type").unwrap_or_default().trim().to_ascii_lowercase();
    let mode = element.attribute("mode").map(|mode| mode.trim().to_ascii_lowercase());
    let is_base64 = mode.as_deref() == Some("base64")
        || (media_type.contains('/') && !media_type.starts_with("text/") && !media_type.ends_with("xml"));
    let is_xhtml = element.has_markup()
        && (media_type.contains("xhtml")
            || media_type.ends_with("+xml")
            || element.space() == Space::Xhtml
            || mode.as_deref() == Some("xml"));
    let body = element.markup(is_xhtml);
    if is_base64 && let Some(decoded) = decode::base64(&body) { decoded } else { body }
}

fn title_of(element: Element<'_>) -> String {
    let body = body(element);
    match shape(element) {
        // Numbers escaped twice are a mistake of many generators; tags are meant.
        Shape::Plain if body.contains("&#") => plain_text::tidy(&decode::references(&body)),
        Shape::Plain => plain_text::tidy(&body),
        Shape::Html => plain_text::from_html(&body).split_whitespace().collect::<Vec<_>>().join(" "),
        Shape::Unknown => plain_text::title(&body),
    }
}

fn prose(element: Element<'_>) -> Prose {
    let body = body(element);
    match shape(element) {
        Shape::Plain => Prose { text: plain_text::tidy(&body), quoted: String::new() },
        Shape::Html | Shape::Unknown => imprint::without(plain_text::read_html(&body, imprint::is_of_forum(&body))),
    }
}

fn says_anything(prose: &Prose) -> bool {
    !prose.text.is_empty() || !prose.quoted.is_empty()
}

/// The fullest of what is there: content, else summary, else what media elements say.
fn text_of(item: Element<'_>) -> Prose {
    const PLACES: [(Space, &str); 13] = [
        (Space::Content, "encoded"),
        (Space::Core, "content"),
        (Space::Xhtml, "body"),
        (Space::Xhtml, "div"),
        (Space::Core, "fullitem"),
        (Space::Core, "description"),
        (Space::Core, "summary"),
        (Space::Core, "abstract"),
        (Space::Dublin, "description"),
        (Space::Media, "description"),
        (Space::Itunes, "summary"),
        (Space::Itunes, "description"),
        (Space::Itunes, "subtitle"),
    ];
    let own =
        PLACES.iter().flat_map(|(space, name)| item.children().filter(|c| c.space() == *space && c.name() == *name));
    let own = own.map(prose).find(says_anything);
    own.or_else(|| {
        let mut described = media(item).filter_map(|media| media.child(Space::Media, "description"));
        described.find_map(|element| Some(prose(element)).filter(says_anything))
    })
    .unwrap_or_default()
}

/// The media elements of an entry, in groups and alone.
fn media<'a>(item: Element<'a>) -> impl Iterator<Item = Element<'a>> {
    let is_media =
        |element: &Element<'a>| element.space() == Space::Media && matches!(element.name(), "group" | "content");
    item.children()
        .filter(is_media)
        .flat_map(move |media| std::iter::once(media).chain(media.children().filter(is_media)))
}

/// Who wrote it: Atom's persons, RSS's authors, Dublin Core's creators; else what podcasts and media say.
fn authors(item: Element<'_>) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    let is_creator = |space, name| {
        matches!((space, name), (Space::Core, "author" | "creator") | (Space::Dublin, "creator" | "author"))
    };
    for element in item.children().filter(|child| is_creator(child.space(), child.name())) {
        let name = person(element);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        let credits = item.children().chain(media(item).flat_map(|media| media.children()));
        let is_author = |e: &Element<'_>| {
            (e.space() == Space::Itunes && e.name() == "author")
                || (e.space() == Space::Media
                    && e.name() == "credit"
                    && e.attribute("role").is_some_and(|role| role == "author"))
        };
        names.extend(credits.filter(is_author).map(person).find(|name| !name.is_empty()));
    }
    if names.is_empty() { None } else { Some(names.join(", ")) }
}

fn person(element: Element<'_>) -> String {
    let part = |name| {
        element.child(Space::Core, name).map(|part| plain_text::title(&part.markup(false))).filter(|p| !p.is_empty())
    };
    match part("name").or_else(|| part("email")) {
        Some(name) => name,
        None if element.children().next().is_some() => String::new(),
        None => name_of(&plain_text::title(&element.markup(false))),
    }
}

/// The name in "mail (name)" and "name <mail>"; the mail address if there is no name.
fn name_of(text: &str) -> String {
    let text = text.trim();
    if let Some((mail, name)) = text.strip_suffix(')').and_then(|text| text.split_once('('))
        && mail.contains('@')
        && !name.trim().is_empty()
    {
        return name.trim().to_owned();
    }
    for (open, close) in [('<', '>'), ('(', ')')] {
        if let Some((name, mail)) = text.strip_suffix(close).and_then(|text| text.rsplit_once(open))
            && mail.contains('@')
            && !name.trim().is_empty()
        {
            return name.trim().trim_matches('"').to_owned();
        }
    }
    let mail = text.strip_prefix("mailto:").unwrap_or(text);
    let mail = mail.strip_suffix("()").unwrap_or(mail).trim();
    match mail.split_once(' ') {
        // "mail name", without brackets.
        Some((address, name)) if address.contains('@') && !name.trim().is_empty() => {
            name.trim().trim_start_matches('(').trim_end_matches(')').to_owned()
        }
        _ => mail.to_owned(),
    }
}
