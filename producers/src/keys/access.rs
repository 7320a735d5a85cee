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

use crate::keys::{Key, Secret};
use crate::kinds::source::{Kind, SourceConfig};

/// The path at which Reddit gives tokens to applications.
const TOKEN_PATH: &str = "/api/v1/access_token";

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

impl Access {
    /// The access of a source that has a key.
    pub fn of(source: &SourceConfig) -> Option<Self> {
        let secret = source.key.as_ref().and_then(Key::secret)?.clone();
        let mut api = source.url.clone();
        let means = match source.kind {
            Kind::X => Means::Bearer(secret),
            Kind::CoinGecko if api.host_str() == Some("api.coingecko.com") => {
                Means::Header("x-cg-demo-api-key", secret)
            }
            Kind::CoinGecko => Means::Header("x-cg-pro-api-key", secret),
            Kind::Reddit => {
                let mut at = source.url.clone();
                if matches!(api.host_str(), Some("www.reddit.com" | "reddit.com")) {
                    api.set_host(Some("oauth.reddit.com")).ok()?;
                    at.set_host(Some("www.reddit.com")).ok()?;
                }
                at.set_path(TOKEN_PATH);
                at.set_query(None);
                at.set_fragment(None);
                Means::Token { at, client: secret }
            }
            _ => return None,
        };
        Some(Self { listed: source.url.clone(), api, means })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn access(kind: Kind, url: &str) -> Access {
        let source = SourceConfig {
            kind,
            url: Url::parse(url).unwrap(),
            key: Some(Key::given("VIGIE_KEY", Secret::new("client:tellnobody"))),
            ..crate::sources::catalogue::bundled().unwrap().remove(0)
        };
        Access::of(&source).unwrap()
    }

    #[test]
    fn reddit_is_asked_at_its_api_and_only_there_is_the_token_shown() {
        let access = access(Kind::Reddit, "https://www.reddit.com/r/Bitcoin/new.json?limit=100");
        let url = access.address(Url::parse("https://www.reddit.com/r/Bitcoin/new.json?limit=100&after=t3_1").unwrap());
        assert_eq!(url.as_str(), "https://oauth.reddit.com/r/Bitcoin/new?limit=100&after=t3_1");
        assert!(access.is_for(&url) && !access.is_for(&Url::parse("https://www.reddit.com/r/Bitcoin/new").unwrap()));
        assert!(!access.is_for(&Url::parse("http://oauth.reddit.com/").unwrap()));
        let Means::Token { at, .. } = access.means() else { panic!("{access:?}") };
        assert_eq!(at.as_str(), "https://www.reddit.com/api/v1/access_token");
        assert!(!format!("{access:?}").contains("tellnobody"));
    }

    #[test]
    fn the_header_of_coingecko_goes_by_the_host() {
        let header = |url| match access(Kind::CoinGecko, url).means() {
            Means::Header(name, _) => *name,
            other => panic!("{other:?}"),
        };
        assert_eq!(header("https://pro-api.coingecko.com/api/v3/news"), "x-cg-pro-api-key");
        assert_eq!(header("https://api.coingecko.com/api/v3/news"), "x-cg-demo-api-key");
    }
}
