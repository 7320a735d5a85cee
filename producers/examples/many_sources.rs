//! What polling costs: `many_sources [SOURCES] [ROUNDS]` polls that many sources of a local server by the real fetcher and [`poll`], without Kafka, and prints
//! the processor time of a poll and the interval that one core sustains. The first round brings a feed of 20 entries each, later rounds answer
//! 304 nine times in ten and a changed feed else. The server is a process of its own, whose time is not counted.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something it needs is missing")]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use url::Url;
use vigie_clock::{SharedClock, SystemClock};
use vigie_producers::fetcher::{Fetcher, FetcherConfig};
use vigie_producers::poll::{fresh_cursor, poll};
use vigie_producers::{Kind, SourceConfig};

/// Polls under way at once.
const CONCURRENCY: usize = 32;

fn main() {
    let mut args = std::env::args().skip(1);
    let first = args.next();
    let one_thread = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if first.as_deref() == Some("serve") {
        return one_thread.block_on(serve());
    }
    let count: usize = first.map_or(10_000, |text| text.parse().unwrap());
    let rounds: usize = args.next().map_or(5, |text| text.parse().unwrap());
    let mut server =
        Command::new(std::env::current_exe().unwrap()).arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line).unwrap();
    one_thread.block_on(measure(&Url::parse(line.trim()).unwrap(), count, rounds));
    server.kill().unwrap();
    server.wait().unwrap();
}

async fn measure(site: &Url, count: usize, rounds: usize) {
    let clock: SharedClock = Arc::new(SystemClock::default());
    let config = FetcherConfig { local_spacing: Duration::ZERO, spacing: Duration::ZERO, ..FetcherConfig::default() };
    let fetcher = Fetcher::new(config, clock.clone()).unwrap();
    let sources: Vec<SourceConfig> = (0..count).map(|n| source(n, site)).collect();
    let mut cursors: Vec<_> = sources.iter().map(fresh_cursor).collect();
    for round in 0..rounds {
        let (cpu, wall) = (processor_seconds(), clock.monotonic());
        let polls = futures_util::stream::iter(sources.iter().zip(&cursors))
            .map(|(source, cursor)| poll(source, cursor, &fetcher, &*clock));
        let polled: Vec<_> = polls.buffered(CONCURRENCY).collect().await;
        let (cpu, wall) = (processor_seconds() - cpu, (clock.monotonic() - wall).as_secs_f64());
        let decided = |decision: &str| polled.iter().filter(|polled| polled.record.decision == decision).count();
        let posts: usize = polled.iter().map(|polled| polled.posts.len()).sum();
        println!(
            "round {round}: {count} polls, {} fetched, {} not modified, {posts} posts; {wall:.2} s, processor {cpu:.2} s, {:.3} ms a poll: one core sustains them every {cpu:.1} s",
            decided("fetched"),
            decided("not_modified"),
            cpu * 1000.0 / count as f64,
        );
        assert_eq!(decided("fetched") + decided("not_modified"), count, "a poll failed");
        cursors = polled.into_iter().map(|polled| polled.cursor).collect();
    }
    println!(
        "memory: {}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap_or_default()
    );
}

fn source(n: usize, site: &Url) -> SourceConfig {
    let url = site.join(&format!("feed/{n}")).unwrap();
    SourceConfig { local: true, ..SourceConfig::new(format!("source-{n}"), Kind::Rss, url) }
}

/// Processor time of this process, in seconds: user and system of `/proc/self/stat`, in hundredths.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    let asked: Arc<std::sync::Mutex<Vec<u32>>> = Arc::default();
    let answer = move |Path(n): Path<usize>, headers: HeaderMap| {
        let asked = Arc::clone(&asked);
        async move { answer(n, &headers, &asked) }
    };
    axum::serve(listener, axum::Router::new().route("/feed/{n}", get(answer))).await.unwrap();
}

fn answer(n: usize, headers: &HeaderMap, asked: &std::sync::Mutex<Vec<u32>>) -> Response {
    let round = {
        let mut asked = asked.lock().unwrap();
        if asked.len() <= n {
            asked.resize(n + 1, 0);
        }
        asked[n] += 1;
        asked[n] as usize
    };
    if headers.contains_key(header::IF_NONE_MATCH) && !(round + n).is_multiple_of(10) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let items: String = (0..20)
        .map(|k| {
            let number = round * 20 + k;
            format!(
                "<item><title>Post {number} of source {n}</title><link>http://news-{n}.example/{number}</link><guid>http://news-{n}.example/{number}</guid>\
                 <description>&lt;p&gt;{}&lt;/p&gt;</description><pubDate>Mon, 23 Nov 2026 10:{:02}:00 GMT</pubDate></item>",
                "Bitcoin and ether rise while fees fall. ".repeat(10),
                k
            )
        })
        .collect();
    let feed = format!(
        "<?xml version='1.0'?><rss version='2.0'><channel><title>Source {n}</title><link>http://news-{n}.example/</link>{items}</channel></rss>"
    );
    ([(header::ETAG, format!("\"{round}\"")), (header::CONTENT_TYPE, "application/rss+xml".to_owned())], feed)
        .into_response()
}
