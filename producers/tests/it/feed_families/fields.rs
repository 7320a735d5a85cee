//! Dates, persons and texts.

use super::{atom, atom03, only, rss};

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
