//! X: the recent search of API v2 (`/2/tweets/search/recent?query=…`), which reaches back seven days and wants a bearer token.
//!
//! A post keeps the id of its first version through edits (`edit_history_tweet_ids`). Retweets repeat what is published already: the search is asked without
//! them (`-is:retweet`, unless the query speaks of retweets itself), and those that come are left out. Answers carry `errors` beside posts where a part
//! could not be had, which is no failure; without posts it is one.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::{identity, json, plain_text};
use crate::keys::access::{Access, Api, Means};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "x";

/// How late the search may find a post.
const INDEX_DELAY: Duration = Duration::from_secs(60);

/// How far back the search may begin: seven days, less some time for the request to get there.
const REACH: Duration = Duration::from_secs(7 * 86_400 - 1800);

/// What is asked for of each post beside its id and text.
const FIELDS: [(&str, &str); 4] = [
    ("max_results", "100"),
    ("tweet.fields", "created_at,lang,author_id,referenced_tweets,edit_history_tweet_ids,note_tweet"),
    ("expansions", "author_id,attachments.poll_ids"),
    ("user.fields", "username"),
];

static API: Api = Api {
    hosts: &["api.x.com", "api.twitter.com"],
    needs_key: true,
    access: |listed, key| Some(Access::new(listed, listed.clone(), Means::Bearer(key))),
};

pub(super) struct X;

impl Source for X {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        parse(&json::read(document.bytes)?, origin)
    }

    fn newest(&self, listed: &Url, seen_until: Option<Timestamp>) -> Url {
        search(listed, seen_until)
    }

    fn older(&self, listed: &Url, seen_until: Option<Timestamp>, older: &Older) -> Option<Url> {
        older.after().map(|token| json::with_query(&search(listed, seen_until), &[("next_token", token)]))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Late(INDEX_DELAY)
    }

    fn reach(&self) -> Option<Duration> {
        Some(REACH)
    }

    fn api(&self) -> Option<&'static Api> {
        Some(&API)
    }
}

fn search(base: &Url, seen_until: Option<Timestamp>) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    for (name, value) in base.query_pairs() {
        let value = match &*name {
            "query" if !value.contains("is:retweet") => format!("({value}) -is:retweet"),
            _ => value.into_owned(),
        };
        url.query_pairs_mut().append_pair(&name, &value);
    }
    let url = json::with_query(&url, &FIELDS);
    let Some(from) = seen_until.map(|seen| seen.saturating_sub(INDEX_DELAY)) else { return url };
    // The API takes whole seconds.
    let from = Timestamp::from_millis(from.as_millis().div_euclid(1000) * 1000).to_string();
    json::with_query(&url, &[("start_time", &from)])
}

fn parse(answer: &Value, origin: Origin<'_>) -> Result<Page, ParseError> {
    let posts = match answer.get("data") {
        Some(Value::Array(posts)) => posts.as_slice(),
        Some(post @ Value::Object(_)) => std::slice::from_ref(post),
        _ => match reported(answer) {
            Some(error) => return Err(ParseError::Reported(error)),
            None if answer.get("meta").is_some() => &[],
            None => return Err(ParseError::Shape("expected data, meta or errors of API v2".into())),
        },
    };
    let users = answer.get("includes").map(|includes| json::list(includes, "users")).unwrap_or_default();
    let names: HashMap<String, &str> = users
        .iter()
        .filter_map(|user| Some((json::id(user, "id")?, json::text(user, "username").filter(|name| is_name(name))?)))
        .collect();
    let polls = answer.get("includes").map(|includes| json::list(includes, "polls")).unwrap_or_default();
    let mut page = Page::default();
    for post in posts.iter().filter(|post| referenced(post, "retweeted").is_none()) {
        let mut draft = draft(post, &names).ok_or_else(|| ParseError::Shape("a post has no id".into()))?;
        let own = post.get("attachments").map(|attached| json::list(attached, "poll_ids")).unwrap_or_default();
        let its = polls.iter().filter(|poll| poll.get("id").is_some_and(|id| own.contains(id)));
        let choices = its.flat_map(|poll| json::list(poll, "options"));
        draft.add_choices(choices.filter_map(|choice| json::text(choice, "label")));
        draft.add_to(&mut page, NAME, origin);
    }
    let next = answer.get("meta").and_then(|meta| json::id(meta, "next_token"));
    page.older = next.map(Older::After);
    Ok(page)
}

/// What the answer says went wrong: `errors`, or a problem of its own (`title`, `detail`).
fn reported(answer: &Value) -> Option<String> {
    let problem = json::list(answer, "errors").first().unwrap_or(answer);
    let said = ["title", "detail", "message"].into_iter().filter_map(|name| json::text(problem, name));
    let said: Vec<&str> = said.collect();
    (!said.is_empty()).then(|| said.join(": "))
}

