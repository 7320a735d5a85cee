//! Parsers on small documents written for this project.

use vigie_producers::Kind;
use vigie_producers::content::document::ParseError;
use vigie_producers::kinds::source::{Older, Origin, Page};
use vigie_schemas::RawPost;

use crate::reading::{FEED, ORIGIN, read_as};

fn parse(kind: Kind, bytes: &[u8]) -> Result<Page, ParseError> {
    read_as(kind, bytes, FEED, Origin { language: Some("en"), ..ORIGIN })
}

fn posts(kind: Kind, bytes: &[u8]) -> Vec<RawPost> {
    parse(kind, bytes).unwrap().posts
}

#[test]
fn rss_items_become_posts() {
    let posts = posts(Kind::Rss, include_bytes!("../fixtures/news.rss"));
    assert_eq!(posts.len(), 3);
    let first = &posts[0];
    assert_eq!(first.url.as_deref(), Some("https://news.example/2026/fees?utm_source=rss"));
    assert_eq!(first.title.as_deref(), Some("Fees fall & blocks fill"));
    assert_eq!(first.author.as_deref(), Some("Ada Lovelace"));
    assert_eq!(first.text, "First paragraph, bold.\nSecond: 1 < 2.");
    assert_eq!(first.published_at.to_string(), "2026-11-22T21:30:00Z");
    assert_eq!(first.declared_language.as_deref(), Some("en-gb"));
    // Relative link, no guid, no date.
    assert_eq!(posts[1].url.as_deref(), Some("https://news.example/2026/relative"));
    assert!(posts[1].published_at_estimated && posts[1].published_at == posts[1].fetched_at);
    // A date in the future is no date; the author stands in brackets after a mail address.
    assert!(posts[2].published_at_estimated);
    assert_eq!(posts[2].author.as_deref(), Some("Grace Hopper"));
    assert!(posts.iter().all(|post| post.post_id.starts_with("rss:") && post.post_id.len() == 68));
}

#[test]
fn the_same_feed_gives_the_same_ids_and_tracking_does_not_change_them() {
    let feed = String::from_utf8(include_bytes!("../fixtures/news.rss").to_vec()).unwrap();
    let ids = |text: &str| posts(Kind::Rss, text.as_bytes()).into_iter().map(|post| post.post_id).collect::<Vec<_>>();
    assert_eq!(ids(&feed), ids(&feed.replace("?utm_source=rss", "?utm_medium=mail")));
    assert_ne!(ids(&feed), ids(&feed.replace("2026/relative", "2026/other")));
}

#[test]
fn atom_and_json_feed_entries_become_posts() {
    let atom = posts(Kind::Rss, include_bytes!("../fixtures/blog.atom"));
    assert_eq!(atom[0].author.as_deref(), Some("The Blog"), "the feed's author stands in");
    assert_eq!(atom[0].url.as_deref(), Some("https://blog.example/posts/1"));
    assert_eq!(atom[0].text, "An xhtml body.");
    assert_eq!(atom[0].declared_language.as_deref(), Some("fr"));
    let json = posts(Kind::Rss, include_bytes!("../fixtures/feed.json"));
    assert_eq!((json[0].title.as_deref(), json[0].text.as_str()), (Some("A title"), "Some text"));
    assert_eq!(json[0].published_at.to_string(), "2026-11-01T09:00:00Z");
}

#[test]
fn documents_that_are_no_feeds_are_errors_with_a_reason() {
    for bytes in [
        &b""[..],
        b"{}",
        b"<html><body>x</body></html>",
        b"<rss",
        b"<feed><entry>",
        b"\xff\xfe\x00",
        b"plain text",
        b"{\"version\":1}",
    ] {
        assert!(matches!(parse(Kind::Rss, bytes), Err(ParseError::Feed(_))), "{bytes:?}");
    }
    let deep = "<a>".repeat(300_000);
    assert!(parse(Kind::Rss, deep.as_bytes()).is_err());
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]><rss version=\"2.0\"><channel><item><title>&b;</title>\
                  <link>https://a.example/</link></item></channel></rss>";
    if let Ok(page) = parse(Kind::Rss, laughs.as_bytes()) {
        assert!(
            page.posts.iter().all(|post| !post.title.as_deref().unwrap_or_default().contains("haha")),
            "entities are not expanded"
        );
    }
}

