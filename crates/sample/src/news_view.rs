//! News of the sample site: RSS feeds and the pages that they lead to.

use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::generator::{Channel, FEEDS, SamplePost};
use crate::state::State;

/// Items of a feed at most.
const ITEMS: usize = 300;

/// `/`
pub(crate) async fn index(Extract(state): Extract<State>) -> Html<String> {
    let feeds: String =
        FEEDS.iter().map(|(feed, name, _)| format!("<li><a href=\"/rss/{feed}.xml\">{name}</a>")).collect();
    let posts = state.posts(None);
    let latest: String = posts
        .iter()
        .take(50)
        .map(|post| format!("<li><a href=\"/post/{}\">{}</a>", post.id, escape(&headline(post))))
        .collect();
    Html(page(
        "vigie sample site",
        &format!("<p>Written by a program, for demonstration.</p><ul>{feeds}</ul><ol>{latest}</ol>"),
    ))
}

/// `/post/{id}`
pub(crate) async fn article(Extract(state): Extract<State>, Path(id): Path<String>) -> Response {
    let posts = state.posts(None);
    let Some(post) = posts.iter().find(|post| post.id == id) else { return StatusCode::NOT_FOUND.into_response() };
    let title = escape(&headline(post));
    let body: String = post.text.lines().map(|line| format!("<p>{}</p>", escape(line))).collect();
    let by = escape(&post.author);
    let time = post.published_at;
    let html = format!(
        "<article><h1>{title}</h1><p>by {by}, <time datetime=\"{time}\">{time}</time> (sample, written by a program)</p>{body}</article>"
    );
    Html(page(&title, &html)).into_response()
}

/// `/rss/{feed}.xml`
pub(crate) async fn feed(Extract(state): Extract<State>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let Some((name, title, language)) = FEEDS.iter().find(|(name, _, _)| file.strip_suffix(".xml") == Some(name))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let posts = state.posts(Some(name));
    let items: Vec<&SamplePost> = posts
        .iter()
        .map(AsRef::as_ref)
        .filter(|post| matches!(&post.channel, Channel::News { feed } if feed == name))
        .take(ITEMS)
        .collect();
    let etag = format!("\"{}-{}\"", items.len(), items.first().map_or("none", |post| post.id.as_str()));
    let modified = items.first().map_or_else(String::new, |post| rfc2822(post));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let entries: String = items.iter().map(|post| entry(&state, post)).collect();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<rss version=\"2.0\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
         xmlns:content=\"http://purl.org/rss/1.0/modules/content/\"><channel><title>{title}</title><link>{base}</link>\
         <description>Sample news, written by a program</description><language>{language}</language>{entries}</channel></rss>\n",
        base = state.base,
    );
    let headers = [
        (header::CONTENT_TYPE, "application/rss+xml; charset=utf-8".to_owned()),
        (header::ETAG, etag),
        (header::LAST_MODIFIED, modified),
    ];
    (headers, xml).into_response()
}

fn entry(state: &State, post: &SamplePost) -> String {
    let paragraphs: String = post.text.lines().map(|line| format!("<p>{}</p>", escape(line))).collect();
    format!(
        "<item><title>{title}</title><link>{base}post/{id}</link><guid isPermaLink=\"false\">tag:vigie.sample,2026:{id}</guid>\
         <pubDate>{date}</pubDate><dc:creator>{author}</dc:creator><description>{summary}</description>\
         <content:encoded><![CDATA[{paragraphs}]]></content:encoded></item>",
        title = escape(&post.title),
        base = state.base,
        id = post.id,
        date = rfc2822(post),
        author = escape(&post.author),
        summary = escape(post.text.lines().next().unwrap_or_default()),
    )
}

fn rfc2822(post: &SamplePost) -> String {
    let Some(time) = post.published_at.to_jiff() else { return String::new() };
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

fn headline(post: &SamplePost) -> String {
    if post.title.is_empty() { post.text.lines().next().unwrap_or_default().to_owned() } else { post.title.clone() }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head><body>{body}</body></html>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
