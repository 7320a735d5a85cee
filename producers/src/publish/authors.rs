//! Authors on their way out: the handle gives way to its pseudonym, and goes on under seal.
//!
//! ```text
//! post.author ──▶ author_id (HMAC)
//!            └──▶ author_sealed, by the author's data key ──▶ AuthorKeyRecord (wrapped), in the transaction of the posts
//! ```
//!
//! A data key is offered for publication with every batch that uses it, until a transaction that held it is committed, and never again after
//! that: so no committed post is sealed by a key that nobody has, and no key comes back after its author was erased. It is used for an hour; what an
//! author writes later is sealed by a new one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use vigie_authors::{AuthorKey, DataKey, Keyring};
use vigie_clock::Timestamp;
use vigie_schemas::{AuthorKeyRecord, RawPost};

/// Authors whose data keys are held, at most.
const HELD: usize = 50_000;

/// How long a data key seals new posts.
const USED_FOR: Duration = Duration::from_secs(3600);

/// Puts pseudonyms and seals in the place of handles.
#[derive(Debug)]
pub(crate) struct Authors {
    key: AuthorKey,
    /// Without one, handles are not kept at all.
    keyring: Option<Keyring>,
    held: HashMap<String, Held>,
    /// Authors by the time at which their key was made, oldest first.
    order: VecDeque<(Timestamp, String)>,
}

#[derive(Debug)]
struct Held {
    key: DataKey,
    made_at: Timestamp,
    /// Still to be published; `None` once it is committed.
    record: Option<AuthorKeyRecord>,
}

impl Authors {
    pub(crate) fn new(key: AuthorKey, keyring: Option<Keyring>) -> Self {
        Self { key, keyring, held: HashMap::new(), order: VecDeque::new() }
    }

    /// Takes the handles out of `posts`. Returns the data keys that must be published in the same transaction.
    pub(crate) fn seal<'a>(
        &mut self,
        posts: impl Iterator<Item = &'a mut RawPost>,
        now: Timestamp,
    ) -> Vec<AuthorKeyRecord> {
        self.expire(now);
        let mut keys: HashMap<String, AuthorKeyRecord> = HashMap::new();
        for post in posts {
            let Some(author) = post.author.take() else { continue };
            let Some(author_id) = self.key.pseudonym(&post.kind, &post.source, &author) else { continue };
            if let Some(keyring) = &self.keyring {
                let held = hold(&mut self.held, &mut self.order, keyring, &author_id, now);
                post.author_sealed = Some(held.key.seal(&author_id, author.trim()));
                if let Some(record) = &held.record {
                    keys.entry(record.key()).or_insert_with(|| record.clone());
                }
            }
            post.author_id = Some(author_id);
        }
        keys.into_values().collect()
    }

    /// These data keys are on their topic for good.
    pub(crate) fn committed(&mut self, keys: &[AuthorKeyRecord]) {
        for key in keys {
            let held = self.held.get_mut(&key.author_id);
            if let Some(held) = held.filter(|held| held.record.as_ref() == Some(key)) {
                held.record = None;
            }
        }
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((made_at, author_id)) = self.order.front() {
            let young = now.since(*made_at) < USED_FOR && *made_at <= now;
            if young && self.order.len() <= HELD {
                break;
            }
            if self.held.get(author_id).is_some_and(|held| held.made_at == *made_at) {
                self.held.remove(author_id);
            }
            self.order.pop_front();
        }
    }
}

/// The author's data key, made if none is held.
fn hold<'a>(
    held: &'a mut HashMap<String, Held>,
    order: &mut VecDeque<(Timestamp, String)>,
    keyring: &Keyring,
    author_id: &str,
    now: Timestamp,
) -> &'a Held {
    held.entry(author_id.to_owned()).or_insert_with(|| {
        let key = DataKey::new();
        let wrapped = key.wrap(author_id, keyring).expect("a keyring wraps in memory");
        order.push_back((now, author_id.to_owned()));
        let record = AuthorKeyRecord {
            author_id: author_id.to_owned(),
            dek_id: Some(wrapped.id.to_string()),
            kek_id: Some(wrapped.keyring_key),
            wrapped_key: Some(wrapped.bytes),
            at: now,
        };
        Held { key, made_at: now, record: Some(record) }
    })
}

