//! Pages that are built by JavaScript, in a real Chromium. Where there is none, these tests say so and check nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use tokio::sync::{Mutex, MutexGuard};
use url::Url;
use vigie_clock::{Clock, SystemClock};
use vigie_producers::fetcher::render::{self, RenderConfig};
use vigie_producers::fetcher::{Fetcher, FetcherConfig};
use vigie_producers::poll::{Polled, fresh_cursor, poll};
use vigie_producers::{Kind, SourceConfig};

use crate::server::{self, serve, source};

/// One at a time, so that a process that is left can be distinguished from one that works.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A fetcher with Chromium and a moment alone; `None`, said aloud, where there is no Chromium.
async fn chromium(change: impl FnOnce(&mut RenderConfig)) -> Option<(Fetcher, MutexGuard<'static, ()>)> {
    let Some(program) = render::find(std::env::var_os("CHROMIUM").as_ref().map(std::path::Path::new)) else {
        eprintln!("skipped: no Chromium on this machine");
        return None;
    };
    let mut config = RenderConfig::new(program);
    change(&mut config);
    let fetcher = server::fetcher(FetcherConfig { render: Some(config), ..FetcherConfig::default() });
    Some((fetcher, ALONE.lock().await))
}

async fn read(url: Url, fetcher: &Fetcher) -> Polled {
    let source = SourceConfig { render: true, ..source("page", Kind::Html, url) };
    poll(&source, &fresh_cursor(&source), fetcher, &SystemClock::default()).await
}

fn script(text: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html><head><title>Before</title></head><body><main id=m></main><script>{text}</script></body></html>"
    ))
}

/// Processes of Chromium that work, or worked, for us.
fn left() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains("vigie-render-"))
        .collect()
}

