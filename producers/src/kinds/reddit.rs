//! Reddit's JSON: listings of posts (t3) and comments (t1), `[post, comments]` pages with nested replies, `morechildren` answers.
//!
//! Listings are strictly newest first and continue `after` a full name, so that a walk ends at a post that an earlier walk began with. Texts come
//! with `&amp;`, `&lt;` and `&gt;` escaped (we do not ask for `raw_json`), and Markdown knows the other references, too: both are resolved here.

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::Secret;

use crate::content::document::{Document, ParseError};
use crate::content::quotes::{self, Marks};
use crate::content::xml::decode;
use crate::content::{identity, json, plain_text};
use crate::keys::access::{Access, Api, Means};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "reddit";

/// Public listings are read without a key; with one, the API answers at a host of its own.
static API: Api = Api { hosts: &["www.reddit.com", "reddit.com"], needs_key: false, access };

/// The path at which applications get their tokens.
const TOKEN_PATH: &str = "/api/v1/access_token";

pub(super) struct Reddit;

impl Source for Reddit {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let json: Value = serde_json::from_slice(document.bytes).map_err(|e| ParseError::Json(e.to_string()))?;
        parse(&json, origin)
    }

    fn newest(&self, listed: &Url, _: Option<Timestamp>) -> Url {
        listing(listed, None)
    }

    fn older(&self, listed: &Url, _: Option<Timestamp>, older: &Older) -> Option<Url> {
        older.after().map(|name| listing(listed, Some(name)))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Anchor
    }

    fn api(&self) -> Option<&'static Api> {
        Some(&API)
    }
}

fn access(listed: &Url, client: Secret) -> Option<Access> {
    let (mut api, mut at) = (listed.clone(), listed.clone());
    if matches!(api.host_str(), Some("www.reddit.com" | "reddit.com")) {
        api.set_host(Some("oauth.reddit.com")).ok()?;
        at.set_host(Some("www.reddit.com")).ok()?;
    }
    at.set_path(TOKEN_PATH);
    at.set_query(None);
    at.set_fragment(None);
    Some(Access::new(listed, api, Means::Token { at, client }))
}

fn listing(listed: &Url, after: Option<&str>) -> Url {
    let mut url = listed.clone();
    if !listed.query_pairs().any(|(key, _)| key == "limit") {
        url.query_pairs_mut().append_pair("limit", "100");
    }
    if let Some(after) = after {
        url.query_pairs_mut().append_pair("after", after);
    }
    url
}

/// Reads a listing, an array of listings, a `morechildren` answer or one thing.
fn parse(json: &Value, origin: Origin<'_>) -> Result<Page, ParseError> {
    if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
        let message = json.get("message").and_then(Value::as_str).unwrap_or("no message");
        return Err(ParseError::Reported(format!("{error}: {message}")));
    }
    let mut waiting: Vec<&Value> = Vec::new();
    if let Some(answer) = json.get("json") {
        if let Some(error) = answer.get("errors").and_then(Value::as_array).and_then(|errors| errors.first()) {
            return Err(ParseError::Reported(error.to_string()));
        }
        let things = answer.get("data").and_then(|data| data.get("things")).and_then(Value::as_array);
        waiting.extend(things.ok_or_else(|| ParseError::Shape("json.data.things is missing".into()))?.iter().rev());
    } else if let Value::Array(listings) = json {
        waiting.extend(listings.iter().rev());
    } else if json.get("kind").is_some() {
        waiting.push(json);
    } else {
        return Err(ParseError::Shape("expected a reddit listing (kind and data)".into()));
    }
    let older =
        json.get("data").and_then(|data| data.get("after")).and_then(Value::as_str).filter(|after| is_full_name(after));

    let mut page = Page { older: older.map(|after| Older::After(after.to_owned())), ..Page::default() };
    while let Some(thing) = waiting.pop() {
        let Some(data) = thing.get("data") else {
            return Err(ParseError::Shape("a thing has no data".into()));
        };
        match thing.get("kind").and_then(Value::as_str) {
            Some("Listing") => {
                waiting.extend(data.get("children").and_then(Value::as_array).into_iter().flatten().rev())
            }
            Some("t1") => {
                if let Some(replies) = data.get("replies").filter(|replies| replies.is_object()) {
                    waiting.push(replies);
                }
                comment(data).into_iter().for_each(|draft| draft.add_to(&mut page, NAME, origin));
            }
            Some("t3") => submission(data).into_iter().for_each(|draft| draft.add_to(&mut page, NAME, origin)),
            // `more` names comments that are left out, t2, t4, t5 and t6 are accounts, messages, subreddits and awards.
            Some(_) => {}
            None => return Err(ParseError::Shape("a thing has no kind".into())),
        }
    }
    Ok(page)
}

