//! `discover` against a site of the test's own: what it asks for, in which order, and what it makes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use url::Url;
use vigie_clock::{SharedClock, SystemClock};
use vigie_producers::Kind;
use vigie_producers::discover::{DiscoverError, Proposal, discover};
use vigie_producers::fetcher::FetcherConfig;

use crate::server::{fetcher, serve};

const FEED: &str = "<rss version='2.0'><channel><title>T</title><link>http://x.example/</link>\
    <item><title>a</title><link>http://x.example/a</link><pubDate>Mon, 02 Nov 2026 10:00:00 GMT</pubDate></item>\
    <item><title>b</title><link>http://x.example/b</link><pubDate>Mon, 02 Nov 2026 09:00:00 GMT</pubDate></item></channel></rss>";

/// Serves `pages` (path, body) and counts what is asked for.
async fn site(pages: Vec<(&'static str, String)>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let answer = move |uri: Uri| {
        log.lock().unwrap().push(uri.to_string());
        let found = pages.iter().find(|(path, _)| *path == uri.path()).map(|(_, body)| body.clone());
        async move {
            found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |body| Html(body).into_response()) as Response
        }
    };
    (serve(Router::new().fallback(answer)).await, asked)
}

async fn find(url: Url) -> Result<Proposal, DiscoverError> {
    let fetcher = fetcher(FetcherConfig { local_spacing: Duration::ZERO, ..FetcherConfig::default() });
    let clock: SharedClock = Arc::new(SystemClock::default());
    discover(&url, true, &fetcher, &clock).await
}

#[tokio::test]
async fn a_feed_is_taken_as_it_is() {
    let (url, asked) = site(vec![("/any/name", FEED.to_owned())]).await;
    let found = find(url.join("any/name").unwrap()).await.unwrap();
    assert_eq!(
        (found.kind, found.posts, found.every_seconds),
        (Kind::Rss, 2, 900),
        "a third of the hour between its posts"
    );
    assert_eq!(found.newest.unwrap().to_string(), "2026-11-02T10:00:00Z");
    assert_eq!(*asked.lock().unwrap(), ["/any/name"]);
}

#[tokio::test]
async fn a_page_leads_to_its_feed_past_those_that_do_not_work() {
    let page = "<html><head><link rel='alternate' type='application/rss+xml' href='/gone.xml'><link rel='alternate' type='application/atom+xml' href='blog/feed.xml'></head></html>";
    let (url, asked) = site(vec![("/", page.to_owned()), ("/blog/feed.xml", FEED.to_owned())]).await;
    let found = find(url.clone()).await.unwrap();
    assert_eq!(found.url, url.join("blog/feed.xml").unwrap());
    assert_eq!(*asked.lock().unwrap(), ["/", "/gone.xml", "/blog/feed.xml"]);
}

#[tokio::test]
async fn usual_places_come_last_and_software_is_known_by_its_mark() {
    let (url, _) =
        site(vec![("/news", "<html><body>nothing here</body></html>".to_owned()), ("/atom.xml", FEED.to_owned())])
            .await;
    assert_eq!(find(url.join("news").unwrap()).await.unwrap().url, url.join("atom.xml").unwrap());

    let forum = "<meta name='generator' content='Discourse 3.2'><link rel='alternate' type='application/rss+xml' href='/latest.rss'>";
    let posts = r#"{"latest_posts":[{"id":1,"topic_id":2,"post_number":1,"username":"ada","cooked":"<p>x</p>","created_at":"2026-11-01T00:00:00Z","topic_slug":"t","topic_title":"T"}]}"#;
    let (url, _) =
        site(vec![("/", forum.to_owned()), ("/posts.json", posts.to_owned()), ("/latest.rss", FEED.to_owned())]).await;
    assert_eq!(find(url).await.unwrap().kind, Kind::Discourse);
}

#[tokio::test]
async fn what_cannot_be_followed_says_what_was_tried() {
    let (url, asked) = site(vec![("/", "<html><body>nothing</body></html>".to_owned())]).await;
    let error = find(url).await.unwrap_err();
    assert!(
        matches!(error, DiscoverError::Nothing { .. }) && error.to_string().contains("/rss.xml (http status 404)"),
        "{error}"
    );
    assert!(asked.lock().unwrap().len() <= 12, "a site is not combed");
    let nobody = Url::parse("http://127.0.0.1:1/").unwrap();
    assert!(matches!(find(nobody).await, Err(DiscoverError::Unreachable(_))));
}
