//! The posts of one window, by term.
//!
//! What it reports depends on the set of posts alone, not on their order: of near duplicates the one that was published first counts, wherever in the
//! order it comes. A window holds [`MAX_POSTS`] posts at most: of more it keeps those of every second author, by a hash, of every fourth, and so on;
//! shares stay what they are but for chance, and numbers are multiplied.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;
use vigie_schemas::{TermExample, TermPost};

use crate::text::fingerprint::Fingerprint;
use crate::text::terms::terms;

/// The most posts of a window that are kept in memory.
pub const MAX_POSTS: usize = 50_000;

/// Posts behind a term that are reported.
const EXAMPLES: usize = 10;

/// What is kept of a post. Names are short, as there is one for each post of 30 hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    #[serde(rename = "r")]
    pub(super) revision: i32,
    #[serde(rename = "t")]
    pub(super) published_at: Timestamp,
    #[serde(rename = "a")]
    pub(super) author: i64,
    #[serde(rename = "w")]
    pub(super) words: String,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<i64>,
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) assets: Vec<String>,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) sample: bool,
}

impl From<TermPost> for Kept {
    fn from(post: TermPost) -> Self {
        let TermPost { revision, published_at, author, words, fingerprint, assets, sample, .. } = post;
        Self { revision, published_at, author, words, fingerprint, assets, sample }
    }
}

/// The posts of a window.
#[derive(Debug)]
pub struct WindowIndex {
    limit: usize,
    /// Of 2 to the power of this authors one is kept.
    depth: u32,
    posts: Vec<Post>,
    /// Numbers of authors.
    authors: HashMap<i64, u32>,
    /// Numbers of posts.
    terms: HashMap<Box<str>, Vec<u32>>,
    /// The first post with each pair of the fingerprint's values.
    firsts: HashMap<(u8, u32), u32>,
}

#[derive(Debug)]
struct Post {
    published_at: Timestamp,
    post_id: Box<str>,
    author: u32,
    assets: Box<[String]>,
    copy: bool,
    sample: bool,
}

impl Post {
    fn spot(&self) -> (Timestamp, &str) {
        (self.published_at, &self.post_id)
    }
}

/// What the posts with a term have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    pub(super) posts: i64,
    pub(super) first_seen: Option<Timestamp>,
    pub(super) examples: Vec<TermExample>,
    /// With the number of posts.
    pub(super) assets: BTreeMap<String, i64>,
    pub(super) sample: bool,
}

impl Default for WindowIndex {
    fn default() -> Self {
        Self::of(MAX_POSTS)
    }
}

impl WindowIndex {
    fn of(limit: usize) -> Self {
        let (posts, authors, terms, firsts) = Default::default();
        Self { limit, depth: 0, posts, authors, terms, firsts }
    }

    /// Takes a post in that is not there yet; false if there are too many, and it must be rebuilt from all posts by [`rebuilt`](Self::rebuilt).
    #[must_use]
    pub(super) fn add(&mut self, post_id: &str, kept: &Kept) -> bool {
        if kept.author.cast_unsigned().leading_zeros() < self.depth {
            return true;
        }
        if self.posts.len() == self.limit {
            return false;
        }
        let next = self.authors.len() as u32;
        let author = *self.authors.entry(kept.author).or_insert(next);
        let number = self.posts.len() as u32;
        let mut post = Post {
            published_at: kept.published_at,
            post_id: post_id.into(),
            author,
            assets: kept.assets.as_slice().into(),
            copy: false,
            sample: kept.sample,
        };
        let pairs = kept.fingerprint.map(|fingerprint| Fingerprint::from_long(fingerprint).pairs());
        for pair in (0..).zip(pairs.into_iter().flatten()) {
            let first = self.firsts.entry(pair).or_insert(number);
            let Some(other) = self.posts.get_mut(*first as usize) else { continue };
            if other.spot() < post.spot() {
                post.copy = true;
            } else {
                other.copy = true;
                *first = number;
            }
        }
        for term in terms(&kept.words) {
            match self.terms.get_mut(term) {
                Some(posts) => posts.push(number),
                None => drop(self.terms.insert(term.into(), vec![number])),
            }
        }
        self.posts.push(post);
        true
    }

    /// An index of all posts of a window.
    pub(super) fn rebuilt(posts: &[(String, Kept)]) -> Self {
        Self::rebuilt_of(MAX_POSTS, posts)
    }

    fn rebuilt_of(limit: usize, posts: &[(String, Kept)]) -> Self {
        let mut index = Self::of(limit);
        while !posts.iter().all(|(post_id, kept)| index.add(post_id, kept)) {
            index = Self { depth: index.depth + 1, ..Self::of(limit) };
        }
        index
    }

    /// How often an author that is kept counts.
    pub(super) fn weight(&self) -> i64 {
        1 << self.depth
    }

    fn counted(&self) -> impl Iterator<Item = &Post> {
        self.posts.iter().filter(|post| !post.copy)
    }

    /// Distinct authors of those that are kept.
    pub(super) fn all_authors(&self) -> usize {
        self.counted().map(|post| post.author).collect::<HashSet<_>>().len()
    }

