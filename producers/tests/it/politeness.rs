//! What a web site sees of us: how often, how fast, with which headers, and how long it is left alone. Times are lower bounds on what the site recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use vigie_clock::{Clock, ManualClock, SystemClock, Timestamp};
use vigie_producers::fetcher::{FetchError, Fetched, Fetcher, FetcherConfig};
use vigie_producers::poll::{Polled, fresh_cursor, poll};
use vigie_schemas::Cursor;

use crate::web::{Web, feed, public, quick_config, rss};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// A web whose time stands still until a test moves it.
async fn stopped() -> (Web, Fetcher, ManualClock) {
    let web = Web::start().await;
    let clock = ManualClock::new(at("2026-01-01T00:00:00Z"));
    let fetcher = web.fetcher(quick_config(), Arc::new(clock.clone()));
    (web, fetcher, clock)
}

async fn first(url: &str, fetcher: &Fetcher, clock: &dyn Clock) -> Polled {
    let source = feed(url, url);
    poll(&source, &fresh_cursor(&source), fetcher, clock).await
}

async fn again(url: &str, cursor: &Cursor, fetcher: &Fetcher, clock: &dyn Clock) -> Polled {
    poll(&feed(url, url), cursor, fetcher, clock).await
}

fn pause(polled: &Polled, clock: &dyn Clock) -> u64 {
    polled.cursor.next_at.since(clock.now()).as_secs()
}

#[tokio::test]
async fn validators_go_back_byte_for_byte_to_the_address_that_gave_them() {
    let (web, fetcher, clock) = stopped().await;
    let odd = HeaderValue::from_bytes(b"W/\"a, 'b' \xe9\"").unwrap();
    web.redirect("a.example/feed", 302, "http://b.example/feed");
    let given = odd.clone();
    web.on("b.example/feed", move |seen| {
        let mut headers = HeaderMap::new();
        if seen.headers.get(header::IF_NONE_MATCH).is_some_and(|etag| etag == given) {
            // A 304 may replace the validator.
            headers.insert(header::ETAG, HeaderValue::from_static("second"));
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::ETAG, given.clone());
        headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("yesterday, more or less"));
        (headers, rss("")).into_response()
    });
    let url = "http://a.example/feed";
    let polled = first(url, &fetcher, &clock).await;
    assert_eq!((polled.record.decision.as_str(), polled.posts.len()), ("fetched", 1));
    let polled = again(url, &polled.cursor, &fetcher, &clock).await;
    assert_eq!((polled.record.decision.as_str(), polled.record.status), ("not_modified", Some(304)));
    assert!(polled.changed, "the new validator has to be kept");
    again(url, &polled.cursor, &fetcher, &clock).await;

    let sent = |host: &str| -> Vec<(Option<HeaderValue>, Option<HeaderValue>)> {
        let pages = web.seen(host).into_iter().filter(|seen| seen.path == "/feed");
        pages
            .map(|s| (s.headers.get(header::IF_NONE_MATCH).cloned(), s.headers.get(header::IF_MODIFIED_SINCE).cloned()))
            .collect()
    };
    let since = Some(HeaderValue::from_static("yesterday, more or less"));
    assert_eq!(sent("a.example"), vec![(None, None); 3]);
    let second = HeaderValue::from_static("second");
    assert_eq!(sent("b.example"), [(None, None), (Some(odd), since.clone()), (Some(second), since)]);
}

