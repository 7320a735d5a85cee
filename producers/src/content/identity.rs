//! Post ids: stable over fetches, replicas and feed generators.

use sha2::{Digest, Sha256};
use url::Url;

/// The id of a post that has a native id: `<kind>:<native id>`.
pub fn native(kind: &str, id: &str) -> String {
    format!("{kind}:{id}")
}

/// The id of a post whose name is any text: `<kind>:<name>` if it is short and plain, else `<kind>:` and its SHA-256.
pub fn named(kind: &str, name: &str) -> String {
    if !name.is_empty() && name.len() <= 256 && name.bytes().all(|b| b.is_ascii_graphic()) {
        return native(kind, name);
    }
    hashed(kind, name)
}

/// The id of a page: its kind and the SHA-256 of its canonical address.
pub fn page(kind: &str, url: &Url) -> String {
    hashed(kind, &canonical(url))
}

/// The id of a feed entry: its kind and the SHA-256 of what names it.
///
/// A guid that is an address or a URN names the entry anywhere; any other guid only within its feed, so that the feed's host is hashed with it.
/// Without a guid the canonical link does, and without a link title and text have to.
pub fn feed_entry(kind: &str, guid: &str, link: Option<&Url>, feed_host: &str, title: &str, text: &str) -> String {
    let name = if let Some(url) = absolute(guid) {
        canonical(&url)
    } else if is_urn(guid) {
        guid.to_owned()
    } else if !guid.is_empty() {
        format!("{feed_host}\n{guid}")
    } else if let Some(link) = link {
        canonical(link)
    } else {
        format!("{feed_host}\n{title}\n{text}")
    };
    hashed(kind, &name)
}

/// The id of a post whose source gives the id of another one to it, too: both ids are that of the other, with what distinguishes them.
pub fn beside(kind: &str, id: &str, name: &str) -> String {
    hashed(kind, &format!("{id}\n{name}"))
}

fn hashed(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}:{hex}")
}

/// An address without what does not change where it leads: tracking parameters, default port, an empty query.
pub fn canonical(url: &Url) -> String {
    let mut url = url.clone();
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, value)| !is_tracking(key, value))
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    let had = url.query_pairs().count();
    if kept.is_empty() {
        url.set_query(None);
    } else if kept.len() < had {
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
    if url.fragment() == Some("") || url.fragment().is_some_and(|f| f.starts_with("utm_")) {
        url.set_fragment(None);
    }
    url.into()
}

fn is_tracking(key: &str, value: &str) -> bool {
    key.starts_with("utm_")
        || matches!(key, "fbclid" | "gclid" | "mc_cid" | "mc_eid")
        || (key == "source" && value.starts_with("rss"))
}

fn absolute(guid: &str) -> Option<Url> {
    Url::parse(guid).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

fn is_urn(guid: &str) -> bool {
    ["urn:", "tag:", "yt:", "at://", "ipfs://"].iter().any(|prefix| guid.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(guid: &str, link: Option<&str>, host: &str) -> String {
        let link = link.map(|link| Url::parse(link).unwrap());
        feed_entry("rss", guid, link.as_ref(), host, "t", "x")
    }

    #[test]
    fn tracking_parameters_do_not_make_another_post() {
        let plain = id("", Some("https://news.example/a?p=1"), "h");
        assert_eq!(plain, id("", Some("https://NEWS.example:443/a?utm_source=rss&p=1&fbclid=z"), "h"));
        assert_ne!(plain, id("", Some("https://news.example/a?p=2"), "h"));
        assert_eq!(plain.len(), "rss:".len() + 64);
    }

    #[test]
    fn a_short_guid_counts_within_its_feed_only() {
        assert_ne!(id("42", None, "a.example"), id("42", None, "b.example"));
        assert_eq!(id("urn:uuid:42", None, "a.example"), id("urn:uuid:42", None, "b.example"));
    }

    #[test]
    fn fragments_tell_entries_of_one_page_apart() {
        assert_ne!(id("https://a.example/log#1", None, "h"), id("https://a.example/log#2", None, "h"));
    }
}
