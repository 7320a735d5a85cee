//! The list of sources: what a source is, and `sources.toml`.

pub mod catalogue;
pub(crate) mod key;

use url::Url;

use crate::keys::Key;
use crate::keys::access::Access;
use crate::kinds::Kind;
use crate::kinds::source::Overlap;
use crate::kinds::source::selectors::Selectors;

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
    /// A public source as the catalogue makes it of these and no other settings, asked once a minute.
    pub fn new(id: impl Into<String>, kind: Kind, url: Url) -> Self {
        Self {
            id: id.into(),
            kind,
            url,
            every: std::time::Duration::from_secs(60),
            language: None,
            local: false,
            sample: false,
            backlog: false,
            max_pages: 5,
            select: None,
            keywords: Vec::new(),
            render: false,
            key: None,
        }
    }

    /// Whether it is a stream to listen to, not an address to ask.
    pub fn is_stream(&self) -> bool {
        matches!(self.url.scheme(), "ws" | "wss")
    }

    /// Whether it cannot be asked until the variable of its key is set.
    pub fn waits_for_key(&self) -> bool {
        self.kind.source().api().is_some_and(|api| api.needs_key) && self.key.as_ref().and_then(Key::secret).is_none()
    }

    /// How its key is shown to its API, if it has one.
    pub fn access(&self) -> Option<Access> {
        let secret = self.key.as_ref().and_then(Key::secret)?;
        (self.kind.source().api()?.access)(&self.url, secret.clone())
    }

    /// How posts that were seen before are recognised.
    pub fn overlap(&self) -> Overlap {
        // A stream never repeats itself: its position says what was heard.
        if self.is_stream() { Overlap::SinglePage } else { self.kind.source().overlap() }
    }
}

/// The sources that can be asked; each that waits for its key is logged.
pub(crate) fn ready(sources: Vec<SourceConfig>) -> Vec<SourceConfig> {
    let (ready, waiting): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| !source.waits_for_key());
    for source in waiting {
        let variable = source.key.as_ref().map(Key::variable);
        tracing::warn!(source = source.id, variable, "source left out: the variable of its key is not set");
    }
    ready
}
