//! Feeds as the web has them: ill formed, of old versions, with what other vocabularies add.

use vigie_producers::Kind;
use vigie_producers::content::document::{Document, ParseError};
use vigie_producers::kinds::source::Page;
use vigie_schemas::RawPost;

use crate::reading::{FEED, ORIGIN, read};

fn parse(bytes: &[u8]) -> Result<Page, ParseError> {
    read(Kind::Rss, bytes, FEED)
}

fn posts(text: &str) -> Vec<RawPost> {
    parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}")).posts
}

/// The only post of an RSS 2.0 feed with this item.
fn item(inner: &str) -> RawPost {
    let mut posts = posts(&format!("<rss version='2.0'><channel><title>T</title><item>{inner}</item></channel></rss>"));
    assert_eq!(posts.len(), 1, "{inner}");
    posts.remove(0)
}

/// The only post of an Atom feed with this entry.
fn entry(inner: &str) -> RawPost {
    let feed = format!("<feed xmlns='http://www.w3.org/2005/Atom'><title>T</title><entry>{inner}</entry></feed>");
    let mut posts = posts(&feed);
    assert_eq!(posts.len(), 1, "{inner}");
    posts.remove(0)
}

#[test]
fn titles_are_plain_whatever_they_are_written_in() {
    for (written, plain) in [
        ("<title>A &amp; B</title>", "A & B"),
        ("<title>A &amp;amp; B</title>", "A & B"),
        ("<title><![CDATA[A <b>bold</b> &eacute;]]></title>", "A bold é"),
        ("<title>caf&eacute;&nbsp;&mdash; &hellip;</title>", "café — …"),
        ("<title>A &amp;lt; B</title>", "A < B"),
        ("<title>Tom & Jerry < 3</title>", "Tom & Jerry < 3"),
        ("<title>one\n   two</title>", "one two"),
        ("<title>\u{202e}evil\u{202c}\u{0}\u{b} \u{7f}x</title>", "evil x"),
        ("<title>&#147;quoted&#148; &#x1F680;</title>", "“quoted” 🚀"),
        ("<TITLE>upper</TITLE>", "upper"),
        ("<title>not <!-- a comment --> there</title>", "not there"),
        ("<title/><dc:title>other</dc:title>", "other"),
    ] {
        assert_eq!(
            item(&format!("{written}<link>http://a.example/</link>")).title.as_deref(),
            Some(plain),
            "{written}"
        );
    }
    for (written, plain) in [
        ("<title type='html'>A &lt;b&gt;bold&lt;/b&gt;</title>", "A bold"),
        ("<title type='text'>A &lt;b&gt; tag</title>", "A <b> tag"),
        ("<title type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>A <i>b</i> &lt; c</div></title>", "A b < c"),
        ("<title>It&amp;#8217;s</title>", "It’s"),
        ("<title mode='escaped' type='text/html'>A &lt;b&gt;b&lt;/b&gt;</title>", "A b"),
        ("<title mode='base64' type='text/html'>QSA8Yj5iPC9iPg==</title>", "A b"),
    ] {
        assert_eq!(entry(written).title.as_deref(), Some(plain), "{written}");
    }
}

#[test]
fn links_are_found_and_made_absolute() {
    for (written, url) in [
        ("<link>/a</link>", "https://news.example/a"),
        ("<link>b?x=1&amp;y=2</link>", "https://news.example/feeds/b?x=1&y=2"),
        ("<link><![CDATA[ http://a.example/c ]]></link>", "http://a.example/c"),
        ("<link/><guid>http://a.example/g</guid>", "http://a.example/g"),
        ("<atom:link rel='self' href='http://a.example/self'/><link>http://a.example/d</link>", "http://a.example/d"),
        ("<link rel='alternate' href='http://a.example/e'/>", "http://a.example/e"),
        ("<enclosure url='http://a.example/x.mp3'/><link href=http://a.example/f></link>", "http://a.example/f"),
        ("<link>http://a.example/with space</link>", "http://a.example/with%20space"),
    ] {
        assert_eq!(item(&format!("<title>t</title>{written}")).url.as_deref(), Some(url), "{written}");
    }
    for (written, url) in [
        ("<link rel='enclosure' href='http://a.example/x'/><link href='y'/>", "https://news.example/feeds/y"),
        (
            "<link rel='alternate' type='application/json' href='/j'/><link rel='alternate' type='text/html' href='/h'/>",
            "https://news.example/h",
        ),
        ("<link xml:base='http://b.example/dir/' href='z'/>", "http://b.example/dir/z"),
    ] {
        assert_eq!(entry(written).url.as_deref(), Some(url), "{written}");
    }
    let nested = "<feed xmlns='http://www.w3.org/2005/Atom' xml:base='http://c.example/a/'><entry xml:base='b/'><link href='c'/></entry></feed>";
    assert_eq!(posts(nested)[0].url.as_deref(), Some("http://c.example/a/b/c"));
    assert_eq!(item("<title>t</title><link>javascript:alert(1)</link>").url, None);
}

