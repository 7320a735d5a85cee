//! Entries that share an id, in every family of feeds.

use std::collections::BTreeSet;

use vigie_producers::Kind;
use vigie_schemas::RawPost;

use crate::reading::read;

fn posts(feed: &str) -> Vec<RawPost> {
    read(Kind::Rss, feed.as_bytes(), "https://news.example/feed").unwrap_or_else(|e| panic!("{e}: {feed}")).posts
}

fn rss(entries: &[[&str; 3]]) -> String {
    let item = |[id, link, title]: &[&str; 3]| {
        let (id, link) = (tag("guid isPermaLink='false'", id), tag("link", link));
        format!("<item>{id}{link}<title>{title}</title><description>x</description></item>")
    };
    format!("<rss><channel>{}</channel></rss>", entries.iter().map(item).collect::<String>())
}

fn tag(name: &str, text: &str) -> String {
    let end = name.split(' ').next().unwrap_or_default();
    if text.is_empty() { String::new() } else { format!("<{name}>{text}</{end}>") }
}

fn atom(entries: &[[&str; 3]]) -> String {
    let entry = |[id, link, title]: &[&str; 3]| {
        let link = if link.is_empty() { String::new() } else { format!("<link href='{link}'/>") };
        format!("<entry>{}{link}<title>{title}</title><content>x</content></entry>", tag("id", id))
    };
    format!("<feed xmlns='http://www.w3.org/2005/Atom'>{}</feed>", entries.iter().map(entry).collect::<String>())
}

fn json(entries: &[[&str; 3]]) -> String {
    let item = |[id, link, title]: &[&str; 3]| {
        let item = serde_json::json!({"id": id, "url": link, "title": title, "content_text": "x"});
        item.to_string()
    };
    let items: Vec<String> = entries.iter().map(item).collect();
    format!(r#"{{"version":"https://jsonfeed.org/version/1.1","title":"T","items":[{}]}}"#, items.join(","))
}

const A: &str = "https://a.example/1";
const B: &str = "https://a.example/2";

#[test]
fn entries_that_share_an_id_are_distinguished_and_true_duplicates_stay_one() {
    for (entries, count) in [
        (&[["x", A, "one"], ["x", B, "two"]][..], 2),
        (&[["x", A, "one"], ["x", B, "one"]], 2),
        (&[["x", A, "one"], ["x", A, "two"]], 2),
        (&[["x", "", "one"], ["x", "", "two"]], 2),
        (&[["x", A, "one"], ["x", A, "one"]], 1),
        (&[["x", A, "one"], ["x", "https://a.example/1?utm_source=rss", "one"]], 1),
        (&[["", A, "one"], ["", A, "two"]], 2),
        (&[["x", A, "one"], ["x", B, "two"], ["x", B, "three"], ["x", A, "one"], ["y", A, "four"]], 4),
    ] {
        for feed in [rss(entries), atom(entries), json(entries)] {
            let ids: BTreeSet<String> = posts(&feed).into_iter().map(|post| post.post_id).collect();
            assert_eq!(ids.len(), count, "{feed}");
            let again: BTreeSet<String> = posts(&feed).into_iter().map(|post| post.post_id).collect();
            assert_eq!(ids, again, "stable: {feed}");
        }
    }
}

/// The ids that entries had before they were distinguished: SHA-256 of the host and the guid, or of the link.
#[test]
fn an_id_that_one_entry_has_makes_the_post_id_that_it_always_made() {
    let entries = [["x", A, "one"], ["y", B, "two"], ["", "https://a.example/3", "three"]];
    let expected = [
        "rss:49e749247daf80dbd352d47c701d83d53e562acc9178a6f5bf442ce04c5feb6d",
        "rss:f14f53dab7f08d4ca860cfb04eb6792b7e21306c0011dfebd5486864677d92ad",
        "rss:18b6c955d56ccf0e70d40aa3cf6d1cea2a62bc6e1aa0a0d5b43183eee958b3b3",
    ];
    let ids: Vec<String> = posts(&rss(&entries)).into_iter().map(|post| post.post_id).collect();
    assert_eq!(ids, expected);
    let shared = [["x", A, "one"], ["x", B, "two"], ["y", B, "two"]];
    assert_eq!(posts(&rss(&shared))[2].post_id, ids[1], "those beside it do not count");
}
