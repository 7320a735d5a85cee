//! What a page says of itself in JSON-LD (schema.org).

use std::sync::LazyLock;

use scraper::{Html, Selector};
use serde_json::Value;
use vigie_clock::Timestamp;

use crate::content::{json, plain_text};

static SCRIPT: LazyLock<Selector> =
    LazyLock::new(|| crate::content::web_page::constant("script[type=\"application/ld+json\" i]"));

/// Objects of one page that are looked at.
const MAX_OBJECTS: usize = 2000;

/// An article, as far as it is described.
#[derive(Debug, Default)]
pub(super) struct LinkedData {
    pub(super) title: Option<String>,
    pub(super) author: Option<String>,
    pub(super) url: Option<String>,
    pub(super) body: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) language: Option<String>,
    pub(super) published: Option<Timestamp>,
    pub(super) modified: Option<Timestamp>,
}

/// The first article that the page describes.
pub(super) fn read(html: &Html) -> LinkedData {
    for script in html.select(&SCRIPT) {
        let text: String = script.text().collect();
        let Some(document) = lenient(&text) else { continue };
        let mut waiting = vec![&document];
        let mut seen = 0;
        while let Some(value) = waiting.pop() {
            seen += 1;
            if seen > MAX_OBJECTS {
                break;
            }
            match value {
                Value::Array(items) => waiting.extend(items.iter().rev()),
                Value::Object(_) if is_article(value) => return article(value),
                Value::Object(_) => {
                    waiting.extend(
                        ["mainEntity", "mainEntityOfPage", "@graph"].iter().filter_map(|name| value.get(*name)),
                    );
                }
                _ => {}
            }
        }
    }
    LinkedData::default()
}

/// JSON in which line ends and tabs stand inside texts, or that stands inside a comment or a CDATA section, as pages have it.
fn lenient(text: &str) -> Option<Value> {
    let mut text = text.trim();
    for mark in ["<!--", "//<![CDATA[", "<![CDATA["] {
        text = text.strip_prefix(mark).unwrap_or(text).trim_start();
    }
    for mark in ["-->", "]]>", "//", ";"] {
        text = text.strip_suffix(mark).unwrap_or(text).trim_end();
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&text.replace(|c: char| c.is_control(), " "))).ok()
}

fn is_article(value: &Value) -> bool {
    let is = |name: &str| {
        name.ends_with("Article")
            || name.ends_with("Posting")
            || matches!(name, "Report" | "Review" | "CreativeWork" | "AnalysisNewsArticle")
    };
    match value.get("@type") {
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        _ => false,
    }
}

fn article(value: &Value) -> LinkedData {
    let text = |names: &[&str]| names.iter().find_map(|name| json::text(value, name)).map(plain_text::title);
    let place = match value.get("mainEntityOfPage") {
        Some(Value::String(url)) => Some(url.as_str()),
        Some(page) => json::text(page, "@id").or_else(|| json::text(page, "url")),
        None => None,
    };
    LinkedData {
        title: text(&["headline", "name"]),
        author: value.get("author").and_then(names),
        url: json::text(value, "url").or(place).map(str::to_owned),
        body: json::text(value, "articleBody").or_else(|| json::text(value, "text")).map(plain_text::from_html),
        summary: json::text(value, "description").map(plain_text::from_html),
        language: json::text(value, "inLanguage").map(str::to_owned),
        published: json::time(value, "datePublished").or_else(|| json::time(value, "dateCreated")),
        modified: json::time(value, "dateModified"),
    }
}

/// One name or several: a text, a thing with a name, or a list of these.
fn names(value: &Value) -> Option<String> {
    let one = |value: &Value| {
        let name = value.as_str().or_else(|| json::text(value, "name")).map(plain_text::title)?;
        (!name.is_empty() && !name.starts_with("http")).then_some(name)
    };
    let mut found: Vec<String> = Vec::new();
    for name in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter().filter_map(one) {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    if found.is_empty() { None } else { Some(found.join(", ")) }
}
