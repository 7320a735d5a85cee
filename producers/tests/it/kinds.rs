//! The kinds of which there are no recorded answers, on documents written for this project after the services' own documentation; and the odd shapes of the
//! others.

use url::Url;
use vigie_clock::Timestamp;
use vigie_producers::Kind;
use vigie_producers::content::document::ParseError;
use vigie_producers::kinds::source::selectors::Selectors;
use vigie_producers::kinds::source::{Older, Origin, Page};

use crate::reading::{ORIGIN, read_as};

fn parse(kind: Kind, text: &str) -> Result<Page, ParseError> {
    parse_with(kind, text, None)
}

fn parse_with(kind: Kind, text: &str, select: Option<&Selectors>) -> Result<Page, ParseError> {
    read_as(kind, text.as_bytes(), "https://site.example/api/v3/list", Origin { select, ..ORIGIN })
}

fn address(url: &str) -> Url {
    Url::parse(url).unwrap()
}

#[test]
fn lemmy_posts_and_comments_are_named_by_what_every_instance_calls_them() {
    let page = parse(Kind::Lemmy, include_str!("../fixtures/lemmy_posts.json")).unwrap();
    let [post] = &page.posts[..] else { panic!("one post: {:?}", page.posts) };
    assert_eq!(post.post_id, "lemmy:https://far.example/post/11");
    assert_eq!(
        (post.url.as_deref(), post.author.as_deref()),
        (Some("https://far.example/post/11"), Some("ada@far.example"))
    );
    assert_eq!((post.title.as_deref(), post.text.as_str()), (Some("Fees fell"), "They **fell**."));
    assert_eq!(post.published_at.to_string(), "2026-11-20T10:00:00.123Z");
    assert_eq!(page.edited.len(), 1);
    assert_eq!(page.deleted, ["lemmy:https://site.example/post/2"]);
    assert_eq!(page.older, Some(Older::After("P1a".into())));

    let page = parse(Kind::Lemmy, include_str!("../fixtures/lemmy_comments.json")).unwrap();
    let parents: Vec<_> = page.posts.iter().map(|p| (p.text.as_str(), p.parent_id.as_deref().unwrap())).collect();
    assert_eq!(
        parents,
        [
            ("deep", "lemmy:https://site.example/comment/99"),
            ("answer", "lemmy:https://site.example/comment/5"),
            ("first", "lemmy:https://far.example/post/11"),
        ]
    );
    assert!(matches!(parse(Kind::Lemmy, r#"{"error":"couldnt_find_community"}"#), Err(ParseError::Reported(_))));
    assert!(matches!(parse(Kind::Lemmy, r#"{"site":1}"#), Err(ParseError::Shape(_))));
    let url = Kind::Lemmy.source().newest(&address("https://l.example/api/v3/post/list?sort=Old"), None);
    assert_eq!(url.as_str(), "https://l.example/api/v3/post/list?sort=Old&limit=50");
}

#[test]
fn snapshot_proposals_are_read_and_asked_for_by_space_and_time() {
    let page = parse(Kind::Snapshot, include_str!("../fixtures/snapshot_proposals.json")).unwrap();
    let [first, second] = &page.posts[..] else { panic!("two proposals") };
    assert_eq!(first.post_id, "snapshot:0xabc");
    assert_eq!(first.url.as_deref(), Some("https://snapshot.org/#/dao.eth/proposal/0xabc"));
    assert_eq!(first.author.as_deref(), Some("0x0000000000000000000000000000000000000001"));
    assert_eq!((first.title.as_deref(), first.text.as_str()), (Some("Raise the fee"), "# Why\n\nBecause."));
    assert_eq!(first.published_at.to_string(), "2023-11-14T22:13:20Z");
    assert_eq!(second.post_id, "snapshot:QmOld");
    assert_eq!(page.older, None);
    let refused = r#"{"errors":[{"message":"too many requests"}],"data":null}"#;
    assert!(matches!(parse(Kind::Snapshot, refused), Err(ParseError::Reported(why)) if why == "too many requests"));

    let listed = address("https://hub.example/graphql?space=a.eth&space=b%22){x}.eth");
    let seen = Timestamp::parse_rfc3339("2023-11-14T22:13:20Z").unwrap();
    let url = Kind::Snapshot.source().newest(&listed, Some(seen));
    let query = url.query_pairs().find(|(name, _)| name == "query").unwrap().1.into_owned();
    assert!(query.contains(r#"space_in:["a.eth","bx.eth"],created_gte:1699999400"#), "{query}");
    assert_eq!(url.query_pairs().count(), 1);
}

#[test]
fn bluesky_searches_are_read_with_replies_and_the_earlier_of_two_times() {
    let page = parse(Kind::Bluesky, include_str!("../fixtures/bluesky_search.json")).unwrap();
    let [reply, liar] = &page.posts[..] else { panic!("two posts") };
    assert_eq!(reply.post_id, "bluesky:at://did:plc:a/app.bsky.feed.post/3k1");
    assert_eq!(reply.author.as_deref(), Some("ada.example"));
    assert_eq!(reply.parent_id.as_deref(), Some("bluesky:at://did:plc:b/app.bsky.feed.post/3k0"));
    assert_eq!(reply.declared_language.as_deref(), Some("en"));
    assert_eq!(
        liar.published_at.to_string(),
        "2026-11-02T00:00:00Z",
        "a record dated in the future was indexed earlier"
    );
    assert_eq!(page.older, Some(Older::After("100".into())));
    let url = Kind::Bluesky.source().newest(&address("https://b.example/xrpc/search?q=bitcoin"), None);
    assert_eq!(url.query(), Some("q=bitcoin&sort=latest&limit=100"));
    assert!(matches!(
        parse(Kind::Bluesky, r#"{"error":"InvalidRequest","message":"q"}"#),
        Err(ParseError::Reported(_))
    ));
    assert!(matches!(parse(Kind::Bluesky, "<html>"), Err(ParseError::Json(_))));
}

#[test]
fn jetstream_updates_are_edits_and_a_cut_last_line_loses_only_itself() {
    let line = |op: &str, key: &str| {
        format!(
            r#"{{"did":"did:plc:a","time_us":1767409065344776,"kind":"commit","commit":{{"operation":"{op}","collection":"app.bsky.feed.post","rkey":"{key}","record":{{"text":"t","createdAt":"2026-01-03T02:00:00Z"}}}}}}"#
        )
    };
    let text = format!("{}\n{}\n{}", line("create", "1"), line("update", "2"), &line("create", "3")[..90]);
    let page = parse(Kind::Bluesky, &text).unwrap();
    assert_eq!(page.posts.len(), 2);
    assert_eq!(page.edited.keys().collect::<Vec<_>>(), ["bluesky:at://did:plc:a/app.bsky.feed.post/2"]);
}

#[test]
fn sitemaps_give_addresses_and_what_the_news_extension_says() {
    let page = parse(Kind::Sitemap, include_str!("../fixtures/sitemap_news.xml")).unwrap();
    let [news, plain] = &page.posts[..] else { panic!("two addresses: {:?}", page.posts) };
    assert_eq!(
        (news.url.as_deref(), news.title.as_deref()),
        (Some("https://site.example/a?x=1&y=2"), Some("Fees & blocks"))
    );
    assert_eq!(
        (news.published_at.to_string().as_str(), news.declared_language.as_deref()),
        ("2026-11-20T08:00:00Z", Some("en"))
    );
    assert_eq!((plain.published_at.to_string().as_str(), plain.title.as_deref()), ("2026-11-19T00:00:00Z", None));
    let index = "<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><sitemap><loc>https://a.example/1.xml</loc></sitemap></sitemapindex>";
    assert!(parse(Kind::Sitemap, index).unwrap().posts.is_empty());
    assert!(parse(Kind::Sitemap, "<html/>").is_err());
    assert!(parse(Kind::Sitemap, "<urlset><url><loc>https://a.exam").is_err());
}

#[test]
fn a_page_is_read_by_selectors_where_the_source_names_them() {
    let html = "<ul><li class=n><h3>Fees <i>fell</i></h3><a href='/a'>more</a><time datetime='2026-11-20T08:00:00Z'>today</time><p>Text &amp; more.</p><b>Ada</b></li>\
                <li class=n><h3>No link</h3><p>x</p></li><li>not one</li></ul>";
    let select = Selectors {
        item: "li.n".into(),
        title: Some("h3".into()),
        text: Some("p".into()),
        author: Some("b".into()),
        date: Some("time".into()),
        link: None,
    };
    let page = parse_with(Kind::Html, html, Some(&select)).unwrap();
    let [first, second] = &page.posts[..] else { panic!("two entries") };
    assert_eq!((first.title.as_deref(), first.text.as_str()), (Some("Fees fell"), "Text & more."));
    assert_eq!((first.url.as_deref(), first.author.as_deref()), (Some("https://site.example/a"), Some("Ada")));
    assert_eq!(first.published_at.to_string(), "2026-11-20T08:00:00Z");
    assert!(second.url.is_none() && second.published_at_estimated && second.post_id.starts_with("html:"));
    assert!(Selectors::is_selector("li.n") && !Selectors::is_selector("li["));
}

#[test]
fn links_of_a_page_start_where_it_says() {
    let select = Selectors { item: "li".into(), ..Selectors::default() };
    let list = "<ul><li><a href='a'>x</a></li></ul>";
    let article =
        "<title>T</title><link rel=canonical href='a'><p>A paragraph that is long enough to count as prose.</p>";
    for (base, expected) in [
        ("", "https://site.example/api/v3/a"),
        ("<base href='https://other.example/news/'>", "https://other.example/news/a"),
        ("<base target=_top><base href='/en/'>", "https://site.example/en/a"),
        ("<base href='javascript:x'>", "https://site.example/api/v3/a"),
    ] {
        for (html, select) in [(list, Some(&select)), (article, None)] {
            let page = parse_with(Kind::Html, &format!("<head>{base}</head>{html}"), select).unwrap();
            assert_eq!(page.posts[0].url.as_deref(), Some(expected), "{base} {html}");
        }
    }
    let bare =
        "<head><base href='/en/'><title>T</title></head><p>A paragraph that is long enough to count as prose.</p>";
    let page = parse(Kind::Html, bare).unwrap();
    assert_eq!(
        page.posts[0].url.as_deref(),
        Some("https://site.example/api/v3/list"),
        "the page itself is where it came from"
    );
}

#[test]
fn a_deep_page_is_refused_at_once() {
    for piece in ["<div>", "<b;>", "<!--<script>--><b>", "<svg><script><b>", "<b></i>"] {
        let html = piece.repeat(2_000_000 / piece.len());
        assert!(matches!(parse(Kind::Html, &html), Err(ParseError::Page(_))), "{piece}");
        assert!(parse(Kind::Telegram, &html).is_err(), "{piece}");
    }
}

#[test]
fn discourse_reports_what_is_deleted_and_what_failed() {
    let posts = r#"{"latest_posts":[
        {"id":7,"topic_id":3,"post_number":2,"topic_slug":"t","created_at":"2026-11-01T00:00:00.000Z","username":"ada","cooked":"<p>x</p>","reply_to_post_number":null,"version":2,"updated_at":"2026-11-02T00:00:00.000Z"},
        {"id":6,"topic_id":3,"post_number":1,"user_deleted":true,"created_at":"2026-11-01T00:00:00.000Z","cooked":"<p>(post deleted by author)</p>"},
        {"id":5,"topic_id":3,"post_number":3,"post_type":3,"created_at":"2026-11-01T00:00:00.000Z","cooked":""}]}"#;
    let page = parse(Kind::Discourse, posts).unwrap();
    assert_eq!(page.posts.len(), 1);
    assert_eq!(page.posts[0].url.as_deref(), Some("https://site.example/t/t/3/2"));
    assert_eq!(page.posts[0].parent_id.as_deref(), Some("discourse:site.example/3/1"));
    assert_eq!((page.deleted.len(), page.edited.len()), (1, 1));
    assert_eq!(page.older, Some(Older::After("4".into())));
    assert!(matches!(parse(Kind::Discourse, r#"{"errors":["Not found"]}"#), Err(ParseError::Reported(_))));
}
