//! Documents made to harm: every parser ends soon, without a panic, whatever it is given.

use std::time::Duration;

use proptest::prelude::*;
use vigie_clock::{Clock, SystemClock};
use vigie_producers::Kind;
use vigie_producers::kinds::source::draft::{MAX_AUTHOR, MAX_TEXT, MAX_TITLE, MAX_URL};

use crate::reading::{FEED, read};

/// No document of this size may take more processor time; the tests are not optimised.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processor time of this thread, or the time of day where the system does not count it.
fn busy() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = schedule.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let now = || Duration::from_millis(SystemClock::default().now().as_millis().unsigned_abs());
    nanos.map_or_else(now, Duration::from_nanos)
}

/// Reads a document, in time, to posts that keep what is promised of them.
fn parse(kind: Kind, bytes: &[u8]) {
    let started = busy();
    let result = read(kind, bytes, FEED);
    let took = busy() - started;
    assert!(took < PATIENCE, "{kind}: {took:?} for {} bytes", bytes.len());
    for post in result.iter().flat_map(|page| &page.posts) {
        assert!(post.text.len() <= MAX_TEXT && post.post_id.len() <= 320);
        assert!(post.title.as_ref().is_none_or(|title| title.len() <= MAX_TITLE));
        assert!(post.author.as_ref().is_none_or(|author| author.len() <= MAX_AUTHOR));
        assert!(post.url.as_ref().is_none_or(|url| url.len() <= MAX_URL));
        let is_unwanted =
            |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
        let fields = [Some(&post.text), post.title.as_ref(), post.author.as_ref()];
        assert!(fields.into_iter().flatten().all(|field| !field.contains(is_unwanted)), "{post:?}");
        assert!(post.published_at <= post.fetched_at);
    }
}

