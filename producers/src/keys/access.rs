//! How the key of a source is shown to its API, and where the API is.
//!
//! ```text
//!  x          Authorization: Bearer KEY
//!  coingecko  x-cg-pro-api-key: KEY, or x-cg-demo-api-key at api.coingecko.com
//!  reddit     CLIENT:SECRET ─▶ POST /api/v1/access_token ─▶ Authorization: Bearer TOKEN, at oauth.reddit.com, paths without `.json`
//! ```
//!
//! It is shown to that one origin (scheme, host and port) and to no other, whatever a redirect says. An API that is asked with a key of its own has
//! agreed to be asked, so that its robots.txt, which is for those who were not, does not count there; spacing and back-off do.

use url::Url;
use vigie_daemon::Secret;

/// What a source may show, and to whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// The source as it is listed.
    listed: Url,
    /// An address of the API: its origin counts.
    api: Url,
    means: Means,
}

/// What is shown.
#[derive(Clone, Debug)]
pub(crate) enum Means {
    /// A bearer token that is the key itself.
    Bearer(Secret),
    /// A header of the API's own.
    Header(&'static str, Secret),
    /// A bearer token that is given for the key.
    Token {
        /// Where it is given.
        at: Url,
        /// `CLIENT:SECRET`.
        client: Secret,
    },
}

/// The API of a kind of source that is asked with a key.
#[derive(Debug)]
pub struct Api {
    /// Its hosts, by https only.
    pub hosts: &'static [&'static str],
    /// Whether it answers nothing without a key.
    pub needs_key: bool,
    /// How a key is shown, given the address of the source in `sources.toml`.
    pub access: fn(&Url, Secret) -> Option<Access>,
}

impl Access {
    pub(crate) fn new(listed: &Url, api: Url, means: Means) -> Self {
        Self { listed: listed.clone(), api, means }
    }

    /// Where the API answers what the source's own site would answer at `url`.
    pub fn address(&self, mut url: Url) -> Url {
        if matches!(self.means, Means::Token { .. }) && url.origin() == self.listed.origin() {
            // Between hosts of one scheme this never fails.
            let _ = url.set_host(self.api.host_str());
            let path = url.path().trim_end_matches('/');
            let path = path.strip_suffix(".json").unwrap_or(path).to_owned();
            url.set_path(&path);
        }
        url
    }

    /// Whether this is an address of the API.
    pub(crate) fn is_for(&self, url: &Url) -> bool {
        url.origin() == self.api.origin()
    }

    pub(crate) fn means(&self) -> &Means {
        &self.means
    }
}
