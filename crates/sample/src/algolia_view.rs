//! Search answers in the shape of Hacker News' Algolia API.

use axum::Json;
use axum::extract::{Query, State as Extract};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::generator::{Channel, SamplePost};
use crate::state::State;

#[derive(Deserialize)]
pub(crate) struct Search {
    #[serde(rename = "numericFilters", default)]
    numeric_filters: String,
    #[serde(rename = "hitsPerPage")]
    hits_per_page: Option<usize>,
    #[serde(default)]
    query: String,
}

/// `/api/v1/search_by_date`
pub(crate) async fn search(Extract(state): Extract<State>, Query(search): Query<Search>) -> Json<Value> {
    let per_page = search.hits_per_page.unwrap_or(20).clamp(1, 1000);
    let (mut after, mut until) = (i64::MIN, i64::MAX);
    for filter in search.numeric_filters.split(',') {
        if let Some(second) = filter.strip_prefix("created_at_i<=").and_then(|s| s.parse().ok()) {
            until = second;
        } else if let Some(second) = filter.strip_prefix("created_at_i>").and_then(|s| s.parse().ok()) {
            after = second;
        }
    }
    let query = search.query.to_lowercase();
    let posts = state.posts((until == i64::MAX).then_some("hackernews"));
    let matching: Vec<&SamplePost> = posts
        .iter()
        .map(AsRef::as_ref)
        .filter(|post| matches!(post.channel, Channel::HackerNews { .. }))
        .filter(|post| {
            let second = post.published_at.as_millis().div_euclid(1000);
            second > after && second <= until
        })
        .filter(|post| {
            query.is_empty() || post.text.to_lowercase().contains(&query) || post.title.to_lowercase().contains(&query)
        })
        .collect();
    let hits: Vec<Value> = matching.iter().take(per_page).map(|post| hit(&state, post)).collect();
    Json(json!({
        "hits": hits, "nbHits": matching.len(), "page": 0, "nbPages": matching.len().min(1000).div_ceil(per_page), "hitsPerPage": per_page,
        "exhaustiveNbHits": true, "query": search.query, "processingTimeMS": 1,
    }))
}

fn hit(state: &State, post: &SamplePost) -> Value {
    let Channel::HackerNews { story } = &post.channel else { return Value::Null };
    let (title, story_text, comment_text) = match story {
        None => (Value::from(post.title.as_str()), Value::from(html(&post.text)), Value::Null),
        Some(_) => (Value::Null, Value::Null, Value::from(html(&post.text))),
    };
    json!({
        "objectID": post.id, "created_at": post.published_at.to_string(), "created_at_i": post.published_at.as_millis().div_euclid(1000),
        "title": title, "url": format!("{}post/{}", state.base, post.id), "author": post.author, "points": post.score,
        "story_text": story_text, "comment_text": comment_text, "story_id": story, "parent_id": story,
        "_tags": [if story.is_some() { "comment" } else { "story" }, format!("author_{}", post.author)],
    })
}

/// As Hacker News writes text: paragraphs by `<p>`, slashes and quotes escaped too.
fn html(text: &str) -> String {
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#x27;")
        .replace('"', "&quot;")
        .replace('/', "&#x2F;");
    escaped.replace('\n', "<p>")
}
