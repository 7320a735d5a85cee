//! What a source is: a kind, an address, a rhythm, and a pure way to read its answers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::keys::{self, Key};
use crate::kinds::bluesky::Bluesky;
use crate::kinds::coingecko::CoinGecko;
use crate::kinds::discourse::Discourse;
use crate::kinds::hackernews::HackerNews;
use crate::kinds::html::{Selectors, WebPage};
use crate::kinds::lemmy::Lemmy;
use crate::kinds::mastodon::Mastodon;
use crate::kinds::reddit::Reddit;
use crate::kinds::rss::Rss;
use crate::kinds::sitemap::Sitemap;
use crate::kinds::snapshot::Snapshot;
use crate::kinds::telegram::Telegram;
use crate::kinds::x::X;
use crate::poll::rhythm::Schedule;

/// The kinds of source, one file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// RSS 0.9x, 1.0, 2.0, Atom or JSON Feed: news sites, Medium, YouTube, Reddit's `.rss`, GitHub releases.
    Rss,
    /// Hacker News: Algolia's search API; Firebase items are read too.
    #[value(name = "hackernews")]
    HackerNews,
    /// Reddit's JSON listings.
    Reddit,
    /// Mastodon: tag and public timelines of an instance's API.
    Mastodon,
    /// Discourse forums: posts.json, latest.json, t/ID.json.
    Discourse,
    /// Public previews of Telegram channels, t.me/s/CHANNEL.
    Telegram,
    /// Bluesky: Jetstream (wss://HOST/subscribe), search and author feeds as JSON; recorded lines of Jetstream.
    Bluesky,
    /// Lemmy: posts and comments of an instance's API.
    Lemmy,
    /// Proposals of Snapshot governance: hub.snapshot.org/graphql?space=NAME.
    Snapshot,
    /// Any web page: JSON-LD, OpenGraph and its prose, or entries by CSS selectors.
    Html,
    /// Sitemaps, with the news extension, and indexes of sitemaps.
    Sitemap,
    /// X: recent search of API v2; needs a key.
    X,
    /// News of CoinGecko's API; needs a key.
    #[value(name = "coingecko")]
    CoinGecko,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Rss,
        Self::HackerNews,
        Self::Reddit,
        Self::Mastodon,
        Self::Discourse,
        Self::Telegram,
        Self::Bluesky,
        Self::Lemmy,
        Self::Snapshot,
        Self::Html,
        Self::Sitemap,
        Self::X,
        Self::CoinGecko,
    ];

    /// The name in `sources.toml`, in post ids and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rss => "rss",
            Self::HackerNews => "hackernews",
            Self::Reddit => "reddit",
            Self::Mastodon => "mastodon",
            Self::Discourse => "discourse",
            Self::Telegram => "telegram",
            Self::Bluesky => "bluesky",
            Self::Lemmy => "lemmy",
            Self::Snapshot => "snapshot",
            Self::Html => "html",
            Self::Sitemap => "sitemap",
            Self::X => "x",
            Self::CoinGecko => "coingecko",
        }
    }

    /// How sources of this kind are read.
    pub const fn source(self) -> &'static dyn Source {
        match self {
            Self::Rss => &Rss,
            Self::HackerNews => &HackerNews,
            Self::Reddit => &Reddit,
            Self::Mastodon => &Mastodon,
            Self::Discourse => &Discourse,
            Self::Telegram => &Telegram,
            Self::Bluesky => &Bluesky,
            Self::Lemmy => &Lemmy,
            Self::Snapshot => &Snapshot,
            Self::Html => &WebPage,
            Self::Sitemap => &Sitemap,
            Self::X => &X,
            Self::CoinGecko => &CoinGecko,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One source to poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Stable name: key of its cursor and of its fetch records.
    pub id: String,
    /// How its answers are read.
    pub kind: Kind,
    /// Where it is.
    pub url: Url,
    /// How often to ask, at best.
    pub every: std::time::Duration,
    /// What language it writes in where the answer does not say (BCP 47).
    pub language: Option<String>,
    /// May be on a private or loopback address, and is asked with little spacing.
    pub local: bool,
    /// Its posts are for demonstration or from an archive.
    pub sample: bool,
    /// At the first poll, read everything that it lists, not only its first page.
    pub backlog: bool,
    /// How many pages to read in one poll at most; what is left is read in the next.
    pub max_pages: u32,
    /// Where the entries of a page are; for [`Kind::Html`].
    pub select: Option<Selectors>,
    /// The words of which a post of a stream holds at least one; without any, [`crate::kinds::jetstream::DEFAULT_WORDS`].
    pub keywords: Vec<String>,
    /// Whether Chromium renders the page first; for [`Kind::Html`].
    pub render: bool,
    /// The key of its API; for [`Kind::X`], [`Kind::Reddit`] and [`Kind::CoinGecko`].
    pub key: Option<Key>,
}

impl SourceConfig {
    /// Whether it is a stream to listen to, not an address to ask.
    pub fn is_stream(&self) -> bool {
        matches!(self.url.scheme(), "ws" | "wss")
    }

