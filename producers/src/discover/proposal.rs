//! A source as it would stand in `sources.toml`.

use std::io::Write;
use std::path::Path;

use url::Url;
use vigie_clock::Timestamp;
use vigie_daemon::Mistake;

use super::Candidate;
use crate::content::identity;
use crate::kinds::Kind;
use crate::kinds::source::Page;
use crate::sources::catalogue;

/// Pauses between two polls that a proposal chooses from, in seconds.
const PAUSES: [u64; 9] = [60, 120, 300, 600, 900, 1800, 3600, 21_600, 86_400];

/// A source that was found and read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// A stable name.
    pub id: String,
    /// How it is read.
    pub kind: Kind,
    /// Where it is.
    pub url: Url,
    /// How often to ask: several times in the usual pause between two of its posts.
    pub every_seconds: u64,
    /// Whether it is on a private address.
    pub local: bool,
    /// Posts of its first page.
    pub posts: usize,
    /// When the newest of them was published, if it says.
    pub newest: Option<Timestamp>,
    /// What led there.
    pub found_by: &'static str,
}

impl Proposal {
    pub(super) fn new(candidate: &Candidate, page: &Page, local: bool) -> Self {
        let mut times: Vec<i64> = page
            .posts
            .iter()
            .filter(|post| !post.published_at_estimated)
            .map(|post| post.published_at.as_millis())
            .collect();
        times.sort_unstable();
        Self {
            id: slug(&candidate.name),
            kind: candidate.kind,
            url: candidate.url.clone(),
            every_seconds: pause(&times),
            local,
            posts: page.posts.len(),
            newest: times.last().copied().map(Timestamp::from_millis),
            found_by: candidate.platform,
        }
    }

    /// As a block of `sources.toml`.
    pub fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut block = format!(
            "[[source]]\nid = {}\nkind = {}\nurl = {}\nevery_seconds = {}\n",
            quoted(&self.id),
            quoted(self.kind.name()),
            quoted(self.url.as_str()),
            self.every_seconds
        );
        if self.local {
            block.push_str("local = true\n");
        }
        block
    }
}

/// Adds a source at the end of a file, which keeps its comments; makes the file where there is none.
///
/// # Errors
/// With every reason why not: the file has mistakes, the id or the address is there already, it cannot be written.
pub fn append(path: &Path, proposal: &Proposal) -> Result<(), Vec<Mistake>> {
    let name = path.display().to_string();
    let failed = |e: std::io::Error| vec![Mistake::new(&name, e, "a file that can be written")];
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(failed(e)),
    };
    let named = |mistakes: Vec<Mistake>| mistakes.into_iter().map(|m| m.within(&name)).collect::<Vec<_>>();
    let is_empty = before.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if !is_empty {
        let known = catalogue::parse(&before).map_err(named)?;
        let same = |url: &Url| identity::canonical(url) == identity::canonical(&proposal.url);
        if let Some(known) = known.iter().find(|known| same(&known.url)) {
            let found = format!("{} is there already, as {:?}", proposal.url, known.id);
            return Err(vec![Mistake::new(name, found, "another address")]);
        }
    }
    let mut after = before;
    if !after.is_empty() {
        after.push_str(if after.ends_with('\n') { "\n" } else { "\n\n" });
    }
    after.push_str(&proposal.to_toml());
    catalogue::parse(&after).map_err(named)?;
    // Whoever watches the file sees the old one or the new one, never a part.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{file_name}.{}", std::process::id()));
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(after.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&beside);
        failed(e)
    })
}

/// A third of the median gap between posts, as one of [`PAUSES`]: most posts are seen soon, and few polls find nothing.
fn pause(times: &[i64]) -> u64 {
    let mut gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    let Some(median) = gaps.get(gaps.len() / 2) else { return 3600 };
    let wanted = u64::try_from(median / 1000 / 3).unwrap_or_default();
    PAUSES.iter().rev().copied().find(|pause| *pause <= wanted).unwrap_or(PAUSES[0])
}

/// A name as `sources.toml` takes it: small letters, digits, `-`, `_` and `.`, at most 64.
pub(super) fn slug(name: &str) -> String {
    let name = name.strip_prefix("www.").unwrap_or(name);
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' | '.' => out.push(c),
            _ if !out.is_empty() && !out.ends_with('-') => out.push('-'),
            _ => {}
        }
        if out.len() == 64 {
            break;
        }
    }
    let out = out.trim_end_matches(['-', '.']);
    if out.is_empty() { "source".to_owned() } else { out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(id: &str, url: &str) -> Proposal {
        Proposal {
            id: id.to_owned(),
            kind: Kind::Rss,
            url: Url::parse(url).unwrap(),
            every_seconds: 300,
            local: false,
            posts: 3,
            newest: None,
            found_by: "test",
        }
    }

    #[test]
    fn a_source_is_added_once_and_comments_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sources.toml");
        append(&path, &proposal("a", "https://a.example/feed")).unwrap();
        let text = format!("# mine\n\n{}# the end", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, &text).unwrap();
        append(&path, &proposal("b", "https://b.example/feed?x=\"1\"")).unwrap();
        let after = std::fs::read_to_string(&path).unwrap();
        assert!(after.starts_with(&text), "{after}");
        assert_eq!(catalogue::load(&path).unwrap().len(), 2);
        let same = append(&path, &proposal("c", "https://A.example:443/feed?utm_source=x")).unwrap_err();
        assert!(same[0].to_string().contains("as \"a\""), "{same:?}");
        let id = append(&path, &proposal("a", "https://c.example/feed")).unwrap_err();
        assert!(id[0].to_string().contains("used twice"), "{id:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no file is left beside it");
    }

    #[test]
    fn a_file_with_mistakes_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sources.toml");
        std::fs::write(&path, "[[source]]\nid = \"a\"\n").unwrap();
        assert!(append(&path, &proposal("b", "https://b.example/feed")).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[[source]]\nid = \"a\"\n");
    }

    #[test]
    fn the_pause_follows_the_posts() {
        let every = |seconds: i64| (0..20).map(|n| n * seconds * 1000).collect::<Vec<_>>();
        assert_eq!(pause(&every(10)), 60);
        assert_eq!(pause(&every(1000)), 300);
        assert_eq!(pause(&every(86_400)), 21_600);
        assert_eq!(pause(&[]), 3600);
        assert_eq!(slug("www.Example.ORG"), "example.org");
        assert_eq!(slug("medium-@Ada Love"), "medium-ada-love");
        assert_eq!(slug("été"), "t");
        assert_eq!(slug("日本"), "source");
    }
}
