//! Families of feeds: each rule of a specification, and each habit of the web, in all the places where it counts. Expected values are reasoned from
//! the specifications (RSS 0.9x to 2.0, RFC 4287, Atom 0.3, CDF, RFC 3986, RFC 5322, ISO 8601), not from what the reader says.

mod encodings;
mod fields;
mod links;
mod shapes;

use url::Url;
use vigie_producers::Kind;
use vigie_producers::content::document::Document;
use vigie_producers::kinds::source::Page;
use vigie_schemas::RawPost;

use crate::reading::{FEED, ORIGIN};

fn page(bytes: &[u8], charset: Option<&str>, base: Option<&str>) -> Page {
    let base = base.map(|base| Url::parse(base).unwrap());
    Kind::Rss
        .read(Document { bytes, charset, base: base.as_ref() }, ORIGIN)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(600)])))
}

fn only(text: &str) -> RawPost {
    let mut posts = page(text.as_bytes(), None, Some(FEED)).posts;
    assert_eq!(posts.len(), 1, "{text}");
    posts.remove(0)
}

fn rss(item: &str) -> String {
    format!("<rss version='2.0'><channel><title>T</title><item>{item}</item></channel></rss>")
}

fn atom(entry: &str) -> String {
    format!("<feed xmlns='http://www.w3.org/2005/Atom'><title>T</title><entry>{entry}</entry></feed>")
}

fn atom03(entry: &str) -> String {
    format!("<feed version='0.3' xmlns='http://purl.org/atom/ns#'><title>T</title><entry>{entry}</entry></feed>")
}
