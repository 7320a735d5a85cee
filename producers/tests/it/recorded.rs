//! Real answers of real sites, which are not ours to ship: read from `VIGIE_TEST_DATA` or `../shared/data` beside the repository.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use url::Url;
use vigie_clock::Timestamp;
use vigie_producers::Kind;
use vigie_producers::content::document::{Document, ParseError};
use vigie_producers::kinds::source::{Origin, Page};
use vigie_schemas::RawPost;

/// The folder of recorded answers; `None`, with the reason on stderr, where there is none.
pub(crate) fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("VIGIE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = root.join("recorded");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no recorded answers at {}, set VIGIE_TEST_DATA", folder.display());
    None
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-12-01T00:00:00Z").unwrap()
}

pub(crate) fn parse(kind: Kind, path: &Path) -> Result<Page, ParseError> {
    let bytes = std::fs::read(path).unwrap();
    let base = Url::parse("https://base.example/dir/feed.xml").unwrap();
    let origin = Origin { source: "test", language: None, sample: false, select: None, fetched_at: now() };
    kind.source().parse(Document { bytes: &bytes, charset: None, base: Some(&base) }, origin)
}

fn posts(kind: Kind, path: &Path) -> Vec<RawPost> {
    parse(kind, path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).posts
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.extension().is_some_and(|e| e != "md"));
    files.sort();
    files
}

/// What must hold of every post of every answer.
pub(crate) fn check(path: &Path, posts: &[RawPost]) {
    let ids: HashSet<&str> = posts.iter().map(|post| post.post_id.as_str()).collect();
    // One feed really gives two episodes the same guid, and the same link.
    assert_eq!(ids.len(), posts.len(), "{}: ids are not unique", path.display());
    for post in posts {
        let name = format!("{}: {}", path.display(), post.post_id);
        let says_something = post.title.is_some() || !post.text.is_empty() || post.url.is_some();
        // One entry has an id and nothing else: it is read, but would not be published.
        assert!(says_something || path.ends_with("rss-parser_missing-fields.atom"), "{name} is empty");
        assert!(post.published_at <= now() && post.published_at.as_millis() > 0, "{name}: {}", post.published_at);
        let has_markup =
            ["</p>", "</div>", "</span>", "<br", "<img", "&nbsp;"].iter().any(|tag| post.text.contains(tag));
        // One entry of this feed comes escaped twice, which is text that shows markup.
        assert!(!has_markup || path.ends_with("rss-parser_reddit-atom.rss"), "{name}: {}", post.text);
        // One page has references to characters that are none.
        assert!(!post.text.contains('\u{fffd}') || name.contains("005-unescape"), "{name}: {}", post.text);
        assert!(post.url.as_deref().is_none_or(|url| url.starts_with("http")), "{name}: {:?}", post.url);
        assert!(post.author.as_deref().is_none_or(|author| !author.trim().is_empty()), "{name}");
    }
}

/// Each kind's well-formed answers: the folder, how the files end, posts in all of them.
#[test]
fn recorded_answers_of_every_kind_are_read() {
    let Some(folder) = folder() else { return };
    let groups = [
        (Kind::Rss, "rss", &["rss", "xml"][..], 1140),
        (Kind::Rss, "atom", &["atom", "xml"], 80),
        (Kind::Rss, "youtube", &["xml"], 40),
        (Kind::Rss, "medium", &["xml"], 7),
        (Kind::Rss, "mastodon", &["xml"], 2),
        (Kind::Rss, "reddit", &["rss", "xml"], 75),
        (Kind::HackerNews, "hackernews", &["json"], 11),
        (Kind::Reddit, "reddit", &["json"], 26),
    ];
    for (kind, name, endings, expected) in groups {
        let mut count = 0;
        for path in files(&folder.join(name)) {
            if path.extension().is_some_and(|e| endings.iter().any(|ending| *ending == e)) {
                let posts = posts(kind, &path);
                check(&path, &posts);
                count += posts.len();
            }
        }
        assert_eq!(count, expected, "{kind} {name}");
    }
}

#[test]
fn recorded_hostile_feeds_are_read_or_refused_as_their_notes_say() {
    let Some(folder) = folder() else { return };
    let refused = ["feed-rs_rss_2.0_invalid_1.xml", "rss-parser_unrecognized.rss"];
    let empty = ["rss-parser_incomplete-fields.atom"];
    for path in ["rss/hostile", "atom/hostile", "medium/hostile"].iter().flat_map(|name| files(&folder.join(name))) {
        let name = path.file_name().unwrap().to_str().unwrap();
        match parse(Kind::Rss, &path) {
            Ok(page) => {
                assert!(!refused.contains(&name), "{name} was read");
                assert_eq!(page.posts.is_empty(), empty.contains(&name), "{name}");
                check(&path, &page.posts);
            }
            Err(error) => assert!(refused.contains(&name), "{name}: {error}"),
        }
    }
}