fn submission(data: &Value) -> Option<Draft> {
    let mut post = thing(data, "t3", "selftext")?;
    post.title = string(data, "title").map(plain);
    let choices = data.get("poll_data").map(|poll| json::list(poll, "options")).unwrap_or_default();
    post.add_choices(choices.iter().filter_map(|choice| json::text(choice, "text")));
    let pictures = data.get("gallery_data").map(|gallery| json::list(gallery, "items")).unwrap_or_default();
    pictures
        .iter()
        .filter_map(|picture| json::text(picture, "caption"))
        .for_each(|caption| post.add_picture(&plain(caption)));
    for original in json::list(data, "crosspost_parent_list") {
        ["title", "selftext"]
            .iter()
            .filter_map(|name| json::text(original, name))
            .for_each(|text| post.add_quoted(&plain(text)));
    }
    Some(post)
}

fn comment(data: &Value) -> Option<Draft> {
    let mut post = thing(data, "t1", "body")?;
    post.parent = string(data, "parent_id")
        .or_else(|| string(data, "link_id"))
        .filter(|id| is_full_name(id))
        .map(|id| identity::native(NAME, id));
    Some(post)
}

/// What posts and comments share; `None` if it has no id.
fn thing(data: &Value, prefix: &str, body: &str) -> Option<Draft> {
    let name = match (string(data, "name"), string(data, "id")) {
        (Some(name), _)
            if name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_')) && is_full_name(name) =>
        {
            name.to_owned()
        }
        (_, Some(id)) if is_full_name(&format!("{prefix}_{id}")) => format!("{prefix}_{id}"),
        _ => return None,
    };
    let time = |name: &str| data.get(name).and_then(Value::as_f64).map(from_seconds);
    let text = plain(string(data, body).unwrap_or_default());
    let url = match string(data, "permalink") {
        Some(path) if path.starts_with('/') => Some(format!("https://www.reddit.com{path}")),
        Some(url) => Some(url.to_owned()),
        None => string(data, "url").or_else(|| string(data, "link_url")).map(str::to_owned),
    };
    Some(
        Draft {
            id: identity::native(NAME, &name),
            url,
            author: string(data, "author").filter(|author| *author != "[deleted]").map(str::to_owned),
            published: time("created_utc").or_else(|| time("created")),
            // False, or when.
            edited: time("edited"),
            ..Draft::default()
        }
        .prose(quotes::split(&text, Marks::Markdown)),
    )
}

/// A text without escapes.
fn plain(text: &str) -> String {
    plain_text::tidy(&decode::references(&plain_text::unescape(text)))
}

fn from_seconds(seconds: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "float to integer casts saturate")]
    Timestamp::from_millis((seconds * 1000.0) as i64)
}

fn string<'a>(data: &'a Value, name: &str) -> Option<&'a str> {
    data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn is_full_name(name: &str) -> bool {
    name.len() <= 32 && name.starts_with('t') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str) -> Access {
        (API.access)(&Url::parse(url).unwrap(), "client:tellnobody".to_owned().into()).unwrap()
    }

    #[test]
    fn reddit_is_asked_at_its_api_and_only_there_is_the_token_shown() {
        let access = access("https://www.reddit.com/r/Bitcoin/new.json?limit=100");
        let url = access.address(Url::parse("https://www.reddit.com/r/Bitcoin/new.json?limit=100&after=t3_1").unwrap());
        assert_eq!(url.as_str(), "https://oauth.reddit.com/r/Bitcoin/new?limit=100&after=t3_1");
        assert!(access.is_for(&url) && !access.is_for(&Url::parse("https://www.reddit.com/r/Bitcoin/new").unwrap()));
        assert!(!access.is_for(&Url::parse("http://oauth.reddit.com/").unwrap()));
        let Means::Token { at, .. } = access.means() else { panic!("{access:?}") };
        assert_eq!(at.as_str(), "https://www.reddit.com/api/v1/access_token");
        assert!(!format!("{access:?}").contains("tellnobody"));
    }
}