async fn assert_nothing_is_left() {
    let gone = async {
        while !left().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let result = tokio::time::timeout(Duration::from_secs(10), gone).await;
    assert!(result.is_ok(), "left behind: {:?}", left());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_built_by_javascript_is_read_as_people_see_it() {
    let Some((fetcher, _alone)) = chromium(|_| {}).await else { return };
    let page = || async {
        script(
            "fetch('/data.json').then(r => r.json()).then(d => { document.title = d.title; setTimeout(() => {
               document.getElementById('m').innerHTML = '<article><h1>' + d.title + '</h1><p>' + d.text + '</p></article>'; }, 200); });",
        )
    };
    let data = || async {
        axum::Json(
            serde_json::json!({"title": "Fees fell by half", "text": "The median fee of a bitcoin transaction fell. ".repeat(8)}),
        )
    };
    let base = serve(Router::new().route("/page", get(page)).route("/data.json", get(data))).await;
    let url = base.join("page").unwrap();
    let polled = read(url.clone(), &fetcher).await;
    assert_eq!((polled.record.decision.as_str(), polled.record.status), ("fetched", Some(200)), "{:?}", polled.record);
    let [post] = &polled.posts[..] else { panic!("one post: {:?}", polled.posts) };
    assert_eq!(post.title.as_deref(), Some("Fees fell by half"));
    assert!(post.text.contains("median fee"), "{}", post.text);

    let missing = read(base.join("none").unwrap(), &fetcher).await;
    assert_eq!(missing.record.status, Some(404), "{:?}", missing.record);
    let off = read(url, &server::fetcher(FetcherConfig::default())).await;
    assert_eq!(off.record.decision, "blocked");
    assert!(off.record.reason.unwrap().contains("rendering is off"));
    assert_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reaches_nothing_private_but_itself() {
    let Some((fetcher, _alone)) = chromium(|_| {}).await else { return };
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&hits);
    let secret = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], "the secret of this machine") }
    };
    let other = serve(Router::new().route("/secret", get(secret))).await;
    let port = other.port().unwrap();
    let page = move || async move {
        script(&format!(
            "const places = ['http://127.0.0.1:{port}/secret', 'http://localhost:{port}/secret', 'http://[::1]:{port}/secret', 'http://0:{port}/secret',
               'http://2130706433:{port}/secret', 'https://127.0.0.1:{port}/secret', 'http://169.254.169.254/latest/meta-data/', 'http://10.0.0.1/', 'file:///etc/passwd'];
             const tell = text => document.getElementById('m').append(Object.assign(document.createElement('p'), {{textContent: text}}));
             Promise.all(places.map(place => {{
               const frame = document.body.appendChild(document.createElement('iframe')); frame.src = place;
               try {{ new WebSocket(place.replace('http', 'ws')); }} catch (e) {{}}
               try {{ navigator.sendBeacon(place, 'x'); }} catch (e) {{}}
               // Chromium itself may ask a user, who is not there, whether a page may look around.
               const asked = new Promise(done => setTimeout(() => done(tell('nothing')), 3000));
               const answered = fetch(place).then(r => r.text().then(t => tell('answer ' + r.status + ' ' + t)), e => tell('refused'));
               return Promise.race([answered, asked]);
             }})).then(() => tell('All ' + places.length + ' places were tried, and this is what the page could learn of them. '.repeat(4)));"
        ))
    };
    let base = serve(Router::new().route("/page", get(page))).await;
    let polled = read(base.join("page").unwrap(), &fetcher).await;
    assert_eq!(polled.record.decision, "fetched", "{:?}", polled.record);
    let text: String = polled.posts.iter().map(|post| post.text.as_str()).collect();
    assert!(text.contains("All 9 places"), "{text} {:?} {:?}", polled.posts, polled.record);
    assert!(!text.contains("answer 200") && !text.contains("secret of") && !text.contains("root:"), "{text}");
    assert_eq!(hits.load(Ordering::SeqCst), 0);

    // Nor by leading the browser there.
    let hop = move || async move { axum::response::Redirect::temporary(&format!("http://127.0.0.1:{port}/secret")) };
    let leave = move || async move { script(&format!("location = 'http://127.0.0.1:{port}/secret'")) };
    let base = serve(Router::new().route("/hop", get(hop)).route("/leave", get(leave))).await;
    for path in ["hop", "leave"] {
        let polled = read(base.join(path).unwrap(), &fetcher).await;
        assert!(polled.posts.iter().all(|post| !post.text.contains("secret of")), "{path}: {:?}", polled.posts);
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
    // A source that is not local is not even begun.
    let source = SourceConfig { render: true, local: false, ..source("page", Kind::Html, base.join("leave").unwrap()) };
    let polled = poll(&source, &fresh_cursor(&source), &fetcher, &SystemClock::default()).await;
    assert_eq!(polled.record.decision, "blocked");
    assert_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_loops_or_hoards_or_floods_is_ended_in_time() {
    let loops = || async { script("while (true) {}") };
    let later = || async { script("setTimeout(() => { while (true) {} }, 100)") };
    let hangs = || async { std::future::pending::<String>().await };
    let hoards = || async {
        script(
            "const all = []; setInterval(() => { for (let i = 0; i < 8; i++) all.push(new Uint8Array(1 << 23).fill(i + 1)); fetch('/x') }, 20)",
        )
    };
    let floods = || async { Html("<p>x</p>".repeat(3 << 20)) };
    let app = Router::new()
        .route("/loops", get(loops))
        .route("/later", get(later))
        .route("/hangs", get(hangs))
        .route("/hoards", get(hoards))
        .route("/floods", get(floods));
    let base = serve(app).await;
    let clock = SystemClock::default();
    let limit = Duration::from_secs(12);
    let bounds =
        |config: &mut RenderConfig| (config.timeout, config.memory, config.traffic) = (limit, 400 << 20, 8 << 20);
    let Some((fetcher, _alone)) = chromium(bounds).await else { return };
    for (path, reason) in [
        ("loops", "timed out"),
        ("later", "timed out"),
        ("hangs", "timed out"),
        ("hoards", "MiB of memory"),
        ("floods", "exceeds 8388608 bytes"),
    ] {
        let begun = clock.monotonic();
        let polled = read(base.join(path).unwrap(), &fetcher).await;
        let found = polled.record.reason.unwrap_or_default();
        assert!(
            polled.record.decision == "failed" && found.contains(reason),
            "{path}: {} {found}",
            polled.record.decision
        );
        assert!(clock.monotonic() - begun < limit + Duration::from_secs(5), "{path}");
    }
    assert_nothing_is_left().await;
}