/// A real document of each kind, to be mangled.
fn documents() -> Vec<(Kind, &'static [u8])> {
    vec![
        (Kind::Rss, include_bytes!("../fixtures/news.rss")),
        (Kind::Rss, include_bytes!("../fixtures/blog.atom")),
        (Kind::Rss, include_bytes!("../fixtures/feed.json")),
        (Kind::Reddit, include_bytes!("../fixtures/reddit_thread.json")),
        (Kind::HackerNews, include_bytes!("../fixtures/hackernews.json")),
        (Kind::Lemmy, include_bytes!("../fixtures/lemmy_posts.json")),
        (Kind::Lemmy, include_bytes!("../fixtures/lemmy_comments.json")),
        (Kind::Snapshot, include_bytes!("../fixtures/snapshot_proposals.json")),
        (Kind::Bluesky, include_bytes!("../fixtures/bluesky_search.json")),
        (Kind::Sitemap, include_bytes!("../fixtures/sitemap_news.xml")),
        (Kind::Mastodon, br#"[{"id":"1","uri":"https://a.example/1","content":"<p>x</p>","created_at":"2026-01-01T00:00:00Z","visibility":"public","account":{"acct":"a","url":"https://a.example/@a"}}]"#),
        (Kind::Discourse, br#"{"latest_posts":[{"id":7,"topic_id":3,"post_number":2,"created_at":"2026-11-01T00:00:00.000Z","username":"ada","cooked":"<p>x</p>"}]}"#),
        (Kind::Telegram, br#"<div class="tgme_channel_history"><div class="tgme_widget_message" data-post="c/1"><div class="tgme_widget_message_text">x<br>y</div><a class="tgme_widget_message_date"><time datetime="2026-01-01T00:00:00+00:00"></time></a></div></div>"#),
        (Kind::Html, br#"<html lang="en"><head><title>T</title><script type="application/ld+json">{"@type":"NewsArticle","headline":"H","author":{"name":"A"},"datePublished":"2026-01-01"}</script></head><body><p>A paragraph that is long enough to count as prose.</p></body></html>"#),
    ]
}

#[test]
fn bombs_of_depth_width_and_entities_end_soon() {
    const SIZE: usize = 1_500_000;
    let repeated = |piece: &str| piece.repeat(SIZE / piece.len());
    let mut entities = String::from("<!DOCTYPE l [<!ENTITY a \"ha\">");
    for n in 0..1000 {
        entities.push_str(&format!("<!ENTITY a{n} \"&a{};&a{};\">", n + 1, n + 1));
    }
    let bombs = [
        repeated("<a>"),
        format!("<rss><channel>{}", repeated("<item>")),
        format!("<rss><channel>{}", repeated("<item><title>")),
        format!("<rss><channel><item>{}</item></channel></rss>", repeated("<title>")),
        format!("<rss><channel><item>{}</item></channel></rss>", repeated("<title><description>")),
        format!("<rss><channel><item><description>{}</description></item></channel></rss>", repeated("<div>")),
        format!("<rss><channel><item><description>{}</description></item></channel></rss>", repeated("&lt;b&gt;")),
        format!("<rss><channel><item><description>{}</description></item></channel></rss>", repeated("&bogus;")),
        format!("<rss><channel><item><title>{}</title></item></channel></rss>", repeated("<![CDATA[x]]>")),
        format!("<feed {}>", repeated("a='b' ")),
        format!("<feed {}><entry>", (0..SIZE / 20).map(|n| format!("xmlns:p{n}='urn:{n}' ")).collect::<String>()),
        repeated("<feed xmlns='http://www.w3.org/2005/Atom'><entry>"),
        repeated("<a b=\""),
        repeated("<a b=\" '"),
        repeated("<!--"),
        repeated("<![CDATA["),
        repeated("<!DOCTYPE [ "),
        format!("<rss>{}</rss>", repeated("<!--")),
        format!("<rss>{}</rss>", repeated("<![CDATA[")),
        format!("<rss>{}</rss>", repeated("<?x>")),
        format!("<rss>{}</rss>", repeated("<!x>")),
        format!(
            "<!DOCTYPE r [<!ENTITY a '{}'>]><rss><channel><item><title>{}</title></item></channel></rss>",
            "x".repeat(1000),
            repeated("&a;")
        ),
        repeated("</a>"),
        repeated("<a></b>"),
        format!("{}<rss><channel><item><title>&a0;</title></item></channel></rss>", entities + "]>"),
        repeated("{\"a\":"),
        repeated("["),
        repeated("<p>"),
        repeated("<table><tr><td>"),
        repeated("<a href=x>"),
        repeated("<script>"),
        repeated("<b></i>"),
        format!("<html {}>", repeated("a=b ")),
        format!("<urlset>{}", repeated("<url><loc>https://a.example/</loc></url>")),
        format!("<script type=\"application/ld+json\">{}</script>", repeated("[{\"@graph\":")),
        repeated("<meta property=a content=b>"),
    ];
    for bomb in &bombs {
        for &kind in Kind::all() {
            parse(kind, bomb.as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for &kind in Kind::all() {
            parse(kind, &bytes);
        }
    }

    #[test]
    fn any_text_of_markup_is_read_or_refused(pieces in proptest::collection::vec(prop::sample::select(PIECES), 0..200)) {
        let text = pieces.concat();
        for &kind in Kind::all() {
            parse(kind, text.as_bytes());
        }
    }

    #[test]
    fn mangled_documents_are_read_or_refused(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..5, any::<u8>(), any::<prop::sample::Index>()), 1..8)
    ) {
        for (kind, document) in documents() {
            let mut bytes = document.to_vec();
            for (place, edit, byte, other) in &edits {
                if bytes.is_empty() {
                    break;
                }
                let (at, to) = (place.index(bytes.len()), other.index(bytes.len()));
                match edit {
                    0 => bytes[at] = *byte,
                    1 => bytes.truncate(at),
                    2 => drop(bytes.drain(at.min(to)..at.max(to).min(at.min(to) + 40))),
                    3 => {
                        let copy = bytes[at.min(to)..at.max(to).min(at.min(to) + 200)].to_vec();
                        bytes.splice(at..at, copy).for_each(drop);
                    }
                    _ => bytes.splice(at..at, PIECES[usize::from(*byte) % PIECES.len()].bytes()).for_each(drop),
                }
            }
            parse(kind, &bytes);
        }
    }
}

const PIECES: &[&str] = &[
    "<rss>",
    "<channel>",
    "<item>",
    "</item>",
    "<entry>",
    "</entry>",
    "<feed xmlns='http://www.w3.org/2005/Atom'>",
    "<title>",
    "</title>",
    "<link>",
    "</link>",
    "<link href='/x'/>",
    "<guid>",
    "</guid>",
    "<pubDate>",
    "</pubDate>",
    "Mon, 23 Nov 2026 02:44:22 GMT",
    "<description>",
    "</description>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?xml ?>",
    "<!DOCTYPE x [",
    "]>",
    "&amp;",
    "&lt;",
    "&#0;",
    "&#x1F;",
    "&#x110000;",
    "&nbsp;",
    "&",
    "<",
    ">",
    "\"",
    "'",
    "=",
    "é",
    "\u{202e}",
    "\u{feff}",
    "\0",
    "{",
    "}",
    "[",
    "]",
    "\"items\":",
    "\"version\":\"https://jsonfeed.org/version/1\",",
    "ada@a.example (Ada)",
    "<media:group>",
    "</media:group>",
    "<content type='xhtml'><div>",
    "</div></content>",
    "<content type='application/x' mode='base64'>",
    "</content>",
    "<urlset>",
    "<url>",
    "<loc>",
    "</loc>",
    "</url>",
    "<p>",
    "</p>",
    "<div class='tgme_widget_message' data-post='a/1'>",
    "<script>",
    "</script>",
    "xml:base='http://['",
    "xmlns:a=''",
    "<a:b/>",
    "</a:b>",
    "日本@日本.jp",
    "%",
    "http://",
    "//",
    "javascript:x",
];
