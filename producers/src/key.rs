//! Keys of official APIs: `sources.toml` names a variable of the environment, which holds the secret.
//!
//! Guarantees: a secret is shown by no `Debug` and no `Display`, and goes to no other host than the API that it is for. What a host says of a failure
//! is cleaned of it before it is told (`Key::hide`), should the host repeat what it was sent.

use std::fmt;

use url::Url;
use vigie_daemon::Mistake;

use crate::fetcher::guard;
use crate::source::{Kind, SourceConfig};

/// The longest name of a variable.
const MAX_VARIABLE: usize = 64;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The key of a source: the variable that holds it, and what the variable held when the sources were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    variable: String,
    secret: Option<Secret>,
}

impl Key {
    /// The key in this variable of the environment, or in the file that `{variable}_FILE` names; there is none if neither is
    /// set, or if it is empty.
    ///
    /// # Errors
    /// If both are set, or the file cannot be read.
    pub fn from_env(variable: &str) -> Result<Self, Mistake> {
        let file = format!("{variable}_FILE");
        let set = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let text = match (set(variable), set(&file)) {
            (Some(_), Some(_)) => return Err(Mistake::new(variable, format!("{file} is set too"), "one of them")),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(&path);
                Some(read.map_err(|error| Mistake::new(file, format!("{path}: {error}"), "a file with the key"))?)
            }
            (text, None) => text,
        };
        let secret = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(Secret);
        Ok(Self { variable: variable.to_owned(), secret })
    }

    /// A key that does not come from the environment.
    pub fn given(variable: &str, secret: Secret) -> Self {
        Self { variable: variable.to_owned(), secret: Some(secret) }
    }

    /// The variable that holds it.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// What it holds.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// A text without the secret, or its part behind a colon.
    pub(crate) fn hide(&self, text: String) -> String {
        let Some(secret) = self.secret.as_ref().map(Secret::expose) else { return text };
        let part = secret.rsplit_once(':').map_or(secret, |(_, part)| part);
        // What is shorter is no secret, and may be in any text.
        if part.len() < 8 || !text.contains(part) {
            return text;
        }
        text.replace(secret, "[key]").replace(part, "[key]")
    }
}

/// Whether a source of this kind is not asked without a key.
pub(crate) fn is_needed(kind: Kind) -> bool {
    matches!(kind, Kind::X | Kind::CoinGecko)
}

/// The hosts whose API takes keys of this kind.
fn hosts(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::X => &["api.x.com", "api.twitter.com"],
        Kind::Reddit => &["www.reddit.com", "reddit.com"],
        Kind::CoinGecko => &["pro-api.coingecko.com", "api.coingecko.com"],
        _ => &[],
    }
}

/// What is wrong with the key of a source. A key goes to the API that it is for, over https, or to a private address of one's own: a list of
/// sources from elsewhere cannot send it away.
pub(crate) fn mistake(kind: Kind, url: &Url, local: bool, variable: Option<&str>) -> Option<Mistake> {
    let hosts = hosts(kind);
    let Some(variable) = variable else {
        let missing =
            || Mistake::new("kind", format!("{kind} without a key"), "key = the name of a variable that holds it");
        return is_needed(kind).then(missing);
    };
    let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !variable.starts_with(|c: char| c.is_ascii_uppercase())
        || variable.len() > MAX_VARIABLE
        || !variable.chars().all(is_plain)
    {
        // Who wrote the secret itself there does not want to see it in a log.
        let expected = format!("the name of a variable of the environment: 1 to {MAX_VARIABLE} of A-Z 0-9 _");
        return Some(Mistake::new("key", "another text, not shown here", expected));
    }
    if hosts.is_empty() {
        return Some(Mistake::new("key", format!("given with kind {kind}"), "kind x, reddit or coingecko"));
    }
    let is_official =
        url.scheme() == "https" && url.port().is_none() && url.host_str().is_some_and(|host| hosts.contains(&host));
    let is_own = local && guard::is_inside(url);
    let elsewhere = || {
        let host = url.host_str().unwrap_or_default();
        Mistake::new(
            "key",
            format!("given with {}://{host}", url.scheme()),
            format!("https and one of {}", hosts.join(", ")),
        )
    };
    (!is_official && !is_own).then(elsewhere)
}

/// The sources that can be asked; each that waits for its key is told once.
pub(crate) fn ready(sources: Vec<SourceConfig>) -> Vec<SourceConfig> {
    let (ready, waiting): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| !source.waits_for_key());
    for source in waiting {
        let variable = source.key.as_ref().map(Key::variable);
        tracing::warn!(source = source.id, variable, "source left out: the variable of its key is not set");
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let key = Key::given("VIGIE_REDDIT", Secret::new("client:tellnobody"));
        assert!(!format!("{key:?}").contains("tellnobody") && format!("{key:?}").contains("VIGIE_REDDIT"));
        assert_eq!(key.hide("bad client:tellnobody, no tellnobody".into()), "bad [key], no [key]");
        assert_eq!(Key::from_env("VIGIE_NOT_SET_ANYWHERE").unwrap().secret(), None);
        assert!(Key::from_env("PATH").unwrap().secret().is_some());
    }

    #[test]
    fn a_key_goes_to_the_api_that_it_is_for_or_to_oneself() {
        let wrong = |kind, url: &str, local, variable| {
            let mistake = mistake(kind, &Url::parse(url).unwrap(), local, variable);
            mistake.map(|mistake| mistake.to_string()).unwrap_or_default()
        };
        let key = Some("VIGIE_KEY");
        assert_eq!(wrong(Kind::X, "https://api.x.com/2/tweets/search/recent?query=btc", false, key), "");
        assert_eq!(wrong(Kind::Reddit, "https://www.reddit.com/r/a/new.json", false, key), "");
        assert_eq!(wrong(Kind::Reddit, "https://old.reddit.com/r/a/new.json", false, None), "");
        assert_eq!(wrong(Kind::X, "http://127.0.0.1:1/2", true, key), "");
        for (kind, url, local, key, part) in [
            (Kind::X, "https://api.x.com/", false, None, "without a key"),
            (Kind::X, "http://api.x.com/", false, key, "expected https"),
            (Kind::X, "https://api.x.com:444/", false, key, "expected https"),
            (Kind::X, "https://api.x.com.a.example/", false, key, "api.twitter.com"),
            (Kind::CoinGecko, "https://a.example/", true, key, "pro-api.coingecko.com"),
            (Kind::Rss, "https://a.example/", false, key, "expected kind x"),
        ] {
            assert!(wrong(kind, url, local, key).contains(part), "{url}: {}", wrong(kind, url, local, key));
        }
        let said = wrong(Kind::X, "https://api.x.com/", false, Some("AAAA%2Fsecret"));
        assert!(said.contains("expected the name") && !said.contains("secret"), "{said}");
    }
}