#[test]
fn known_posts_of_recorded_answers_have_the_right_fields() {
    let Some(folder) = folder() else { return };
    // (kind, file, url, author, title, published, beginning of the text)
    let cases = [
        (
            Kind::Rss,
            "rss/coindesk_2026-09-25.xml",
            "https://www.coindesk.com/markets/2026/09/25/circle-and-tether-step-in-to-freeze-hacker-wallet-after-massive-bitget-crypto-heist",
            Some("Oliver Knight"),
            Some("Circle and Tether step in to freeze hacker wallet after massive Bitget crypto heist"),
            "2026-09-25T14:41:53Z",
            "The stablecoin issuer blacklisted",
        ),
        (
            Kind::Rss,
            "rss/hostile/rss-parser_latin2.rss",
            "http://www.example.pl/news/1",
            Some("Adam Gżegżółka"),
            Some("ZAŻÓŁĆ GĘSLĄ JAŹŃ"),
            "2019-10-18T15:27:37Z",
            "Szedł sasza suchą szosą",
        ),
        (
            Kind::Rss,
            "rss/rss-parser_craigslist.rss",
            "http://sfbay.craigslist.org/eby/apa/6186664607.html",
            Some("robot@craigslist.org"),
            Some("Bright, Spacious Beautiful Victorian (oakland north / temescal) $4300 3bd 1930ft2"),
            "2017-06-21T17:33:10Z",
            "Updated 3+ Bedroom",
        ),
        (
            Kind::Rss,
            "rss/hostile/feed-rs_rss_2.0_ilgiornale.xml",
            "https://www.ilgiornale.it/news/cronaca-nera/caso-saman-abbas-arrestato-pakistan-padre-shabbar-2085649.html",
            Some("Angela Leucci"),
            Some("Arrestato in Pakistan Shabbar Abbas. In Italia è accusato per l'omicidio di Saman"),
            "2022-11-15T20:15:04Z",
            "È stato arrestato",
        ),
        (
            Kind::Rss,
            "youtube/podtube_youtube.xml",
            "https://www.youtube.com/watch?v=Elewn679CZI",
            Some("Instituto de Física Teórica IFT"),
            Some("El Brillante Futuro de la Física | Una Conversación con Álvaro de Rújula"),
            "2021-12-19T14:00:11Z",
            "Álvaro de Rújula, referente",
        ),
        (
            Kind::Rss,
            "mastodon/newsmon_tag_earthquake.rss.xml",
            "https://masto.ai/@emsc/116723066958008109",
            None,
            None,
            "2026-06-09T11:30:00Z",
            "M 4.6 earthquake detected near the coast #earthquake",
        ),
        (
            Kind::HackerNews,
            "hackernews/item_121003.json",
            "https://news.ycombinator.com/item?id=121003",
            Some("tel"),
            Some("Ask HN: The Arc Effect"),
            "2008-02-22T02:33:40Z",
            "or HN: the Next Iteration\nI get the impression",
        ),
        (
            Kind::Reddit,
            "reddit/go-reddit_post_more.json",
            "https://www.reddit.com/r/AskReddit/comments/123/which_scene_from_an_animated_film_will_always_be/def/",
            Some("testuser1"),
            None,
            "2020-07-20T19:16:49Z",
            "Wow, I came here",
        ),
    ];
    for (kind, file, url, author, title, published_at, text) in cases {
        let post = &posts(kind, &folder.join(file))[0];
        assert_eq!(post.url.as_deref(), Some(url), "{file}");
        assert_eq!((post.author.as_deref(), post.title.as_deref()), (author, title), "{file}");
        assert_eq!(post.published_at.to_string(), published_at, "{file}");
        assert!(post.text.starts_with(text), "{file}: {}", post.text);
    }
    let ids: Vec<String> = posts(Kind::HackerNews, &folder.join("hackernews/algolia_search_javascript_5hits.json"))
        .into_iter()
        .map(|p| p.post_id)
        .collect();
    assert_eq!(
        ids,
        [
            "hackernews:12684980",
            "hackernews:6725387",
            "hackernews:3824908",
            "hackernews:27165954",
            "hackernews:22758218"
        ]
    );
}
