//! Families of feeds: each rule of a specification, and each habit of the web, in all the places where it counts. Expected values are reasoned from
//! the specifications (RSS 0.9x to 2.0, RFC 4287, Atom 0.3, CDF, RFC 3986, RFC 5322, ISO 8601), not from what the reader says.

use url::Url;
use vigie_clock::Timestamp;
use vigie_producers::Kind;
use vigie_producers::source::{Document, Origin, Page};
use vigie_schemas::RawPost;

const BASE: &str = "https://news.example/feeds/all.xml";

fn page(bytes: &[u8], charset: Option<&str>, base: Option<&str>) -> Page {
    let base = base.map(|base| Url::parse(base).unwrap());
    let fetched_at = Timestamp::parse_rfc3339("2026-11-23T00:00:00Z").unwrap();
    let origin = Origin { source: "s", language: None, sample: false, select: None, fetched_at };
    let document = Document { bytes, charset, base: base.as_ref() };
    Kind::Rss
        .source()
        .parse(document, origin)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(600)])))
}

fn only(text: &str) -> RawPost {
    let mut posts = page(text.as_bytes(), None, Some(BASE)).posts;
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

/// Every encoding of the web with a text that it can write, declared by the document, by HTTP, and by a byte order mark.
#[test]
fn encodings_of_the_web_are_read_however_they_are_declared() {
    let texts = [
        ("utf-8", "Zażółć 日本 😀"),
        ("ibm866", "Привет"),
        ("iso-8859-2", "Zażółć gęślą"),
        ("iso-8859-3", "ĉirkaŭ ĝi"),
        ("iso-8859-4", "Āboliņš ķēve"),
        ("iso-8859-5", "Привет"),
        ("iso-8859-6", "مرحبا"),
        ("iso-8859-7", "Ελληνικά"),
        ("iso-8859-8", "שלום"),
        ("iso-8859-10", "Þórður Ŋáŋá"),
        ("iso-8859-13", "žąsis ėjo"),
        ("iso-8859-14", "ŵythnos ŷd"),
        ("iso-8859-15", "cœur €"),
        ("iso-8859-16", "țară și"),
        ("koi8-r", "Привет"),
        ("koi8-u", "їжак Ґ"),
        ("macintosh", "Grüße ß"),
        ("windows-874", "ภาษาไทย"),
        ("windows-1250", "Příliš žluťoučký"),
        ("windows-1251", "Привет"),
        ("windows-1252", "“Grüße” €"),
        ("windows-1253", "Ελληνικά"),
        ("windows-1254", "Türkçe ğış"),
        ("windows-1255", "שלום"),
        ("windows-1256", "مرحبا"),
        ("windows-1257", "žąsis"),
        ("windows-1258", "đô la"),
        ("x-mac-cyrillic", "Привет"),
        ("gbk", "中文测试"),
        ("gb18030", "中文测试😀"),
        ("big5", "中文測試"),
        ("euc-jp", "日本語のテスト"),
        ("iso-2022-jp", "日本語のテスト"),
        ("shift_jis", "日本語のテスト"),
        ("euc-kr", "한국어 시험"),
    ];
    for (label, text) in texts {
        let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
        let write = |declaration: &str| {
            let feed = format!("{declaration}{}", rss(&format!("<title>{text}</title>")));
            let (bytes, _, lossy) = encoding.encode(&feed);
            assert!(!lossy, "{label} cannot write {text}");
            bytes.into_owned()
        };
        let upper = label.to_uppercase();
        for declaration in [
            format!("<?xml version='1.0' encoding='{label}'?>"),
            format!("<?xml version=\"1.0\" encoding=\"{upper}\" standalone=\"yes\"?>\n"),
            format!("<?xml version='1.0'\n encoding = '{label}' ?>"),
        ] {
            let title = page(&write(&declaration), None, None).posts.remove(0).title;
            assert_eq!(title.as_deref(), Some(text), "{declaration}");
        }
        let title = page(&write("<?xml version='1.0'?>"), Some(label), None).posts.remove(0).title;
        assert_eq!(title.as_deref(), Some(text), "http says {label}");
    }
}

#[test]
fn wrong_declarations_do_not_matter_where_the_bytes_tell() {
    let text = "Zażółć 日本 “x” €";
    for declared in ["iso-8859-1", "utf-16", "us-ascii", "bogus", "", "windows-1252", "utf-32"] {
        let feed = format!("<?xml version='1.0' encoding='{declared}'?>{}", rss(&format!("<title>{text}</title>")));
        for http in [None, Some("iso-8859-1"), Some("us-ascii"), Some("bogus")] {
            assert_eq!(page(feed.as_bytes(), http, None).posts[0].title.as_deref(), Some(text), "{declared} {http:?}");
            let marked = [b"\xef\xbb\xbf", feed.as_bytes()].concat();
            assert_eq!(page(&marked, http, None).posts[0].title.as_deref(), Some(text), "{declared} {http:?}, marked");
        }
        for (order, mark) in [
            (u16::to_le_bytes as fn(u16) -> [u8; 2], true),
            (u16::to_be_bytes, true),
            (u16::to_le_bytes, false),
            (u16::to_be_bytes, false),
        ] {
            let mark = if mark { "\u{feff}" } else { "" };
            let wide: Vec<u8> = format!("{mark}{feed}").encode_utf16().flat_map(order).collect();
            assert_eq!(page(&wide, None, None).posts[0].title.as_deref(), Some(text), "{declared}, wide, {mark:?}");
        }
        for order in [u32::to_le_bytes as fn(u32) -> [u8; 4], u32::to_be_bytes] {
            let wide: Vec<u8> = format!("\u{feff}{feed}").chars().map(u32::from).flat_map(order).collect();
            assert_eq!(page(&wide, None, None).posts[0].title.as_deref(), Some(text), "{declared}, four bytes each");
        }
    }
    let plain =
        "<?xml version='1.0' encoding='utf-16'?><rss><channel><item><title>plain</title></item></channel></rss>";
    assert_eq!(page(plain.as_bytes(), None, None).posts[0].title.as_deref(), Some("plain"));
}

/// Each way of writing a date in each place for one.
#[test]
fn dates_count_wherever_they_stand() {
    let dates = [
        ("Thu, 01 Jan 2004 19:48:21 GMT", "2004-01-01T19:48:21Z"),
        ("Thu, 1 Jan 04 19:48 EST", "2004-01-02T00:48:00Z"),
        ("Thursday, January 01 2004 19:48:21 +0100", "2004-01-01T18:48:21Z"),
        ("01 Jan 2004", "2004-01-01T00:00:00Z"),
        ("Thu Jan  1 19:48:21 PST 2004", "2004-01-02T03:48:21Z"),
        ("Mon, 26 January 2004 16:31:00 ET", "2004-01-26T21:31:00Z"),
        ("2003-12-31T10:14:55Z", "2003-12-31T10:14:55Z"),
        ("2003-12-31T10:14:55.125-08:00", "2003-12-31T18:14:55.125Z"),
        ("2003-12-31 10:14:55", "2003-12-31T10:14:55Z"),
        ("2003-12-31", "2003-12-31T00:00:00Z"),
        ("2003-12", "2003-12-01T00:00:00Z"),
        ("2003", "2003-01-01T00:00:00Z"),
        ("20031231", "2003-12-31T00:00:00Z"),
        ("2003-365", "2003-12-31T00:00:00Z"),
        ("2004-W01-4", "2004-01-01T00:00:00Z"),
        ("2003-12-31T24:00:00Z", "2004-01-01T00:00:00Z"),
        ("Fri, 2006/09/15 08:19:53 EDT", "2006-09-15T12:19:53Z"),
        ("2004-július-13T9:15-05:00", "2004-07-13T14:15:00Z"),
        ("Κυρ, 11 Ιούλ 2004 12:00:00 EST", "2004-07-11T17:00:00Z"),
        ("2004년 05월 28일  01:31:15", "2004-05-27T16:31:15Z"),
        ("2004-05-25 오후 11:23:17", "2004-05-25T14:23:17Z"),
        ("lør, 03 jan 2004 10:00:00 +0100", "2004-01-03T09:00:00Z"),
        ("\n  Thu,  01 Jan 2004\t19:48:21 GMT  \n", "2004-01-01T19:48:21Z"),
    ];
    for (written, expected) in dates {
        let dc = format!("<d:date xmlns:d='http://purl.org/dc/elements/1.1/'>{written}</d:date>");
        let terms = format!("<d:created xmlns:d='http://purl.org/dc/terms/'>{written}</d:created>");
        for feed in [
            rss(&format!("<title>t</title><pubDate>{written}</pubDate>")),
            rss(&format!("<title>t</title><pubdate><![CDATA[{written}]]></pubdate>")),
            rss(&format!("<title>t</title>{dc}")),
            rss(&format!("<title>t</title>{terms}")),
            rss(&format!("<title>t</title><pubDate>never</pubDate>{dc}")),
            atom(&format!("<title>t</title><published>{written}</published>")),
            atom(&format!("<title>t</title><updated>{written}</updated>")),
            atom03(&format!("<title>t</title><issued>{written}</issued>")),
            atom03(&format!("<title>t</title><created>{written}</created>")),
            atom03(&format!("<title>t</title><modified>{written}</modified>")),
            format!(
                "<CHANNEL HREF='http://a.example/'><ITEM HREF='http://a.example/1' LASTMOD='{}'/></CHANNEL>",
                written.trim()
            ),
        ] {
            let post = only(&feed);
            assert_eq!(post.published_at.to_string(), expected, "{feed}");
            assert!(!post.published_at_estimated, "{feed}");
        }
    }
    for written in ["", "never", "Thu, 99 Jan 2004", "9999-12-31T00:00:00Z", "0000-00-00 00:00:00", "1"] {
        assert!(
            only(&rss(&format!("<title>t</title><pubDate>{written}</pubDate>"))).published_at_estimated,
            "{written}"
        );
    }
}

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
        let mut start = Url::parse(BASE).unwrap();
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

/// Text constructs: what an element holds, in every way of writing it.
#[test]
fn texts_are_the_same_however_they_are_written() {
    let xhtml = |inner: &str| format!("<div xmlns='http://www.w3.org/1999/xhtml'>{inner}</div>");
    let constructs = [
        ("type='html'", "Fees &lt;b&gt;fall&lt;/b&gt; &amp;amp; rise".to_owned()),
        ("type='html'", "<![CDATA[Fees <b>fall</b> &amp; rise]]>".to_owned()),
        ("type='text/html'", "Fees &lt;b&gt;fall&lt;/b&gt; &amp;amp; rise".to_owned()),
        ("type='HTML'", "Fees &lt;b&gt;fall&lt;/b&gt; &amp;amp; rise".to_owned()),
        ("type='text'", "Fees fall &amp; rise".to_owned()),
        ("type='text/plain'", "Fees fall &amp; rise".to_owned()),
        ("", "Fees fall &amp; rise".to_owned()),
        ("", "Fees\n   fall &amp;\trise".to_owned()),
        ("", "Fees fall <!-- not --> &amp; rise".to_owned()),
        ("", "Fees <![CDATA[fall]]> &amp; <![CDATA[rise]]>".to_owned()),
        ("", "Fees <b>fall</b> &amp; rise".to_owned()),
        ("type='xhtml'", xhtml("Fees <b>fall</b> &amp; rise")),
        ("type='application/xhtml+xml'", xhtml("Fees <b>fall</b> &amp; rise")),
        (
            "type='xhtml'",
            "<h:div xmlns:h='http://www.w3.org/1999/xhtml'>Fees <h:b>fall</h:b> &amp; rise</h:div>".to_owned(),
        ),
        (
            "type='html'",
            "&lt;script&gt;x()&lt;/script&gt;Fees &lt;style&gt;p{}&lt;/style&gt;fall &amp;amp; rise".to_owned(),
        ),
        ("type='text/html' mode='escaped'", "Fees &lt;b&gt;fall&lt;/b&gt; &amp;amp; rise".to_owned()),
        ("type='text/html' mode='xml'", "Fees <b>fall</b> &amp; rise".to_owned()),
        ("type='application/xhtml+xml' mode='xml'", xhtml("Fees <b>fall</b> &amp; rise")),
        ("type='text/html' mode='base64'", "RmVlcyA8Yj5mYWxsPC9iPiAmYW1wOyByaXNl".to_owned()),
        ("type='text/html' mode='base64'", "\n RmVlcyA8Yj5mYWxs\n PC9iPiAmYW1wOyByaXNl \n".to_owned()),
        ("type='text/plain' mode='base64'", "RmVlcyBmYWxsICYgcmlzZQ==".to_owned()),
    ];
    for (attributes, written) in constructs {
        for (element, wrap) in [
            ("title", atom as fn(&str) -> String),
            ("summary", atom),
            ("content", atom),
            ("title", atom03),
            ("summary", atom03),
            ("content", atom03),
        ] {
            let feed = wrap(&format!("<id>x</id><{element} {attributes}>{written}</{element}>"));
            let post = only(&feed);
            let read = if element == "title" {
                post.title.unwrap_or_default()
            } else {
                post.text.split_whitespace().collect::<Vec<_>>().join(" ")
            };
            assert_eq!(read, "Fees fall & rise", "{feed}");
        }
    }
    // RSS does not say what it holds.
    for written in [
        "Fees fall &amp; rise",
        "Fees &lt;b&gt;fall&lt;/b&gt; &amp;amp; rise",
        "<![CDATA[Fees <b>fall</b> &amp; rise]]>",
        "Fees fall & rise",
        "Fees <b>fall</b> &amp; rise",
    ] {
        for element in [
            "title",
            "description",
            "content:encoded",
            "dc:title",
            "dc:description",
            "itunes:summary",
            "media:description",
            "fullitem",
            "xhtml:body",
        ] {
            let post = only(&rss(&format!("<guid>x</guid><{element}>{written}</{element}>")));
            let read = if element.ends_with("title") { post.title.unwrap_or_default() } else { post.text };
            assert_eq!(read, "Fees fall & rise", "{element} {written}");
        }
    }
}

#[test]
fn vocabularies_are_known_by_address_whatever_prefix_and_case() {
    let cores = [
        "http://www.w3.org/2005/Atom",
        "HTTP://WWW.W3.ORG/2005/ATOM",
        "http://purl.org/atom/ns#",
        "http://purl.org/pie/",
        "uri/of/echo/namespace#",
        "http://purl.org/rss/1.0/",
        "http://my.netscape.com/rdf/simple/0.9/",
        "http://my.netscape.com/publish/formats/rss-0.91.dtd",
        "http://channel.netscape.com/rdf/simple/0.9/",
        "http://backend.userland.com/rss2",
        "http://backend.userland.com/RSS2",
        "http://blogs.law.harvard.edu/tech/rss",
        "http://cyber.law.harvard.edu/rss/rss.html",
    ];
    for core in cores {
        for (root, item) in [("rss", "item"), ("feed", "entry"), ("r:RDF", "item")] {
            let declared = "xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:no='http://other.example/'";
            for feed in [
                format!(
                    "<{root} xmlns='{core}' {declared}><channel/><{item}><no:title>wrong</no:title><title>t</title><no:link>http://wrong.example/</no:link><link href='http://a.example/1'/></{item}></{root}>"
                ),
                format!(
                    "<{root} xmlns:q='{core}' {declared}><q:channel/><q:{item}><no:title>wrong</no:title><q:title>t</q:title><q:link href='http://a.example/1'/></q:{item}></{root}>"
                ),
            ] {
                let post = only(&feed);
                assert_eq!(
                    (post.title.as_deref(), post.url.as_deref()),
                    (Some("t"), Some("http://a.example/1")),
                    "{feed}"
                );
            }
        }
    }
    for podcasts in [
        "http://www.itunes.com/dtds/podcast-1.0.dtd",
        "http://www.itunes.com/DTDs/Podcast-1.0.dtd",
        "HTTP://WWW.ITUNES.COM/DTDS/PODCAST-1.0.DTD",
        "http://example.com/DTDs/PodCast-1.0.dtd",
    ] {
        let post = only(&rss(&format!(
            "<title>t</title><p:author xmlns:p='{podcasts}'>Ada</p:author><p:summary xmlns:p='{podcasts}'>s</p:summary>"
        )));
        assert_eq!((post.author.as_deref(), post.text.as_str()), (Some("Ada"), "s"), "{podcasts}");
    }
    for media in ["http://search.yahoo.com/mrss/", "http://search.yahoo.com/mrss", "http://search.yahoo.com/mrss#"] {
        let post = only(&rss(&format!(
            "<m:group xmlns:m='{media}'><m:title>t</m:title><m:description>d</m:description></m:group>"
        )));
        assert_eq!((post.title.as_deref(), post.text.as_str()), (Some("t"), "d"), "{media}");
    }
    let dc = "xmlns:x='http://purl.org/dc/elements/1.1/'";
    assert_eq!(only(&rss(&format!("<title>t</title><x:author {dc}>Ada</x:author>"))).author.as_deref(), Some("Ada"));
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

#[test]
fn persons_are_found_where_each_vocabulary_has_them() {
    for (written, name) in [
        ("<author><name>Ada</name></author>", Some("Ada")),
        (
            "<author><name> Ada\n Lovelace </name><email>a@a.example</email><uri>http://a.example/</uri></author>",
            Some("Ada Lovelace"),
        ),
        ("<author><email>a@a.example</email></author>", Some("a@a.example")),
        ("<author><uri>http://a.example/</uri></author>", None),
        ("<author><name>Ada</name></author><author><name>Bob</name></author>", Some("Ada, Bob")),
        ("<author><name>Ada &amp; Bob</name></author>", Some("Ada & Bob")),
        ("<author><name>&lt;b&gt;Ada&lt;/b&gt;</name></author>", Some("Ada")),
        ("<author/>", None),
        ("<contributor><name>Ada</name></contributor>", None),
        ("<source><id>s</id><author><name>Ada</name></author></source>", Some("Ada")),
        ("<source><author><name>Bob</name></author></source><author><name>Ada</name></author>", Some("Ada")),
    ] {
        for feed in [atom(&format!("<title>t</title>{written}")), atom03(&format!("<title>t</title>{written}"))] {
            assert_eq!(only(&feed).author.as_deref(), name, "{feed}");
        }
    }
    let of_feed = "<feed xmlns='http://www.w3.org/2005/Atom'><author><name>Ada</name></author><entry><title>t</title></entry></feed>";
    assert_eq!(only(of_feed).author.as_deref(), Some("Ada"), "RFC 4287, 4.2.1");
    let editor =
        "<rss><channel><managingEditor>ed@a.example</managingEditor><item><title>t</title></item></channel></rss>";
    assert_eq!(only(editor).author, None, "an editor of a channel writes not all that is in it");
    assert_eq!(
        only(&rss("<title>t</title><managingEditor>ed@a.example (Ed)</managingEditor>")).author.as_deref(),
        Some("Ed")
    );
}

#[test]
fn entities_are_text_where_they_are_known_and_stay_where_not() {
    let names = [
        ("aacute", "á"),
        ("yuml", "ÿ"),
        ("szlig", "ß"),
        ("euro", "€"),
        ("hellip", "…"),
        ("mdash", "—"),
        ("lsquo", "‘"),
        ("rdquo", "”"),
        ("trade", "™"),
        ("hearts", "♥"),
        ("alpha", "α"),
        ("Omega", "Ω"),
        ("sum", "∑"),
        ("infin", "∞"),
        ("larr", "←"),
        ("copy", "©"),
        ("frac12", "½"),
        ("pound", "£"),
        ("#233", "é"),
        ("#xE9", "é"),
        ("#Xe9", "é"),
        ("#8364", "€"),
        ("#x1F680", "🚀"),
        ("#128", "€"),
        ("#x92", "’"),
        ("quot", "\""),
        ("apos", "'"),
        ("amp", "&"),
        ("lt", "<"),
        ("gt", ">"),
        ("bogus", "&bogus;"),
    ];
    for (name, text) in names {
        let expected = format!("a {text} b");
        // Bare, escaped once more, and in CDATA.
        for written in [format!("a &{name}; b"), format!("a &amp;{name}; b"), format!("<![CDATA[a &{name}; b]]>")] {
            let post = only(&rss(&format!("<title>{written}</title><description>{written}</description>")));
            assert_eq!(post.title.as_deref(), Some(expected.as_str()), "{written}");
            assert_eq!(post.text, expected, "{written}");
        }
    }
    let own = "<?xml version='1.0'?><!DOCTYPE rss [<!ENTITY who 'Ada &#38; co'><!ENTITY site \"http://a.example/\">]>\
               <rss><channel><item><title>&who;</title><link>&site;1</link><guid>x</guid></item></channel></rss>";
    assert_eq!(only(own).url.as_deref(), Some("http://a.example/1"));
    let plain =
        "<!DOCTYPE rss [<!ENTITY who 'Ada'>]><rss><channel><item><title>by &who;</title></item></channel></rss>";
    assert_eq!(only(plain).title.as_deref(), Some("by Ada"));
    let file = "<!DOCTYPE rss [<!ENTITY f SYSTEM 'file:///etc/hostname'>]><rss><channel><item><title>&f;</title></item></channel></rss>";
    assert_eq!(only(file).title.as_deref(), Some("&f;"));
}

#[test]
fn mistakes_of_generators_do_no_harm() {
    let good = "<title>one &amp; two</title><link>http://a.example/1?x=1&amp;y=2</link><guid>g</guid>";
    let variants = [
        rss(good),
        format!("\n\n  {}", rss(good)),
        format!("\u{feff}\u{feff}{}", rss(good)),
        format!("\0\0{}", rss(good)),
        format!("<?xml version='1.0'?>\n<?xml-stylesheet href='x.xsl'?>\n<!-- <item> -->\n{}", rss(good)),
        format!("Warning: mysql_connect() on line 3<br />\n<?xml version='1.0'?>{}", rss(good)),
        format!("{}<!-- generated in 0.1 s --><script>x()</script>", rss(good)),
        format!("<?xml version='1.1'?>{}", rss(good)),
        format!("<!DOCTYPE rss PUBLIC '-//Netscape Communications//DTD RSS 0.91//EN' 'http://my.netscape.com/publish/formats/rss-0.91.dtd'>{}", rss(good)),
        format!("<!DOCTYPE rss [<!ELEMENT rss ANY><!ATTLIST rss version CDATA #REQUIRED>]>{}", rss(good)),
        rss("<title>one & two</title><link>http://a.example/1?x=1&y=2</link><guid>g</guid>"),
        rss("<TITLE>one &amp; two</TITLE><LINK>http://a.example/1?x=1&amp;y=2</LINK><GUID>g</GUID>"),
        rss("<title>one &amp; two</title><link href=http://a.example/1?x=1&amp;y=2></link><guid>g</guid>"),
        rss("<title>one\u{b} &amp;\u{1f} two</title><link>http://a.example/1?x=1&amp;y=2</link><guid>g</guid>"),
        rss("<title>one &amp; two</title></b></p><link>http://a.example/1?x=1&amp;y=2</link><guid>g</guid>"),
        rss("<title>one &amp; two<link>http://a.example/1?x=1&amp;y=2</link><guid>g</guid>").replace("two<link", "two</title ><link"),
        rss(good).replace("</channel></rss>", ""),
        rss(good).replace("</item></channel></rss>", "</item></rss>"),
        rss(good).replace("version='2.0'", "version=2.0"),
        rss(good).replace("version='2.0'", "version='2.0' version='2.0' xmlns:x='' =bad ' "),
        rss(good).replace("<item>", "<item rdf:about=\"x\" foo:bar='1'>"),
        rss(good).replace("<channel>", "<channel><image><title>wrong</title><link>http://wrong.example/</link></image><textInput><title>wrong</title></textInput>"),
        rss(good).replace("<channel>", "").replace("</channel>", ""),
        rss(good).to_uppercase().replace("ONE &AMP; TWO", "one &amp; two").replace("HTTP://A.EXAMPLE/1?X=1&AMP;Y=2", "http://a.example/1?x=1&amp;y=2"),
        rss(good).replace("<rss", "<a:rss xmlns:a=''").replace("</rss>", "</a:rss>"),
        rss(&format!("{good}<media:content url='x'><media:title>wrong</media:title></media:content>")),
        rss(&format!("{good}<geo:lat>1</geo:lat><georss:point>1 2</georss:point><slash:comments>3</slash:comments>")),
        rss(&format!("{good}<description>{}</description>", "x".repeat(300_000))),
    ];
    for feed in variants {
        let post = only(&feed);
        let shown = &feed[..feed.len().min(500)];
        assert_eq!(post.title.as_deref(), Some("one & two"), "{shown}");
        assert_eq!(post.url.as_deref(), Some("http://a.example/1?x=1&y=2"), "{shown}");
    }
    assert!(page(b"<rss version='2.0'><channel/></rss>", None, None).posts.is_empty());
    assert!(page(b"<feed xmlns='http://www.w3.org/2005/Atom'/>", None, None).posts.is_empty());
}

#[test]
fn channels_of_cdf_are_feeds() {
    let cdf = "<?xml version='1.0'?><CHANNEL HREF='http://a.example/' BASE='http://a.example/base/' LASTMOD='2002-12-16T10:00'><TITLE>T</TITLE><ABSTRACT>x</ABSTRACT>\
               <ITEM HREF='1' LASTMOD='2002-12-16T11:00'><TITLE>one</TITLE><ABSTRACT>first</ABSTRACT></ITEM>\
               <ITEM><A HREF='http://a.example/2'/><TITLE>two</TITLE></ITEM></CHANNEL>";
    let posts = page(cdf.as_bytes(), None, None).posts;
    let read: Vec<_> = posts
        .iter()
        .map(|post| (post.url.as_deref().unwrap(), post.title.as_deref().unwrap(), post.text.as_str()))
        .collect();
    assert_eq!(read, [("http://a.example/base/1", "one", "first"), ("http://a.example/2", "two", "")]);
    assert_eq!(posts[0].published_at.to_string(), "2002-12-16T11:00:00Z");
}

#[test]
fn entries_without_words_are_entries_and_are_told_apart() {
    let feed = "<rss><channel><item><enclosure url='http://a.example/1.mp3'/></item><item><enclosure url='http://a.example/2.mp3'/></item><item><category>x</category></item><item/></channel></rss>";
    let posts = page(feed.as_bytes(), None, None).posts;
    assert_eq!(posts.len(), 3);
    assert!(posts[0].post_id != posts[1].post_id && posts[1].post_id != posts[2].post_id);
}
