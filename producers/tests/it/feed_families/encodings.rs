//! Characters: encodings and entities.

use super::{only, page, rss};

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
    }
    let plain =
        "<?xml version='1.0' encoding='utf-16'?><rss><channel><item><title>plain</title></item></channel></rss>";
    assert_eq!(page(plain.as_bytes(), None, None).posts[0].title.as_deref(), Some("plain"));
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
