//! What differs between a window as it is served and as it was recounted. Pure.

use serde::Serialize;
use serde_json::{Value, json};
use vigie_processors::recount::{Counts, Window};

use super::served::Served;

/// Scores are kept in millionths, and the API divides once more.
const SCORE_TOLERANCE: f64 = 1e-6;

/// A field on which the two do not agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    pub(super) field: &'static str,
    pub(super) served: Value,
    /// A value, or the least and the most that it can be.
    pub(super) recounted: Value,
}

/// What can be compared besides posts, authors and sources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparable {
    /// Labels and scores.
    pub(super) sentiment: bool,
    /// Copies and spam.
    pub(super) copies: bool,
}

/// What differs. A window that one side does not have counts nothing.
pub(super) fn differences(
    served: Option<&Served>,
    recounted: Option<&Window>,
    comparable: Comparable,
) -> Vec<Difference> {
    let nothing = Window::default();
    let recounted = recounted.unwrap_or(&nothing);
    // A window that is not final has left out nothing.
    let is_final = served.is_none_or(|served| served.is_final);
    let exact = (&recounted.counts, &recounted.counts);
    let bounds = recounted.bounds.as_ref().filter(|_| is_final).map(|(least, most)| (least, most));
    let is_exact = bounds.is_none();
    let (least, most) = bounds.unwrap_or(exact);
    let mut found = Vec::new();
    let Some(served) = served.map(|served| &served.counts) else {
        check(&mut found, "posts", None, least.posts, most.posts);
        return found;
    };
    check(&mut found, "posts", Some(served.posts), least.posts, most.posts);
    check(&mut found, "unique_authors", Some(served.unique_authors), least.unique_authors, most.unique_authors);
    if comparable.sentiment {
        for (i, field) in ["negative", "neutral", "positive"].into_iter().enumerate() {
            check(&mut found, field, Some(served.labels[i]), least.labels[i], most.labels[i]);
        }
        let agree = match (served.mean_score, recounted.counts.mean_score) {
            (Some(one), Some(other)) => (one - other).abs() <= SCORE_TOLERANCE,
            (one, other) => one.is_none() == other.is_none(),
        };
        if is_exact && !agree {
            let (served, recounted) = (json!(served.mean_score), json!(recounted.counts.mean_score));
            found.push(Difference { field: "mean_score", served, recounted });
        }
    }
    if comparable.copies && is_exact {
        let fields = [
            ("unique_posts", served.unique_posts, recounted.counts.unique_posts),
            ("spam_posts", served.spam_posts, recounted.counts.spam_posts),
        ];
        // Windows from before they were counted have neither.
        for (field, served, recounted) in fields {
            if let (Some(served), Some(recounted)) = (served, recounted) {
                check(&mut found, field, Some(served), recounted, recounted);
            }
        }
    }
    if !sources_agree(served, least, most) {
        let recounted =
            if is_exact { json!(least.sources) } else { json!({"least": least.sources, "most": most.sources}) };
        found.push(Difference { field: "sources", served: json!(served.sources), recounted });
    }
    found
}

fn check(found: &mut Vec<Difference>, field: &'static str, served: Option<i64>, least: i64, most: i64) {
    if (least..=most).contains(&served.unwrap_or(0)) {
        return;
    }
    let recounted = if least == most { json!(least) } else { json!({"least": least, "most": most}) };
    found.push(Difference { field, served: json!(served), recounted });
}

fn sources_agree(served: &Counts, least: &Counts, most: &Counts) -> bool {
    let of = |counts: &Counts, source: &String| counts.sources.get(source).copied().unwrap_or(0);
    let mut all = served.sources.keys().chain(most.sources.keys());
    all.all(|source| (of(least, source)..=of(most, source)).contains(&of(served, source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Comparable = Comparable { sentiment: true, copies: true };

    fn counts(posts: i64, score: f64) -> Counts {
        Counts {
            posts,
            unique_authors: posts,
            labels: [0, 0, posts],
            mean_score: Some(score),
            sources: [("hn".to_owned(), posts)].into(),
            unique_posts: Some(posts),
            spam_posts: None,
        }
    }

    fn served(counts: Counts, is_final: bool) -> Served {
        Served { counts, is_final, model_sha256: "a".to_owned(), assets_version: "1".to_owned() }
    }

    fn fields(served: Option<&Served>, window: Option<&Window>) -> Vec<&'static str> {
        differences(served, window, ALL).into_iter().map(|difference| difference.field).collect()
    }

    #[test]
    fn every_field_is_compared_and_scores_to_a_millionth() {
        let window = Window { counts: counts(3, 0.5), bounds: None };
        assert_eq!(fields(Some(&served(counts(3, 0.500_000_5), true)), Some(&window)), [""; 0]);
        assert_eq!(fields(Some(&served(counts(3, 0.51), true)), Some(&window)), ["mean_score"]);
        let all = ["posts", "unique_authors", "positive", "unique_posts", "sources"];
        assert_eq!(fields(Some(&served(counts(2, 0.5), true)), Some(&window)), all);
        let other = Counts { labels: [3, 0, 0], unique_posts: Some(2), ..counts(3, -1.0) };
        let nothing = Comparable { sentiment: false, copies: false };
        assert_eq!(differences(Some(&served(other, true)), Some(&window), nothing), []);
        let copied = Counts { unique_posts: Some(2), spam_posts: Some(1), ..counts(3, 0.5) };
        assert_eq!(fields(Some(&served(copied, true)), Some(&window)), ["unique_posts"]);
        let other = Counts { sources: [("x".to_owned(), 3)].into(), ..counts(3, 0.5) };
        assert_eq!(fields(Some(&served(other, true)), Some(&window)), ["sources"]);
    }

    #[test]
    fn a_window_of_one_side_differs_unless_it_is_empty() {
        let window = Window { counts: counts(3, 0.5), bounds: None };
        let missing = differences(None, Some(&window), ALL);
        assert_eq!(missing, [Difference { field: "posts", served: Value::Null, recounted: json!(3) }]);
        assert!(fields(Some(&served(counts(1, 0.5), true)), None).contains(&"posts"));
        assert_eq!(fields(Some(&served(Counts::default(), true)), None), [""; 0]);
        assert_eq!(fields(None, Some(&Window::default())), [""; 0]);
    }

    #[test]
    fn posts_that_may_have_been_late_give_a_final_window_room_and_an_open_one_none() {
        let window = Window { counts: counts(3, 0.5), bounds: Some((counts(1, 0.5), counts(3, 0.5))) };
        for posts in 1..=3 {
            assert_eq!(fields(Some(&served(counts(posts, 0.1), true)), Some(&window)), [""; 0]);
        }
        let found = differences(Some(&served(counts(4, 0.5), true)), Some(&window), ALL);
        assert_eq!(found[0].recounted, json!({"least": 1, "most": 3}));
        assert!(fields(Some(&served(counts(2, 0.5), false)), Some(&window)).contains(&"posts"));
    }
}
