//! Bluesky: search answers, author feeds and threads as JSON, and recorded lines of Jetstream.
//!
//! A post is named by its `at://` address, which holds the account's permanent id. Search lists newest first and continues with an opaque cursor. Of
//! Jetstream, posts that are made and changed become posts, those that are deleted are reported as deleted, everything else is passed over.

use std::time::Duration;

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::{identity, json};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "bluesky";

/// How late a post may turn up in the search index.
const INDEX_DELAY: Duration = Duration::from_secs(600);

/// The collection of posts in an account's repository.
const POSTS: &str = "app.bsky.feed.post";

pub(super) struct Bluesky;

impl Source for Bluesky {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        match json::read(document.bytes) {
            Ok(answer) => parse(&answer, origin),
            // More than one document: lines of Jetstream.
            Err(error) => lines(document.bytes, origin).ok_or(error),
        }
    }

    fn newest(&self, listed: &Url, _: Option<Timestamp>) -> Url {
        json::with_query(listed, &[("sort", "latest"), ("limit", "100")])
    }

    fn older(&self, listed: &Url, _: Option<Timestamp>, older: &Older) -> Option<Url> {
        older
            .after()
            .map(|cursor| json::with_query(listed, &[("sort", "latest"), ("limit", "100"), ("cursor", cursor)]))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Late(INDEX_DELAY)
    }
}

fn parse(answer: &Value, origin: Origin<'_>) -> Result<Page, ParseError> {
    let mut page = Page::default();
    if answer.get("did").is_some() && answer.get("kind").is_some() {
        event(answer, origin, &mut page);
        return Ok(page);
    }
    if let Some(error) = json::text(answer, "error") {
        return Err(ParseError::Reported(format!(
            "{error}: {}",
            json::text(answer, "message").unwrap_or("no message")
        )));
    }
    let mut views: Vec<&Value> = Vec::new();
    if let Some(posts) = answer.get("posts").and_then(Value::as_array) {
        views.extend(posts);
    } else if let Some(feed) = answer.get("feed").and_then(Value::as_array) {
        views.extend(feed.iter().filter_map(|item| item.get("post")));
    } else if let Some(thread) = answer.get("thread") {
        let mut waiting = vec![thread];
        while let Some(node) = waiting.pop() {
            views.extend(node.get("post"));
            waiting.extend(json::list(node, "replies").iter().rev());
        }
    } else if let Value::Array(events) = answer {
        events.iter().for_each(|item| event(item, origin, &mut page));
    } else if answer.get("uri").is_some() {
        views.push(answer);
    } else {
        return Err(ParseError::Shape("expected posts, feed, thread or jetstream events".into()));
    }
    for view in views {
        let Some(uri) = json::text(view, "uri") else { continue };
        let Some(record) = view.get("record") else { continue };
        let handle =
            view.get("author").and_then(|author| json::text(author, "handle").or_else(|| json::text(author, "did")));
        // An author may write any time into a record: the index saw it no earlier than it was made.
        let made = json::time(record, "createdAt").into_iter().chain(json::time(view, "indexedAt")).min();
        add(uri, handle, record, [made, None], quoted(view), origin, &mut page);
    }
    let cursor = json::text(answer, "cursor").filter(|cursor| cursor.len() <= 512);
    page.older = cursor.map(|cursor| Older::After(cursor.to_owned()));
    Ok(page)
}

/// Lines of Jetstream; `None` if no line is one.
fn lines(bytes: &[u8], origin: Origin<'_>) -> Option<Page> {
    let mut page = Page::default();
    let mut known = 0_usize;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        // A last line that is cut off is no reason to drop the others.
        if let Ok(item) = json::read(line.trim_ascii())
            && item.get("did").is_some()
        {
            known += 1;
            event(&item, origin, &mut page);
        }
    }
    (known > 0).then_some(page)
}

/// One event of Jetstream.
fn event(item: &Value, origin: Origin<'_>, page: &mut Page) {
    let Some(commit) = item.get("commit").filter(|commit| json::text(commit, "collection") == Some(POSTS)) else {
        return;
    };
    let (Some(did), Some(key)) = (json::text(item, "did"), json::text(commit, "rkey")) else { return };
    let uri = format!("at://{did}/{POSTS}/{key}");
    let seen = item.get("time_us").and_then(Value::as_i64).map(|micros| Timestamp::from_millis(micros / 1000));
    match (json::text(commit, "operation"), commit.get("record")) {
        (Some("delete"), _) => page.deleted.push(identity::named(NAME, &uri)),
        (Some(operation), Some(record)) => {
            let made = json::time(record, "createdAt").into_iter().chain(seen).min();
            let edited = seen.filter(|_| operation == "update");
            add(&uri, Some(did), record, [made, edited], None, origin, page);
        }
        _ => {}
    }
}

fn add(
    uri: &str,
    author: Option<&str>,
    record: &Value,
    [published, edited]: [Option<Timestamp>; 2],
    quoted: Option<&str>,
    origin: Origin<'_>,
    page: &mut Page,
) {
    let parent = record.get("reply").and_then(|reply| reply.get("parent")).and_then(|parent| json::text(parent, "uri"));
    let mut draft = Draft {
        id: identity::named(NAME, uri),
        url: address(uri),
        author: author.map(str::to_owned),
        title: None,
        text: json::text(record, "text").unwrap_or_default().to_owned(),
        parent: parent.map(|parent| identity::named(NAME, parent)),
        language: json::list(record, "langs").first().and_then(Value::as_str).map(str::to_owned),
        published,
        edited,
        ..Draft::default()
    };
    let own = draft.text.to_lowercase();
    let tags = json::list(record, "tags").iter().filter_map(Value::as_str).map(|tag| format!("#{tag}"));
    let tags: Vec<String> = tags.filter(|tag| !own.contains(&tag.to_lowercase())).collect();
    draft.add_line("", &tags.join(" "));
    // What is embedded beside a quoted post is one level deeper.
    for embed in record.get("embed").into_iter().flat_map(|embed| [Some(embed), embed.get("media")]).flatten() {
        let pictures = json::list(embed, "images").iter().chain([embed]);
        pictures.filter_map(|picture| json::text(picture, "alt")).for_each(|text| draft.add_picture(text));
        if let Some(page) = embed.get("external") {
            draft.add_link(page, ["title", "description"]);
        }
    }
    draft.add_quoted(quoted.unwrap_or_default());
    draft.add_to(page, NAME, origin);
}

/// The text of the post that a post of an answer quotes.
fn quoted(view: &Value) -> Option<&str> {
    let mut record = view.get("embed")?.get("record")?;
    record = record.get("record").unwrap_or(record);
    json::text(record.get("value")?, "text")
}

/// Where people read a post; by the account's permanent id, since handles change.
fn address(uri: &str) -> Option<String> {
    let (did, key) = uri.strip_prefix("at://")?.split_once(&format!("/{POSTS}/"))?;
    Some(format!("https://bsky.app/profile/{did}/post/{key}"))
}
