//! Indexes of sitemaps against a local site that counts what is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use url::Url;
use vigie_clock::SystemClock;
use vigie_producers::fetcher::FetcherConfig;
use vigie_producers::poll::{fresh_cursor, poll};
use vigie_producers::{Kind, SourceConfig};
use vigie_schemas::Cursor;

use crate::server::{fetcher, serve, source};

#[derive(Clone, Default)]
struct Site {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn put(&self, name: &str, text: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(name.to_owned(), text.into());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn serve(&self) -> Url {
        let site = self.clone();
        let answer = move |Path(name): Path<String>| {
            site.asked.lock().unwrap().push(name.clone());
            let found = site.files.lock().unwrap().get(&name).cloned();
            async move { found.ok_or(StatusCode::NOT_FOUND).into_response() }
        };
        serve(Router::new().route("/{name}", axum::routing::get(answer))).await
    }
}

fn index(entries: &[(&str, &str)]) -> String {
    let list: String = entries
        .iter()
        .map(|(name, modified)| match *modified {
            "" => format!("<sitemap><loc>/{name}</loc></sitemap>"),
            time => format!("<sitemap><loc>/{name}</loc><lastmod>{time}</lastmod></sitemap>"),
        })
        .collect();
    format!("<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{list}</sitemapindex>")
}

fn map(pages: std::ops::Range<u32>) -> String {
    let list: String = pages.map(|n| format!("<url><loc>/page/{n}</loc><lastmod>2026-03-01</lastmod></url>")).collect();
    format!("<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{list}</urlset>")
}

/// Polls until nothing is pending; returns the numbers of the pages found.
async fn walk(source: &SourceConfig, cursor: &mut Cursor) -> Vec<u32> {
    let (fetcher, clock) = (fetcher(FetcherConfig::default()), SystemClock::default());
    let mut found = Vec::new();
    for _ in 0..50 {
        let polled = poll(source, cursor, &fetcher, &clock).await;
        assert_eq!(polled.record.decision, "fetched", "{:?}", polled.record);
        found.extend(
            polled
                .posts
                .iter()
                .map(|post| post.url.as_deref().unwrap().rsplit('/').next().unwrap().parse::<u32>().unwrap()),
        );
        *cursor = polled.cursor;
        if !cursor.position.as_deref().unwrap_or_default().contains("\"pending\":{") {
            return found;
        }
    }
    panic!("the walk has no end");
}

#[tokio::test]
async fn an_index_of_indexes_is_followed_newest_first_over_several_polls() {
    let site = Site::default();
    site.put(
        "index.xml",
        index(&[("old.xml", "2026-01-01"), ("gone.xml", "2026-02-02"), ("inner.xml", "2026-03-01T10:00:00Z")]),
    );
    site.put(
        "inner.xml",
        index(&[
            ("b.xml.gz", "2026-02-28"),
            ("a.xml", "2026-03-01"),
            ("bad.xml", "2026-02-27"),
            ("deep.xml", "2026-02-26"),
        ]),
    );
    site.put("a.xml", map(0..40));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(map(40..80).as_bytes()).unwrap();
    site.put("b.xml.gz", gzip.finish().unwrap());
    site.put("bad.xml", "<html>not a sitemap</html>");
    site.put("deep.xml", index(&[("too-deep.xml", "2026-02-26")]));
    site.put("old.xml", map(80..120));
    let base = site.serve().await;
    let source = SourceConfig { max_pages: 2, ..source("map", Kind::Sitemap, base.join("index.xml").unwrap()) };
    let mut cursor = fresh_cursor(&source);
    let mut found = walk(&source, &mut cursor).await;
    assert_eq!(
        site.asked(),
        ["index.xml", "inner.xml", "a.xml", "b.xml.gz", "bad.xml", "deep.xml", "gone.xml", "old.xml"]
    );
    found.sort_unstable();
    assert_eq!(found, (0..120).collect::<Vec<_>>());

    // Later only what changed is asked, and what was there is not published again.
    site.put("a.xml", map(0..41));
    let found: BTreeSet<u32> = walk(&source, &mut cursor).await.into_iter().filter(|n| !(41..80).contains(n)).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), Vec::<u32>::new(), "page 40 was known from b.xml.gz");
    site.put("a.xml", map(200..203));
    assert_eq!(walk(&source, &mut cursor).await.len(), 3);
    assert!(!site.asked().iter().any(|name| name == "old.xml" || name == "gone.xml"));
}

#[tokio::test]
async fn a_first_look_reads_the_newest_sitemap_only_and_an_index_without_times_a_few() {
    let site = Site::default();
    site.put("index.xml", index(&[("1.xml", "2025-01-01"), ("3.xml", "2026-03-01"), ("2.xml", "2026-02-01")]));
    site.put("3.xml", map(0..3));
    let base = site.serve().await;
    let source = SourceConfig { backlog: false, ..source("map", Kind::Sitemap, base.join("index.xml").unwrap()) };
    assert_eq!(walk(&source, &mut fresh_cursor(&source)).await.len(), 3);
    assert_eq!(site.asked(), ["index.xml", "3.xml"]);

    let names: Vec<String> = (0..30).map(|n| format!("{n}.xml")).collect();
    let entries: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    site.put("undated.xml", index(&entries));
    names.iter().for_each(|name| site.put(name, map(0..1)));
    let source = SourceConfig { url: base.join("undated.xml").unwrap(), ..source };
    let mut cursor = fresh_cursor(&source);
    walk(&source, &mut cursor).await;
    assert_eq!(site.asked().len(), 2);
    walk(&source, &mut cursor).await;
    assert_eq!(site.asked().len(), 6, "the index and five of thirty");
}
