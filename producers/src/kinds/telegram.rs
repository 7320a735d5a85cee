//! Telegram's public channel previews, `t.me/s/CHANNEL`.
//!
//! The page shows some twenty messages, oldest first, and continues `before` a message number. Numbers only grow, so that a walk ends at a message that an
//! earlier one began with.

use std::sync::LazyLock;

use scraper::{ElementRef, Selector};
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::{dates, identity, json, web_page};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "telegram";

pub(super) struct Telegram;

static MESSAGE: LazyLock<Selector> = LazyLock::new(|| web_page::constant(".tgme_widget_message[data-post]"));
static TEXT: LazyLock<Selector> = LazyLock::new(|| web_page::constant(".tgme_widget_message_text"));
static REPLY: LazyLock<Selector> = LazyLock::new(|| web_page::constant("a.tgme_widget_message_reply[href]"));
static DATE: LazyLock<Selector> = LazyLock::new(|| web_page::constant(".tgme_widget_message_date time[datetime]"));
static OWNER: LazyLock<Selector> = LazyLock::new(|| web_page::constant(".tgme_widget_message_owner_name"));
static POLL: LazyLock<Selector> = LazyLock::new(|| web_page::constant(".tgme_widget_message_poll_question"));
static CHOICE: LazyLock<Selector> = LazyLock::new(|| web_page::constant(".tgme_widget_message_poll_option_text"));
static PREVIEW: LazyLock<Selector> =
    LazyLock::new(|| web_page::constant(".link_preview_title, .link_preview_description"));
static FILE: LazyLock<Selector> =
    LazyLock::new(|| web_page::constant(".tgme_widget_message_document_title, .tgme_widget_message_location_title"));
static MORE: LazyLock<Selector> = LazyLock::new(|| web_page::constant("a.tme_messages_more[data-before]"));
static CHANNEL: LazyLock<Selector> =
    LazyLock::new(|| web_page::constant(".tgme_channel_history, .tgme_channel_info, .tgme_page_title"));
static HISTORY: LazyLock<Selector> = LazyLock::new(|| web_page::constant(".tgme_channel_history"));

impl Source for Telegram {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let html = web_page::parse(document)?;
        let mut page = Page::default();
        for message in html.select(&MESSAGE) {
            if let Some(draft) = draft(message) {
                draft.add_to(&mut page, NAME, origin);
            }
        }
        page.posts.reverse();
        let before = html.select(&MORE).find_map(|link| link.attr("data-before").filter(|id| is_number(id)));
        page.older = before.map(|id| Older::After(id.to_owned()));
        if page.posts.is_empty() && html.select(&HISTORY).next().is_none() {
            let why = match html.select(&CHANNEL).next() {
                Some(_) => "a channel without a public preview, expected t.me/s/CHANNEL",
                None => "not a Telegram channel, expected t.me/s/CHANNEL",
            };
            return Err(ParseError::Page(why.into()));
        }
        Ok(page)
    }

    fn older(&self, listed: &Url, _: Option<Timestamp>, older: &Older) -> Option<Url> {
        older.after().map(|before| json::with_query(listed, &[("before", before)]))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Anchor
    }

    fn accept(&self) -> &'static str {
        "text/html"
    }
}

fn draft(message: ElementRef<'_>) -> Option<Draft> {
    let name = message.attr("data-post").filter(|name| is_name(name))?;
    if message.value().classes().any(|class| class == "service_message") {
        return None;
    }
    let is_quoted = |text: &ElementRef<'_>| text.ancestors().any(|node| is_reply(node.value()));
    let parent = message.select(&REPLY).find_map(|reply| {
        let url = Url::parse(reply.attr("href")?).ok()?;
        let name = url.path().trim_matches('/').trim_start_matches("s/").to_owned();
        is_name(&name).then(|| identity::native(NAME, &name))
    });
    let mut draft = Draft {
        id: identity::native(NAME, name),
        url: Some(format!("https://t.me/{name}")),
        author: message.select(&OWNER).next().map(web_page::line_of),
        published: message.select(&DATE).filter_map(|time| dates::parse(time.attr("datetime")?)).last(),
        ..Draft::default()
    };
    for prose in message.select(&TEXT).filter(|text| !is_quoted(text)).map(web_page::prose_of) {
        draft.add_line("", &prose.text);
        draft.add_quoted(&prose.quoted);
    }
    let has_parts = parent.is_some() || message.select(&POLL).chain(message.select(&FILE)).next().is_some();
    if !has_parts && is_notice(&draft.text) {
        return None;
    }
    message.select(&POLL).for_each(|line| draft.add_line("", &web_page::line_of(line)));
    if draft.text.is_empty() {
        message.select(&FILE).for_each(|line| draft.add_line("", &web_page::line_of(line)));
    }
    let choices: Vec<String> = message.select(&CHOICE).map(web_page::line_of).collect();
    draft.add_choices(choices.iter().map(String::as_str));
    message.select(&PREVIEW).for_each(|line| draft.add_quoted(&web_page::line_of(line)));
    draft.parent = parent;
    Some(draft)
}

/// Whether a text is what Telegram writes itself when something happens to a channel, on pages that do not mark it as such.
fn is_notice(text: &str) -> bool {
    let text = text.trim().trim_end_matches('.');
    let starts = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    let is_line = !text.contains('\n') && text.len() <= 300;
    let is_whole = matches!(
        text,
        "Channel created"
            | "Channel photo updated"
            | "Channel photo removed"
            | "Live stream started"
            | "Live stream finished"
    );
    let is_named =
        starts(&["Channel name was changed to \u{ab}", "Live stream finished (", "Live stream scheduled for "]);
    let is_pinned = text.split_once(" pinned ").is_some_and(|(who, what)| {
        who.len() <= 128
            && (what.starts_with('\u{ab}') && what.ends_with('\u{bb}')
                || matches!(what, "a photo" | "a video" | "a file" | "a poll" | "a message"))
    });
    let is_timer = text.contains("auto-delete timer")
        && starts(&["Auto-delete", "The auto-delete", "Channel auto-delete"])
        || starts(&[
            "Messages in this channel will be automatically deleted after ",
            "Messages in this channel will no longer be automatically deleted",
        ]);
    is_line && (is_whole || is_named || is_pinned || is_timer)
}

fn is_reply(node: &scraper::Node) -> bool {
    node.as_element().is_some_and(|element| element.classes().any(|class| class == "tgme_widget_message_reply"))
}

/// "channel/number".
fn is_name(name: &str) -> bool {
    name.split_once('/').is_some_and(|(channel, number)| {
        !channel.is_empty()
            && channel.len() <= 64
            && channel.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && is_number(number)
    })
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}
