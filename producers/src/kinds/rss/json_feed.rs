//! JSON Feed 1.0 and 1.1 (jsonfeed.org).

use serde_json::Value;
use url::Url;

use super::{NAME, imprint, namesakes};
use crate::content::document::ParseError;
use crate::content::quotes::Prose;
use crate::content::xml::resolve;
use crate::content::{dates, identity, json, plain_text};
use crate::kinds::source::draft::{Draft, MAX_POSTS};
use crate::kinds::source::{Origin, Page};

/// When an item was published and changed.
const DATES: [&str; 2] = ["date_published", "date_modified"];

pub(super) fn read(text: &str, base: Option<&Url>, origin: Origin<'_>) -> Result<Page, ParseError> {
    let begins = || format!("the document begins with {:?}", plain_text::cut(text, 40));
    let feed: Value = serde_json::from_str(text.trim_end_matches('\0'))
        .map_err(|e| ParseError::Feed(format!("{e} ({})", begins())))?;
    let is_feed = json::text(&feed, "version").is_some_and(|version| version.contains("jsonfeed.org"));
    let Some(items) = feed.get("items").and_then(Value::as_array).filter(|_| is_feed || feed.get("title").is_some())
    else {
        return Err(ParseError::Feed(format!("json without version and items of a feed, {}", begins())));
    };
    let home = json::text(&feed, "home_page_url").and_then(|url| resolve(base, url));
    let host = home.as_ref().or(base).and_then(Url::host_str).map(str::to_owned);
    let host = host.unwrap_or_else(|| json::text(&feed, "title").unwrap_or_default().to_owned());
    let texts =
        |item: &Value| DATES.iter().filter_map(|name| json::text(item, name)).map(str::to_owned).collect::<Vec<_>>();
    let order = dates::order(items.iter().flat_map(texts), origin.fetched_at);
    let time = |item: &Value, name| json::time(item, name).or_else(|| dates::parse_as(json::text(item, name)?, order));
    let mut entries = Vec::new();
    for item in items.iter().take(MAX_POSTS) {
        let link = ["url", "external_url"]
            .iter()
            .find_map(|name| resolve(base.or(home.as_ref()), json::text(item, name)?))
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let title = json::text(item, "title").map(plain_text::tidy);
        let html = json::text(item, "content_html").unwrap_or_default();
        let Prose { mut text, quoted } = imprint::without(plain_text::read_html(html, imprint::is_of_forum(html)));
        if text.is_empty() && quoted.is_empty() {
            let mut plain =
                ["content_text", "summary"].iter().filter_map(|name| json::text(item, name)).map(plain_text::tidy);
            text = plain.find(|text| !text.is_empty()).unwrap_or_default();
        }
        if title.is_none() && link.is_none() && text.is_empty() {
            continue;
        }
        // Ids are text; numbers are a mistake to put up with.
        let id = match item.get("id") {
            Some(Value::String(id)) => id.trim().to_owned(),
            Some(Value::Number(id)) => id.to_string(),
            _ => String::new(),
        };
        let link = link.or_else(|| Url::parse(&id).ok().filter(|url| matches!(url.scheme(), "http" | "https")));
        let published = time(item, DATES[0]);
        let modified = time(item, DATES[1]);
        entries.push(Draft {
            id: identity::feed_entry(NAME, &id, link.as_ref(), &host, title.as_deref().unwrap_or_default(), &text),
            url: link.map(String::from),
            author: authors(item).or_else(|| authors(&feed)),
            title,
            text,
            quoted,
            language: json::text(item, "language").or_else(|| json::text(&feed, "language")).map(str::to_owned),
            published: published.or(modified),
            edited: published.and(modified),
            ..Draft::default()
        });
    }
    let mut page = Page { left_out: items.len().saturating_sub(MAX_POSTS), ..Page::default() };
    namesakes::add(entries, origin, &mut page);
    Ok(page)
}

/// `authors` of version 1.1, `author` of version 1.0.
fn authors(value: &Value) -> Option<String> {
    let all = json::list(value, "authors").iter().chain(value.get("author"));
    let mut names: Vec<&str> = Vec::new();
    for name in all.filter_map(|author| json::text(author, "name")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { None } else { Some(names.join(", ")) }
}
