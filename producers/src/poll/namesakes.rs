//! Posts to which their source gives one id ([`Namesake`]), known by whichever of their two ids they were published under.
//!
//! Beside the id of a post that was alone with it stands a mark: the id, a blank, and the one that the post has beside others. Where there is no
//! mark, as in older cursors, or where it fits several posts, one of them was published, and no one knows which.

use std::collections::{BTreeMap, HashSet};

use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

use super::revise::{mark, remembered};
use crate::kinds::source::{Namesake, Page};

/// Adds to what is `known` the ids of posts of a page that were published under their other id; returns the marks to remember.
pub(super) fn recognise(page: &Page, seen_until: Option<Timestamp>, known: &mut HashSet<String>) -> Vec<String> {
    let mut marks = Vec::new();
    let mut shared: BTreeMap<&str, Vec<(&RawPost, String)>> = BTreeMap::new();
    for post in &page.posts {
        match page.namesakes.get(&post.post_id) {
            Some(Namesake::Beside(other)) => {
                let (id, other) = (remembered(&post.post_id), remembered(other));
                marks.push(mark(&id, &other));
                if known.contains(&other) {
                    known.insert(id);
                }
            }
            Some(Namesake::Alone { id, by_link }) => {
                shared.entry(id).or_default().push((post, mark(&remembered(id), &remembered(by_link))));
            }
            None => {}
        }
    }
    for (id, posts) in shared {
        let id = remembered(id);
        if !known.contains(&id) {
            continue;
        }
        let own = |post: &RawPost| remembered(&post.post_id);
        let is_new = !posts.iter().any(|(post, _)| known.contains(&own(post)));
        let is_mark = |entry: &String| entry.strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with(' '));
        let has_marks = known.iter().any(is_mark);
        let (exact, others): (Vec<_>, Vec<_>) =
            posts.into_iter().partition(|(post, its)| *its == mark(&id, &own(post)) && known.contains(its));
        let mut published: Vec<&RawPost> = exact.into_iter().map(|(post, _)| post).collect();
        if published.is_empty() && is_new {
            let fits = others.into_iter().filter(|(_, mark)| !has_marks || known.contains(mark));
            published = likely(fits.map(|(post, _)| post).collect(), seen_until);
        }
        known.extend(published.into_iter().map(own));
    }
    marks
}

/// Of posts of which one was published, those that an earlier walk saw; if none has a date, the last one, which is the oldest.
fn likely(mut posts: Vec<&RawPost>, seen_until: Option<Timestamp>) -> Vec<&RawPost> {
    if posts.iter().all(|post| post.published_at_estimated) {
        return posts.pop().into_iter().collect();
    }
    posts.retain(|post| !post.published_at_estimated && Some(post.published_at) <= seen_until);
    posts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::document::Document;
    use crate::kinds::Kind;
    use crate::kinds::source::Origin;

    /// Items of one guid by number: each with a link and a title of its own, and a date if it is dated.
    fn page(numbers: &[i64], dated: bool) -> Page {
        let date = |n: &i64| if dated { format!("<pubDate>{n} Jan 2026 10:00 GMT</pubDate>") } else { String::new() };
        let item = |n: &i64| {
            let date = date(n);
            format!("<item><guid>one</guid><title>t{n}</title><link>https://a.example/{n}</link>{date}</item>")
        };
        let feed = format!("<rss><channel>{}</channel></rss>", numbers.iter().map(item).collect::<String>());
        let fetched_at = Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").unwrap();
        let origin = Origin { source: "s", language: None, sample: false, select: None, fetched_at };
        Kind::Rss.source().parse(Document { bytes: feed.as_bytes(), charset: None, base: None }, origin).unwrap()
    }

    /// The titles of what is new in each of these answers, as one poll after the other reads them.
    fn polls(answers: &[&[i64]], dated: bool, known: &mut HashSet<String>) -> Vec<String> {
        let mut seen_until = None;
        let mut titles = Vec::new();
        for numbers in answers {
            let page = page(numbers, dated);
            let marks = recognise(&page, seen_until, known);
            let fresh: Vec<&RawPost> =
                page.posts.iter().filter(|post| known.insert(remembered(&post.post_id))).collect();
            titles.push(fresh.iter().filter_map(|post| post.title.as_deref()).collect::<Vec<_>>().join(" "));
            known.extend(marks);
            let dates = page.posts.iter().filter(|post| !post.published_at_estimated).map(|post| post.published_at);
            seen_until = seen_until.max(dates.max());
        }
        titles
    }

    #[test]
    fn entries_of_one_id_are_published_once_each_alone_or_beside_others() {
        for dated in [true, false] {
            let answers: [&[i64]; 6] = [&[1], &[2, 1], &[4, 3, 2], &[4], &[5, 4], &[7, 6]];
            let titles = polls(&answers, dated, &mut HashSet::new());
            assert_eq!(titles, ["t1", "t2", "t4 t3", "", "t5", "t7 t6"], "dated: {dated}");
        }
    }

    #[test]
    fn what_an_older_cursor_knows_is_not_published_again() {
        let alone = remembered(&page(&[1], true).posts[0].post_id);
        let mut known = HashSet::from([alone.clone()]);
        let seen_until = page(&[2], true).posts[0].published_at;
        let listed = page(&[3, 2, 1], true);
        recognise(&listed, Some(seen_until), &mut known);
        let fresh: Vec<&str> = listed
            .posts
            .iter()
            .filter(|post| !known.contains(&remembered(&post.post_id)))
            .filter_map(|post| post.title.as_deref())
            .collect();
        assert_eq!(fresh, ["t3"]);
        assert_eq!(polls(&[&[2, 1], &[3, 2, 1]], false, &mut HashSet::from([alone])), ["t2", "t3"]);
    }
}
