//! What every kind of source has: a pure way from cursors to addresses, and from answers to posts.

pub mod draft;
pub mod schedule;
pub mod selectors;

use std::collections::BTreeMap;

use url::Url;
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use crate::content::document::{Document, ParseError};
use crate::keys::access::Api;
use crate::kinds::source::schedule::Schedule;
use crate::kinds::source::selectors::Selectors;

/// What all posts of one answer share.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// [`crate::SourceConfig::id`].
    pub source: &'a str,
    /// Language where the answer does not say.
    pub language: Option<&'a str>,
    /// [`crate::SourceConfig::sample`].
    pub sample: bool,
    /// [`crate::SourceConfig::select`].
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
    /// Posts of the answer that are not among them, as it has more than are taken of one.
    pub left_out: usize,
    /// Ids of posts that the answer says are deleted.
    pub deleted: Vec<String>,
    /// Where the next older posts are, if the answer says.
    pub older: Option<Older>,
    /// When the source wants to be asked, if the answer says.
    pub schedule: Schedule,
    /// Documents that this one lists in place of posts.
    pub nested: Vec<Nested>,
    /// By the id of a post, the id that it has in other answers of its source, where ids are distinguished by what is beside them.
    pub namesakes: BTreeMap<String, Namesake>,
}

/// The other id of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namesake {
    /// The one it has beside another post whose source gives it the same id.
    Beside(String),
    /// The one it has when no other has it.
    Alone {
        /// That id.
        id: String,
        /// The one that it would have beside posts of other links.
        by_link: String,
    },
}

/// A document that another one lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nested {
    /// Where it is.
    pub url: Url,
    /// When it changed last, if the listing says.
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

impl Older {
    /// The native id to continue after.
    pub(crate) fn after(&self) -> Option<&str> {
        match self {
            Self::After(id) => Some(id),
            Self::NotAfter(_) => None,
        }
    }

    /// The second to continue at.
    pub(crate) fn not_after(&self) -> Option<i64> {
        match self {
            Self::NotAfter(second) => Some(*second),
            Self::After(_) => None,
        }
    }
}

/// A kind of source: pure functions from requests to addresses and from answers to posts.
///
/// What is given here is for kinds of which one page holds all there is.
pub trait Source: Send + Sync {
    /// Reads one answer.
    ///
    /// # Errors
    /// If the answer is not what this kind of source sends.
    fn parse(&self, document: Document<'_>, origin: Origin<'_>) -> Result<Page, ParseError>;

    /// The address of the newest posts of a source, given its address in `sources.toml` and the newest event time already seen (milliseconds are cut).
    fn newest(&self, listed: &Url, _seen_until: Option<Timestamp>) -> Url {
        listed.clone()
    }

    /// The address of the posts before those of a page; `None` if this kind cannot be walked back.
    fn older(&self, _listed: &Url, _seen_until: Option<Timestamp>, _older: &Older) -> Option<Url> {
        None
    }

    /// How posts that were seen before are recognised.
    fn overlap(&self) -> Overlap {
        Overlap::SinglePage
    }

    /// How far back an address may ask for posts, where the source refuses what is farther.
    fn reach(&self) -> Option<std::time::Duration> {
        None
    }

    /// Whether posts of any age can be asked for; by default, whether it is walked back.
    fn has_archive(&self) -> bool {
        self.overlap() != Overlap::SinglePage
    }

    /// The API that is asked with a key, if there is one.
    fn api(&self) -> Option<&'static Api> {
        None
    }

    /// The media types to ask for.
    fn accept(&self) -> &'static str {
        "application/json"
    }
}

/// How a walk back in time ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// One page holds all there is; posts seen before are recognised by their ids.
    SinglePage,
    /// The listing is strictly newest first: the walk ends at the first post that was the newest of an earlier walk.
    Anchor,
    /// Posts may turn up late by this much: the walk ends there, and posts seen before are recognised by their ids.
    Late(std::time::Duration),
}
