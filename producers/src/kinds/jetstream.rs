//! Bluesky's Jetstream: every public post as it is made, over a websocket that goes on from a cursor.
//!
//! ```text
//!   poll: socket of the last poll, if it stands at the cursor ─┐
//!         else connect, cursor rewound by a few seconds ───────┴▶ listen: some seconds, posts or bytes ─▶ lines of posts, new cursor
//! ```
//!
//! A stream is read in batches, as if each were a page: what was heard is published with the cursor in one transaction, as all polls are. Guarantee: an
//! event between two cursors is told once, also where the socket breaks: the cursor is rewound no further than the events of which the position
//! remembers that they were told. All of Bluesky passes by, so that only posts that hold one of the source's words are kept.

mod batch;
mod words;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Message;
use url::Url;
use vigie_clock::Clock;

use crate::content::json;
use crate::fetcher::{Body, FetchError, Fetcher, Request, Socket};
use crate::kinds::source::SourceConfig;
use batch::Batch;

pub use words::{DEFAULT_WORDS, Words};

/// How far a new connection goes back, in microseconds: events may reach a server in another order than its neighbour.
const REWIND: i64 = 5_000_000;

/// The longest message taken; servers are asked to leave longer ones out.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;

/// A connection that is silent for so long, not even answering a ping, is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a ping may take to be sent.
const PING: Duration = Duration::from_secs(2);

/// Where a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPosition {
    /// The time of the newest event heard, in microseconds since the epoch, as the server tells it.
    at: i64,
    /// No new connection goes back beyond this: older events are not remembered.
    #[serde(default)]
    back_to: i64,
    /// What was told of the last seconds: time and hash of each event.
    #[serde(default)]
    told: Vec<(i64, u64)>,
    /// Whether the last batch ended because it was full, so that more is waiting.
    #[serde(default)]
    behind: bool,
}

impl StreamPosition {
    /// Whether more is waiting to be read.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Where a new connection begins.
    fn rewound(&self) -> i64 {
        self.at.saturating_sub(REWIND).max(self.back_to)
    }
}

/// What was heard in one poll.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The events kept, as lines.
    pub(crate) body: Body,
    /// Where the stream stands now.
    pub(crate) position: StreamPosition,
    /// Posts that hold none of the words.
    pub(crate) passed_over: usize,
}

/// The sockets between two polls, by source.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: Mutex<HashMap<String, Open>>,
}

/// A socket that continues at a known cursor.
#[derive(Debug)]
struct Open {
    socket: Socket,
    /// The cursor at which it goes on; `None` before its first event.
    at: Option<i64>,
    /// When anything came last, in the clock's monotonic time.
    heard: Duration,
}

impl Sockets {
    /// The socket of this source, if it goes on at that very event and is alive.
    fn take(&self, source: &SourceConfig, at: Option<i64>, now: Duration) -> Option<Open> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(source));
        open.filter(|open| open.at == at && now.saturating_sub(open.heard) < SILENCE)
    }

    fn keep(&self, source: &SourceConfig, open: Open) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(key(source), open);
    }
}

fn key(source: &SourceConfig) -> String {
    format!("{} {}", source.id, source.url)
}

/// How listening ended.
enum End {
    /// Time or the batch is up, the socket is good.
    Open,
    /// The socket is closed or broken.
    Broken(String),
}

/// Reads a batch from where the stream stands.
///
/// # Errors
/// If no connection can be made, or it breaks before anything came.
pub(crate) async fn listen(
    source: &SourceConfig,
    before: Option<&StreamPosition>,
    fetcher: &Fetcher,
    clock: &dyn Clock,
) -> Result<Heard, FetchError> {
    let words = Words::new(&source.keywords);
    let at = before.map(|position| position.at);
    let mut kept = fetcher.sockets().take(source, at, clock.monotonic());
    loop {
        let from_pool = kept.is_some();
        let mut open = match kept.take() {
            Some(open) => open,
            None => Open { socket: connect(source, before, fetcher).await?, at, heard: clock.monotonic() },
        };
        let mut batch = Batch::new(before.cloned().unwrap_or_default(), &words);
        let end = hear(&mut open, &mut batch, from_pool, fetcher, clock).await;
        match end {
            // It broke between the polls: no reason to wait for the next.
            End::Broken(_) if from_pool && batch.is_empty() => continue,
            End::Broken(why) if batch.is_empty() => return Err(FetchError::Network(why)),
            End::Broken(_) => {}
            End::Open => {
                open.at = batch.at();
                fetcher.sockets().keep(source, open);
            }
        }
        return Ok(batch.into_heard(source.url.clone()));
    }
}

