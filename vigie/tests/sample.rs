//! The sample as the topologies see it: what `vigie up --sample` can show depends on how its posts are written.

use std::collections::HashSet;

use vigie_clock::Timestamp;
use vigie_processors::text::fingerprint::Fingerprint;
use vigie_processors::text::spam;
use vigie_sample::{Generator, SamplePost};

/// How the sentiment topology reads a post.
fn text(post: &SamplePost) -> String {
    format!("{}\n{}", post.title, post.text)
}

#[test]
fn most_sample_posts_are_neither_copies_of_one_another_nor_spam() {
    let opened = Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").unwrap();
    let from = Timestamp::parse_rfc3339("2026-11-23T06:00:00Z").unwrap();
    let mut posts = Generator::new(7, 12.0, from).opened_at(opened).newest_first(opened);
    posts.reverse();
    let mut seen = HashSet::new();
    let mut unique = 0;
    for post in &posts {
        let fingerprint = Fingerprint::of(&text(post)).unwrap();
        let is_spam = spam::judge(&text(post), Some(&post.author), None).is_spam();
        // Of near duplicates some pair is the same. All pairs are noted.
        let pairs = fingerprint.pairs().into_iter().enumerate();
        let is_copy = pairs.filter(|pair| !seen.insert(*pair)).count() > 0;
        unique += usize::from(!is_spam && !is_copy);
    }
    assert!(unique * 10 > posts.len() * 6, "{unique} of {} posts are unique", posts.len());
}
