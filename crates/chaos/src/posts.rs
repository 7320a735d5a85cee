//! The posts of a run, made from its seed: in order and out of order, twice, poisonous, of an absurd future, and late.
//!
//! What should become of each is part of it ([`Fate`]). Counted posts lie in a range of event time that is shorter than the grace, so
//! that none of them can be late, in whatever order and however delayed they arrive.

pub(crate) mod feed;
pub(crate) mod feeder;
mod texts;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

pub(crate) use texts::ASSETS;

pub(crate) const MINUTE: i64 = 60_000;
/// Event time that the counted posts cover.
pub(crate) const SPAN: i64 = 120 * MINUTE;
/// The grace of the windows, in hours: longer than [`SPAN`].
pub(crate) const GRACE_HOURS: i64 = 3;
const SOURCES: usize = 5;
const AUTHORS: u32 = 400;
/// Duplicates are taken among this many of the latest posts.
const REMEMBERED: usize = 2_000;

/// What should become of a record of `posts.raw.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is scored and counted, once for all records of this key.
    Counted,
    /// It is scored, and its mentions are late.
    Late,
    /// It is a dead letter with this reason.
    Dead(&'static str),
}

/// A record to publish.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) key: String,
    /// The post; `None` for poison that is none.
    pub(crate) post: Option<RawPost>,
    /// The bytes, where they are not the post's; the inner `None` is no value at all.
    pub(crate) bytes: Option<Option<Bytes>>,
    /// Where it goes; `None` leaves that to the key.
    pub(crate) partition: Option<i32>,
    pub(crate) fate: Fate,
}

impl Planned {
    fn post(post: RawPost, fate: Fate) -> Self {
        Self { key: post.post_id.clone(), post: Some(post), bytes: None, partition: None, fate }
    }
}

pub(crate) struct Generator {
    rng: StdRng,
    from: Timestamp,
    /// How many posts fill the span.
    expected: u64,
    made: u64,
    recent: Vec<RawPost>,
}

