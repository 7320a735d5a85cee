//! Discourse forums: `/posts.json`, `/latest.json` and other topic lists, `/t/ID.json`, `/search.json`, single posts.
//!
//! A post is named by its forum, topic and number, since replies name their parent by number. A topic list knows the first posts of its topics, without
//! all of their text. Answers are sorted newest first here, since pinned topics come first and topics list their posts oldest first.

use std::time::Duration;

use serde_json::Value;
use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::{Document, ParseError};
use crate::content::{identity, json, plain_text};
use crate::kinds::source::draft::Draft;
use crate::kinds::source::{Older, Origin, Overlap, Page, Source};

pub(super) const NAME: &str = "discourse";

/// How late a post may turn up: one that waited for approval.
const APPROVAL_DELAY: Duration = Duration::from_secs(3600);

pub(super) struct Discourse;

impl Source for Discourse {
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError> {
        let forum = Forum { base: document.base };
        let mut page = forum.parse(&json::read(document.bytes)?, origin)?;
        page.posts.sort_by_key(|post| std::cmp::Reverse(post.published_at));
        Ok(page)
    }

    fn older(&self, listed: &Url, _: Option<Timestamp>, older: &Older) -> Option<Url> {
        older.after().map(|id| json::with_query(listed, &[("before", id)]))
    }

    fn overlap(&self) -> Overlap {
        Overlap::Late(APPROVAL_DELAY)
    }
}

/// A forum, known by where an answer came from.
struct Forum<'a> {
    base: Option<&'a Url>,
}

