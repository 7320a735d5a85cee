//! Edits and deletions of posts that were published before.
//!
//! A cursor remembers the ids of published posts in a brief form ([`remembered`]), and beside the id of one that was edited a mark: the id, a
//! blank, and a hash of what the edit made of it. A source that moves the date of its entries at every fetch, without another text, thus repeats
//! nothing new.

use std::collections::HashSet;

use sha2::{Digest, Sha256};
use vigie_schemas::RawPost;

use crate::kinds::source::Page;

/// What a page says of posts that are known.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    /// Posts with another text than they were published with.
    pub(crate) edited: Vec<RawPost>,
    /// Ids of posts that are gone.
    pub(crate) deleted: Vec<String>,
    /// What to remember, each after the id that it is about.
    pub(crate) marks: Vec<String>,
}

/// Says in the posts of a page when they were edited, and finds what is news of those that are `known`.
pub(crate) fn revisions(page: &mut Page, known: &HashSet<String>) -> Revisions {
    let mut found = Revisions::default();
    for post in &mut page.posts {
        let Some(edited) = page.edited.get(&post.post_id) else { continue };
        post.edited_at = Some(*edited);
        let id = remembered(&post.post_id);
        let mark = mark(&id, &hash(post));
        if known.contains(&id) && !known.contains(&mark) {
            found.edited.push(post.clone());
        }
        found.marks.push(mark);
    }
    for post_id in &page.deleted {
        let id = remembered(post_id);
        if !known.contains(&id) {
            continue;
        }
        let mark = mark(&id, "deleted");
        if !known.contains(&mark) {
            found.deleted.push(post_id.clone());
        }
        found.marks.push(mark);
    }
    found
}

/// A post id, or a mark of one, as it is remembered: in place of the id, which is `<kind>:<name>` and often the SHA-256 of an address, the first
/// 16 digits of its own SHA-256. What has that form already stays as it is; older cursors hold whole ids.
pub(crate) fn remembered(entry: &str) -> String {
    let (id, mark) = entry.split_at(post_of(entry).len());
    if !id.contains(':') {
        return entry.to_owned();
    }
    brief(Sha256::digest(id)) + mark
}

/// The post that an entry of a cursor's ids is about.
pub(crate) fn post_of(entry: &str) -> &str {
    entry.split_once(' ').map_or(entry, |(id, _)| id)
}

pub(super) fn mark(id: &str, what: &str) -> String {
    format!("{id} {what}")
}

fn hash(post: &RawPost) -> String {
    let mut digest = Sha256::new();
    digest.update(post.title.as_deref().unwrap_or_default());
    digest.update([0]);
    digest.update(&post.text);
    brief(digest.finalize())
}

fn brief(digest: impl IntoIterator<Item = u8>) -> String {
    digest.into_iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use vigie_clock::Timestamp;

    use super::*;
    use crate::kinds::source::Origin;
    use crate::kinds::source::draft::Draft;

    fn page(text: &str, edited: i64) -> Page {
        let fetched_at = Timestamp::from_millis(100_000);
        let origin = Origin { source: "s", language: None, sample: false, select: None, fetched_at };
        let mut page = Page::default();
        let draft = Draft {
            id: "rss:1".into(),
            text: text.into(),
            published: Some(Timestamp::from_millis(5000)),
            edited: Some(Timestamp::from_millis(edited)),
            ..Draft::default()
        };
        draft.add_to(&mut page, "rss", origin);
        page
    }

    #[test]
    fn an_edit_is_published_once_and_only_with_another_text() {
        let mut known = HashSet::new();
        let first = revisions(&mut page("one", 6000), &known);
        assert!(first.edited.is_empty(), "a post that is not known is new, not edited");
        known.insert(remembered("rss:1"));
        known.extend(first.marks);
        assert!(revisions(&mut page("one", 7000), &known).edited.is_empty(), "the date alone is no edit");
        let second = revisions(&mut page("two", 8000), &known);
        assert_eq!(second.edited[0].edited_at, Some(Timestamp::from_millis(8000)));
        assert_eq!(post_of(&second.marks[0]), remembered("rss:1"));
        known.extend(second.marks);
        assert!(revisions(&mut page("two", 8000), &known).edited.is_empty());
    }

    #[test]
    fn a_deletion_is_published_once_and_of_known_posts_only() {
        let gone = || Page { deleted: vec!["rss:1".into(), "rss:2".into()], ..Page::default() };
        let mut known = HashSet::from([remembered("rss:1")]);
        let first = revisions(&mut gone(), &known);
        assert_eq!(first.deleted, ["rss:1"]);
        known.extend(first.marks);
        assert!(revisions(&mut gone(), &known).deleted.is_empty());
    }

    #[test]
    fn whole_and_brief_ids_and_their_marks_are_remembered_alike() {
        let id = "rss:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let brief = remembered(id);
        assert_eq!(brief.len(), 16);
        assert_eq!(remembered(&brief), brief);
        assert_eq!(remembered(&format!("{id} deleted")), format!("{brief} deleted"));
        assert_ne!(remembered("hackernews:1"), remembered("hackernews:2"));
    }
}