impl Generator {
    /// Counted posts lie in the two hours from `from` on, which `expected` posts fill.
    pub(crate) fn new(seed: u64, from: Timestamp, expected: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ 0x7067_7374);
        Self { rng, from, expected: expected.max(1), made: 0, recent: Vec::new() }
    }

    /// The next record. Of a hundred some 4 are poison and 3 duplicates; of the others one in four is out of order.
    pub(crate) fn next(&mut self, now: Timestamp) -> Planned {
        self.made += 1;
        match self.rng.random_range(0..100) {
            0..=3 => self.poison(now),
            4..=6 if !self.recent.is_empty() => {
                let again = self.recent.choose(&mut self.rng).cloned();
                again.map_or_else(|| self.poison(now), |post| Planned::post(post, Fate::Counted))
            }
            _ => {
                let at = self.event_time();
                let post = self.post(at, now);
                if self.recent.len() == REMEMBERED {
                    let place = self.rng.random_range(0..REMEMBERED);
                    self.recent.swap_remove(place);
                }
                self.recent.push(post.clone());
                Planned::post(post, Fate::Counted)
            }
        }
    }

    /// Posts at `at`, for each asset one in each partition of the raw posts: after them every task knows that it is `at`.
    pub(crate) fn advancers(&mut self, at: Timestamp, now: Timestamp, partitions: i32) -> Vec<Planned> {
        let mut made = Vec::new();
        for asset in ASSETS {
            for partition in 0..partitions {
                self.made += 1;
                let mut post = self.post(at, now);
                post.text = format!("{asset} ist auch um {} noch ein Thema und das ist gut so", self.made);
                post.title = None;
                made.push(Planned { partition: Some(partition), ..Planned::post(post, Fate::Counted) });
            }
        }
        made
    }

    /// A post of now.
    pub(crate) fn fresh(&mut self, now: Timestamp) -> Planned {
        self.made += 1;
        Planned::post(self.post(now, now), Fate::Counted)
    }

    /// Posts that come when their windows are closed.
    pub(crate) fn late(&mut self, count: u64, now: Timestamp) -> Vec<Planned> {
        let late = |made: &mut Self| {
            made.made += 1;
            let at = made.from.as_millis() + made.rng.random_range(0..SPAN);
            Planned::post(made.post(Timestamp::from_millis(at), now), Fate::Late)
        };
        (0..count).map(|_| late(self)).collect()
    }

    /// Goes forward with the posts made, here and there back.
    fn event_time(&mut self) -> Timestamp {
        let progress = (SPAN as f64 * (self.made as f64 / self.expected as f64).min(1.0)) as i64;
        let back = if self.rng.random_ratio(1, 4) { self.rng.random_range(0..=progress) } else { 0 };
        let millis = (progress - back + self.rng.random_range(0..MINUTE)).min(SPAN - 1);
        Timestamp::from_millis(self.from.as_millis() + millis)
    }

    fn post(&mut self, published_at: Timestamp, now: Timestamp) -> RawPost {
        let (title, text) = texts::text(&mut self.rng, self.made);
        let kind = ["reddit", "hackernews"][self.rng.random_range(0..2)];
        RawPost {
            post_id: format!("{kind}:chaos-{:08}", self.made),
            source: format!("chaos-{}", self.rng.random_range(0..SOURCES)),
            kind: kind.to_owned(),
            author: self.author(),
            title,
            text,
            published_at,
            fetched_at: now,
            sample: true,
            ..RawPost::default()
        }
    }

    /// Some posts have no author, or one who is gone.
    fn author(&mut self) -> Option<String> {
        match self.rng.random_range(0..20) {
            0 => None,
            1 => Some("[deleted]".to_owned()),
            _ => Some(format!("author-{}", self.rng.random_range(0..AUTHORS))),
        }
    }

    fn poison(&mut self, now: Timestamp) -> Planned {
        let at = self.event_time();
        let post = self.post(at, now);
        let none = |bytes: Option<&'static [u8]>, key: String| Planned {
            key,
            post: None,
            bytes: Some(bytes.map(Bytes::from_static)),
            partition: None,
            fate: Fate::Dead("undecodable"),
        };
        let key = post.post_id.replace("chaos", "poison");
        match self.rng.random_range(0..6) {
            0 => none(Some(b"no avro at all"), key),
            1 => none(Some(b""), key),
            // A schema that nobody has registered.
            2 => none(Some(b"\0\x7f\xff\xff\xf0some bytes"), key),
            3 => Planned { key, ..Planned::post(post, Fate::Dead("invalid")) },
            4 => {
                let published_at = Timestamp::from_millis(i64::MAX / 4);
                Planned::post(RawPost { post_id: key, published_at, ..post }, Fate::Dead("invalid"))
            }
            _ => {
                let days = self.rng.random_range(2..20_000);
                let published_at = Timestamp::from_millis(now.as_millis() + days * 24 * 60 * MINUTE);
                Planned::post(RawPost { post_id: key, published_at, ..post }, Fate::Dead("future_timestamp"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn records(seed: u64) -> Vec<Planned> {
        let mut generator = Generator::new(seed, NOW, 500);
        (0..500).map(|_| generator.next(NOW)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_posts() {
        let texts = |seed| records(seed).into_iter().map(|r| (r.key, r.post.map(|p| p.text))).collect::<Vec<_>>();
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
    }

    #[test]
    fn counted_posts_lie_in_the_span_and_every_kind_of_record_comes() {
        let made = records(7);
        let counted: Vec<_> = made.iter().filter(|r| r.fate == Fate::Counted).collect();
        let times = counted.iter().filter_map(|r| r.post.as_ref()).map(|post| post.published_at);
        assert!(times.clone().all(|at| (0..SPAN).contains(&(at.as_millis() - NOW.as_millis()))));
        assert!(!times.is_sorted(), "some are out of order");
        let keys: std::collections::BTreeSet<_> = counted.iter().map(|r| &r.key).collect();
        assert!(keys.len() < counted.len(), "some come twice");
        for reason in ["undecodable", "invalid", "future_timestamp"] {
            assert!(made.iter().any(|r| r.fate == Fate::Dead(reason)), "{reason}");
        }
    }
}
