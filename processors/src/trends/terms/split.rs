//! From a scored post to what is counted of it. Pure.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use vigie_schemas::{ScoredPost, TermPost};

use crate::assets::post_text;
use crate::text::{spam, terms};

/// Excerpts of this many characters end in the middle of the text, and may of a word.
const FULL_EXCERPT: usize = 280;

/// What is counted of a post.
pub fn split(post: ScoredPost) -> TermPost {
    let gone = post.deleted_at.is_some() || post.spam_score.is_some_and(|score| score >= spam::SPAM);
    let excerpt = match post.excerpt.chars().count() < FULL_EXCERPT {
        true => post.excerpt.as_str(),
        false => post.excerpt.rsplit_once(char::is_whitespace).map_or("", |(whole, _)| whole),
    };
    let words = if gone { String::new() } else { terms::runs(&post_text(post.title.as_deref(), excerpt)) };
    TermPost {
        author: author(post.author_id.as_deref().unwrap_or(&post.source)),
        words,
        gone,
        post_id: post.post_id,
        revision: post.revision,
        published_at: post.published_at,
        input_partition: post.lineage.input_partition,
        fingerprint: post.fingerprint,
        assets: post.assets.into_iter().map(|mention| mention.asset).collect(),
        sample: post.sample,
    }
}

/// A number that stands for an author. The same in every version, as it is stored.
fn author(name: &str) -> i64 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_of_title_and_excerpt_are_counted_and_none_of_spam() {
        let long = "ust depeg ".repeat(28);
        let post = ScoredPost {
            title: Some("$LUNA".to_owned()),
            excerpt: long[..278].to_owned() + "es",
            ..ScoredPost::default()
        };
        let words = split(post.clone()).words;
        assert!(words.starts_with("$luna\nust depeg ust") && words.ends_with(" depeg ust"), "{words}");
        let spam = split(ScoredPost { spam_score: Some(0.5), ..post.clone() });
        assert_eq!((spam.gone, spam.words.as_str()), (true, ""));
        let by = |author: Option<&str>, source: &str| {
            split(ScoredPost { author_id: author.map(str::to_owned), source: source.to_owned(), ..post.clone() }).author
        };
        assert_eq!(by(None, "coindesk"), by(Some("coindesk"), "reddit"));
        assert_ne!(by(Some("a"), "reddit"), by(Some("b"), "reddit"));
    }
}
