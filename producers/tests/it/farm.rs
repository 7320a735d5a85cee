//! A farm of small web sites on hosts of their own, `127.0.0.1` and up, whose feeds grow, and which notes who asks for what and when.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::net::TcpListener;
use vigie_clock::{Clock, SystemClock};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) host: String,
    pub(crate) feed: String,
    /// The contact of its `User-Agent`.
    pub(crate) by: String,
    pub(crate) from: Duration,
    /// When the answer was made; `None` while it is.
    pub(crate) until: Option<Duration>,
    /// Posts in the answer, 0 if there is nothing new.
    pub(crate) posts: u64,
}

/// The sites. Clones are the same farm.
#[derive(Clone)]
pub(crate) struct Farm {
    inner: Arc<Inner>,
}

struct Inner {
    clock: SystemClock,
    feeds: Mutex<BTreeMap<String, u64>>,
    asks: Mutex<Vec<Ask>>,
    random: Mutex<StdRng>,
    addresses: Vec<(String, String)>,
}

/// Notes the end of a request, also of one whose asker has died.
struct Noted {
    inner: Arc<Inner>,
    index: usize,
}

impl Drop for Noted {
    fn drop(&mut self) {
        let now = self.inner.clock.monotonic();
        self.inner.asks.lock().unwrap()[self.index].until = Some(now);
    }
}

impl Farm {
    /// `hosts` sites with a feed each, every fourth with two. They serve until the runtime ends.
    pub(crate) async fn start(hosts: usize, seed: u64) -> Self {
        let mut listeners = Vec::new();
        let (mut all, mut addresses) = (BTreeMap::new(), Vec::new());
        for host in 1..=hosts {
            let listener = TcpListener::bind(format!("127.0.0.{host}:0")).await.unwrap();
            for feed in 0..1 + usize::from(host % 4 == 0) {
                let name = format!("h{host}-f{feed}");
                addresses.push((name.clone(), format!("http://{}/{name}", listener.local_addr().unwrap())));
                all.insert(name, 5);
            }
            listeners.push((format!("127.0.0.{host}"), listener));
        }
        let inner = Arc::new(Inner {
            clock: SystemClock::default(),
            feeds: Mutex::new(all),
            asks: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            addresses,
        });
        for (host, listener) in listeners {
            let router =
                Router::new().route("/{feed}", axum::routing::get(answer)).with_state((host, Arc::clone(&inner)));
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        }
        Self { inner }
    }

    pub(crate) fn now(&self) -> Duration {
        self.inner.clock.monotonic()
    }

    /// `sources.toml` for all feeds.
    pub(crate) fn sources(&self) -> String {
        let mut text = String::new();
        for (name, url) in &self.inner.addresses {
            writeln!(text, "[[source]]\nid = \"{name}\"\nkind = \"rss\"\nurl = \"{url}\"\nevery_seconds = 1\nlocal = true\nbacklog = true\n")
                .unwrap();
        }
        text
    }

    /// One more post in some feed, unless those who ask do not keep up: on a slow machine there must not be more to read, for each answer lists
    /// all posts of its feed.
    pub(crate) fn grow(&self) {
        let asks = self.inner.asks.lock().unwrap().len() as u64;
        let mut feeds = self.inner.feeds.lock().unwrap();
        if feeds.values().sum::<u64>() > 3 * (asks + 40) {
            return;
        }
        let index = self.inner.random.lock().unwrap().random_range(0..feeds.len());
        *feeds.values_mut().nth(index).unwrap() += 1;
    }

    /// The titles of all posts.
    pub(crate) fn titles(&self) -> Vec<String> {
        let feeds = self.inner.feeds.lock().unwrap();
        feeds.iter().flat_map(|(feed, posts)| (0..*posts).map(move |n| title(feed, n))).collect()
    }

    pub(crate) fn feeds(&self) -> usize {
        self.inner.addresses.len()
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn asks(&self) -> Vec<Ask> {
        self.inner.asks.lock().unwrap().clone()
    }

    /// The requests after the first `seen` ones.
    pub(crate) fn asks_from(&self, seen: usize) -> Vec<Ask> {
        self.inner.asks.lock().unwrap()[seen..].to_vec()
    }
}

fn title(feed: &str, n: u64) -> String {
    format!("{feed} post {n}")
}

async fn answer(
    State((host, inner)): State<(String, Arc<Inner>)>,
    Path(feed): Path<String>,
    headers: HeaderMap,
) -> Response {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let by = agent.split("replica-").nth(1).map_or("", |rest| rest.split('@').next().unwrap_or_default()).to_owned();
    let noted = {
        let mut asks = inner.asks.lock().unwrap();
        let from = inner.clock.monotonic();
        asks.push(Ask { host, feed: feed.clone(), by, from, until: None, posts: 0 });
        Noted { inner: Arc::clone(&inner), index: asks.len() - 1 }
    };
    // A site takes its time, so that there is something to be killed in.
    let pause = Duration::from_millis(inner.random.lock().unwrap().random_range(5..60));
    tokio::time::sleep(pause).await;
    let Some(posts) = inner.feeds.lock().unwrap().get(&feed).copied() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = format!("\"{posts}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    inner.asks.lock().unwrap()[noted.index].posts = posts;
    let items: Vec<serde_json::Value> = (0..posts)
        .rev()
        .map(|n| {
            let url = format!("https://example.org/{feed}/{n}");
            serde_json::json!({"id": url, "url": url, "title": title(&feed, n), "content_text": "text"})
        })
        .collect();
    let body = serde_json::json!({"version": "https://jsonfeed.org/version/1.1", "title": feed, "items": items});
    ([(header::ETAG, etag)], axum::Json(body)).into_response()
}
