//! Hacker News: Algolia's `search_by_date` answers (and single hits and item trees), and Firebase items.
//!
//! The search lists newest first and lets us bound the time on both sides, so that a walk back needs no page numbers. Its index may show an item a
//! little late, hence the overlap.

use std::time::Duration;

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::quotes::{self, Marks};
use crate::content::{identity, json, plain_text};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "hackernews";

/// How late an item may turn up in the search index.
const INDEX_DELAY: Duration = Duration::from_secs(600);

pub(super) struct HackerNews;

impl Source for HackerNews {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let json: Value = serde_json::from_slice(document.bytes).map_err(|e| ParseError::Json(e.to_string()))?;
        parse(&json, origin)
    }

    fn newest(&self, listed: &Url, seen_until: Option<Timestamp>) -> Url {
        search(listed, seen_until, None)
    }

    fn older(&self, listed: &Url, seen_until: Option<Timestamp>, older: &Older) -> Option<Url> {
        older.not_after().map(|second| search(listed, seen_until, Some(second)))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Late(INDEX_DELAY)
    }
}

/// The search between the newest post seen (less the index delay) and `until`, both in seconds.
fn search(listed: &Url, seen_until: Option<Timestamp>, until: Option<i64>) -> Url {
    let mut bounds = Vec::new();
    if let Some(seen) = seen_until {
        bounds.push(format!("created_at_i>{}", seen.saturating_sub(INDEX_DELAY).as_millis() / 1000));
    }
    if let Some(until) = until {
        bounds.push(format!("created_at_i<={until}"));
    }
    let mut url = listed.clone();
    if !bounds.is_empty() {
        url.query_pairs_mut().append_pair("numericFilters", &bounds.join(","));
    }
    if !listed.query_pairs().any(|(key, _)| key == "hitsPerPage") {
        url.query_pairs_mut().append_pair("hitsPerPage", "100");
    }
    url
}

/// Reads a search answer, an array of items, or one item.
fn parse(json: &Value, origin: Origin<'_>) -> Result<Page, ParseError> {
    if let Some(message) = json.get("message").and_then(Value::as_str)
        && json.get("hits").is_none()
    {
        return Err(ParseError::Reported(message.to_owned()));
    }
    let (items, is_search): (Vec<&Value>, bool) = match (json.get("hits"), json) {
        (Some(Value::Array(hits)), _) => (hits.iter().collect(), true),
        (None, Value::Array(items)) => (items.iter().collect(), false),
        (None, Value::Object(_)) => (vec![json], false),
        (None, Value::Null) => (Vec::new(), false),
        _ => return Err(ParseError::Shape("expected an algolia answer or a firebase item".into())),
    };
    let mut page = Page::default();
    let mut oldest = None;
    let mut waiting: Vec<&Value> = items.iter().rev().copied().collect();
    while let Some(item) = waiting.pop() {
        if let Some(Value::Array(children)) = item.get("children") {
            waiting.extend(children.iter().rev().filter(|child| child.is_object()));
        }
        let time = item.get("created_at_i").and_then(Value::as_i64);
        oldest = match (oldest, time) {
            (Some(a), Some(b)) => Some(std::cmp::min::<i64>(a, b)),
            (a, b) => a.or(b),
        };
        draft(item, &mut page.deleted)?.into_iter().for_each(|draft| draft.add_to(&mut page, NAME, origin));
    }
    // `nbPages` counts 1000 hits at most, so that a full page, not the count, says that there may be more.
    let asked = json.get("hitsPerPage").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let is_full = is_search && !items.is_empty() && items.len() as u64 >= asked;
    page.older = oldest.filter(|_| is_full).map(Older::NotAfter);
    Ok(page)
}

/// One hit or item; `None` if it is deleted, dead or a poll option.
fn draft(item: &Value, deleted: &mut Vec<String>) -> Result<Option<Draft>, ParseError> {
    let flag = |name| json::flag(item, name);
    let text_of = |names: &[&str]| {
        names.iter().find_map(|name| item.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()))
    };
    let id = id_of(item, "objectID").or_else(|| id_of(item, "id"));
    // Algolia keeps what hangs below a deleted item, and nothing of the item but its place.
    let is_emptied = text_of(&["author", "by", "title", "comment_text", "story_text", "text", "url"]).is_none()
        && ["author", "text", "comment_text"].iter().any(|name| item.get(name).is_some_and(Value::is_null));
    let is_deleted = flag("deleted") || is_emptied;
    if is_deleted || flag("dead") || text_of(&["type"]) == Some("pollopt") {
        deleted.extend(id.filter(|_| is_deleted).map(|id| identity::native(NAME, &id)));
        return Ok(None);
    }
    let Some(id) = id else {
        return Err(ParseError::Shape("an item has neither objectID nor id".into()));
    };
    let seconds = item.get("created_at_i").or_else(|| item.get("time")).and_then(Value::as_i64);
    let published = seconds
        .and_then(|s| s.checked_mul(1000))
        .map(Timestamp::from_millis)
        .or_else(|| text_of(&["created_at"]).and_then(|text| Timestamp::parse_rfc3339(text).ok()));
    let parent = id_of(item, "parent_id").or_else(|| id_of(item, "parent"));
    let html = text_of(&["comment_text", "story_text", "text"]).unwrap_or_default();
    let prose = quotes::split(&plain_text::from_html(html), Marks::Lines);
    let mut draft = Draft {
        id: identity::native(NAME, &id),
        url: Some(
            text_of(&["url"]).map_or_else(|| format!("https://news.ycombinator.com/item?id={id}"), str::to_owned),
        ),
        author: text_of(&["author", "by"]).map(str::to_owned),
        title: text_of(&["title"]).map(plain_text::title),
        parent: parent.map(|parent| identity::native(NAME, &parent)),
        published,
        ..Draft::default()
    }
    .prose(prose);
    let choices: Vec<String> = json::list(item, "options")
        .iter()
        .filter_map(|choice| json::text(choice, "text"))
        .map(plain_text::from_html)
        .collect();
    draft.add_choices(choices.iter().map(String::as_str));
    Ok(Some(draft))
}

/// A native id, which comes as a number or as text.
fn id_of(item: &Value, name: &str) -> Option<String> {
    match item.get(name)? {
        Value::Number(n) => Some(n.to_string()),
        Value::String(s) if !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') => {
            Some(s.clone())
        }
        _ => None,
    }
}
