//! Recorded Reddit posts and comments, served as if they were being written.
//!
//! An archive is a folder of `reddit_*.tar.gz`, each with one JSON file per crawl; the same post and comment stand in many crawls. One of each id is kept: the
//! one with the longest text (bytes), then the greatest (text, title, author) in the order of strings, so that the order of files does not
//! matter. Kept items are sorted by (creation time, full name) and released in that order.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

/// A post or comment of the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `t3_…` or `t1_…`.
    pub name: String,
    pub is_comment: bool,
    /// Without `r/`.
    pub subreddit: String,
    /// As recorded; `[deleted]` stays here, as Reddit would send it.
    pub author: String,
    pub title: String,
    /// `selftext` or `body`.
    pub text: String,
    /// What a link post leads to.
    pub url: String,
    /// Full name of what a comment answers.
    pub parent: String,
    /// Full name of the post that a comment stands under.
    pub link: String,
    /// Seconds since the epoch.
    pub created_utc: f64,
    pub score: i64,
}

impl Item {
    fn rank(&self) -> (usize, &str, &str, &str) {
        (self.text.len(), &self.text, &self.title, &self.author)
    }
}

/// An archive in memory, with its schedule.
#[derive(Debug)]
pub struct Archive {
    items: Vec<Item>,
    places: HashMap<String, usize>,
    rate: f64,
    /// When the first listing was asked for, in the clock's monotonic time.
    begun: OnceLock<Duration>,
}

/// How far the archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Posts and comments that listings show by now.
    pub released: usize,
    /// All there are.
    pub total: usize,
    /// Whether all are released.
    pub finished: bool,
}

/// Why an archive cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read {path}: {source}")]
    Io { path: String, source: std::io::Error },
    /// `member` is a file in the archive `path`.
    #[error("{path}: {member} is no crawl of a subreddit: {detail}")]
    Crawl { path: String, member: String, detail: String },
    #[error("no posts in {0}, expected reddit_*.tar.gz")]
    Empty(String),
}

#[derive(Deserialize)]
struct Crawl {
    posts: Vec<CrawledPost>,
}

#[derive(Deserialize)]
struct CrawledPost {
    id: String,
    subreddit: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    author: Option<String>,
    created_utc: f64,
    #[serde(default)]
    score: i64,
    #[serde(default)]
    selftext: String,
    #[serde(default)]
    comments: Vec<CrawledComment>,
}

#[derive(Deserialize)]
struct CrawledComment {
    id: String,
    #[serde(default)]
    author: Option<String>,
    created_utc: f64,
    #[serde(default)]
    score: i64,
    /// The text.
    #[serde(default)]
    response: String,
    #[serde(default)]
    comments: Vec<CrawledComment>,
}

impl Archive {
    /// Loads every `reddit_*.tar.gz` of a folder; `rate` items a second will be released.
    ///
    /// # Errors
    /// If a file is unreadable or there is none.
    pub fn load(folder: &Path, rate: f64) -> Result<Self, ArchiveError> {
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |source| ArchiveError::Io { path, source }
        };
        let mut kept = HashMap::new();
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io(folder))? {
            let path = entry.map_err(io(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("reddit_") && name.ends_with(".tar.gz") {
                paths.push(path);
            }
        }
        for path in paths {
            let file = File::open(&path).map_err(io(&path))?;
            let mut tar = tar::Archive::new(GzDecoder::new(file));
            for entry in tar.entries().map_err(io(&path))? {
                let mut entry = entry.map_err(io(&path))?;
                if !entry.header().entry_type().is_file() {
                    continue;
                }
                let member = entry.path().map(|p| p.display().to_string()).unwrap_or_default();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(io(&path))?;
                let crawl: Crawl = serde_json::from_slice(&bytes).map_err(|e| ArchiveError::Crawl {
                    path: path.display().to_string(),
                    member,
                    detail: e.to_string(),
                })?;
                for post in crawl.posts {
                    take_post(post, &mut kept);
                }
            }
        }
        if kept.is_empty() {
            return Err(ArchiveError::Empty(folder.display().to_string()));
        }
        Ok(Self::new(kept.into_values().collect(), rate))
    }

    fn new(mut items: Vec<Item>, rate: f64) -> Self {
        items.sort_by(|a, b| a.created_utc.total_cmp(&b.created_utc).then_with(|| a.name.cmp(&b.name)));
        let places = items.iter().enumerate().map(|(n, item)| (item.name.clone(), n)).collect();
        Self { items, places, rate, begun: OnceLock::new() }
    }

    /// Everything in it, in the order of release.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Its subreddits.
    pub fn subreddits(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.items.iter().map(|item| &item.subreddit).collect();
        names.into_iter().cloned().collect()
    }

    /// How far it is at this monotonic time. It begins with the first listing.
    pub fn progress(&self, now: Duration) -> Progress {
        let released = self.begun.get().map_or(0, |begun| self.due(now.saturating_sub(*begun)));
        Progress { released, total: self.items.len(), finished: released == self.items.len() }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float to integer casts saturate, which is right here"
    )]
    fn due(&self, elapsed: Duration) -> usize {
        ((elapsed.as_secs_f64() * self.rate) as usize).min(self.items.len())
    }

    /// Released posts or comments of the subreddits, newest first, `limit` of them from below `after` on; and whether there are older ones.
    pub fn listing(
        &self,
        now: Duration,
        subs: &[&str],
        comments: bool,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<&Item>, bool) {
        let begun = *self.begun.get_or_init(|| now);
        let released = self.due(now.saturating_sub(begun));
        // Reddit too begins at the top when it does not know the name.
        let end = after.and_then(|name| self.places.get(name)).map_or(released, |place| (*place).min(released));
        let wanted = |item: &&Item| {
            item.is_comment == comments && subs.iter().any(|sub| sub.eq_ignore_ascii_case(&item.subreddit))
        };
        let mut matching = self.items[..end].iter().rev().filter(wanted);
        let page: Vec<&Item> = matching.by_ref().take(limit).collect();
        let more = matching.next().is_some();
        (page, more)
    }
}

