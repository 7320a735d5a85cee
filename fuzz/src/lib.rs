#![doc = include_str!("../README.md")]

use url::Url;
use vigie_clock::Timestamp;
use vigie_producers::Kind;
use vigie_producers::content::document::Document;
use vigie_producers::content::{charset, dates, identity, plain_text};
use vigie_producers::fetcher;
use vigie_producers::kinds::source::Origin;
use vigie_producers::kinds::source::draft::MAX_TEXT;
use vigie_producers::kinds::source::selectors::Selectors;
use vigie_producers::sources::catalogue;

type Parser = fn(&[u8]);

mod platform;

/// The parsers of what the web sends that are no kind of source of their own.
const OTHERS: [(&str, Parser); 7] = [
    ("json_feed", json_feed),
    ("html_select", html_select),
    ("plain_text", plain),
    ("charset", characters),
    ("dates", date),
    ("robots", robots_txt),
    ("catalogue", sources),
];

fn others() -> impl Iterator<Item = &'static (&'static str, Parser)> {
    OTHERS.iter().chain(&platform::TARGETS)
}

/// The names of all parsers: every kind of source, what they are made of, and those of everything else that comes from outside.
pub fn targets() -> impl Iterator<Item = &'static str> {
    Kind::all().iter().map(|kind| kind.name()).chain(others().map(|(name, _)| *name))
}

/// Hands bytes to the parser of this name.
///
/// # Panics
/// If there is no such parser, or the bytes make it break a promise.
pub fn run(name: &str, bytes: &[u8]) {
    if let Some((_, parser)) = others().find(|(known, _)| *known == name) {
        return parser(bytes);
    }
    let kind = Kind::all().iter().find(|kind| kind.name() == name).expect("one of targets()");
    parse(*kind, bytes, None);
}

/// When the answers of a fuzzer come.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn parse(kind: Kind, bytes: &[u8], select: Option<&Selectors>) {
    let base = Url::parse("https://base.example/dir/page?x=1").ok();
    let origin = Origin { source: "fuzz", language: None, sample: false, select, fetched_at: NOW };
    // The last byte chooses what HTTP says, so that a fuzzer reaches every branch.
    let charset =
        [None, Some("utf-8"), Some("iso-8859-1"), Some("bogus")][usize::from(bytes.last().copied().unwrap_or(0) % 4)];
    let Ok(page) = kind.source().parse(Document { bytes, charset, base: base.as_ref() }, origin) else { return };
    for post in page.posts {
        assert!(post.post_id.starts_with(kind.name()), "post id {}", post.post_id);
        assert!(post.published_at <= NOW && post.published_at.as_millis() > 0, "published at {}", post.published_at);
        assert!(post.text.len() <= MAX_TEXT, "a text of {} bytes", post.text.len());
        assert!(post.url.as_deref().is_none_or(|url| url.starts_with("http")), "url {:?}", post.url);
        let shown = [post.author.as_deref(), post.title.as_deref(), Some(post.text.as_str())];
        let is_unwanted =
            |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(
            !shown.into_iter().flatten().any(|text| text.contains(is_unwanted)),
            "a control character in {}",
            post.post_id
        );
    }
}

fn json_feed(bytes: &[u8]) {
    let feed = [b"{\"version\":\"https://jsonfeed.org/version/1.1\",\"items\":[", bytes, b"]}"].concat();
    parse(Kind::Rss, &feed, None);
    parse(Kind::Rss, bytes, None);
}

fn html_select(bytes: &[u8]) {
    let select =
        Selectors { item: "article, div, li, p".into(), title: Some("h1, h2, a".into()), ..Selectors::default() };
    parse(Kind::Html, bytes, Some(&select));
}

fn plain(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let plain = plain_text::from_html(&text);
    assert!(!plain.contains('\0'), "a zero byte is left");
    let title = plain_text::title(&text);
    assert!(!title.contains('\n'), "a title of two lines");
}

fn characters(bytes: &[u8]) {
    let text = charset::decode(bytes, None);
    assert!(text.len() <= 8 * bytes.len() + 8, "{} bytes became {}", bytes.len(), text.len());
}

fn date(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = dates::parse(&text);
}

fn robots_txt(bytes: &[u8]) {
    let _ = fetcher::robots_allow(bytes, "/a/b?c=d");
}

fn sources(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for source in catalogue::parse(&text).into_iter().flatten() {
        let _ = identity::canonical(&source.url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parser_takes_odd_bytes() {
        for name in targets() {
            for bytes in [&b""[..], b"\0", b"<", b"{}", b"[]", b"\xff\xfe\0", b"<rss><item><title>\xf0\x9f"] {
                run(name, bytes);
            }
        }
    }
}