#[tokio::test]
async fn an_answer_is_not_asked_for_again_while_it_is_fresh() {
    let (web, fetcher, clock) = stopped().await;
    let cache = |value: &'static str| [(header::CACHE_CONTROL, value), (header::AGE, "100")];
    let dated = |expires: &'static str| [(header::DATE, "Thu, 01 Jan 2026 00:00:00 GMT"), (header::EXPIRES, expires)];
    web.on("a.example/1", move |_| (cache("max-age=700"), rss("")));
    web.on("a.example/2", move |_| (cache("max-age=700, no-store"), rss("")));
    web.on("a.example/3", move |_| (cache("max-age=70000000"), rss("")));
    web.on("a.example/4", move |_| (dated("Thu, 01 Jan 2026 00:20:00 GMT"), rss("")));
    web.on("a.example/5", move |_| (dated("0"), rss("")));
    web.on("a.example/6", |_| rss("<ttl>30</ttl>"));
    web.on("a.example/7", |_| rss("<sy:updatePeriod>hourly</sy:updatePeriod>"));
    web.on("a.example/8", |_| rss("<skipHours><hour>0</hour><hour>1</hour></skipHours>"));
    web.on("a.example/9", |_| rss("<skipDays><day>Thursday</day></skipDays>"));
    for (path, least) in [(1, 600), (2, 60), (3, 3600), (4, 1200), (5, 60), (6, 1800), (7, 240), (8, 7200), (9, 86400)]
    {
        let polled = first(&format!("http://a.example/{path}"), &fetcher, &clock).await;
        assert_eq!(polled.record.decision, "fetched");
        let pause = pause(&polled, &clock);
        assert!(pause >= least && pause <= least + least / 10 + 1, "{path}: {pause} s, expected {least}");
    }
}

#[tokio::test]
async fn a_quiet_feed_is_asked_less_also_when_it_only_says_that_nothing_is_new() {
    let (web, fetcher, clock) = stopped().await;
    web.on("a.example/feed", |seen| {
        if seen.headers.contains_key(header::IF_NONE_MATCH) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let item =
            "<item><title>t</title><pubDate>Mon, 01 Dec 2025 00:00:00 GMT</pubDate><guid>x</guid></item><ttl>10</ttl>";
        ([(header::ETAG, "\"1\"")], rss(item)).into_response()
    });
    let polled = first("http://a.example/feed", &fetcher, &clock).await;
    assert!(pause(&polled, &clock) >= 600);
    let polled = again("http://a.example/feed", &polled.cursor, &fetcher, &clock).await;
    assert_eq!(polled.record.decision, "not_modified");
    assert!(pause(&polled, &clock) >= 600);
}

#[tokio::test]
async fn retry_after_of_one_source_is_kept_by_all_of_its_host() {
    for (status, retry_after) in [(429, "3600"), (503, "Thu, 01 Jan 2026 01:00:00 GMT")] {
        let (web, fetcher, clock) = stopped().await;
        let answer = StatusCode::from_u16(status).unwrap();
        web.on("a.example/busy", move |_| {
            let date = (header::DATE, "Thu, 01 Jan 2026 00:00:00 GMT");
            (answer, [(header::RETRY_AFTER, retry_after), date])
        });
        web.on("www.a.example/fine", |_| rss(""));
        web.on("b.example/fine", |_| rss(""));
        let busy = first("http://a.example/busy", &fetcher, &clock).await;
        assert_eq!((busy.record.decision.as_str(), busy.cursor.failures), ("failed", 1));
        assert_eq!(busy.record.status, Some(i32::from(status)));
        assert!(pause(&busy, &clock) >= 3600);

        let other = first("http://www.a.example/fine", &fetcher, &clock).await;
        assert_eq!((other.record.decision.as_str(), other.cursor.failures, other.record.status), ("waited", 0, None));
        assert!(other.record.reason.as_deref().is_some_and(|reason| reason.contains("Retry-After")));
        assert_eq!(other.record.next_at, other.cursor.next_at);
        assert!(pause(&other, &clock) >= 3600 && other.changed, "a restart must not forget it");
        assert!(web.seen("www.a.example").is_empty(), "not even robots.txt");
        assert_eq!(first("http://b.example/fine", &fetcher, &clock).await.record.decision, "fetched");

        clock.advance(Duration::from_secs(3600));
        let other = again("http://www.a.example/fine", &other.cursor, &fetcher, &clock).await;
        assert_eq!(other.record.decision, "fetched");
    }
}

