//! Which keys a source may have.

use url::Url;
use vigie_daemon::Mistake;

use crate::fetcher::guard;
use crate::keys::access::Api;
use crate::kinds::Kind;

/// The longest name of a variable.
const MAX_VARIABLE: usize = 64;

/// What is wrong with the key of a source. A key goes to the API that it is for, over https, or to a private address of one's own: a list of
/// sources from elsewhere cannot send it away.
pub(crate) fn mistake(kind: Kind, url: &Url, local: bool, variable: Option<&str>) -> Option<Mistake> {
    let api = kind.source().api();
    let Some(variable) = variable else {
        let missing =
            || Mistake::new("kind", format!("{kind} without a key"), "key = the name of a variable that holds it");
        return api.is_some_and(|api| api.needs_key).then(missing);
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
    let Some(Api { hosts, .. }) = api else {
        let takers = Kind::all().iter().filter(|kind| kind.source().api().is_some()).map(|kind| kind.name());
        let expected = format!("kind {}", takers.collect::<Vec<_>>().join(", "));
        return Some(Mistake::new("key", format!("given with kind {kind}"), expected));
    };
    let is_official =
        url.scheme() == "https" && url.port().is_none() && url.host_str().is_some_and(|host| hosts.contains(&host));
    let is_own = local && guard::is_inside(url);
    let elsewhere = || {
        let found = format!("given with {}://{}", url.scheme(), url.host_str().unwrap_or_default());
        Mistake::new("key", found, format!("https and one of {}", hosts.join(", ")))
    };
    (!is_official && !is_own).then(elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (Kind::Rss, "https://a.example/", false, key, "expected kind reddit"),
        ] {
            assert!(wrong(kind, url, local, key).contains(part), "{url}: {}", wrong(kind, url, local, key));
        }
        let said = wrong(Kind::X, "https://api.x.com/", false, Some("AAAA%2Fsecret"));
        assert!(said.contains("expected the name") && !said.contains("secret"), "{said}");
    }
}