fn draft(post: &Value, names: &HashMap<String, &str>) -> Option<Draft> {
    let id = json::id(post, "id").filter(|id| is_number(id))?;
    let first = json::list(post, "edit_history_tweet_ids").first().and_then(Value::as_str).filter(|id| is_number(id));
    let author = json::id(post, "author_id").and_then(|author| names.get(&author).copied());
    let long = post.get("note_tweet").and_then(|note| json::text(note, "text"));
    let text = long.or_else(|| json::text(post, "text")).unwrap_or_default();
    Some(Draft {
        id: identity::native(NAME, first.unwrap_or(&id)),
        // Without its author, `i` leads there, too.
        url: Some(format!("https://x.com/{}/status/{id}", author.unwrap_or("i"))),
        author: author.map(str::to_owned),
        text: plain_text::tidy(&plain_text::unescape(text)),
        parent: referenced(post, "replied_to").map(|parent| identity::native(NAME, &parent)),
        language: json::text(post, "lang").filter(|language| is_language(language)).map(str::to_owned),
        published: json::time(post, "created_at"),
        ..Draft::default()
    })
}

/// The id of the post that this one refers to in this way.
fn referenced(post: &Value, how: &str) -> Option<String> {
    let others = json::list(post, "referenced_tweets").iter();
    others
        .filter(|other| json::text(other, "type") == Some(how))
        .find_map(|other| json::id(other, "id").filter(|id| is_number(id)))
}

fn is_number(id: &str) -> bool {
    id.len() <= 20 && id.bytes().all(|b| b.is_ascii_digit())
}

fn is_name(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Not one of the codes for posts of links, tags or pictures alone, or of an unknown language.
fn is_language(code: &str) -> bool {
    let is_pseudo = code.len() == 3 && code.starts_with('q');
    !is_pseudo && !matches!(code, "und" | "zxx" | "art")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn read(text: &str) -> Result<Page, ParseError> {
        let origin = Origin { source: "s", language: None, sample: false, select: None, fetched_at: NOW };
        X.parse(Document { bytes: text.as_bytes(), charset: None, base: None }, origin)
    }

    #[test]
    fn posts_are_named_by_their_first_version_and_retweets_left_out() {
        let page = read(include_str!("../../tests/fixtures/x_search.json")).unwrap();
        let [first, second] = &page.posts[..] else { panic!("two posts: {:?}", page.posts) };
        assert_eq!((first.post_id.as_str(), first.text.as_str()), ("x:101", "$BTC & $ETH <3"));
        assert_eq!(first.url.as_deref(), Some("https://x.com/ada/status/103"));
        assert_eq!((first.author.as_deref(), first.parent_id.as_deref()), (Some("ada"), Some("x:90")));
        assert_eq!((first.declared_language.as_deref(), first.published_at_estimated), (Some("en"), false));
        assert_eq!((second.text.as_str(), second.author.as_deref()), ("all of it", None));
        assert_eq!(
            (second.url.as_deref(), second.declared_language.as_deref()),
            (Some("https://x.com/i/status/100"), None)
        );
        assert_eq!(page.older, Some(Older::After("b26v89".into())));
    }

    #[test]
    fn an_empty_answer_is_no_error_and_an_error_is_reported() {
        let page = read(r#"{"meta": {"result_count": 0}}"#).unwrap();
        assert!(page.posts.is_empty() && page.older.is_none());
        let errors =
            r#"{"errors": [{"message": "invalid start_time"}], "title": "Invalid Request", "detail": "One or more"}"#;
        assert_eq!(read(errors).unwrap_err(), ParseError::Reported("invalid start_time".into()));
        let problem = r#"{"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}"#;
        assert_eq!(read(problem).unwrap_err(), ParseError::Reported("Unauthorized: Unauthorized".into()));
        assert!(matches!(read("{}"), Err(ParseError::Shape(_))));
        assert!(matches!(read(r#"{"data": [{"text": "x"}]}"#), Err(ParseError::Shape(_))));
    }

    #[test]
    fn the_search_goes_on_from_what_was_seen_and_leaves_retweets_out() {
        let base = Url::parse("https://api.x.com/2/tweets/search/recent?query=btc%20OR%20eth&max_results=10").unwrap();
        let pairs = |url: &Url| url.query_pairs().into_owned().collect::<HashMap<String, String>>();
        let first = pairs(&search(&base, None));
        assert_eq!((first["query"].as_str(), first["max_results"].as_str()), ("(btc OR eth) -is:retweet", "10"));
        assert!(first["tweet.fields"].contains("note_tweet") && !first.contains_key("start_time"));
        let seen = Timestamp::parse_rfc3339("2026-11-20T10:01:00.987Z").ok();
        assert_eq!(pairs(&search(&base, seen))["start_time"], "2026-11-20T10:00:00Z");
        let own = Url::parse("https://api.x.com/2/tweets/search/recent?query=btc%20is:retweet").unwrap();
        assert_eq!(pairs(&search(&own, None))["query"], "btc is:retweet");
    }
}
