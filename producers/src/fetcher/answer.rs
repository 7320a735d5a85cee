//! What is asked, and what may come of it.

use std::time::Duration;

use url::Url;

use crate::keys::access::Access;

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where.
    pub url: Url,
    /// Media types.
    pub accept: &'static str,
    /// `ETag` of the last answer, as it came.
    pub etag: Option<String>,
    /// `Last-Modified` of the last answer, as it came.
    pub last_modified: Option<String>,
    /// The address that gave them, if it is another than [`Request::url`]: they are sent to no other.
    pub validated_by: Option<Url>,
    /// Private and loopback addresses are allowed, and their robots.txt is not asked.
    pub local: bool,
    /// The key to show to the API that it is for. Its robots.txt is not asked.
    pub access: Option<Access>,
}

impl Request {
    /// A request for whatever is there now, without a key.
    pub fn new(url: Url, accept: &'static str, local: bool) -> Self {
        Self { url, accept, etag: None, last_modified: None, validated_by: None, local, access: None }
    }

    /// Whether a key is shown at this address.
    pub(super) fn is_with_access(&self, url: &Url) -> bool {
        self.access.as_ref().is_some_and(|access| access.is_for(url))
    }
}

/// A useful answer.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// New content.
    Body(Body),
    /// What we have is current (304).
    NotModified {
        /// How long the server says that it stays so.
        fresh_for: Option<Duration>,
        /// `ETag`, if the answer has one: it replaces the old one.
        etag: Option<String>,
        /// `Last-Modified`, likewise.
        last_modified: Option<String>,
        /// Where permanent redirects led.
        moved_to: Option<Url>,
    },
}

/// New content.
#[derive(Clone, Debug)]
pub struct Body {
    /// HTTP status.
    pub status: u16,
    /// Where it came from in the end.
    pub url: Url,
    /// Decompressed content.
    pub bytes: Vec<u8>,
    /// Character set of the `Content-Type`.
    pub charset: Option<String>,
    /// `ETag`, opaque, quotes kept.
    pub etag: Option<String>,
    /// `Last-Modified`, opaque.
    pub last_modified: Option<String>,
    /// How long the server says that it stays current.
    pub fresh_for: Option<Duration>,
    /// Where an unbroken chain of permanent redirects (301, 308) from the address asked led.
    pub moved_to: Option<Url>,
}

impl Body {
    /// Content that no HTTP header says anything of.
    pub(crate) fn bare(status: u16, url: Url, bytes: Vec<u8>) -> Self {
        let (charset, etag, last_modified, fresh_for, moved_to) = (None, None, None, None, None);
        Self { status, url, bytes, charset, etag, last_modified, fresh_for, moved_to }
    }
}

/// Why there is no useful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// robots.txt or the address guard forbids it.
    #[error("blocked: {0}")]
    Blocked(String),
    /// Not now: the host asked for a pause, or others are before us. Nothing was asked.
    #[error("waits: {reason}")]
    Wait {
        /// How long.
        wait: Duration,
        /// Why.
        reason: String,
    },
    /// The server refuses or fails.
    #[error("http status {status}")]
    Status {
        /// HTTP status.
        status: u16,
        /// How long the server asks us to stay away, capped.
        retry_after: Option<Duration>,
    },
    /// The answer is longer than we take.
    #[error("answer exceeds {limit} bytes, cut off")]
    TooLarge {
        /// The cap.
        limit: usize,
    },
    /// The answer is compressed as no text is.
    #[error("answer unpacks to more than {limit} times its size, cut off")]
    Ratio {
        /// The cap.
        limit: usize,
    },
    /// Too many redirects, or one that leads nowhere.
    #[error("redirect: {0}")]
    Redirect(String),
    /// It took too long.
    #[error("timed out after {0:?}")]
    Timeout(Duration),
    /// The key is not one, or no token is given for it.
    #[error("key: {0}")]
    Key(String),
    /// Name resolution, connection, TLS, protocol or decompression failed.
    #[error("network: {0}")]
    Network(String),
}

impl FetchError {
    /// Whether asking again soon would bring the same.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Status { status, .. } => (400..500).contains(status) && !matches!(status, 408 | 425 | 429),
            Self::Blocked(_) | Self::TooLarge { .. } | Self::Ratio { .. } | Self::Redirect(_) | Self::Key(_) => true,
            Self::Wait { .. } | Self::Timeout(_) | Self::Network(_) => false,
        }
    }
}
