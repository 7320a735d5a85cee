//! Mastodon's statuses: tag and public timelines, search answers, single statuses.
//!
//! A status is named by its `uri`, which is the same on every instance that shows it, so that the same status of two instances is one post. Timelines list
//! newest first and continue before a local id (`max_id`); statuses of other instances may turn up late.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::quotes::Prose;
use crate::content::{identity, json, plain_text};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "mastodon";

/// How late a status of another instance may turn up.
const FEDERATION_DELAY: Duration = Duration::from_secs(1800);

pub(super) struct Mastodon;

impl Source for Mastodon {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        parse(&json::read(document.bytes)?, document.base, origin)
    }

    fn newest(&self, listed: &Url, _: Option<Timestamp>) -> Url {
        json::with_query(listed, &[("limit", "40")])
    }

    fn older(&self, listed: &Url, _: Option<Timestamp>, older: &Older) -> Option<Url> {
        older.after().map(|id| json::with_query(listed, &[("limit", "40"), ("max_id", id)]))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Late(FEDERATION_DELAY)
    }
}

fn parse(answer: &Value, base: Option<&Url>, origin: Origin<'_>) -> Result<Page, ParseError> {
    if let Some(error) = json::text(answer, "error") {
        return Err(ParseError::Reported(error.to_owned()));
    }
    let statuses: Vec<&Value> = match answer {
        Value::Array(statuses) => statuses.iter().collect(),
        Value::Object(_) if answer.get("statuses").is_some() => json::list(answer, "statuses").iter().collect(),
        Value::Object(_) if answer.get("content").is_some() => vec![answer],
        // The context of a status.
        Value::Object(_) if answer.get("descendants").is_some() => {
            json::list(answer, "ancestors").iter().chain(json::list(answer, "descendants")).collect()
        }
        _ => return Err(ParseError::Shape("expected a list of statuses or one status".into())),
    };
    let mut page = Page::default();
    let names: HashMap<&str, String> =
        statuses.iter().filter_map(|status| Some((json::text(status, "id")?, name(status)?))).collect();
    for status in &statuses {
        // A boost is read as what it boosts.
        let status = status.get("reblog").filter(|boosted| boosted.is_object()).unwrap_or(status);
        if !matches!(json::text(status, "visibility"), None | Some("public" | "unlisted")) {
            continue;
        }
        let draft = draft(status, &names, base);
        let draft = draft.ok_or_else(|| ParseError::Shape("a status has neither uri nor url".into()))?;
        draft.add_to(&mut page, NAME, origin);
    }
    let last = statuses.iter().filter_map(|status| json::text(status, "id")).next_back();
    page.older = last.filter(|id| answer.is_array() && json::is_id(id)).map(|id| Older::After(id.to_owned()));
    Ok(page)
}

/// The post id of a status.
fn name(status: &Value) -> Option<String> {
    let uri = json::text(status, "uri").or_else(|| json::text(status, "url"))?;
    Some(identity::named(NAME, uri))
}

fn draft(status: &Value, names: &HashMap<&str, String>, base: Option<&Url>) -> Option<Draft> {
    let url = json::text(status, "url").or_else(|| json::text(status, "uri"));
    let parent = json::id(status, "in_reply_to_id").map(|parent| {
        // The answer names it by its local id only, unless the parent is on the page, too.
        let host = base.and_then(Url::host_str).unwrap_or_default();
        names.get(parent.as_str()).cloned().unwrap_or_else(|| identity::named(NAME, &format!("{host}/{parent}")))
    });
    let mut draft = Draft {
        id: name(status)?,
        url: url.map(str::to_owned),
        author: status.get("account").and_then(author),
        title: json::text(status, "spoiler_text").map(plain_text::title),
        parent,
        language: json::text(status, "language").map(str::to_owned),
        published: json::time(status, "created_at"),
        edited: json::time(status, "edited_at"),
        ..Draft::default()
    }
    .prose(html(status));
    let choices = status.get("poll").map(|poll| json::list(poll, "options")).unwrap_or_default();
    draft.add_choices(choices.iter().filter_map(|choice| json::text(choice, "title")));
    let pictures = json::list(status, "media_attachments").iter();
    pictures.filter_map(|picture| json::text(picture, "description")).for_each(|text| draft.add_picture(text));
    if let Some(card) = status.get("card") {
        draft.add_link(card, ["title", "description"]);
    }
    if let Some(quoted) = status.get("quote").and_then(|quote| quote.get("quoted_status")) {
        draft.add_quoted(&html(quoted).text);
    }
    Some(draft)
}

fn html(status: &Value) -> Prose {
    plain_text::read_html(json::text(status, "content").unwrap_or_default(), true)
}

/// The full address of an account, `user@host`: the answer leaves the host out where it is its own.
fn author(account: &Value) -> Option<String> {
    let name = json::text(account, "acct").or_else(|| json::text(account, "username"))?;
    if name.contains('@') {
        return Some(name.to_owned());
    }
    let host = json::text(account, "url").and_then(|url| Url::parse(url).ok());
    Some(match host.as_ref().and_then(Url::host_str) {
        Some(host) => format!("{name}@{host}"),
        None => name.to_owned(),
    })
}