    /// The terms with `least` posts or more, and how many distinct authors use them.
    pub(super) fn terms(&self, least: usize) -> impl Iterator<Item = (&str, usize)> {
        let mut counter = Counter::new(self.authors.len());
        let terms = self.terms.iter().filter(move |(_, posts)| posts.len() >= least);
        terms.map(move |(term, posts)| (&**term, counter.distinct(&self.posts, posts)))
    }

    /// How many distinct authors use a term.
    pub(super) fn authors(&self, term: &str) -> usize {
        let posts = self.terms.get(term).map_or(&[][..], Vec::as_slice);
        let counted = posts.iter().map(|number| &self.posts[*number as usize]).filter(|post| !post.copy);
        counted.map(|post| post.author).collect::<HashSet<_>>().len()
    }

    /// What the posts with a term have in common.
    pub(super) fn about(&self, term: &str) -> About {
        let numbers = self.terms.get(term).into_iter().flatten();
        let mut posts: Vec<&Post> =
            numbers.map(|number| &self.posts[*number as usize]).filter(|post| !post.copy).collect();
        posts.sort_unstable_by_key(|post| post.spot());
        let mut assets = BTreeMap::new();
        for asset in posts.iter().flat_map(|post| &post.assets) {
            *assets.entry(asset.clone()).or_default() += 1;
        }
        let mut authors = HashSet::new();
        let first_of_each = posts.iter().filter(|post| authors.insert(post.author)).take(EXAMPLES);
        let example = |post: &&Post| TermExample { post_id: post.post_id.to_string(), published_at: post.published_at };
        About {
            examples: first_of_each.map(example).collect(),
            posts: posts.len() as i64,
            first_seen: posts.first().map(|post| post.published_at),
            assets,
            sample: posts.iter().any(|post| post.sample),
        }
    }
}

/// Counts distinct authors without a set for each term.
struct Counter {
    /// The turn in which each author was last met.
    met: Vec<u32>,
    turn: u32,
}

impl Counter {
    fn new(authors: usize) -> Self {
        Self { met: vec![0; authors], turn: 0 }
    }

    fn distinct(&mut self, posts: &[Post], numbers: &[u32]) -> usize {
        self.turn += 1;
        let (met, turn) = (&mut self.met, self.turn);
        let counted = numbers.iter().map(|number| &posts[*number as usize]).filter(|post| !post.copy);
        counted.filter(|post| std::mem::replace(&mut met[post.author as usize], turn) != turn).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(author: i64, at: i64, words: &str, fingerprint: Option<i64>) -> Kept {
        let (assets, sample) = (vec!["UST".to_owned()], false);
        Kept {
            revision: 1,
            published_at: Timestamp::from_millis(at),
            author,
            words: words.to_owned(),
            fingerprint,
            assets,
            sample,
        }
    }

    fn index(posts: &[(&str, Kept)]) -> WindowIndex {
        let posts: Vec<_> = posts.iter().map(|(id, kept)| ((*id).to_owned(), kept.clone())).collect();
        WindowIndex::rebuilt(&posts)
    }

    #[test]
    fn an_author_counts_once_and_a_copy_not_at_all() {
        let text = Some(0x0001_0002_0003_0004);
        let near = Some(0x0009_0002_0009_0004);
        let index = index(&[
            ("later", kept(3, 9, "ust depeg", near)),
            ("first", kept(1, 5, "ust depeg", text)),
            ("again", kept(1, 6, "depeg", None)),
            ("other", kept(2, 7, "depeg\ndepeg", None)),
        ]);
        assert_eq!(
            (index.all_authors(), index.authors("depeg"), index.authors("ust depeg"), index.authors("x")),
            (2, 2, 1, 0)
        );
        let mut terms: Vec<_> = index.terms(1).collect();
        terms.sort_unstable();
        assert_eq!(terms, [("depeg", 2), ("ust", 1), ("ust depeg", 1)]);
        let about = index.about("depeg");
        assert_eq!((about.posts, about.first_seen, about.assets["UST"]), (3, Some(Timestamp::from_millis(5)), 3));
        let ids: Vec<_> = about.examples.iter().map(|example| example.post_id.as_str()).collect();
        assert_eq!(ids, ["first", "other"]);
    }

    proptest! {
        #[test]
        fn neither_the_order_of_posts_nor_when_there_are_too_many_matters(
            posts in prop::collection::vec((any::<i64>(), 0_i64..20, "(a|b|c){1,2}( (d|e))?", prop::option::of(0_i64..3)), 1..60),
            limit in 1_usize..80,
        ) {
            let mut posts: Vec<_> = posts.into_iter().enumerate()
                .map(|(n, (author, at, words, text))| {
                    (format!("p{n}"), kept(author, at, &words, text.map(|text| text << 32 | 7)))
                }).collect();
            let reported = |index: &WindowIndex| {
                let mut terms: Vec<_> = index.terms(1).map(|(term, authors)| (term.to_owned(), authors, index.about(term))).collect();
                terms.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                (index.weight(), index.all_authors(), terms)
            };
            let forward = WindowIndex::rebuilt_of(limit, &posts);
            for (term, authors) in forward.terms(1) {
                prop_assert_eq!(authors, forward.authors(term));
            }
            posts.reverse();
            prop_assert_eq!(reported(&forward), reported(&WindowIndex::rebuilt_of(limit, &posts)));
        }
    }
}