impl Forum<'_> {
    fn parse(&self, answer: &Value, origin: Origin<'_>) -> Result<Page, ParseError> {
        if let Some(error) = json::list(answer, "errors").first() {
            return Err(ParseError::Reported(error.as_str().unwrap_or("no message").to_owned()));
        }
        let mut page = Page::default();
        if let Some(topics) = answer.get("topic_list").map(|list| json::list(list, "topics")) {
            let users = json::list(answer, "users");
            topics.iter().for_each(|topic| self.topic(topic, users, origin, &mut page));
        } else if let Some(posts) = answer.get("latest_posts").and_then(Value::as_array) {
            posts.iter().for_each(|post| self.post(post, None, origin, &mut page));
            let oldest = posts.iter().filter_map(|post| post.get("id").and_then(Value::as_i64)).min();
            page.older = oldest.filter(|id| *id > 1).map(|id| Older::After((id - 1).to_string()));
        } else if let Some(stream) = answer.get("post_stream") {
            json::list(stream, "posts").iter().for_each(|post| self.post(post, Some(answer), origin, &mut page));
        } else if answer.get("grouped_search_result").is_some() || answer.get("posts").is_some_and(Value::is_array) {
            self.search(answer, origin, &mut page);
        } else if answer.get("cooked").is_some() {
            self.post(answer, None, origin, &mut page);
        } else if let Value::Array(items) = answer {
            self.list(items, origin, &mut page)?;
        } else {
            return Err(ParseError::Shape("expected topic_list, latest_posts, post_stream or a post".into()));
        }
        Ok(page)
    }

    /// A search answer: posts with an excerpt, and their topics.
    fn search(&self, answer: &Value, origin: Origin<'_>, page: &mut Page) {
        let topics = json::list(answer, "topics");
        let posts = json::list(answer, "posts");
        for post in posts {
            let topic = post.get("topic_id").and_then(|id| topics.iter().find(|topic| topic.get("id") == Some(id)));
            self.post(post, topic, origin, page);
        }
        if posts.is_empty() {
            topics.iter().for_each(|topic| self.topic(topic, &[], origin, page));
        }
    }

    /// Posts, or the groups that older forums answer a search with.
    fn list(&self, items: &[Value], origin: Origin<'_>, page: &mut Page) -> Result<(), ParseError> {
        for item in items {
            if item.get("cooked").is_some() {
                self.post(item, None, origin, page);
            } else if let Some(results) = item.get("results").and_then(Value::as_array) {
                let is_topics = json::text(item, "type") == Some("topic");
                results.iter().filter(|_| is_topics).for_each(|topic| self.topic(topic, &[], origin, page));
            } else {
                return Err(ParseError::Shape("expected a list of posts".into()));
            }
        }
        Ok(())
    }

    fn post(&self, post: &Value, topic: Option<&Value>, origin: Origin<'_>, page: &mut Page) {
        let of_topic =
            |name: &str, own: &str| json::id(post, own).or_else(|| topic.and_then(|topic| json::id(topic, name)));
        let (Some(topic_id), Some(number)) =
            (of_topic("id", "topic_id"), post.get("post_number").and_then(Value::as_u64))
        else {
            return;
        };
        let id = self.name(&topic_id, number);
        let flag = |name| json::flag(post, name);
        if flag("user_deleted") || post.get("deleted_at").is_some_and(|at| !at.is_null()) {
            page.deleted.push(id);
            return;
        }
        // Hidden by flags; or an action noted in the stream (3), or a whisper among the staff (4).
        if flag("hidden") || post.get("post_type").and_then(Value::as_u64).is_some_and(|kind| kind > 2) {
            return;
        }
        let slug = of_topic("slug", "topic_slug");
        let title = json::text(post, "topic_title").or_else(|| topic.and_then(|topic| json::text(topic, "title")));
        let parent = match post.get("reply_to_post_number").and_then(Value::as_u64) {
            Some(parent) => Some(self.name(&topic_id, parent)),
            None => (number > 1).then(|| self.name(&topic_id, 1)),
        };
        let html = ["cooked", "blurb"].iter().find_map(|name| json::text(post, name)).unwrap_or_default();
        let changed = post.get("version").and_then(Value::as_u64).unwrap_or(1) > 1;
        Draft {
            id,
            url: self.address(slug.as_deref(), &topic_id, number),
            author: json::text(post, "username").map(str::to_owned),
            title: title.map(plain_text::title),
            parent,
            published: json::time(post, "created_at"),
            edited: json::time(post, "updated_at").filter(|_| changed),
            ..Draft::default()
        }
        .prose(plain_text::read_html(html, true))
        .add_to(page, NAME, origin);
    }

    /// A topic in a list stands for its first post.
    fn topic(&self, topic: &Value, users: &[Value], origin: Origin<'_>, page: &mut Page) {
        let Some(topic_id) = json::id(topic, "id") else { return };
        let slug = json::id(topic, "slug");
        let original = json::list(topic, "posters")
            .iter()
            .find(|poster| json::text(poster, "description").is_some_and(|what| what.contains("Original Poster")));
        let original =
            original.or_else(|| json::list(topic, "posters").first()).and_then(|poster| poster.get("user_id"));
        let author = original.and_then(|id| users.iter().find(|user| user.get("id") == Some(id)));
        let title = json::text(topic, "title").or_else(|| json::text(topic, "fancy_title"));
        Draft {
            id: self.name(&topic_id, 1),
            url: self.address(slug.as_deref(), &topic_id, 1),
            author: author.and_then(|user| json::text(user, "username")).map(str::to_owned),
            title: title.map(plain_text::title),
            published: json::time(topic, "created_at"),
            ..Draft::default()
        }
        .prose(plain_text::read_html(json::text(topic, "excerpt").unwrap_or_default(), true))
        .add_to(page, NAME, origin);
    }

    fn name(&self, topic: &str, number: u64) -> String {
        let host = self.base.and_then(Url::host_str).map(|host| format!("{host}/")).unwrap_or_default();
        identity::named(NAME, &format!("{host}{topic}/{number}"))
    }

    /// Where people read a post. A forum in a folder of its host keeps the part of the path before the API's.
    fn address(&self, slug: Option<&str>, topic: &str, number: u64) -> Option<String> {
        let base = self.base?;
        let path = base.path();
        let marks = ["/t/", "/posts", "/latest", "/top", "/c/", "/search", "/new", "/tag/"];
        let folder = marks.iter().filter_map(|mark| path.find(mark)).min().map_or("", |end| &path[..end]);
        let slug = slug.filter(|slug| !slug.is_empty()).map(|slug| format!("{slug}/")).unwrap_or_default();
        let number = if number == 1 { String::new() } else { format!("/{number}") };
        base.join(&format!("{folder}/t/{slug}{topic}{number}")).ok().map(String::from)
    }
}