#[test]
fn a_feed_from_a_file_knows_where_it_is_by_what_it_says() {
    let read = |feed: &str| {
        let page = Kind::Rss.read(Document { bytes: feed.as_bytes(), charset: None, base: None }, ORIGIN);
        page.unwrap().posts.remove(0).url
    };
    let atom = "<feed xmlns='http://www.w3.org/2005/Atom'><link href='/'/><link rel='self' href='http://a.example/feed'/><entry><link href='b'/></entry></feed>";
    assert_eq!(read(atom).as_deref(), Some("http://a.example/b"));
    let rss =
        "<rss><channel><link>http://a.example/dir/</link><item><title>t</title><link>b</link></item></channel></rss>";
    assert_eq!(read(rss).as_deref(), Some("http://a.example/dir/b"));
    assert_eq!(read("<rss><channel><item><title>t</title><link>b</link></item></channel></rss>"), None);
}

#[test]
fn authors_are_names() {
    for (written, name) in [
        ("<author>ada@a.example (Ada Lovelace)</author>", "Ada Lovelace"),
        ("<author>Ada Lovelace &lt;ada@a.example&gt;</author>", "Ada Lovelace"),
        ("<author>Ada Lovelace (ada@a.example)</author>", "Ada Lovelace"),
        ("<author>ada@a.example</author>", "ada@a.example"),
        ("<dc:creator><![CDATA[Ada]]></dc:creator><dc:creator>Bob</dc:creator>", "Ada, Bob"),
        ("<author>x@a.example (Ada)</author><dc:creator>Ada</dc:creator>", "Ada"),
        ("<itunes:author>Ada</itunes:author>", "Ada"),
        ("<author><name>Ada</name><email>ada@a.example</email></author>", "Ada"),
    ] {
        assert_eq!(item(&format!("<title>t</title>{written}")).author.as_deref(), Some(name), "{written}");
    }
    assert_eq!(entry("<author><name/><email>a@a.example</email></author>").author.as_deref(), Some("a@a.example"));
}

#[test]
fn texts_are_the_fullest_there_is() {
    for (written, text) in [
        (
            "<description>short</description><content:encoded><![CDATA[<p>one</p><p>two &amp; three</p>]]></content:encoded>",
            "one\ntwo & three",
        ),
        ("<description>&lt;p&gt;a&lt;/p&gt;b</description>", "a\nb"),
        ("<description><p>inline <b>markup</b><br>with a break</p></description>", "inline markup\nwith a break"),
        ("<description></description><itunes:summary>s</itunes:summary>", "s"),
        ("<media:group><media:description>m</media:description></media:group>", "m"),
        ("<xhtml:body xmlns:xhtml='http://www.w3.org/1999/xhtml'><xhtml:p>x &lt; y</xhtml:p></xhtml:body>", "x < y"),
        ("<description><![CDATA[<script>alert(1)</script>safe<style>p{}</style>]]></description>", "safe"),
        ("<description>a&bogus;b</description>", "a&bogus;b"),
    ] {
        assert_eq!(item(&format!("<title>t</title>{written}")).text, text, "{written}");
    }
    for (written, text) in [
        (
            "<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>a</p><p>b &lt; c</p></div></content>",
            "a\nb < c",
        ),
        ("<content type='html'>&lt;p&gt;a&lt;/p&gt;</content>", "a"),
        ("<content type='text'>a &lt;b&gt;</content>", "a <b>"),
        ("<content type='application/octet-stream'>PGI+aGk8L2I+</content>", "hi"),
        ("<summary>s</summary><content src='http://a.example/'/>", "s"),
    ] {
        assert_eq!(entry(written).text, text, "{written}");
    }
}

