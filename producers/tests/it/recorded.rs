//! Real answers of real sites, which are not ours to ship: read from `VIGIE_TEST_DATA` or `../shared/data` beside the repository.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use url::Url;
use vigie_clock::Timestamp;
use vigie_producers::Kind;
use vigie_producers::source::{Document, Origin, Page, ParseError};
use vigie_schemas::RawPost;

/// The folder of recorded answers; `None`, with the reason on stderr, where there is none.
fn recorded() -> Option<PathBuf> {
    let root = std::env::var_os("VIGIE_TEST_DATA").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
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

fn parse(kind: Kind, path: &Path) -> Result<Page, ParseError> {
    let bytes = std::fs::read(path).unwrap();
    let base = Url::parse("https://base.example/dir/feed.xml").unwrap();
    let origin = Origin { source: "test", language: None, sample: false, fetched_at: now() };
    kind.source().parse(Document { bytes: &bytes, charset: None, base: Some(&base) }, origin)
}

fn posts(kind: Kind, path: &Path) -> Vec<RawPost> {
    parse(kind, path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).posts
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.extension().is_some_and(|e| e != "md"));
    files.sort();
    files
}

/// What must hold of every post of every answer.
fn check(path: &Path, posts: &[RawPost]) {
    let ids: HashSet<&str> = posts.iter().map(|post| post.post_id.as_str()).collect();
    assert_eq!(ids.len(), posts.len(), "{}: ids are not unique", path.display());
    for post in posts {
        let name = format!("{}: {}", path.display(), post.post_id);
        assert!(post.title.is_some() || !post.text.is_empty() || post.url.is_some(), "{name} is empty");
        assert!(post.published_at <= now() && post.published_at.as_millis() > 0, "{name}: {}", post.published_at);
        assert!(!post.text.contains("</") && !post.text.contains("&nbsp;") && !post.text.contains('\u{fffd}'), "{name}: {}", post.text);
        assert!(post.url.as_deref().is_none_or(|url| url.starts_with("http")), "{name}: {:?}", post.url);
        assert!(post.author.as_deref().is_none_or(|author| !author.trim().is_empty()), "{name}");
    }
}

#[test]
fn show() {
    let Some(folder) = recorded() else { return };
    for (kind, dir) in [(Kind::Rss, "rss"), (Kind::Rss, "rss/hostile"), (Kind::Rss, "atom"), (Kind::Rss, "atom/hostile"), (Kind::Rss, "youtube"), (Kind::Rss, "medium"), (Kind::Rss, "medium/hostile"), (Kind::HackerNews, "hackernews"), (Kind::Reddit, "reddit"), (Kind::Rss, "mastodon")] {
        for path in files(&folder.join(dir)) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if dir == "mastodon" && name.ends_with("json") { continue }
            let kind = if dir == "reddit" && !name.ends_with(".json") { Kind::Rss } else { kind };
            let begun = std::time::Instant::now();
            let result = parse(kind, &path);
            let took = begun.elapsed();
            match result {
                Ok(page) => {
                    let p = &page.posts;
                    println!("{dir}/{name}: {} posts, est {}, noauthor {}, nourl {}, notext {}, {took:?}, older {:?}", p.len(), p.iter().filter(|p| p.published_at_estimated).count(), p.iter().filter(|p| p.author.is_none()).count(), p.iter().filter(|p| p.url.is_none()).count(), p.iter().filter(|p| p.text.is_empty()).count(), page.older);
                    for post in p.iter().take(1) {
                        println!("    {} | {} | {:?} | {:?} | {:?} | {:?} | {:.150?}", post.post_id.chars().take(24).collect::<String>(), post.published_at, post.url, post.author, post.title, post.declared_language, post.text);
                    }
                }
                Err(e) => println!("{dir}/{name}: ERROR {e}"),
            }
        }
    }
}
