//! Bluesky's Jetstream, every public post as it is made: what a message means, where the stream stands, which address goes on from there.
//!
//! `poll/listen.rs` holds the sockets. All of Bluesky passes by, so that only posts that hold one of the source's words are kept.

pub(crate) mod batch;
mod words;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::content::json;

pub use words::{DEFAULT_WORDS, Words};

/// How far a new connection goes back, in microseconds: events may reach a server in another order than its neighbour.
const REWIND: i64 = 5_000_000;

/// The longest message taken; servers are asked to leave longer ones out.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;

/// Where a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPosition {
    /// The time of the newest event heard, in microseconds since the epoch, as the server has it.
    at: i64,
    /// No new connection goes back beyond this: older events are not remembered.
    #[serde(default)]
    back_to: i64,
    /// What was published of the last seconds: time and hash of each event.
    #[serde(default, rename = "told")]
    published: Vec<(i64, u64)>,
    /// Whether the last batch ended because it was full, so that more is waiting.
    #[serde(default)]
    behind: bool,
}

impl StreamPosition {
    /// Whether more is waiting to be read.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// The time of the newest event heard.
    pub(crate) fn at(&self) -> i64 {
        self.at
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
    pub(crate) lines: Vec<u8>,
    /// Where the stream stands now.
    pub(crate) position: StreamPosition,
    /// Posts that hold none of the words.
    pub(crate) passed_over: usize,
}

/// The address of the connection, as http or https: posts only, uncompressed, no message too long to be read, from where the stream stands.
pub(crate) fn address(stream: &Url, before: Option<&StreamPosition>) -> Option<Url> {
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