#[test]
fn old_versions_and_single_entries_are_feeds() {
    let rdf = "<?xml version='1.0'?><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://purl.org/rss/1.0/' xmlns:d='http://purl.org/dc/elements/1.1/'>\
               <channel rdf:about='http://a.example/'><title>C</title><link>http://a.example/</link></channel>\
               <item rdf:about='http://a.example/1'><title>one</title><link>http://a.example/1</link><d:date>2026-11-01T10:00:00+02:00</d:date><d:creator>Ada</d:creator></item></rdf:RDF>";
    let post = &posts(rdf)[0];
    assert_eq!((post.author.as_deref(), post.published_at.to_string().as_str()), (Some("Ada"), "2026-11-01T08:00:00Z"));
    let atom03 = "<feed version='0.3' xmlns='http://purl.org/atom/ns#'><entry><id>tag:a.example,2026:1</id><issued>2026-11-01T10:00</issued>\
                  <modified>2026-11-02T10:00:00Z</modified><title>t</title></entry></feed>";
    let page = parse(atom03.as_bytes()).unwrap();
    assert_eq!(page.posts[0].published_at.to_string(), "2026-11-01T10:00:00Z");
    assert_eq!(page.edited.values().next().map(ToString::to_string).as_deref(), Some("2026-11-02T10:00:00Z"));
    assert_eq!(posts("<rss version='0.90'><channel/><item><title>beside</title></item></rss>").len(), 1);
    assert_eq!(
        posts("<a:entry xmlns:a='http://www.w3.org/2005/Atom'><a:title>t</a:title></a:entry>")[0].title.as_deref(),
        Some("t")
    );
    assert_eq!(posts("<rss><item><title>no channel</title></item></rss>").len(), 1);
    assert!(posts("<rss version='2.0'><channel><title>empty</title></channel></rss>").is_empty());
}

