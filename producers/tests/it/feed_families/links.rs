//! Links, relative and absolute.

use url::Url;

use super::{atom, atom03, only, rss};
use crate::reading::FEED;

/// RFC 3986 with every depth of xml:base, in Atom and in RSS.
#[test]
fn relative_links_start_where_the_innermost_base_says() {
    let bases = [
        ["http://b.example/x/", "", ""],
        ["", "http://b.example/x/", ""],
        ["", "", "http://b.example/x/"],
        ["http://b.example/x/", "y/", ""],
        ["http://b.example/x/", "/z/", "q/"],
        ["http://b.example/x", "?a=1", ""],
        ["http://b.example/a/b", "../c/", ""],
        ["dir/", "", ""],
        ["//o.example/", "p/", ""],
        ["http://b.example", "", ""],
        ["", "", ""],
    ];
    let links =
        ["r", "/r", "?r=1", "#r", "../r", "./r", "//c.example/r", "http://c.example/r", "r/s?t=u&amp;v=w", " r "];
    let attribute = |base: &str| if base.is_empty() { String::new() } else { format!("xml:base='{base}'") };
    for base in bases {
        let mut start = Url::parse(FEED).unwrap();
        for part in base.iter().filter(|part| !part.is_empty()) {
            start = start.join(part).unwrap();
        }
        let [outer, middle, inner] = base.map(attribute);
        for link in links {
            let expected = start.join(link.trim().replace("&amp;", "&").as_str()).unwrap();
            for feed in [
                format!(
                    "<feed xmlns='http://www.w3.org/2005/Atom' {outer}><entry {middle}><title>t</title><link {inner} href='{link}'/></entry></feed>"
                ),
                format!(
                    "<rss {outer}><channel><item {middle}><title>t</title><link {inner}>{link}</link></item></channel></rss>"
                ),
            ] {
                assert_eq!(only(&feed).url.as_deref(), Some(expected.as_str()), "{feed}");
            }
        }
    }
}

#[test]
fn links_lead_to_the_entry_and_to_nothing_else() {
    let some = |url: &'static str| Some(url);
    for (written, url) in [
        ("<link>http://a.example/1</link><guid>http://a.example/g</guid>", some("http://a.example/1")),
        ("<guid>http://a.example/g</guid>", some("http://a.example/g")),
        ("<guid isPermaLink='true'>http://a.example/g</guid>", some("http://a.example/g")),
        ("<guid isPermaLink='true'>/g</guid>", some("https://news.example/g")),
        ("<guid ispermalink='false'>http://a.example/g</guid>", None),
        ("<guid isPermaLink='false'>http://a.example/g</guid>", None),
        ("<guid>42</guid>", None),
        ("<guid>tag:a.example,2003:1</guid>", None),
        ("<link>mailto:ada@a.example</link>", None),
        ("<link>javascript:x()</link><guid>http://a.example/g</guid>", some("http://a.example/g")),
        ("<enclosure url='http://a.example/e.mp3' type='audio/mpeg'/>", None),
        ("<comments>http://a.example/c</comments>", None),
        ("<source url='http://s.example/'>S</source>", None),
        ("<link>http://a.example/?a=1&b=2</link>", some("http://a.example/?a=1&b=2")),
        ("<link>HTTP://A.EXAMPLE:80/X</link>", some("http://a.example/X")),
        ("<link>http://bücher.example/ü</link>", some("http://xn--bcher-kva.example/%C3%BC")),
        ("<link>http://a.example/a b</link>", some("http://a.example/a%20b")),
        ("<link>\n http://a.example/\n 1 </link>", some("http://a.example/%201")),
        (
            "<f:origLink xmlns:f='http://rssnamespace.org/feedburner/ext/1.0'>http://o.example/</f:origLink><link>http://a.example/1</link>",
            some("http://a.example/1"),
        ),
        (
            "<a:link xmlns:a='http://www.w3.org/2005/Atom' rel='alternate' href='http://a.example/1'/>",
            some("http://a.example/1"),
        ),
        ("<a:link xmlns:a='http://www.w3.org/2005/Atom' rel='self' href='http://a.example/1'/>", None),
    ] {
        assert_eq!(
            only(&rss(&format!("<title>t</title>{written}"))).url.as_deref(),
            url.map(|u| if u.contains("%201") { "http://a.example/%201" } else { u }),
            "{written}"
        );
    }
    for (written, url) in [
        ("<link href='http://a.example/1'/>", some("http://a.example/1")),
        ("<link rel=' ALTERNATE ' href=' http://a.example/1 '/>", some("http://a.example/1")),
        (
            "<link rel='http://www.iana.org/assignments/relation/alternate' href='http://a.example/1'/>",
            some("http://a.example/1"),
        ),
        ("<link rel='related' href='http://a.example/1'/>", None),
        ("<link rel='via' href='http://a.example/1'/><id>http://a.example/i</id>", some("http://a.example/i")),
        ("<link rel='service.post' href='http://a.example/1'/>", None),
        ("<link rel='license' href='http://a.example/1'/>", None),
        (
            "<link rel='enclosure' href='http://a.example/1'/><link href='http://a.example/2'/>",
            some("http://a.example/2"),
        ),
        (
            "<link rel='alternate' type='application/pdf' href='http://a.example/1'/><link rel='alternate' type='text/html' href='http://a.example/2'/>",
            some("http://a.example/2"),
        ),
        ("<link rel='alternate' type='application/pdf' href='http://a.example/1'/>", some("http://a.example/1")),
        ("<id>urn:uuid:1</id>", None),
        ("<content src='http://a.example/c'/>", None),
        ("<link>http://a.example/text</link>", some("http://a.example/text")),
        ("<link href=''/>", None),
        ("<link href='' xml:base='http://a.example/x'/>", some("http://a.example/x")),
        ("<source><id>s</id><link href='http://s.example/'/></source>", None),
    ] {
        for feed in [atom(&format!("<title>t</title>{written}")), atom03(&format!("<title>t</title>{written}"))] {
            assert_eq!(only(&feed).url.as_deref(), url, "{feed}");
        }
    }
}
