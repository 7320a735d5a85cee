//! Versions, vocabularies and mistakes.

use super::{only, page, rss};

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
    let unclosed = rss("<title>one</title><description><![CDATA[<p>two</description>");
    assert_eq!(only(&unclosed).text, "two");
    assert_eq!(only(&rss("<!-- <title>one</title><link>http://a.example/1</link>")).title.as_deref(), Some("one"));
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
fn entries_without_words_are_entries_and_are_distinguished() {
    let feed = "<rss><channel><item><enclosure url='http://a.example/1.mp3'/></item><item><enclosure url='http://a.example/2.mp3'/></item><item><category>x</category></item><item/></channel></rss>";
    let posts = page(feed.as_bytes(), None, None).posts;
    assert_eq!(posts.len(), 3);
    assert!(posts[0].post_id != posts[1].post_id && posts[1].post_id != posts[2].post_id);
}
