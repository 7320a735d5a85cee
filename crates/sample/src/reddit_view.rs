//! Listings in Reddit's shape.

use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::archive::Item;
use crate::generator::{Channel, SamplePost};
use crate::state::State;

#[derive(Deserialize)]
pub(crate) struct Paging {
    after: Option<String>,
    limit: Option<usize>,
}

impl Paging {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(25).clamp(1, 100)
    }
}

/// `/r/A+B/new.json`
pub(crate) async fn posts(
    Extract(state): Extract<State>,
    Path(subs): Path<String>,
    Query(paging): Query<Paging>,
) -> Json<Value> {
    Json(listing(&state, &subs, false, &paging))
}

/// `/r/A+B/comments.json`
pub(crate) async fn comments(
    Extract(state): Extract<State>,
    Path(subs): Path<String>,
    Query(paging): Query<Paging>,
) -> Json<Value> {
    Json(listing(&state, &subs, true, &paging))
}

/// `/progress`
pub(crate) async fn progress(Extract(state): Extract<State>) -> Response {
    match &state.archive {
        Some(archive) => Json(archive.progress(state.clock.monotonic())).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn listing(state: &State, subs: &str, comments: bool, paging: &Paging) -> Value {
    let subs: Vec<&str> = subs.split('+').collect();
    let after = paging.after.as_deref();
    let (children, more): (Vec<Value>, bool) = match &state.archive {
        Some(archive) => {
            let (items, more) = archive.listing(state.clock.monotonic(), &subs, comments, after, paging.limit());
            (items.into_iter().map(archived).collect(), more)
        }
        None => {
            let wanted = |post: &SamplePost| match &post.channel {
                Channel::Reddit { subreddit, parent } => {
                    parent.is_some() == comments && subs.contains(&subreddit.as_str())
                }
                _ => false,
            };
            let listing = format!("{subs:?} {comments}");
            let posts = state.posts(after.is_none().then_some(&listing));
            let mut below = posts
                .iter()
                .filter(|post| wanted(post))
                .skip_while(|post| after.is_some_and(|name| reddit_name(post) != name))
                .peekable();
            if after.is_some() {
                below.next();
            }
            let page: Vec<Value> = below.by_ref().take(paging.limit()).map(|post| sample(state, post)).collect();
            (page, below.peek().is_some())
        }
    };
    let last = children.last().filter(|_| more).map(|child| child["data"]["name"].clone());
    json!({
        "kind": "Listing",
        "data": { "after": last, "before": null, "dist": children.len(), "modhash": "", "geo_filter": "", "children": children },
    })
}

/// Reddit escapes these three in every text unless asked not to.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn archived(item: &Item) -> Value {
    let id = &item.name[3..];
    let sub = &item.subreddit;
    if item.is_comment {
        let post = item.link.get(3..).unwrap_or_default();
        json!({ "kind": "t1", "data": {
            "id": id, "name": item.name, "subreddit": sub, "author": item.author, "body": escape(&item.text), "parent_id": item.parent,
            "link_id": item.link, "permalink": format!("/r/{sub}/comments/{post}/_/{id}/"), "created_utc": item.created_utc,
            "created": item.created_utc, "score": item.score, "ups": item.score, "replies": "", "edited": false,
        } })
    } else {
        let is_self = item.url.contains(&format!("/comments/{id}/"));
        json!({ "kind": "t3", "data": {
            "id": id, "name": item.name, "subreddit": sub, "author": item.author, "title": escape(&item.title), "selftext": escape(&item.text),
            "url": item.url, "is_self": is_self, "permalink": format!("/r/{sub}/comments/{id}/"), "created_utc": item.created_utc,
            "created": item.created_utc, "score": item.score, "ups": item.score, "edited": false, "stickied": false,
        } })
    }
}

fn reddit_name(post: &SamplePost) -> String {
    let is_comment = matches!(&post.channel, Channel::Reddit { parent: Some(_), .. });
    format!("{}_{}", if is_comment { "t1" } else { "t3" }, post.id)
}

fn sample(state: &State, post: &SamplePost) -> Value {
    let Channel::Reddit { subreddit, parent } = &post.channel else { return Value::Null };
    let name = reddit_name(post);
    let created = post.published_at.as_millis() as f64 / 1000.0;
    // Full addresses: these posts are on this site, not on Reddit.
    let permalink = format!("{}post/{}", state.base, post.id);
    match parent {
        Some(parent) => json!({ "kind": "t1", "data": {
            "id": post.id, "name": name, "subreddit": subreddit, "author": post.author, "body": escape(&post.text),
            "parent_id": format!("t3_{parent}"), "link_id": format!("t3_{parent}"), "permalink": permalink, "created_utc": created,
            "score": post.score, "replies": "",
        } }),
        None => json!({ "kind": "t3", "data": {
            "id": post.id, "name": name, "subreddit": subreddit, "author": post.author, "title": escape(&post.title),
            "selftext": escape(&post.text), "url": permalink, "permalink": permalink, "is_self": true, "created_utc": created,
            "score": post.score, "stickied": false,
        } }),
    }
}