#[tokio::test]
async fn robots_txt_is_asked_first_and_obeyed_also_by_redirects() {
    let (web, fetcher, clock) = stopped().await;
    web.on("a.example/robots.txt", |_| "\u{feff}User-agent: *\nDisallow: /\n\nUser-agent: vigie\nDisallow: /no\n");
    web.on("a.example/yes", |_| rss(""));
    web.redirect("b.example/feed", 302, "http://a.example/no");
    // Its own file is elsewhere, three hops away.
    for n in 0..3 {
        web.redirect(&format!("c{n}.example/robots.txt"), 301, &format!("http://c{}.example/robots.txt", n + 1));
    }
    web.on("c3.example/robots.txt", |_| "User-agent: *\nDisallow: /feed");
    for (url, decision) in [
        ("http://a.example/yes", "fetched"),
        ("http://a.example/no", "blocked"),
        ("http://b.example/feed", "blocked"),
        ("http://c0.example/feed", "blocked"),
    ] {
        let polled = first(url, &fetcher, &clock).await;
        assert_eq!(polled.record.decision, decision, "{url}: {:?}", polled.record.reason);
    }
    // Asked once, and nothing that it forbids.
    assert_eq!(web.paths("a.example"), ["/robots.txt", "/yes"]);
    assert_eq!(web.paths("c0.example"), ["/robots.txt"]);
    clock.advance(Duration::from_secs(24 * 3600));
    first("http://a.example/yes", &fetcher, &clock).await;
    assert_eq!(web.paths("a.example"), ["/robots.txt", "/yes", "/robots.txt", "/yes"]);
}

#[tokio::test]
async fn a_robots_txt_that_cannot_be_had_forbids_all_and_is_not_asked_at_every_poll() {
    let (web, fetcher, clock) = stopped().await;
    let status = Arc::new(AtomicUsize::new(500));
    let shared = Arc::clone(&status);
    web.on("a.example/robots.txt", move |_| {
        StatusCode::from_u16(u16::try_from(shared.load(Ordering::SeqCst)).unwrap()).unwrap()
    });
    web.on("a.example/feed", |_| rss(""));
    let url = "http://a.example/feed";
    let mut polled = first(url, &fetcher, &clock).await;
    assert_eq!((polled.record.decision.as_str(), polled.record.status), ("failed", Some(500)));
    for _ in 0..4 {
        polled = again(url, &polled.cursor, &fetcher, &clock).await;
        assert_eq!(polled.record.decision, "waited");
        assert!(polled.record.reason.as_deref().is_some_and(|reason| reason.starts_with("robots.txt")));
        clock.advance(Duration::from_secs(60));
    }
    assert_eq!(web.paths("a.example"), ["/robots.txt"]);
    status.store(404, Ordering::SeqCst);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(again(url, &polled.cursor, &fetcher, &clock).await.record.decision, "fetched");
}

/// Fetches all addresses at once.
async fn all_at_once(fetcher: &Fetcher, urls: &[String]) -> Vec<Result<Fetched, FetchError>> {
    let requests: Vec<_> = urls.iter().map(|url| public(url)).collect();
    futures_util::future::join_all(requests.iter().map(|request| fetcher.fetch(request))).await
}

#[tokio::test]
async fn a_host_is_asked_one_thing_at_a_time_with_a_gap_whatever_its_scheme_port_or_source() {
    let web = Web::start().await;
    let spacing = Duration::from_millis(30);
    let config = FetcherConfig { spacing, contact: Some("ops@vigie.example".into()), ..FetcherConfig::default() };
    let fetcher = web.fetcher(config, Arc::new(SystemClock::default()));
    let port = web.port;
    let urls: Vec<String> = (0..6)
        .map(|n| {
            [format!("http://a.example/{n}"), format!("http://A.example:{port}/{n}"), format!("http://a.example./{n}")]
                [n % 3]
                .clone()
        })
        .collect();
    for result in all_at_once(&fetcher, &urls).await {
        assert!(matches!(result, Err(FetchError::Status { status: 404, .. })), "{result:?}");
    }
    let mut times: Vec<Duration> = ["a.example", "a.example."].iter().flat_map(|h| web.seen(h)).map(|s| s.at).collect();
    times.sort_unstable();
    // Three origins, each with its robots.txt.
    assert_eq!(times.len(), 9);
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= spacing, "{times:?}");
    }
    for seen in web.seen("a.example") {
        let agent = seen.headers[header::USER_AGENT].to_str().unwrap();
        assert!(agent.starts_with("vigie/0.1 (+http") && agent.contains("ops@vigie.example"), "{agent}");
        assert_eq!(seen.headers[header::ACCEPT_ENCODING], "gzip, br, zstd");
        assert!(!seen.headers.contains_key(header::COOKIE) && !seen.headers.contains_key(header::REFERER));
    }
}