    /// Whether it cannot be asked until the variable of its key is set.
    pub fn waits_for_key(&self) -> bool {
        keys::is_needed(self.kind) && self.key.as_ref().and_then(Key::secret).is_none()
    }

    /// How posts that were seen before are told from new ones.
    pub fn overlap(&self) -> Overlap {
        // A stream never repeats itself: its position tells what was heard.
        if self.is_stream() { Overlap::SinglePage } else { self.kind.source().overlap() }
    }
}

/// One answer, as it came over the wire (already decompressed).
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// The body.
    pub bytes: &'a [u8],
    /// What the `Content-Type` header says about the character set.
    pub charset: Option<&'a str>,
    /// Where it came from, after redirects: base of relative links.
    pub base: Option<&'a Url>,
}

/// What all posts of one answer share.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// [`SourceConfig::id`].
    pub source: &'a str,
    /// Language where the answer does not say.
    pub language: Option<&'a str>,
    /// [`SourceConfig::sample`].
    pub sample: bool,
    /// [`SourceConfig::select`].
    pub select: Option<&'a Selectors>,
    /// When the answer came.
    pub fetched_at: Timestamp,
}

/// What one answer holds.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The posts in the order of the answer, which for a walked source is newest first.
    pub posts: Vec<RawPost>,
    /// Posts of this page that the answer says were edited, by id, and when.
    pub edited: BTreeMap<String, Timestamp>,
    /// Ids of posts that the answer says are deleted.
    pub deleted: Vec<String>,
    /// Where the next older posts are, if the answer says.
    pub older: Option<Older>,
    /// When the source wants to be asked, if the answer says.
    pub schedule: Schedule,
    /// Documents that this one lists in place of posts.
    pub nested: Vec<Nested>,
}

/// A document that another one lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nested {
    /// Where it is.
    pub url: Url,
    /// When it changed last, if that is told.
    pub modified: Option<Timestamp>,
}

/// A place to continue a walk back in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Older {
    /// Continue after this native id.
    After(String),
    /// Continue with what is not newer than this second since the epoch.
    NotAfter(i64),
}

/// A kind of source: pure functions from requests to addresses and from answers to posts.
///
/// What is given here is for kinds of which one page holds all there is.
pub trait Source: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> Kind;

    /// Reads one answer.
    ///
    /// # Errors
    /// If the answer is not what this kind of source sends.
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError>;

    /// The address of the newest posts, given the newest event time already seen (milliseconds are cut).
    fn newest(&self, source: &SourceConfig, _seen_until: Option<Timestamp>) -> Url {
        source.url.clone()
    }

    /// The address of the posts before those of a page; `None` if this kind cannot be walked back.
    fn older(&self, _source: &SourceConfig, _seen_until: Option<Timestamp>, _older: &Older) -> Option<Url> {
        None
    }

    /// How posts that were seen before are told from new ones.
    fn overlap(&self) -> Overlap {
        Overlap::SinglePage
    }

    /// How far back an address may ask for posts, where the source refuses what is farther.
    fn reach(&self) -> Option<std::time::Duration> {
        None
    }

    /// The media types to ask for.
    fn accept(&self) -> &'static str;
}

/// How a walk back in time ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// One page holds all there is; posts seen before are told by their ids.
    SinglePage,
    /// The listing is strictly newest first: the walk ends at the first post that was the newest of an earlier walk.
    Anchor,
    /// Posts may turn up late by this much: the walk ends there, and posts seen before are told by their ids.
    Late(std::time::Duration),
}

/// Why an answer could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is no feed.
    #[error("not a feed: {0}")]
    Feed(String),
    /// It is no JSON.
    #[error("not json: {0}")]
    Json(String),
    /// It is JSON of another shape.
    #[error("unexpected json: {0}")]
    Shape(String),
    /// It is no page of this kind.
    #[error("not a page of this kind: {0}")]
    Page(String),
    /// The source answered with an error in the body.
    #[error("the source reports an error: {0}")]
    Reported(String),
}

/// The event time of a post: what the source says, or the time of the fetch if it says nothing usable (nothing, a time before 1970, or one
/// after the fetch). The flag tells that it is an estimate.
pub(crate) fn event_time(published: Option<Timestamp>, fetched_at: Timestamp) -> (Timestamp, bool) {
    match published {
        Some(time) if time.as_millis() > 0 && time <= fetched_at => (time, false),
        _ => (fetched_at, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_future_date_becomes_the_time_of_the_fetch() {
        let now = Timestamp::from_millis(1_000_000);
        let past = Timestamp::from_millis(999_999);
        assert_eq!(event_time(Some(past), now), (past, false));
        assert_eq!(event_time(Some(now.saturating_add(std::time::Duration::from_millis(1))), now), (now, true));
        assert_eq!(event_time(Some(Timestamp::from_millis(-62_135_596_800_000)), now), (now, true));
        assert_eq!(event_time(None, now), (now, true));
    }
}
