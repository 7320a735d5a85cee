//! Jetstream over real websockets: servers that break, repeat, talk nonsense and fall silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use url::Url;
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_daemon::Context;
use vigie_producers::fetcher::{Fetcher, FetcherConfig};
use vigie_producers::poll::{Polled, fresh_cursor, poll};
use vigie_producers::{Kind, SourceConfig, run};
use vigie_schemas::{Codec, Cursor};

use crate::pipeline::{checked, crash, prepare, wait_for};
use crate::server::{self, source};

/// Microseconds between two events.
const GAP: i64 = 200_000;

/// A stream that only this test writes to. Event `n` happened `n` gaps after `start`.
#[derive(Clone)]
struct Jetstream {
    state: Arc<Mutex<State>>,
    /// Events sent on all connections.
    sent: Arc<watch::Sender<usize>>,
}

#[derive(Default)]
struct State {
    start: i64,
    events: i64,
    /// Events sent on one connection, after which it is dropped silently.
    drop_after: usize,
    /// Whether nonsense and pings come between the events.
    noisy: bool,
    asked: Vec<(String, String)>,
    sent: usize,
    dropped: usize,
}

impl Jetstream {
    fn new(now: Timestamp, events: i64) -> Self {
        let state =
            State { start: (now.as_millis() - 3_600_000) * 1000, events, drop_after: usize::MAX, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), sent: Arc::default() }
    }

    fn grow(&self, by: i64) {
        self.state.lock().unwrap().events += by;
    }

    fn event(start: i64, n: i64) -> String {
        let time = start + n * GAP;
        // Every third is about something else; now and then one is changed or deleted.
        let text = if n % 3 == 2 { "lunch" } else { "buying #bitcoin" };
        let (operation, key) = match n % 30 {
            28 => ("update", n - 1),
            29 => ("delete", n - 2),
            _ => ("create", n),
        };
        let made = Timestamp::from_millis(time / 1000);
        let record = serde_json::json!({"text": text, "createdAt": made.to_string(), "langs": ["en"]});
        let mut commit = serde_json::json!({"rev": format!("r{n}"), "operation": operation, "collection": "app.bsky.feed.post", "rkey": format!("k{key}")});
        if operation != "delete" {
            commit["record"] = record;
        }
        serde_json::json!({"did": "did:plc:a", "time_us": time, "kind": "commit", "commit": commit}).to_string()
    }

    /// The posts among the first events that hold a word.
    fn expected(events: i64) -> BTreeMap<String, usize> {
        let wanted = (0..events).filter(|n| n % 3 != 2 && n % 30 < 28);
        wanted.map(|n| (format!("bluesky:at://did:plc:a/app.bsky.feed.post/k{n}"), 1)).collect()
    }

    async fn serve(&self) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/subscribe?compress=true", listener.local_addr().unwrap());
        let stream = self.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(stream.clone().connection(socket));
            }
        });
        Url::parse(&url).unwrap()
    }

    async fn connection(self, socket: TcpStream) {
        let asked = Arc::new(Mutex::new((String::new(), String::new())));
        let noted = Arc::clone(&asked);
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let note = move |request: &Request, response: Response| {
            let agent = request.headers()["user-agent"].to_str().unwrap().to_owned();
            *noted.lock().unwrap() = (request.uri().to_string(), agent);
            Ok(response)
        };
        let Ok(mut socket) = accept_hdr_async(socket, note).await else { return };
        let asked = asked.lock().unwrap().clone();
        let url = Url::parse("http://x/").unwrap().join(&asked.0).unwrap();
        let cursor =
            url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, value)| value.parse::<i64>().unwrap());
        let (start, mut next) = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(asked);
            // Without a cursor all is published, so that the test knows what to expect.
            (
                state.start,
                cursor.map_or(0, |cursor| ((cursor - state.start) as f64 / GAP as f64).ceil().max(0.0) as i64),
            )
        };
        let mut sent = 0;
        loop {
            let (events, drop_after, noisy) = {
                let state = self.state.lock().unwrap();
                (state.events, state.drop_after, state.noisy)
            };
            if sent >= drop_after {
                self.state.lock().unwrap().dropped += 1;
                return;
            }
            if next < events {
                if noisy && next % 7 == 0 {
                    nonsense(&mut socket).await;
                }
                if socket.send(Message::text(Self::event(start, next))).await.is_err() {
                    return;
                }
                self.state.lock().unwrap().sent += 1;
                self.sent.send_modify(|sent| *sent += 1);
                (next, sent) = (next + 1, sent + 1);
                continue;
            }
            // Nothing more for now: pings are answered by reading.
            match tokio::time::timeout(Duration::from_millis(5), socket.next()).await {
                Ok(Some(Ok(_))) | Err(_) => {}
                Ok(_) => return,
            }
        }
    }
}

