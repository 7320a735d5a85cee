//! A web server of the test's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;
use vigie_clock::SystemClock;
use vigie_producers::fetcher::{Fetcher, FetcherConfig, Request};
use vigie_producers::{Kind, SourceConfig};

/// Serves on a free port until the test ends.
pub(crate) async fn serve(router: Router) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

pub(crate) fn fetcher(config: FetcherConfig) -> Fetcher {
    Fetcher::new(config, Arc::new(SystemClock::default())).unwrap()
}

pub(crate) fn request(url: Url) -> Request {
    Request::new(url, "*/*", true)
}

pub(crate) fn source(id: &str, kind: Kind, url: Url) -> SourceConfig {
    let every = Duration::from_secs(1);
    SourceConfig { every, local: true, sample: true, backlog: true, max_pages: 50, ..SourceConfig::new(id, kind, url) }
}

/// A growing subreddit that only this test writes to.
#[derive(Clone, Default)]
pub(crate) struct Subreddit {
    posts: Arc<Mutex<u64>>,
    /// How often it has answered.
    pub(crate) answers: Arc<watch::Sender<usize>>,
}

impl Subreddit {
    pub(crate) fn grow(&self, by: u64) {
        *self.posts.lock().unwrap() += by;
    }

    pub(crate) fn router(&self) -> Router {
        let (posts, answers) = (Arc::clone(&self.posts), Arc::clone(&self.answers));
        let listing = move |axum::extract::Query(query): axum::extract::Query<BTreeMap<String, String>>| {
            let top = *posts.lock().unwrap();
            answers.send_modify(|answers| *answers += 1);
            let below = query.get("after").map_or(top, |after| after[3..].parse::<u64>().unwrap() - 1);
            let limit: u64 = query["limit"].parse().unwrap();
            let page: Vec<u64> = (1..=below).rev().take(usize::try_from(limit).unwrap()).collect();
            let after = page.last().filter(|last| **last > 1).map(|last| format!("t3_{last}"));
            let children: Vec<serde_json::Value> = page
                .iter()
                .map(|n| serde_json::json!({"kind": "t3", "data": {
                    "id": n.to_string(), "name": format!("t3_{n}"), "title": format!("post {n}"), "selftext": "text", "author": "someone",
                    "created_utc": 1_700_000_000 + n, "permalink": format!("/r/test/comments/{n}/"),
                }}))
                .collect();
            async move { axum::Json(serde_json::json!({"kind": "Listing", "data": {"after": after, "children": children}})) }
        };
        Router::new().route("/r/test/new.json", axum::routing::get(listing))
    }
}