#[test]
fn an_address_between_wide_characters_does_not_disturb_the_author() {
    for (raw, author) in
        [("（ada@a.example）", "）"), ("名前 ada@a.example様様", "様様"), ("émailto:ada@a.exampleé", "é")]
    {
        let feed = format!(
            "<rss version=\"2.0\"><channel><item><title>t</title><author>{raw}</author></item></channel></rss>"
        );
        assert!(posts(Kind::Rss, feed.as_bytes())[0].author.as_deref().unwrap().contains(author), "{raw}");
    }
}

#[test]
fn a_reddit_page_with_nested_replies_is_flattened_in_order() {
    let page = parse(Kind::Reddit, include_bytes!("../fixtures/reddit_thread.json")).unwrap();
    let ids: Vec<&str> = page.posts.iter().map(|post| post.post_id.as_str()).collect();
    assert_eq!(ids, ["reddit:t3_aaa", "reddit:t1_b1", "reddit:t1_b2", "reddit:t1_b3"]);
    assert_eq!(page.older, None);
    let [post, comment, reply, removed] = &page.posts[..] else { panic!("four posts") };
    assert_eq!(post.text, "Is 1 < 2 & 3 > 2?");
    assert_eq!(post.url.as_deref(), Some("https://www.reddit.com/r/test/comments/aaa/title/"));
    assert_eq!(comment.parent_id.as_deref(), Some("reddit:t3_aaa"));
    assert_eq!(reply.parent_id.as_deref(), Some("reddit:t1_b1"));
    assert_eq!((removed.author.as_deref(), removed.text.as_str()), (None, ""));
    assert_eq!(comment.published_at.to_string(), "2022-05-09T12:00:00Z");
}

#[test]
fn a_reddit_listing_says_where_it_goes_on_and_errors_are_reported() {
    let page = parse(
        Kind::Reddit,
        br#"{"kind":"Listing","data":{"after":"t3_x","children":[{"kind":"t3","data":{"id":"x","created_utc":1.0}}]}}"#,
    )
    .unwrap();
    assert_eq!(page.older, Some(Older::After("t3_x".into())));
    assert!(
        matches!(parse(Kind::Reddit, br#"{"message":"Forbidden","error":403}"#), Err(ParseError::Reported(why)) if why == "403: Forbidden")
    );
    assert!(matches!(parse(Kind::Reddit, b"<html>"), Err(ParseError::Json(_))));
    assert!(matches!(parse(Kind::Reddit, b"[1]"), Err(ParseError::Shape(_))));
    assert!(matches!(parse(Kind::Reddit, "[".repeat(100_000).as_bytes()), Err(ParseError::Json(_))));
}

#[test]
fn hacker_news_comments_lose_their_markup_and_deleted_items_are_left_out() {
    let page = parse(Kind::HackerNews, include_bytes!("../fixtures/hackernews.json")).unwrap();
    assert_eq!(page.older, Some(Older::NotAfter(1_700_000_000)));
    let [comment, story] = &page.posts[..] else { panic!("two posts") };
    assert_eq!((comment.post_id.as_str(), comment.parent_id.as_deref()), ("hackernews:2", Some("hackernews:1")));
    assert_eq!(comment.text, "one\ntwo 'x' https://a.example");
    assert_eq!(comment.url.as_deref(), Some("https://news.ycombinator.com/item?id=2"));
    assert_eq!(
        (story.url.as_deref(), story.published_at.to_string().as_str()),
        (Some("https://x.example/"), "2023-11-14T22:13:20Z")
    );
    assert!(posts(Kind::HackerNews, br#"{"id":3,"deleted":true,"time":1,"type":"comment"}"#).is_empty());
    assert!(parse(Kind::HackerNews, br#"{"hits":[{}]}"#).is_err());
    assert!(matches!(
        parse(Kind::HackerNews, br#"{"message":"invalid filter","status":400}"#),
        Err(ParseError::Reported(_))
    ));
}