async fn nonsense(socket: &mut WebSocketStream<TcpStream>) {
    for message in [
        Message::text("not json"),
        Message::text("[1, 2"),
        Message::text(r#"{"time_us": "soon"}"#),
        Message::text(r#"{"did":"did:plc:a","time_us":9223372036854775807,"kind":"commit","commit":{}}"#),
        Message::binary(vec![0xff, 0xfe, 0x00]),
        Message::Ping(b"are you there".to_vec().into()),
        Message::Pong(b"unasked".to_vec().into()),
    ] {
        let _ = socket.send(message).await;
    }
    // A peer that drops a connection with unread bytes takes back what it sent: the answer to the ping is read.
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.next()).await;
}

fn fetcher() -> Fetcher {
    server::fetcher(FetcherConfig {
        listen: Duration::from_millis(150),
        timeout: Duration::from_millis(1500),
        contact: Some("ops@a.example".into()),
        ..FetcherConfig::default()
    })
}

/// Polls until that many posts are there.
async fn gather(
    source: &SourceConfig,
    fetcher: &Fetcher,
    cursor: &mut Cursor,
    expected: usize,
) -> BTreeMap<String, usize> {
    let clock = SystemClock::default();
    let mut found = BTreeMap::new();
    for _ in 0..200 {
        let Polled { posts, cursor: next, .. } = poll(source, cursor, fetcher, &clock).await;
        *cursor = next;
        for post in posts {
            assert!(!post.published_at_estimated && post.text.contains("bitcoin"));
            *found.entry(post.post_id).or_default() += 1;
        }
        if found.len() >= expected {
            break;
        }
    }
    found
}

#[tokio::test]
async fn a_stream_that_breaks_repeats_and_talks_nonsense_is_published_once() {
    let clock = SystemClock::default();
    let stream = Jetstream::new(clock.now(), 600);
    {
        let mut state = stream.state.lock().unwrap();
        (state.drop_after, state.noisy) = (70, true);
    }
    let source = source("jet", Kind::Bluesky, stream.serve().await);
    let fetcher = fetcher();
    let expected = Jetstream::expected(600);
    let mut cursor = fresh_cursor(&source);
    let found = gather(&source, &fetcher, &mut cursor, expected.len()).await;
    assert_eq!(found, expected);
    // Once more, from the stored cursor and with a new process: nothing is published again.
    let again = poll(&source, &cursor, &self::fetcher(), &clock).await;
    assert_eq!((again.posts.len(), again.record.decision.as_str()), (0, "fetched"), "{:?}", again.record);

    let state = stream.state.lock().unwrap();
    assert!(state.sent > 600 && state.asked.len() > 5, "{} sent on {} connections", state.sent, state.asked.len());
    assert!(!state.asked[0].0.contains("cursor") && state.asked[1..].iter().all(|(url, _)| url.contains("cursor=")));
    for (url, agent) in &state.asked {
        assert!(url.contains("wantedCollections=app.bsky.feed.post") && !url.contains("compress"), "{url}");
        assert!(agent.starts_with("vigie/") && agent.contains("ops@a.example"), "{agent}");
    }
}

#[tokio::test]
async fn one_connection_serves_many_polls_and_its_end_between_two_loses_nothing() {
    let clock = SystemClock::default();
    let stream = Jetstream::new(clock.now(), 30);
    let source = source("jet", Kind::Bluesky, stream.serve().await);
    let fetcher = fetcher();
    let mut cursor = fresh_cursor(&source);
    let mut all = BTreeMap::new();
    for round in 0..6 {
        let polled = poll(&source, &cursor, &fetcher, &clock).await;
        let (seen, new) = (polled.record.posts_seen, polled.record.posts_new);
        assert!(seen > new && polled.record.status == Some(101), "posts silently are seen: {:?}", polled.record);
        cursor = polled.cursor;
        polled.posts.into_iter().for_each(|post| *all.entry(post.post_id).or_default() += 1);
        let connections = stream.state.lock().unwrap().asked.len();
        assert_eq!(connections, if round < 4 { 1 } else { 2 });
        if round == 3 {
            // Drops the idle connection.
            stream.state.lock().unwrap().drop_after = 0;
            let dropped = async {
                while stream.state.lock().unwrap().dropped == 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), dropped).await.expect("the connection is dropped");
            stream.state.lock().unwrap().drop_after = usize::MAX;
        }
        stream.grow(30);
    }
    assert_eq!(all, Jetstream::expected(180));
}