#[tokio::test]
async fn a_crawl_delay_is_the_gap_of_its_host() {
    let web = Web::start().await;
    web.on("a.example/robots.txt", |_| "User-agent: *\nCrawl-delay: 0.06");
    let urls: Vec<String> = (0..4).map(|n| format!("http://a.example/{n}")).collect();
    all_at_once(&web.quick(), &urls).await;
    let gaps = web.gaps("a.example");
    assert!(gaps.len() == 3 && gaps.iter().all(|gap| *gap >= Duration::from_millis(60)), "{gaps:?}");
}

#[tokio::test]
async fn a_queue_that_is_too_long_is_reported_and_spread() {
    let (web, fetcher, clock) = stopped().await;
    web.on("a.example/robots.txt", |_| "User-agent: *\nCrawl-delay: 3600");
    for n in 0..4 {
        web.on(&format!("a.example/{n}"), |_| rss(""));
    }
    let mut polled = Vec::new();
    for n in 0..4 {
        polled.push(first(&format!("http://a.example/{n}"), &fetcher, &clock).await);
    }
    assert_eq!(polled[0].record.decision, "fetched");
    // The delay is cut to a minute; each waits for a time of its own.
    for (n, polled) in polled.iter().enumerate().skip(1) {
        assert_eq!((polled.record.decision.as_str(), polled.cursor.failures), ("waited", 0));
        let least = 60 * n as u64;
        assert!((least..=least + least / 10).contains(&pause(polled, &clock)), "{n}: {}", pause(polled, &clock));
    }
    assert_eq!(web.paths("a.example"), ["/robots.txt", "/0"]);
    clock.advance(Duration::from_secs(61));
    assert_eq!(again("http://a.example/1", &polled[1].cursor, &fetcher, &clock).await.record.decision, "fetched");
}

#[tokio::test]
async fn a_strained_host_is_asked_more_slowly_and_recovers_step_by_step() {
    let web = Web::start().await;
    let spacing = Duration::from_millis(20);
    let fetcher = web.fetcher(FetcherConfig { spacing, ..FetcherConfig::default() }, Arc::new(SystemClock::default()));
    for (n, status) in [503, 429, 200, 200, 200, 200].into_iter().enumerate() {
        let status = StatusCode::from_u16(status).unwrap();
        web.on(&format!("a.example/{n}"), move |_| status);
        let _ = fetcher.fetch(&public(&format!("http://a.example/{n}"))).await;
    }
    let gaps = web.gaps("a.example");
    assert_eq!(gaps.len(), 5);
    for (gap, least) in gaps.iter().zip([2, 4, 3, 2, 1]) {
        assert!(*gap >= spacing * least, "{gaps:?}");
    }
}

#[tokio::test]
async fn a_source_that_is_gone_is_left_alone_for_a_day() {
    let (web, fetcher, clock) = stopped().await;
    web.on("a.example/feed", |_| StatusCode::GONE);
    let polled = first("http://a.example/feed", &fetcher, &clock).await;
    assert_eq!((polled.record.decision.as_str(), polled.record.status), ("failed", Some(410)));
    assert!(polled.record.reason.as_deref().is_some_and(|reason| reason.contains("gone for good")));
    assert!(pause(&polled, &clock) >= 24 * 3600);
}