fn take_post(post: CrawledPost, kept: &mut HashMap<String, Item>) {
    let name = format!("t3_{}", post.id);
    let mut waiting: Vec<(String, CrawledComment)> =
        post.comments.into_iter().map(|comment| (name.clone(), comment)).collect();
    while let Some((parent, comment)) = waiting.pop() {
        let own = format!("t1_{}", comment.id);
        waiting.extend(comment.comments.into_iter().map(|reply| (own.clone(), reply)));
        keep(
            kept,
            Item {
                name: own,
                is_comment: true,
                subreddit: post.subreddit.clone(),
                author: comment.author.unwrap_or_else(|| "[deleted]".to_owned()),
                title: String::new(),
                text: comment.response,
                url: String::new(),
                parent,
                link: name.clone(),
                created_utc: comment.created_utc,
                score: comment.score,
            },
        );
    }
    keep(
        kept,
        Item {
            link: name.clone(),
            name,
            is_comment: false,
            subreddit: post.subreddit,
            author: post.author.unwrap_or_else(|| "[deleted]".to_owned()),
            title: post.title,
            text: post.selftext,
            url: post.url,
            parent: String::new(),
            created_utc: post.created_utc,
            score: post.score,
        },
    );
}

/// Keeps the better one of two items with the same id.
fn keep(kept: &mut HashMap<String, Item>, item: Item) {
    match kept.get_mut(&item.name) {
        Some(present) if present.rank() >= item.rank() => {}
        Some(present) => *present = item,
        None => {
            kept.insert(item.name.clone(), item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: usize, is_comment: bool) -> Item {
        Item {
            name: format!("{}_{n}", if is_comment { "t1" } else { "t3" }),
            is_comment,
            subreddit: if n.is_multiple_of(2) { "Even" } else { "Odd" }.to_owned(),
            author: "a".into(),
            title: String::new(),
            text: format!("{n}"),
            url: String::new(),
            parent: String::new(),
            link: String::new(),
            created_utc: n as f64,
            score: 1,
        }
    }

    #[test]
    fn items_appear_in_the_order_of_time_and_nothing_is_left_out() {
        let archive = Archive::new((0..1000).rev().map(|n| item(n, n % 3 > 0)).collect(), 100.0);
        let at = |seconds: u64| Duration::from_secs(1000 + seconds);
        assert_eq!(archive.progress(at(0)).released, 0);
        assert!(archive.listing(at(0), &["Odd", "Even"], true, None, 100).0.is_empty());
        assert_eq!(archive.progress(at(3)), Progress { released: 300, total: 1000, finished: false });
        let mut seen = Vec::new();
        for comments in [true, false] {
            let mut after = None;
            loop {
                let (page, more) = archive.listing(at(60), &["odd", "EVEN"], comments, after, 7);
                after = page.last().map(|item| item.name.as_str());
                seen.extend(page);
                if !more {
                    break;
                }
            }
        }
        assert_eq!(seen.len(), 1000);
        assert!(archive.progress(at(60)).finished);
    }

    #[test]
    fn which_copy_is_kept_does_not_depend_on_the_order() {
        let copies =
            ["long text", "short", "long texu", "[deleted]"].map(|text| Item { text: text.into(), ..item(1, true) });
        let mut results = BTreeSet::new();
        for start in 0..copies.len() {
            let mut kept = HashMap::new();
            for n in 0..copies.len() {
                keep(&mut kept, copies[(start + n) % copies.len()].clone());
            }
            results.insert(kept["t1_1"].text.clone());
        }
        assert_eq!(results.into_iter().collect::<Vec<_>>(), ["long texu"]);
    }
}
