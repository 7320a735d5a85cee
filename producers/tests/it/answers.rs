//! Recorded answers of sources that are no feeds: Mastodon, Discourse, Telegram, Bluesky and web pages. See [`crate::recorded`].

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use vigie_clock::Timestamp;
use vigie_producers::Kind;
use vigie_producers::content::document::ParseError;
use vigie_producers::kinds::source::{Older, Page};

use crate::recorded::{check, files, folder, parse};

fn page(kind: Kind, path: &Path) -> Page {
    let page = parse(kind, path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    check(path, &page.posts);
    page
}

#[test]
fn recorded_mastodon_statuses_are_read_and_those_not_public_are_left_out() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("mastodon");
    let mut count = 0;
    for path in files(&folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
        count += page(Kind::Mastodon, &path).posts.len();
    }
    // Five of the 28 statuses are for followers or single persons.
    assert_eq!(count, 23);
    let edited = page(Kind::Mastodon, &folder.join("mastodon_social_status_110446223051565765.json"));
    let post = &edited.posts[0];
    assert_eq!(post.post_id, "mastodon:https://icosahedron.website/users/halcy/statuses/110446222386355655");
    assert_eq!(post.url.as_deref(), Some("https://icosahedron.website/@halcy/110446222386355655"));
    assert_eq!(post.author.as_deref(), Some("halcy@icosahedron.website"));
    assert_eq!(post.title.as_deref(), Some("test post for mastodon.py stuff"), "the content warning");
    assert_eq!(
        (post.published_at.to_string().as_str(), post.declared_language.as_deref()),
        ("2023-05-28T12:06:50Z", Some("de"))
    );
    assert!(post.text.starts_with("@halcy you're a doo-doo head\nedit: editing this"), "{}", post.text);
    assert!(edited.edited.contains_key(&post.post_id));
    let tag = page(Kind::Mastodon, &folder.join("mastodonpy_timeline_tag_hoot.json"));
    assert_eq!(tag.posts[0].text, "#hoot (hashtag toot)");
    assert_eq!(tag.older, Some(Older::After("117020593741189701".into())));
}

#[test]
fn recorded_discourse_posts_have_the_fields_of_the_forum() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("discourse");
    let (mut read, mut deleted) = (0, 0);
    for month in ["2022-08-August", "2023-09-September", "2024-05-May"] {
        for path in files(&folder.join("delvingbitcoin").join(month)) {
            let page = page(Kind::Discourse, &path);
            let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let name = path.display();
            deleted += page.deleted.len();
            let Some(post) = page.posts.first() else { continue };
            read += 1;
            assert_eq!(
                post.post_id,
                format!("discourse:base.example/{}/{}", json["topic_id"], json["post_number"]),
                "{name}"
            );
            assert_eq!(post.author.as_deref(), json["username"].as_str(), "{name}");
            assert_eq!(
                Timestamp::parse_rfc3339(json["created_at"].as_str().unwrap()).ok(),
                Some(post.published_at),
                "{name}"
            );
            let slug = json["topic_slug"].as_str().unwrap();
            assert!(
                post.url
                    .as_deref()
                    .unwrap()
                    .starts_with(&format!("https://base.example/t/{slug}/{}", json["topic_id"])),
                "{name}"
            );
            assert_eq!(post.parent_id.is_some(), json["post_number"] != 1, "{name}");
            assert!(!post.text.is_empty(), "{name}");
        }
    }
    assert_eq!((read, read + deleted), (READ, 150));
    let counts = [
        ("discourse_api_latest.json", 3),
        ("discourse_api_top.json", 3),
        ("discourse_api_category_latest_topics.json", 2),
        ("discourse_api_posts_latest.json", 4),
        ("discourse_api_topic.json", 4),
        ("discourse_api_topic_posts.json", 1),
        ("discourse_api_search.json", 3),
    ];
    for (file, expected) in counts {
        // The lists of topics name the same topic several times.
        let page = parse(Kind::Discourse, &folder.join(file)).unwrap();
        assert_eq!(page.posts.len(), expected, "{file}");
        assert!(
            page.posts.iter().all(|post| post.title.is_some() && !post.published_at_estimated
                || file.contains("search")
                || file.contains("topic_posts")),
            "{file}"
        );
    }
}

/// How many of the 150 archived posts are not deleted by their authors.
const READ: usize = 148;

#[test]
fn a_recorded_telegram_page_gives_its_messages_newest_first() {
    let Some(folder) = folder() else { return };
    let page = page(Kind::Telegram, &folder.join("telegram/nexta_live_full_page.html"));
    let numbers: Vec<u32> = page.posts.iter().map(|p| p.post_id.rsplit('/').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers.len(), 18);
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    assert_eq!(page.older, Some(Older::After("13358".into())));
    let last = page.posts.last().unwrap();
    assert_eq!(
        (last.post_id.as_str(), last.url.as_deref()),
        ("telegram:nexta_live/13358", Some("https://t.me/nexta_live/13358"))
    );
    assert_eq!(last.author.as_deref(), Some("NEXTA Live"));
    assert!(
        last.text.starts_with("Лукашенковский аппарат запустил процесс самоуничтожения\nПохоже, с"),
        "{}",
        last.text
    );
    assert!(page.posts.iter().all(|post| !post.published_at_estimated));
    let landing = parse(Kind::Telegram, &folder.join("telegram/channel_landing_no_preview.html"));
    assert!(matches!(landing, Err(ParseError::Page(why)) if why.contains("without a public preview")));
}