#[cfg(test)]
mod tests {
    use vigie_authors::{Sealed, WrappedKey};

    use super::*;

    const RING: &str = "1 0101010101010101010101010101010101010101010101010101010101010101";

    fn authors(keyring: Option<&str>) -> Authors {
        Authors::new("0123456789abcdef".parse().unwrap(), keyring.map(|text| text.parse().unwrap()))
    }

    fn post(author: Option<&str>) -> RawPost {
        RawPost {
            post_id: "reddit:t3_1".into(),
            source: "r-bitcoin".into(),
            kind: "reddit".into(),
            author: author.map(Into::into),
            published_at: at(0),
            fetched_at: at(0),
            ..RawPost::default()
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn opened(post: &RawPost, keys: &[AuthorKeyRecord]) -> String {
        let author_id = post.author_id.as_deref().unwrap();
        let sealed = Sealed::parse(post.author_sealed.as_deref().unwrap()).unwrap();
        let id = sealed.data_key().to_string();
        let record = keys.iter().find(|key| key.dek_id.as_ref() == Some(&id)).unwrap();
        let wrapped = WrappedKey {
            id: id.parse().unwrap(),
            keyring_key: record.kek_id.clone().unwrap(),
            bytes: record.wrapped_key.clone().unwrap(),
        };
        wrapped.unwrap(author_id, &RING.parse::<Keyring>().unwrap()).unwrap().open(author_id, sealed).unwrap()
    }

    #[test]
    fn the_handle_leaves_under_seal_only_and_its_key_travels_beside_it() {
        let mut authors = authors(Some(RING));
        let mut posts =
            [post(Some(" satoshi ")), post(Some("satoshi")), post(Some("hal")), post(None), post(Some("[deleted]"))];
        let keys = authors.seal(posts.iter_mut(), at(0));
        assert_eq!(keys.len(), 2, "one key for each author");
        assert!(posts.iter().all(|post| post.author.is_none()));
        assert_eq!([&posts[0], &posts[1], &posts[2]].map(|post| opened(post, &keys)), ["satoshi", "satoshi", "hal"]);
        assert!(posts[0].author_id == posts[1].author_id && posts[0].author_id != posts[2].author_id);
        assert!(posts[3..].iter().all(|post| post.author_id.is_none() && post.author_sealed.is_none()));
    }

    #[test]
    fn a_key_is_offered_until_it_is_committed_and_never_again() {
        let mut authors = authors(Some(RING));
        let first = authors.seal([post(Some("hal"))].iter_mut(), at(0));
        let again = authors.seal([post(Some("hal"))].iter_mut(), at(1));
        assert_eq!(first, again, "the transaction may have failed");
        authors.committed(&first);
        let mut later = post(Some("hal"));
        assert_eq!(authors.seal(std::iter::once(&mut later), at(2)), []);
        assert_eq!(opened(&later, &first), "hal");
    }

    #[test]
    fn after_an_hour_and_when_too_many_are_held_new_keys_are_made() {
        let mut authors = authors(Some(RING));
        let first = authors.seal([post(Some("hal"))].iter_mut(), at(0));
        authors.committed(&first);
        assert_eq!(authors.seal([post(Some("hal"))].iter_mut(), at(3599)), []);
        let second = authors.seal([post(Some("hal"))].iter_mut(), at(3600));
        assert!(second.len() == 1 && second != first);
        let mut crowd: Vec<RawPost> = (0..=HELD).map(|n| post(Some(&format!("user-{n}")))).collect();
        authors.seal(crowd.iter_mut(), at(3601));
        authors.seal(std::iter::empty(), at(3601));
        assert_eq!((authors.held.len(), authors.order.len()), (HELD, HELD));
    }

    #[test]
    fn without_a_keyring_the_handle_is_not_kept() {
        let mut authors = authors(None);
        let mut one = post(Some("hal"));
        assert_eq!(authors.seal(std::iter::once(&mut one), at(0)), []);
        assert!(one.author.is_none() && one.author_sealed.is_none() && one.author_id.is_some());
    }
}