#[test]
fn documents_are_read_as_far_as_they_go() {
    let whole = "<rss><channel><item><title>1</title><guid>a</guid></item><item><title>2</title><guid>b</guid></item></channel></rss>";
    let ids = |text: &str| {
        parse(text.as_bytes()).map(|page| page.posts.iter().map(|p| p.title.clone().unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(ids(whole).unwrap(), ["1", "2"]);
    for end in whole.find("<title>2").unwrap()..whole.find("</title><guid>b").unwrap() + 12 {
        assert_eq!(ids(&whole[..end]).unwrap(), ["1"], "{}", &whole[..end]);
    }
    for end in 0..whole.find("</title>").unwrap() {
        assert!(ids(&whole[..end]).is_err(), "{}", &whole[..end]);
    }
    // Missing and wrong end tags.
    assert_eq!(
        ids("<rss><channel><item><title>1</title><guid>a</guid><item><title>2</title><guid>b</guid></channel></rss>")
            .unwrap(),
        ["1", "2"]
    );
    assert_eq!(
        ids("<rss><channel><item><title>1</b></title></item><item><title>2<guid>b</guid></item></channel></rss>")
            .unwrap(),
        ["1", "2"]
    );
    assert_eq!(ids("A browser says so.\n<?xml version='1.0'?>\n<rss><channel><item><title>1</title></item></channel></rss> and more").unwrap(), ["1"]);
}

#[test]
fn encodings_are_known_with_and_without_a_mark() {
    let feed = "<?xml version='1.0'?><rss><channel><item><title>Zażółć €</title></item></channel></rss>";
    let wide = |text: &str, to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let variants = [
        feed.as_bytes().to_vec(),
        [b"\xef\xbb\xbf", feed.as_bytes()].concat(),
        wide(&format!("\u{feff}{feed}"), u16::to_le_bytes),
        wide(&format!("\u{feff}{feed}"), u16::to_be_bytes),
        wide(feed, u16::to_le_bytes),
    ];
    for bytes in variants {
        assert_eq!(parse(&bytes).unwrap().posts[0].title.as_deref(), Some("Zażółć €"), "{:?}", &bytes[..8]);
    }
    let latin = b"<?xml version='1.0' encoding='windows-1250'?><rss><channel><item><title>Za\xbf\xf3\xb3\xe6</title></item></channel></rss>";
    assert_eq!(parse(latin).unwrap().posts[0].title.as_deref(), Some("Zażółć"));
}

#[test]
fn ids_follow_the_guid_then_the_link_then_the_words() {
    let id = |inner: &str| item(inner).post_id;
    let with_guid = id("<title>t</title><guid isPermaLink='false'> 42 </guid><link>http://a.example/1</link>");
    assert_eq!(with_guid, id("<title>changed</title><link>http://a.example/other</link><guid>42</guid>"));
    assert_eq!(
        id("<title>t</title><link>http://a.example/1?utm_source=x</link>"),
        id("<title>u</title><link>http://a.example/1</link>")
    );
    assert_ne!(id("<title>t</title>"), id("<title>u</title>"));
    let reply = "<id>tag:a.example,2026:2</id><thr:in-reply-to ref='tag:a.example,2026:1'/>";
    assert_eq!(entry(reply).parent_id, Some(entry("<id>tag:a.example,2026:1</id><title>t</title>").post_id));
}

#[test]
fn json_feeds_of_both_versions_are_read() {
    let feed = r#"{"version":"https://jsonfeed.org/version/1.1","title":"T","home_page_url":"https://j.example/","language":"de","authors":[{"name":"Ada"}],"items":[
        {"id":"1","url":"/a","content_html":"<p>x &amp; y</p>","content_text":"z","date_published":"2026-11-01T10:00:00+02:00","date_modified":"2026-11-02T00:00:00Z"},
        {"id":2,"external_url":"https://o.example/","summary":"s","author":{"name":"Bob"}},
        {}]}"#;
    let page = parse(feed.as_bytes()).unwrap();
    let [first, second] = &page.posts[..] else { panic!("two items") };
    assert_eq!((first.url.as_deref(), first.text.as_str()), (Some("https://news.example/a"), "x & y"));
    assert_eq!((first.author.as_deref(), first.declared_language.as_deref()), (Some("Ada"), Some("de")));
    assert_eq!((first.published_at.to_string().as_str(), page.edited.len()), ("2026-11-01T08:00:00Z", 1));
    assert_eq!((second.author.as_deref(), second.text.as_str()), (Some("Bob"), "s"));
}

#[test]
fn a_feed_may_stand_inside_a_page_or_another_element() {
    let feed =
        "<rss version='2.0'><channel><title>T</title><item><guid>1</guid><title>BTC</title></item></channel></rss>";
    let atom = "<feed xmlns='http://www.w3.org/2005/Atom'><entry><id>1</id><title>BTC</title></entry></feed>";
    for inner in [feed, atom] {
        for (before, after) in [
            ("<html><head/><body>", "</body></html>"),
            ("<wrapper>", "</wrapper>"),
            ("<?xml version='1.0'?><root><data>", "</data></root>"),
        ] {
            let posts = posts(&format!("{before}{inner}{after}"));
            let titles: Vec<_> = posts.iter().filter_map(|post| post.title.as_deref()).collect();
            assert_eq!(titles, ["BTC"], "{before}{inner}");
        }
    }
    assert!(parse(b"<html><body><channel><item><title>x</title></item></channel></body></html>").is_err());
}

#[test]
fn the_words_of_google_play_are_those_of_podcasts() {
    for (prefix, address) in [
        ("googleplay", "http://www.google.com/schemas/play-podcasts/1.0"),
        ("g", "http://www.google.com/schemas/play-podcasts/1.0/"),
    ] {
        let feed = format!(
            "<rss xmlns:{prefix}='{address}'><channel><item><guid>1</guid><{prefix}:author>Ada</{prefix}:author><{prefix}:description>BTC rises</{prefix}:description></item></channel></rss>"
        );
        let post = posts(&feed).remove(0);
        assert_eq!((post.author.as_deref(), post.text.as_str()), (Some("Ada"), "BTC rises"), "{feed}");
    }
}

#[test]
fn a_document_shows_how_it_writes_dates_or_they_are_estimated() {
    let feed = |dates: &[&str]| {
        let item = |(n, date): (usize, &&str)| format!("<item><guid>{n}</guid><pubDate>{date}</pubDate></item>");
        format!("<rss><channel>{}</channel></rss>", dates.iter().enumerate().map(item).collect::<String>())
    };
    let json = |dates: &[&str]| {
        let items: Vec<_> = dates
            .iter()
            .enumerate()
            .map(|(n, date)| serde_json::json!({"id": n, "content_text": "x", "date_published": date}))
            .collect();
        serde_json::json!({"version": "https://jsonfeed.org/version/1", "items": items}).to_string()
    };
    for (dates, expected) in [
        (&["03/04/2026 10:00", "25/03/2026 09:00"][..], Some("2026-04-03T10:00:00Z")),
        (&["03/04/2026 10:00", "03/25/2026 09:00"], Some("2026-03-04T10:00:00Z")),
        (&["03/04/2026 4:00 PM", "03/25/2026 9:00 AM"], Some("2026-03-04T16:00:00Z")),
        (&["Wed, 03/04/2026"], Some("2026-03-04T00:00:00Z")),
        (&["11/12/2026"], Some("2026-11-12T00:00:00Z")),
        (&["03/04/2026"], None),
        (&["03/04/2026", "25/03/2026", "03/25/2026"], None),
    ] {
        for feed in [feed(dates), json(dates)] {
            let post = posts(&feed).remove(0);
            let read = (!post.published_at_estimated).then(|| post.published_at.to_string());
            assert_eq!(read.as_deref(), expected, "{feed}");
        }
    }
}
