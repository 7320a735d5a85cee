//! One entry per parser of what the web sends, for fuzzers: `fuzz/` has a libFuzzer target for each, `./dev fuzz` mutates recorded answers without one.
//!
//! Each takes any bytes and must come back: no panic, no hang, no post that breaks what all posts promise.

use url::Url;
use vigie_clock::Timestamp;

use crate::content::document::Document;
use crate::content::{charset, dates, identity, plain_text};
use crate::fetcher;
use crate::kinds::Kind;
use crate::kinds::html::Selectors;
use crate::kinds::source::Origin;
use crate::sources::catalogue;

/// A parser under test.
pub type Target = fn(&[u8]);

/// Every parser, by name.
pub const TARGETS: [(&str, Target); 20] = [
    ("rss", rss),
    ("json_feed", json_feed),
    ("sitemap", sitemap),
    ("hackernews", hackernews),
    ("reddit", reddit),
    ("mastodon", mastodon),
    ("discourse", discourse),
    ("bluesky", bluesky),
    ("lemmy", lemmy),
    ("snapshot", snapshot),
    ("x", x),
    ("coingecko", coingecko),
    ("telegram", telegram),
    ("html", html),
    ("html_select", html_select),
    ("plain_text", plain),
    ("charset", characters),
    ("dates", date),
    ("robots", robots_txt),
    ("catalogue", sources),
];

/// Hands bytes to the parser of this name.
///
/// # Panics
/// If there is no such parser, or the bytes make it break a promise.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| target);
    target.expect("a parser of TARGETS")(bytes);
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
        assert!(post.text.len() <= crate::kinds::draft::MAX_TEXT, "a text of {} bytes", post.text.len());
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

fn rss(bytes: &[u8]) {
    parse(Kind::Rss, bytes, None);
}

fn json_feed(bytes: &[u8]) {
    let feed = [b"{\"version\":\"https://jsonfeed.org/version/1.1\",\"items\":[", bytes, b"]}"].concat();
    parse(Kind::Rss, &feed, None);
    parse(Kind::Rss, bytes, None);
}

fn sitemap(bytes: &[u8]) {
    parse(Kind::Sitemap, bytes, None);
}

fn hackernews(bytes: &[u8]) {
    parse(Kind::HackerNews, bytes, None);
}

fn reddit(bytes: &[u8]) {
    parse(Kind::Reddit, bytes, None);
}

fn mastodon(bytes: &[u8]) {
    parse(Kind::Mastodon, bytes, None);
}

fn discourse(bytes: &[u8]) {
    parse(Kind::Discourse, bytes, None);
}

fn bluesky(bytes: &[u8]) {
    parse(Kind::Bluesky, bytes, None);
}

fn lemmy(bytes: &[u8]) {
    parse(Kind::Lemmy, bytes, None);
}

fn snapshot(bytes: &[u8]) {
    parse(Kind::Snapshot, bytes, None);
}

fn x(bytes: &[u8]) {
    parse(Kind::X, bytes, None);
}

fn coingecko(bytes: &[u8]) {
    parse(Kind::CoinGecko, bytes, None);
}

fn telegram(bytes: &[u8]) {
    parse(Kind::Telegram, bytes, None);
}

fn html(bytes: &[u8]) {
    parse(Kind::Html, bytes, None);
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
    fn each_parser_has_a_target_of_libfuzzer_and_takes_odd_bytes() {
        for (name, target) in TARGETS {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz/targets/{name}.rs"));
            let source = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(source.contains(&format!("run(\"{name}\", bytes)")), "{name}");
            for bytes in
                [&b""[..], b"\0", b"<", b"{}", b"[]", b"\xff\xfe\0", b"<rss><item><title>\xf0\x9f", b"\x4c\x6f\xa7\x94"]
            {
                target(bytes);
            }
        }
    }
}
