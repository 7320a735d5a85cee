//! Keys of official APIs: who sees them, and who does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use url::Url;
use vigie_clock::{ManualClock, SystemClock, Timestamp};
use vigie_producers::fetcher::{Fetcher, FetcherConfig};
use vigie_producers::keys::Key;
use vigie_producers::poll::{Polled, fresh_cursor, poll};
use vigie_producers::{Kind, SourceConfig, test_source};

use crate::server::{fetcher, serve, source};
use crate::web::Web;

const SECRET: &str = "client:tellnobody";

fn keyed(kind: Kind, url: Url) -> SourceConfig {
    let key = Some(Key::given("VIGIE_TEST_KEY", SECRET.to_owned().into()));
    SourceConfig { key, backlog: false, max_pages: 2, ..source("keyed", kind, url) }
}

async fn read(source: &SourceConfig, fetcher: &Fetcher) -> Polled {
    let polled = poll(source, &fresh_cursor(source), fetcher, &SystemClock::default()).await;
    let printed = format!("{source:?} {:?} {:?} {fetcher:?}", polled.record, polled.cursor);
    assert!(!printed.contains("tellnobody") && !printed.contains("token-"), "{printed}");
    polled
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap())
}

fn posts_of_x() -> String {
    json!({"data": [{"id": "1", "text": "btc", "created_at": "2026-01-01T00:00:00.000Z"}], "meta": {"result_count": 1}})
        .to_string()
}

#[tokio::test]
async fn a_key_is_shown_to_its_api_and_to_no_host_that_this_redirects_to() {
    let web = Web::start().await;
    let source = SourceConfig { local: false, ..keyed(Kind::X, "http://api.x.com/search?query=btc".parse().unwrap()) };
    let asked = Kind::X.source().newest(&source.url, None);
    let place = format!("api.x.com{}", &asked[url::Position::BeforePath..]);
    web.on(&place, |_| posts_of_x());
    let fetcher = web.quick();
    let polled = read(&source, &fetcher).await;
    assert_eq!((polled.posts.len(), polled.record.decision.as_str()), (1, "fetched"), "{:?}", polled.record);
    // The API was asked with a key of its own: its robots.txt is not.
    let seen = web.seen("api.x.com");
    assert_eq!(seen.len(), 1);
    assert_eq!(shown(&seen[0].headers), Some("Bearer client:tellnobody"));

    web.redirect(&place, 302, "http://elsewhere.example/search");
    web.on("elsewhere.example/robots.txt", |_| StatusCode::NOT_FOUND);
    web.on("elsewhere.example/search", |_| posts_of_x());
    assert_eq!(read(&source, &fetcher).await.posts.len(), 1);
    let seen = web.seen("elsewhere.example");
    assert_eq!(web.paths("elsewhere.example"), ["/robots.txt", "/search"]);
    assert!(seen.iter().all(|seen| shown(&seen.headers).is_none()), "{seen:?}");

    // One that repeats in its error what it was sent.
    web.on(&place, |seen| json!({"title": "refused", "detail": shown(&seen.headers)}).to_string());
    let polled = read(&source, &fetcher).await;
    assert!(polled.record.reason.unwrap().contains("refused: Bearer [key]"));
}

#[tokio::test]
async fn the_reset_of_a_rate_limit_closes_the_host_until_then() {
    let web = Web::start().await;
    let source = SourceConfig { local: false, ..keyed(Kind::X, "http://api.x.com/search?query=btc".parse().unwrap()) };
    let place = format!("api.x.com{}", &Kind::X.source().newest(&source.url, None)[url::Position::BeforePath..]);
    let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
    web.on(&place, |_| {
        let headers = [("x-rate-limit-reset", "1767226500"), ("date", "Thu, 01 Jan 2026 00:00:00 GMT")];
        (StatusCode::TOO_MANY_REQUESTS, headers)
    });
    let fetcher = web.fetcher(FetcherConfig::default(), Arc::new(clock.clone()));
    let polled = poll(&source, &fresh_cursor(&source), &fetcher, &clock).await;
    assert_eq!(polled.record.status, Some(429));
    let again = poll(&source, &fresh_cursor(&source), &fetcher, &clock).await;
    assert_eq!(again.record.decision, "waited");
    assert!(
        again.cursor.next_at >= Timestamp::parse_rfc3339("2026-01-01T00:15:00Z").unwrap(),
        "{}",
        again.cursor.next_at
    );
    assert_eq!(web.seen("api.x.com").len(), 1);
}

/// Reddit's API in small: gives numbered tokens, takes the last one only.
#[derive(Clone, Default)]
struct Api {
    given: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<(Method, String, HeaderMap)>>>,
}

impl Api {
    fn answer(&self, request: &HttpRequest) -> Response {
        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
        self.seen.lock().unwrap().push((request.method().clone(), path.clone(), headers.clone()));
        if path == "/api/v1/access_token" {
            let n = self.given.fetch_add(1, Ordering::SeqCst) + 1;
            self.taken.store(n, Ordering::SeqCst);
            return axum::Json(
                json!({"access_token": format!("token-{n}"), "token_type": "bearer", "expires_in": 3600}),
            )
            .into_response();
        }
        if shown(&headers) != Some(&format!("Bearer token-{}", self.taken.load(Ordering::SeqCst))) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let post = json!({"kind": "t3", "data": {"id": "a", "name": "t3_a", "title": "t", "selftext": "x", "created_utc": 1_700_000_000}});
        axum::Json(json!({"kind": "Listing", "data": {"children": [post]}})).into_response()
    }

