//! What the author of a post wrote, apart from what others did and from what software adds.

use vigie_producers::Kind;
use vigie_producers::kinds::source::Page;
use vigie_schemas::RawPost;

use crate::reading::read;

fn page(kind: Kind, text: &str) -> Page {
    read(kind, text.as_bytes(), "https://a.example/s/channel").unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn only(kind: Kind, text: &str) -> RawPost {
    let mut posts = page(kind, text).posts;
    assert_eq!(posts.len(), 1, "{text}");
    posts.remove(0)
}

/// The text of a post and what it quotes.
fn parts(post: &RawPost) -> (&str, &str) {
    (&post.text, post.quoted.as_deref().unwrap_or_default())
}

fn discourse(cooked: &str) -> RawPost {
    let post = serde_json::json!({"id": 9, "topic_id": 1, "post_number": 2, "cooked": cooked, "created_at": "2026-11-01T00:00:00Z"});
    only(Kind::Discourse, &post.to_string())
}

#[test]
fn quotes_and_previews_of_a_forum_are_context() {
    for (cooked, text, quoted) in [
        (
            "<aside class='quote no-group' data-username='bob'><div class='title'>bob:</div><blockquote><p>BTC is dead</p></blockquote></aside><p>No.</p>",
            "No.",
            "bob:\nBTC is dead",
        ),
        (
            "<aside class='quote'><blockquote>ETH <aside class='quote'>SOL</aside></blockquote></aside><p>Yes</p>",
            "Yes",
            "ETH\nSOL",
        ),
        ("<blockquote><p>LUNA to 0</p></blockquote><p>I hold</p>", "I hold", "LUNA to 0"),
        (
            "<p>Look</p><aside class='onebox allowlistedgeneric'><header>site</header><article><h3>BTC crash</h3></article></aside>",
            "Look",
            "site\nBTC crash",
        ),
        ("<p>See <a href='x' class='inline-onebox'>Ripple wins</a> now</p>", "See now", "Ripple wins"),
        (
            "<p>Chart</p><div class='lightbox-wrapper'><a class='lightbox' href='x'><img src='x' alt='btc'><div class='meta'><span class='filename'>btc.png</span><span class='informations'>1920×1080 152 KB</span></div></a></div>",
            "Chart",
            "",
        ),
        (
            "<div class='poll'><div class='poll-container'><ul><li>Up</li><li>Down</li></ul></div><div class='poll-info'><span class='info-number'>12</span><span class='info-label'>voters</span></div></div>",
            "Up\nDown",
            "",
        ),
    ] {
        assert_eq!(parts(&discourse(cooked)), (text, quoted), "{cooked}");
        let feed = format!(
            "<rss><channel><item><guid>1</guid><description><![CDATA[{cooked}<p><a href='x'>Read full topic</a></p>]]></description></item></channel></rss>"
        );
        assert_eq!(parts(&only(Kind::Rss, &feed)), (text, quoted), "{feed}");
    }
}

#[test]
fn quoted_lines_are_context_on_reddit_lemmy_and_hacker_news() {
    let text = "&gt; BTC is dead\n\nNo, &amp;#x200B;it &amp;lt;3 lives";
    let reddit = serde_json::json!({"kind": "t1", "data": {"id": "b", "body": text, "created_utc": 1.0}});
    assert_eq!(parts(&only(Kind::Reddit, &reddit.to_string())), ("No, \u{200b}it <3 lives", "BTC is dead"));
    let lemmy = serde_json::json!({"comment_view": {"comment": {"ap_id": "https://l.example/comment/1", "content": "> BTC is dead\n\nNo"}}});
    assert_eq!(parts(&only(Kind::Lemmy, &lemmy.to_string())), ("No", "BTC is dead"));
    let hn = serde_json::json!({"objectID": "1", "author": "a", "comment_text": "<p>&gt; BTC is dead<p>No", "created_at_i": 1});
    assert_eq!(parts(&only(Kind::HackerNews, &hn.to_string())), ("No", "BTC is dead"));
    let feed = "<feed xmlns='http://www.w3.org/2005/Atom'><entry><id>t3_x</id><content type='html'>&lt;div class=\"md\"&gt;&lt;blockquote&gt;&lt;p&gt;BTC is dead&lt;/p&gt;&lt;/blockquote&gt;&lt;p&gt;No&lt;/p&gt;&lt;/div&gt; submitted by &lt;a href='x'&gt;/u/ada&lt;/a&gt; &lt;br/&gt; &lt;span&gt;&lt;a href='x'&gt;[link]&lt;/a&gt;&lt;/span&gt; &lt;span&gt;&lt;a href='x'&gt;[comments]&lt;/a&gt;&lt;/span&gt;</content></entry></feed>";
    assert_eq!(parts(&only(Kind::Rss, feed)), ("No", "BTC is dead"));
}

#[test]
fn what_was_removed_says_nothing() {
    for notice in ["[removed]", "[deleted by user]", "[ Removed by Reddit ]", "[ Removed by moderator ]"] {
        let post = serde_json::json!({"kind": "t3", "data": {"id": "a", "title": notice, "selftext": notice, "created_utc": 1.0}});
        let post = only(Kind::Reddit, &post.to_string());
        assert_eq!((post.title, post.text.as_str()), (None, ""), "{notice}");
    }
    let deleted = r#"{"id":7,"type":"story","author":"a","title":"t","created_at_i":1,"children":[{"id":8,"type":"comment","author":null,"text":null,"parent_id":7,"created_at_i":2,"children":[{"id":9,"type":"comment","author":"b","text":"hi","parent_id":8,"created_at_i":3,"children":[]}]}]}"#;
    let page = page(Kind::HackerNews, deleted);
    let ids: Vec<&str> = page.posts.iter().map(|post| post.post_id.as_str()).collect();
    assert_eq!((ids, page.deleted), (vec!["hackernews:7", "hackernews:9"], vec!["hackernews:8".to_owned()]));
}

fn telegram(messages: &[(&str, &str)]) -> Page {
    let message = |(n, (class, inner)): (usize, &(&str, &str))| {
        format!(
            "<div class='tgme_widget_message {class}' data-post='c/{n}'>{inner}<a class='tgme_widget_message_date'><time datetime='2026-11-01T10:00:00+00:00'></time></a></div>"
        )
    };
    let html: String = messages.iter().enumerate().map(message).collect();
    page(Kind::Telegram, &format!("<section class='tgme_channel_history'>{html}</section>"))
}

#[test]
fn service_notices_of_telegram_are_no_posts() {
    let notices = [
        "Channel created",
        "Channel photo updated",
        "Channel photo removed",
        "Channel name was changed to «Bitcoin Moon»",
        "News pinned «BTC hits a record»",
        "News pinned a photo",
        "Live stream started",
        "Live stream finished (2 hours)",
        "Live stream scheduled for Nov 5 at 10:00",
        "Messages in this channel will be automatically deleted after 1 week",
    ];
    for notice in notices {
        let text = format!("<div class='tgme_widget_message_text'>{notice}</div>");
        for class in ["service_message", ""] {
            assert!(telegram(&[(class, &text)]).posts.is_empty(), "{class} {notice}");
        }
    }
    let marked = "<div class='tgme_widget_message_text'>\u{41a}\u{430}\u{43d}\u{430}\u{43b} \u{441}\u{43e}\u{437}\u{434}\u{430}\u{43d}</div>";
    assert!(telegram(&[("service_message", marked)]).posts.is_empty(), "in any language");
    let own = "<div class='tgme_widget_message_text'>We pinned our hopes on BTC, the channel created value</div>";
    assert_eq!(telegram(&[("", own)]).posts.len(), 1);
}

#[test]
fn quotes_previews_polls_and_emoji_of_telegram() {
    let inner = "<div class='tgme_widget_message_text'><blockquote>BTC is dead</blockquote>No <i class='emoji'><b>🚀</b></i></div>\
                 <a class='tgme_widget_message_link_preview'><div class='link_preview_title'>ETH falls</div></a>";
    let poll = "<div class='tgme_widget_message_poll'><div class='tgme_widget_message_poll_question'>Where to?</div><div class='tgme_widget_message_poll_options'>\
                <div class='tgme_widget_message_poll_option_percent'>70%</div><div class='tgme_widget_message_poll_option_text'>Up</div><div class='tgme_widget_message_poll_option_text'>Down</div></div>\
                <div class='tgme_widget_message_poll_votes'>9 votes</div></div>";
    let page = telegram(&[("", inner), ("", poll)]);
    assert_eq!(parts(&page.posts[1]), ("No 🚀", "BTC is dead\nETH falls"));
    assert_eq!(page.posts[0].text, "Where to?\n- Up\n- Down");
}

#[test]
fn emoji_that_are_pictures_are_text() {
    let pictures = "<p>up <img class='wp-smiley' alt='🚀' src='x'> <img class='emoji only-emoji' title=':moon:' alt=':moon:' src='x'> \
                    <img class='wp-smiley' alt=':-)' src='x'><img alt='📉' src='x'><img alt='A chart of BTC' src='x'></p>";
    let text = "up 🚀 :moon: :-)📉";
    assert_eq!(discourse(pictures).text, text);
    let feed = format!(
        "<rss><channel><item><guid>1</guid><description><![CDATA[{pictures}]]></description></item></channel></rss>"
    );
    assert_eq!(only(Kind::Rss, &feed).text, text);
    let status =
        serde_json::json!({"uri": "https://m.example/1", "content": pictures, "created_at": "2026-11-01T00:00:00Z"});
    assert_eq!(only(Kind::Mastodon, &status.to_string()).text, text);
}

#[test]
fn cards_polls_tags_and_pictures_are_read_and_marked() {
    let status = serde_json::json!({"uri": "https://m.example/1", "content": "<p>Look</p>", "created_at": "2026-11-01T00:00:00Z",
        "poll": {"options": [{"title": "Up"}, {"title": "Down"}]}, "media_attachments": [{"description": "A chart"}, {"description": null}],
        "card": {"title": "BTC falls", "description": "By a tenth"}, "quote": {"state": "accepted", "quoted_status": {"content": "<p>It will rise</p>"}}});
    assert_eq!(
        parts(&only(Kind::Mastodon, &status.to_string())),
        ("Look\n- Up\n- Down\n🖼 A chart\n🔗 BTC falls", "By a tenth\nIt will rise")
    );
    let record = |embed: serde_json::Value| serde_json::json!({"text": "Look #btc", "createdAt": "2026-11-01T00:00:00Z", "tags": ["btc", "eth"], "embed": embed});
    let external = serde_json::json!({"external": {"uri": "https://a.example/", "title": "BTC falls", "description": "By a tenth"}});
    let pictures = serde_json::json!({"media": {"images": [{"alt": "A chart"}, {"alt": ""}]}});
    for (embed, view, text, quoted) in [
        (external, serde_json::json!(null), "Look #btc\n#eth\n🔗 BTC falls", "By a tenth"),
        (
            pictures,
            serde_json::json!({"record": {"record": {"value": {"text": "It will rise"}}}}),
            "Look #btc\n#eth\n🖼 A chart",
            "It will rise",
        ),
    ] {
        let post =
            serde_json::json!({"uri": "at://did:plc:a/app.bsky.feed.post/1", "record": record(embed), "embed": view});
        assert_eq!(parts(&only(Kind::Bluesky, &post.to_string())), (text, quoted));
    }
    let lemmy = |title: &str| {
        let post = serde_json::json!({"ap_id": "https://l.example/post/1", "name": title, "embed_title": "BTC falls", "embed_description": "By a tenth", "alt_text": "A chart"});
        only(Kind::Lemmy, &serde_json::json!({"post_view": {"post": post}}).to_string())
    };
    assert_eq!(parts(&lemmy("Look")), ("🖼 A chart\n🔗 BTC falls", "By a tenth"));
    assert_eq!(parts(&lemmy("BTC falls")), ("🖼 A chart", "By a tenth"));
    let reddit = serde_json::json!({"kind": "t3", "data": {"id": "a", "title": "Where to?", "poll_data": {"options": [{"text": "Up"}, {"text": "Down"}]},
        "gallery_data": {"items": [{"caption": "A chart"}, {}]}, "crosspost_parent_list": [{"title": "It will rise", "selftext": ""}]}});
    assert_eq!(parts(&only(Kind::Reddit, &reddit.to_string())), ("- Up\n- Down\n🖼 A chart", "It will rise"));
    let poll = r#"{"id":1,"type":"poll","title":"Where to?","by":"a","time":1,"options":[{"id":2,"text":"Up"},{"id":3,"text":"Down"}]}"#;
    assert_eq!(only(Kind::HackerNews, poll).text, "- Up\n- Down");
    let x = r#"{"data":[{"id":"1","text":"Where to?","attachments":{"poll_ids":["9"]}}],"includes":{"polls":[{"id":"9","options":[{"label":"Up"},{"label":"Down"}]},{"id":"8","options":[{"label":"No"}]}]}}"#;
    assert_eq!(only(Kind::X, x).text, "Where to?\n- Up\n- Down");
}

#[test]
fn a_title_of_json_feed_is_no_html() {
    let feed = r#"{"version":"https://jsonfeed.org/version/1.1","title":"T","items":[{"id":"1","title":"Use <b>bold</b> &amp; BTC","content_text":"x"}]}"#;
    assert_eq!(only(Kind::Rss, feed).title.as_deref(), Some("Use <b>bold</b> &amp; BTC"));
}