#[test]
fn recorded_jetstream_lines_give_posts_and_deletions_and_nothing_else() {
    let Some(folder) = folder() else { return };
    let page = page(Kind::Bluesky, &folder.join("bluesky/jetstream_2026-01-03.jsonl"));
    assert_eq!(page.posts.len(), 1);
    let post = &page.posts[0];
    assert_eq!(post.post_id, "bluesky:at://did:plc:g6ifxgrzi22eaemi4lc5pyr2/app.bsky.feed.post/3mbifys26vc2z");
    assert_eq!(
        post.url.as_deref(),
        Some("https://bsky.app/profile/did:plc:g6ifxgrzi22eaemi4lc5pyr2/post/3mbifys26vc2z")
    );
    assert_eq!(
        (post.published_at.to_string().as_str(), post.declared_language.as_deref()),
        ("2026-01-03T02:57:45.138Z", Some("en"))
    );
    assert!(post.text.starts_with("#Cavs beat the Nuggets 113-108"));
    assert_eq!(page.deleted, ["bluesky:at://did:plc:bm3ix5bznclbq2jtst2u2q4w/app.bsky.feed.post/3mbifxsf4wc24"]);
    assert!(self::page(Kind::Bluesky, &folder.join("bluesky/jetstream_docs_identity_account.jsonl")).posts.is_empty());
}

/// The pages come with what their collection expects of title, author and time. Its rules are not ours in every case: it takes dates out of bylines for
/// names, for example.
#[test]
fn recorded_web_pages_are_read_as_their_notes_say() {
    let Some(folder) = folder() else { return };
    let (mut titles, mut authors, mut times, mut timed, mut pages) = (0, 0, 0, 0, 0);
    for entry in
        std::fs::read_dir(folder.join("html")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        let page = page(Kind::Html, &entry.join("source.html"));
        let [post] = &page.posts[..] else { panic!("{}: one post", entry.display()) };
        let expected: Value =
            serde_json::from_slice(&std::fs::read(entry.join("expected-metadata.json")).unwrap()).unwrap();
        pages += 1;
        let squeezed = |text: Option<&str>| {
            text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
        };
        let mut differs = Vec::new();
        let (title, byline) = (squeezed(expected["title"].as_str()), squeezed(expected["byline"].as_str()));
        if squeezed(post.title.as_deref()) == title {
            titles += 1
        } else {
            differs.push(format!("title {:?} {title:?}", post.title))
        }
        let byline = byline.map(|name| {
            ["By ", "by ", "Par "].iter().find_map(|word| name.strip_prefix(word)).unwrap_or(&name).to_owned()
        });
        if post.author == byline {
            authors += 1
        } else {
            differs.push(format!("author {:?} {byline:?}", post.author))
        }
        if let Some(time) = expected["publishedTime"].as_str() {
            timed += 1;
            let time = vigie_producers::content::dates::parse(time);
            if Some(post.published_at) == time {
                times += 1
            } else {
                differs.push(format!("time {} {time:?}", post.published_at))
            }
        }
        if !differs.is_empty() {
            eprintln!("{}: {}", entry.file_name().unwrap().display(), differs.join("; "));
        }
        assert!(!post.text.is_empty(), "{}", entry.display());
    }
    eprintln!("of {pages} pages: {titles} titles, {authors} authors, {times} of {timed} times");
    assert_eq!(pages, 32);
    assert!(
        titles >= 30 && authors >= 22 && times >= timed - 1,
        "{titles} titles, {authors} authors, {times} of {timed} times"
    );
}

/// Every recorded answer by itself, with the time it takes; `--nocapture` shows them.
#[test]
fn every_recorded_answer_is_read_in_bounded_time() {
    let Some(root) = folder() else { return };
    let groups = [
        (Kind::Rss, &["rss", "rss/hostile", "atom", "atom/hostile", "medium", "medium/hostile", "youtube"][..]),
        (Kind::HackerNews, &["hackernews"]),
        (Kind::Telegram, &["telegram"]),
        (Kind::Bluesky, &["bluesky"]),
        (Kind::Discourse, &["discourse"]),
    ];
    let mut slowest = 0;
    let mut seen = HashSet::new();
    for (kind, folders) in groups {
        for path in folders.iter().flat_map(|name| files(&root.join(name))) {
            // The clock of the machine, not vigie's: this measures, nothing depends on it.
            #[expect(clippy::disallowed_methods, reason = "a measurement")]
            let started = Instant::now();
            let outcome = parse(kind, &path);
            let took = started.elapsed().as_millis();
            slowest = slowest.max(took);
            seen.insert(path.clone());
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            match outcome {
                Ok(page) => eprintln!("{took:>5} ms {:>4} posts {name}", page.posts.len()),
                Err(error) => eprintln!("{took:>5} ms    - {name}: {error}"),
            }
        }
    }
    assert!(seen.len() > 80, "{}", seen.len());
    // Not optimised and beside other work; the largest file has 1.6 MB.
    assert!(slowest < 5000, "{slowest} ms");
}