    async fn serve(&self) -> Url {
        let api = self.clone();
        serve(Router::new().fallback(move |request: HttpRequest| {
            let answer = api.answer(&request);
            async move { answer }
        }))
        .await
    }

    fn paths(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(_, path, _)| path.clone()).collect()
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_kept_and_renewed_when_it_is_refused() {
    let api = Api::default();
    let source = keyed(Kind::Reddit, api.serve().await.join("r/test/new.json").unwrap());
    let fetcher = fetcher(FetcherConfig::default());
    for _ in 0..3 {
        assert_eq!(read(&source, &fetcher).await.posts.len(), 1);
    }
    let (token, listing) = ("/api/v1/access_token", "/r/test/new");
    assert_eq!(api.paths(), [token, listing, listing, listing]);
    let (method, _, headers) = api.seen.lock().unwrap()[0].clone();
    // CLIENT:SECRET in base64, as RFC 7617 has it.
    assert_eq!((method, shown(&headers)), (Method::POST, Some("Basic Y2xpZW50OnRlbGxub2JvZHk=")));
    assert!(headers[header::USER_AGENT].to_str().unwrap().starts_with("vigie/"));

    // The server has forgotten the token: one more is asked for.
    api.taken.store(99, Ordering::SeqCst);
    assert_eq!(read(&source, &fetcher).await.posts.len(), 1);
    assert_eq!(api.paths()[4..], [listing, token, listing]);
    assert_eq!(api.given.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_is_not_used_in_its_last_minute() {
    let api = Api::default();
    let source = keyed(Kind::Reddit, api.serve().await.join("r/test/new.json").unwrap());
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let config = FetcherConfig { local_spacing: Duration::ZERO, ..FetcherConfig::default() };
    let fetcher = Fetcher::new(config, Arc::new(clock.clone())).unwrap();
    for (seconds, given) in [(0, 1), (3539, 1), (2, 2)] {
        clock.advance(Duration::from_secs(seconds));
        let polled = poll(&source, &fresh_cursor(&source), &fetcher, &clock).await;
        assert_eq!((polled.posts.len(), api.given.load(Ordering::SeqCst)), (1, given), "{:?}", polled.record);
    }
}

#[tokio::test]
async fn a_key_for_which_no_token_is_given_is_a_failure_that_does_not_show_it() {
    let refuse = |request: HttpRequest| async move {
        (StatusCode::UNAUTHORIZED, shown(request.headers()).unwrap_or_default().to_owned())
    };
    let base = serve(Router::new().fallback(refuse)).await;
    let source = keyed(Kind::Reddit, base.join("r/test/new.json").unwrap());
    let polled = read(&source, &fetcher(FetcherConfig::default())).await;
    assert_eq!(polled.record.decision, "failed");
    let reason = polled.record.reason.unwrap();
    assert!(reason.starts_with("key: ") && reason.contains("401") && !reason.contains("Y2xpZW50"), "{reason}");
    let plain = Some(Key::given("VIGIE_TEST_KEY", "tellnobody".to_owned().into()));
    let polled = read(&SourceConfig { key: plain, ..source }, &fetcher(FetcherConfig::default())).await;
    assert!(polled.record.reason.unwrap().contains("expected CLIENT:SECRET"));
}

#[tokio::test]
async fn reddit_without_its_key_is_read_as_the_public_reads_it() {
    let seen: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let listing = move |request: HttpRequest| {
        kept.lock().unwrap().push((request.uri().path().to_owned(), shown(request.headers()).is_some()));
        async { axum::Json(json!({"kind": "Listing", "data": {"children": []}})) }
    };
    let base = serve(Router::new().fallback(listing)).await;
    let key = Some(Key::from_env("VIGIE_TEST_KEY_THAT_IS_NOT_SET").unwrap());
    let source = SourceConfig { key, ..keyed(Kind::Reddit, base.join("r/test/new.json").unwrap()) };
    assert!(!source.waits_for_key());
    assert_eq!(read(&source, &fetcher(FetcherConfig::default())).await.record.decision, "fetched");
    assert_eq!(*seen.lock().unwrap(), [("/r/test/new.json".to_owned(), false)]);
    assert!(SourceConfig { kind: Kind::X, ..source }.waits_for_key());
}

#[tokio::test]
async fn a_source_is_tried_out_with_the_key_of_its_api() {
    let news = |request: HttpRequest| async move {
        let is_known = request.headers().get("x-cg-pro-api-key").is_some_and(|key| key == SECRET);
        let article = json!([{"title": "t", "url": "https://n.example/a", "posted_at": "2026-01-01T00:00:00Z"}]);
        if is_known { axum::Json(article).into_response() } else { StatusCode::UNAUTHORIZED.into_response() }
    };
    let url = serve(Router::new().fallback(news)).await.join("api/v3/news").unwrap();
    let test = async |key: Option<Key>| {
        let (mut out, clock) = (Vec::new(), Arc::new(SystemClock::default()));
        let result =
            test_source(Kind::CoinGecko, url.as_str(), None, key, FetcherConfig::default(), clock, &mut out).await;
        result.map_err(|error| error.to_string())
    };
    assert_eq!(test(Some(Key::given("VIGIE_TEST_KEY", SECRET.to_owned().into()))).await, Ok(1));
    assert!(test(None).await.unwrap_err().contains("without a key"));
    assert!(
        test(Some(Key::from_env("VIGIE_TEST_KEY_THAT_IS_NOT_SET").unwrap())).await.unwrap_err().contains("not set")
    );
    assert!(
        test(Some(Key::given("VIGIE_TEST_KEY", "tellnobody".to_owned().into()))).await.unwrap_err().contains("401")
    );
}