#[tokio::test]
async fn silence_refusals_and_oversize_end_a_poll_in_time() {
    let clock = SystemClock::default();
    let fetcher = fetcher();
    let begun = clock.monotonic();
    // Silent after the handshake.
    let silent = source("silent", Kind::Bluesky, Jetstream::new(clock.now(), 0).serve().await);
    let mut cursor = fresh_cursor(&silent);
    for _ in 0..2 {
        let polled = poll(&silent, &cursor, &fetcher, &clock).await;
        assert_eq!((polled.record.decision.as_str(), polled.posts.len()), ("fetched", 0), "{:?}", polled.record);
        cursor = polled.cursor;
    }
    // Silent before it.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = Url::parse(&format!("ws://{}/", deaf.local_addr().unwrap())).map(|url| (url, deaf)).unwrap();
    // Plain HTTP, and a refusal.
    let plain = server::serve(axum::Router::new().route("/", axum::routing::get(|| async { "hello" }))).await;
    // A message that is too long, and no message but nonsense.
    let long = scripted(|mut socket| async move {
        let _ = socket.send(Message::text("x".repeat(3 * 1024 * 1024))).await;
        let _ = socket.next().await;
    })
    .await;
    let mad = scripted(|mut socket| async move {
        for _ in 0..10 {
            nonsense(&mut socket).await;
        }
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let ws = |url: &Url, path: &str| {
        Url::parse(&format!("ws://{}/{path}", &url[url::Position::BeforeHost..url::Position::AfterPort])).unwrap()
    };
    for (url, decision, part) in [
        (deaf.0.clone(), "failed", "timed out"),
        (ws(&plain, ""), "failed", "http status 200"),
        (ws(&plain, "none"), "failed", "http status 404"),
        (long, "failed", "too long"),
        (mad, "unparsable", "not json"),
    ] {
        let source = source("bad", Kind::Bluesky, url.clone());
        let polled = poll(&source, &fresh_cursor(&source), &fetcher, &clock).await;
        let reason = polled.record.reason.unwrap_or_default();
        assert_eq!(polled.record.decision, decision, "{url}: {reason}");
        assert!(reason.to_lowercase().contains(part), "{url}: {reason}");
        assert_eq!(polled.cursor.failures, 1);
    }
    let private = SourceConfig { local: false, ..source("private", Kind::Bluesky, ws(&plain, "")) };
    let polled = poll(&private, &fresh_cursor(&private), &fetcher, &clock).await;
    assert_eq!(polled.record.decision, "blocked");
    assert!(clock.monotonic() - begun < Duration::from_secs(20));
}

/// A websocket server that does that with each connection.
async fn scripted<F>(script: impl Fn(WebSocketStream<TcpStream>) -> F + Send + 'static) -> Url
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("ws://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            if let Ok(socket) = tokio_tungstenite::accept_async(socket).await {
                tokio::spawn(script(socket));
            }
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_reaches_kafka_exactly_once_through_crashes_and_broken_connections() {
    let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
    let (kafka, registry) = prepare(&stack).await;
    let stream = Jetstream::new(SystemClock::default().now(), 300);
    stream.state.lock().unwrap().drop_after = 90;
    let list = vec![source("jet", Kind::Bluesky, stream.serve().await)];
    let codec = Codec::connect(&registry, &stack.prefix).await.unwrap();
    for round in 0..5_u32 {
        let wanted = Jetstream::expected(300 + 60 * i64::from(round)).len();
        let running = tokio::spawn(run(checked(&kafka, &registry, list.clone()), Context::system()));
        let (round, more) = (round as usize, 10 + 12 * round as usize);
        crash(running, round, (&stream.sent, more), (&kafka, &codec), wanted).await;
        stream.grow(60);
    }
    let ctx = Context::system();
    let running = tokio::spawn(run(checked(&kafka, &registry, list), ctx.clone()));
    let expected = Jetstream::expected(600);
    let all = wait_for(&kafka, &codec, expected.len()).await;
    ctx.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("drains within 10 s").unwrap().unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    all.into_iter().for_each(|post| *counts.entry(post.post_id).or_default() += 1);
    assert_eq!(counts, expected);
}