async fn hear(open: &mut Open, batch: &mut Batch<'_>, is_old: bool, fetcher: &Fetcher, clock: &dyn Clock) -> End {
    if is_old {
        // Whether a silent peer lives is known by the next poll.
        match tokio::time::timeout(PING, open.socket.send(Message::Ping(Vec::new().into()))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return End::Broken(error.to_string()),
            Err(_) => return End::Broken("a ping could not be sent".into()),
        }
    }
    let deadline = tokio::time::sleep(fetcher.listen_for());
    tokio::pin!(deadline);
    loop {
        let next = tokio::select! {
            () = &mut deadline => return End::Open,
            next = open.socket.next() => next,
        };
        match next {
            Some(Ok(Message::Text(text))) => batch.take(text.as_str(), clock.now()),
            Some(Ok(Message::Binary(bytes))) => batch.garbage(&String::from_utf8_lossy(&bytes[..bytes.len().min(200)])),
            Some(Ok(Message::Close(frame))) => {
                return End::Broken(frame.map_or_else(|| "closed".to_owned(), |frame| format!("closed: {frame}")));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return End::Broken(error.to_string()),
            None => return End::Broken("closed".into()),
        }
        open.heard = clock.monotonic();
        if batch.is_full() {
            return End::Open;
        }
    }
}

async fn connect(
    source: &SourceConfig,
    before: Option<&StreamPosition>,
    fetcher: &Fetcher,
) -> Result<Socket, FetchError> {
    let url = address(&source.url, before).ok_or_else(|| FetchError::Redirect(format!("no stream: {}", source.url)))?;
    let request = Request {
        url,
        accept: "*/*",
        etag: None,
        last_modified: None,
        validated_by: None,
        local: source.local,
        access: None,
    };
    fetcher.upgrade(&request, MAX_MESSAGE).await
}

/// The address of the connection, as http or https: posts only, uncompressed, no message too long to be read, from where the stream stands.
fn address(stream: &Url, before: Option<&StreamPosition>) -> Option<Url> {
    let mut url = stream.clone();
    url.set_scheme(if stream.scheme() == "wss" { "https" } else { "http" }).ok()?;
    let kept: Vec<(String, String)> = stream
        .query_pairs()
        .filter(|(name, _)| !matches!(&**name, "compress" | "cursor"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    let longest = MAX_MESSAGE.to_string();
    url = json::with_query(&url, &[("wantedCollections", "app.bsky.feed.post"), ("maxMessageSizeBytes", &longest)]);
    if let Some(position) = before {
        url.query_pairs_mut().append_pair("cursor", &position.rewound().to_string());
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_asks_for_posts_from_a_rewound_cursor_and_never_compressed() {
        let stream = Url::parse("wss://jet.example/subscribe?compress=true&wantedDids=did:plc:a").unwrap();
        let position = StreamPosition { at: 1_700_000_000_000_000, ..StreamPosition::default() };
        let url = address(&stream, Some(&position)).unwrap();
        assert_eq!((url.scheme(), url.path()), ("https", "/subscribe"));
        assert_eq!(
            url.query(),
            Some(
                "wantedDids=did%3Aplc%3Aa&wantedCollections=app.bsky.feed.post&maxMessageSizeBytes=1048576&cursor=1699999995000000"
            )
        );
        let bounded = StreamPosition { back_to: 1_699_999_999_000_000, ..position };
        assert_eq!(bounded.rewound(), 1_699_999_999_000_000);
        assert!(!address(&stream, None).unwrap().query().unwrap().contains("cursor"));
    }
}
