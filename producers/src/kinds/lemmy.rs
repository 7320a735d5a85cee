//! Lemmy: posts and comments of a community or an instance (`/api/v3/post/list`, `/api/v3/comment/list` and their successors in version 4).
//!
//! What is read is named by its `ap_id`, which is the same on every instance that shows it. Texts are Markdown and stay so.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::quotes::{self, Marks};
use crate::content::{identity, json};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "lemmy";

/// How late a post of another instance may turn up.
const FEDERATION_DELAY: Duration = Duration::from_secs(1800);

pub(super) struct Lemmy;

impl Source for Lemmy {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let mut page = parse(&json::read(document.bytes)?, document.base, origin)?;
        // Featured posts come first, however old they are.
        page.posts.sort_by_key(|post| std::cmp::Reverse(post.published_at));
        Ok(page)
    }

    fn newest(&self, listed: &Url, _: Option<Timestamp>) -> Url {
        json::with_query(listed, &[("sort", "New"), ("limit", "50")])
    }

    fn older(&self, listed: &Url, _: Option<Timestamp>, older: &Older) -> Option<Url> {
        older
            .after()
            .map(|cursor| json::with_query(listed, &[("sort", "New"), ("limit", "50"), ("page_cursor", cursor)]))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Late(FEDERATION_DELAY)
    }
}

fn parse(answer: &Value, base: Option<&Url>, origin: Origin<'_>) -> Result<Page, ParseError> {
    if let Some(error) = json::text(answer, "error") {
        return Err(ParseError::Reported(error.to_owned()));
    }
    let mut views: Vec<&Value> = Vec::new();
    for name in ["posts", "comments", "items"] {
        views.extend(json::list(answer, name));
    }
    for name in ["post_view", "comment_view"] {
        views.extend(answer.get(name));
    }
    let is_list = ["posts", "comments", "items"].iter().any(|name| answer.get(name).is_some_and(Value::is_array));
    if views.is_empty() && !is_list {
        return Err(ParseError::Shape("expected posts, comments, post_view or comment_view".into()));
    }
    // Comments name their parents by local ids.
    let names: HashMap<String, String> = views
        .iter()
        .filter_map(|view| view.get("comment"))
        .filter_map(|comment| Some((json::id(comment, "id")?, name(comment)?)))
        .collect();
    let mut page = Page::default();
    for view in views {
        match (view.get("comment"), view.get("post")) {
            (Some(comment), post) => {
                let parent = parent(comment, post, &names, base);
                add(comment, view, parent, origin, &mut page);
            }
            (None, Some(post)) => add(post, view, None, origin, &mut page),
            (None, None) => return Err(ParseError::Shape("a view has neither post nor comment".into())),
        }
    }
    let next = json::text(answer, "next_page").filter(|next| next.len() <= 256);
    page.older = next.map(|next| Older::After(next.to_owned()));
    Ok(page)
}

fn name(thing: &Value) -> Option<String> {
    json::text(thing, "ap_id").map(|name| identity::named(NAME, name))
}

/// The last but one id of the path "0.1.2", else the post.
fn parent(
    comment: &Value,
    post: Option<&Value>,
    names: &HashMap<String, String>,
    base: Option<&Url>,
) -> Option<String> {
    let mut path = json::text(comment, "path").unwrap_or_default().rsplit('.').skip(1);
    match path.next().filter(|id| *id != "0" && json::is_id(id)) {
        Some(id) => {
            let host = base.and_then(Url::host_str).unwrap_or_default();
            let unseen = || identity::named(NAME, &format!("https://{host}/comment/{id}"));
            Some(names.get(id).cloned().unwrap_or_else(unseen))
        }
        None => post.and_then(name),
    }
}

fn add(thing: &Value, view: &Value, parent: Option<String>, origin: Origin<'_>, page: &mut Page) {
    let Some(id) = name(thing) else { return };
    let flag = |name| json::flag(thing, name);
    if flag("deleted") || flag("removed") {
        page.deleted.push(id);
        return;
    }
    let text = ["content", "body"].iter().find_map(|name| json::text(thing, name)).unwrap_or_default();
    let mut draft = Draft {
        id,
        url: json::text(thing, "ap_id").map(str::to_owned),
        author: view.get("creator").and_then(author),
        title: json::text(thing, "name").map(str::to_owned),
        parent,
        published: json::time(thing, "published").or_else(|| json::time(thing, "published_at")),
        edited: json::time(thing, "updated").or_else(|| json::time(thing, "updated_at")),
        ..Draft::default()
    }
    .prose(quotes::split(text, Marks::Markdown));
    draft.add_picture(json::text(thing, "alt_text").unwrap_or_default());
    draft.add_link(thing, ["embed_title", "embed_description"]);
    draft.add_to(page, NAME, origin);
}

/// The full address of an account, `user@host`.
fn author(creator: &Value) -> Option<String> {
    let name = json::text(creator, "name")?;
    let address = ["actor_id", "ap_id"].iter().find_map(|field| json::text(creator, field));
    let host = address.and_then(|address| Url::parse(address).ok());
    Some(match host.as_ref().and_then(Url::host_str) {
        Some(host) => format!("{name}@{host}"),
        None => name.to_owned(),
    })
}
