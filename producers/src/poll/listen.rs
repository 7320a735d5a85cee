//! Listening to a stream, over a websocket that goes on from a cursor.
//!
//! ```text
//!   poll: socket of the last poll, if it stands at the cursor ─┐
//!         else connect, cursor rewound by a few seconds ───────┴▶ listen: some seconds, posts or bytes ─▶ lines of posts, new cursor
//! ```
//!
//! A stream is read in batches, as if each were a page: what was heard is published with the cursor in one transaction, as all polls are. Guarantee: an
//! event between two cursors is published once, also where the socket breaks: the cursor is rewound no further than the events of which the position
//! remembers that they were published.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use vigie_clock::Clock;

use crate::fetcher::{FetchError, Fetcher, OpenSocket, Request, Socket};
use crate::kinds::jetstream::batch::Batch;
use crate::kinds::jetstream::{Heard, MAX_MESSAGE, StreamPosition, Words, address};
use crate::sources::SourceConfig;

/// How long a ping may take to be sent.
const PING: Duration = Duration::from_secs(2);

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
    let at = before.map(StreamPosition::at);
    let name = format!("{} {}", source.id, source.url);
    let mut kept = fetcher.sockets().take(&name, at, clock.monotonic());
    loop {
        let from_pool = kept.is_some();
        let mut open = match kept.take() {
            Some(open) => open,
            None => OpenSocket { socket: connect(source, before, fetcher).await?, at, heard: clock.monotonic() },
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
                fetcher.sockets().keep(name, open);
            }
        }
        return Ok(batch.into_heard());
    }
}

async fn hear(open: &mut OpenSocket, batch: &mut Batch<'_>, is_old: bool, fetcher: &Fetcher, clock: &dyn Clock) -> End {
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
    let request = Request::new(url, "*/*", source.local);
    fetcher.upgrade(&request, MAX_MESSAGE).await
}
