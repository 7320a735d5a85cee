//! The fetcher against a server that behaves badly.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::Redirect;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use vigie_clock::{Clock, SystemClock};
use vigie_producers::fetcher::{FetchError, Fetched, FetcherConfig, Request};
use vigie_producers::poll::{fresh_cursor, poll};
use vigie_producers::{Kind, test_source};

use crate::server::{fetcher, request, serve, source};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn an_answer_of_a_gigabyte_is_cut_off_and_never_held() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let endless = move || {
        let counter = Arc::clone(&counter);
        let chunks = stream::iter(0..16 * 1024).map(move |_| {
            counter.fetch_add(65_536, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 65_536]))
        });
        async move { Body::from_stream(chunks) }
    };
    let announced = || async {
        (
            [(header::CONTENT_LENGTH, "1073741824")],
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
        )
    };
    let base = serve(Router::new().route("/endless", get(endless)).route("/announced", get(announced))).await;
    let fetcher = fetcher(FetcherConfig::default());
    for path in ["endless", "announced"] {
        let error = fetcher.fetch(&request(base.join(path).unwrap())).await.unwrap_err();
        assert_eq!(error, FetchError::TooLarge { limit: 16 * MIB }, "{path}");
        assert_eq!(error.to_string(), "answer exceeds 16777216 bytes, cut off");
    }
    assert!(sent.load(Ordering::Relaxed) < 64 * MIB, "the server sent {} bytes", sent.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_compression_bomb_is_stopped_at_the_same_cap() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // A little of it is noise, so that the ratio alone does not give it away.
    let mut block = vec![0; MIB];
    let mut noise = 1_u64;
    for byte in &mut block[..16 * 1024] {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = noise.to_be_bytes()[0];
    }
    for _ in 0..256 {
        encoder.write_all(&block).unwrap();
    }
    let bomb = Bytes::from(encoder.finish().unwrap());
    assert!(bomb.len() < 8 * MIB);
    let answer = move || {
        let bomb = bomb.clone();
        async move { ([(header::CONTENT_ENCODING, "gzip")], bomb) }
    };
    let base = serve(Router::new().route("/bomb", get(answer))).await;
    let error = fetcher(FetcherConfig::default()).fetch(&request(base.join("bomb").unwrap())).await.unwrap_err();
    assert_eq!(error, FetchError::TooLarge { limit: 16 * MIB });
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_and_only_to_the_web() {
    let app = Router::new()
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/hop", get(|| async { Redirect::permanent("end") }))
        .route("/file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route("/end", get(|| async { "end" }));
    let base = serve(app).await;
    let fetcher = fetcher(FetcherConfig::default());
    let fetch = |path: &str| {
        let request = request(base.join(path).unwrap());
        let fetcher = &fetcher;
        async move { fetcher.fetch(&request).await }
    };
    assert_eq!(fetch("loop").await.unwrap_err(), FetchError::Redirect("more than 5 hops".into()));
    assert!(matches!(fetch("file").await.unwrap_err(), FetchError::Redirect(why) if why.contains("file")));
    let Fetched::Body(body) = fetch("hop").await.unwrap() else { panic!("expected a body") };
    assert_eq!((body.bytes.as_slice(), body.url.path()), (&b"end"[..], "/end"));
}

#[tokio::test]
async fn requests_to_one_host_keep_their_distance_and_say_who_asks() {
    let agents: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&agents);
    let answer = move |headers: HeaderMap| {
        seen.lock().unwrap().push(headers[header::USER_AGENT].to_str().unwrap().to_owned());
        async { "ok" }
    };
    let base = serve(Router::new().route("/", get(answer))).await;
    let spacing = Duration::from_millis(60);
    let fetcher = fetcher(FetcherConfig {
        local_spacing: spacing,
        contact: Some("ops@a.example".into()),
        ..FetcherConfig::default()
    });
    let clock = SystemClock::default();
    let begun = clock.monotonic();
    let requests: Vec<Request> = (0..5).map(|_| request(base.clone())).collect();
    for result in futures_util::future::join_all(requests.iter().map(|request| fetcher.fetch(request))).await {
        result.unwrap();
    }
    assert!(clock.monotonic() - begun >= 4 * spacing);
    let agents = agents.lock().unwrap();
    assert!(
        agents.len() == 5 && agents.iter().all(|a| a.starts_with("vigie/0.1 (+http") && a.contains("ops@a.example")),
        "{agents:?}"
    );
}

#[tokio::test]
async fn private_addresses_are_refused_unless_the_source_is_local() {
    let base = serve(Router::new().route("/", get(|| async { "secret" }))).await;
    let port = base.port().unwrap();
    let fetcher = fetcher(FetcherConfig { spacing: Duration::ZERO, ..FetcherConfig::default() });
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    for host in
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0", "ip6-localhost", hostname.trim()]
    {
        let Ok(url) = format!("http://{host}:{port}/").parse() else { continue };
        let error = fetcher.fetch(&Request { local: false, ..request(url) }).await.unwrap_err();
        // A name that this machine does not know cannot be resolved, which is as good.
        assert!(matches!(error, FetchError::Blocked(_) | FetchError::Network(_)), "{host}: {error}");
        assert!(
            !host.starts_with(|c: char| c.is_ascii_digit() || c == '[') || matches!(error, FetchError::Blocked(_)),
            "{host}: {error}"
        );
    }
}

#[tokio::test]
async fn the_charset_of_the_header_is_used_where_the_feed_names_none() {
    let feed = "<rss version=\"2.0\"><channel><title>x</title><item><title>\u{e9}t\u{e9} \u{20ac}</title><link>https://a.example/1</link></item></channel></rss>";
    let bytes: Vec<u8> = encode_windows_1252(feed);
    let answer = move || {
        let bytes = bytes.clone();
        async move { ([(header::CONTENT_TYPE, "application/rss+xml; charset=windows-1252")], bytes) }
    };
    let base = serve(Router::new().route("/feed", get(answer))).await;
    let mut out = Vec::new();
    let url = base.join("feed").unwrap();
    let count = test_source(
        Kind::Rss,
        url.as_str(),
        None,
        None,
        FetcherConfig::default(),
        Arc::new(SystemClock::default()),
        &mut out,
    )
    .await
    .unwrap();
    let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((count, line["title"].as_str()), (1, Some("été €")));
}

fn encode_windows_1252(text: &str) -> Vec<u8> {
    text.chars().map(|c| if c == '\u{20ac}' { 0x80 } else { u8::try_from(u32::from(c)).unwrap() }).collect()
}

#[tokio::test]
async fn source_test_tells_bad_targets_apart_by_their_exit_codes() {
    let base = serve(Router::new().route("/page", get(|| async { "<html><body>no feed</body></html>" }))).await;
    let page = base.join("page").unwrap();
    let missing = base.join("missing").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{closed}/");
    let cases = [
        (page.as_str(), 1, "not a feed"),
        (missing.as_str(), 1, "404"),
        (nobody.as_str(), 69, "unavailable"),
        ("/no/such/file", 64, "/no/such/file"),
    ];
    for (target, code, text) in cases {
        let mut out = Vec::new();
        let clock = Arc::new(SystemClock::default());
        let error =
            test_source(Kind::Rss, target, None, None, FetcherConfig::default(), clock, &mut out).await.unwrap_err();
        assert_eq!(error.exit_code(), code, "{target}: {error}");
        assert!(error.chain().contains(text) && out.is_empty(), "{target}: {}", error.chain());
    }
}

#[tokio::test]
async fn a_malformed_feed_is_recorded_and_backed_off_not_fatal() {
    let base = serve(Router::new().route("/feed", get(|| async { "<rss version=\"2.0\"><channel><item>" }))).await;
    let source = source("broken", Kind::Rss, base.join("feed").unwrap());
    let clock = SystemClock::default();
    let mut cursor = fresh_cursor(&source);
    for failures in 1..4 {
        let polled = poll(&source, &cursor, &fetcher(FetcherConfig::default()), &clock).await;
        assert_eq!((polled.record.decision.as_str(), polled.cursor.failures), ("unparsable", failures));
        assert!(polled.record.reason.is_some() && polled.posts.is_empty() && polled.changed);
        cursor = polled.cursor;
    }
}

#[tokio::test]
async fn an_edited_entry_is_published_once_more_and_a_deleted_post_once() {
    let text = std::sync::Arc::new(std::sync::Mutex::new((String::from("one"), false)));
    let state = std::sync::Arc::clone(&text);
    let thread = move || {
        let (text, deleted) = state.lock().unwrap().clone();
        let edited = if text == "one" { serde_json::Value::Null } else { "2024-01-02T00:00:00Z".into() };
        let comment = serde_json::json!({
            "id": 7, "ap_id": "https://lemmy.example/comment/7", "content": text, "published": "2024-01-01T00:00:00Z",
            "updated": edited, "deleted": deleted, "removed": false, "path": "0.7",
        });
        async move {
            axum::Json(
                serde_json::json!({"comments": [{"comment": comment, "creator": {"name": "a", "actor_id": "https://lemmy.example/u/a"}}]}),
            )
        }
    };
    let base = serve(Router::new().fallback(get(thread))).await;
    let source = source("lemmy", Kind::Lemmy, base.join("api/v3/comment/list").unwrap());
    let clock = SystemClock::default();
    let mut cursor = fresh_cursor(&source);
    let mut seen = Vec::new();
    for (now, deleted) in [("one", false), ("one", false), ("two", false), ("two", false), ("two", true), ("two", true)]
    {
        *text.lock().unwrap() = (now.to_owned(), deleted);
        let polled = poll(&source, &cursor, &fetcher(FetcherConfig::default()), &clock).await;
        assert_eq!(polled.record.decision, "fetched", "{:?}", polled.record.reason);
        seen.push((polled.posts.len(), polled.edited.len(), polled.deleted.len()));
        cursor = polled.cursor;
    }
    assert_eq!(seen, [(1, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (0, 0, 1), (0, 0, 0)]);
}
