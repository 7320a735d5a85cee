//! Authors and their handles under seal, their data keys as they come and go, and what an erasure takes from the posts.
//!
//! A batch of posts and an erasure exclude each other by an advisory lock: whichever comes second sees what the first wrote, so that no text
//! of an erased author slips in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::{Client, Error, Statement, Transaction};
use vigie_clock::Timestamp;
use vigie_schemas::{AuthorKeyRecord, ScoredPost};

use crate::insight::DestroyedKey;
use crate::sink::Written;

/// The lock's number spells "auth".
const LOCK_SHARED: &str = "SELECT pg_advisory_xact_lock_shared(1635087464)";
const LOCK_ALONE: &str = "SELECT pg_advisory_xact_lock(1635087464)";

/// What a post of an erased author loses. `stored_posts` and its temporary twin have these columns.
const WITHOUT_TEXT: &str = "url = NULL, title = NULL, excerpt = ''";

/// An author has one row, which is rewritten once a day at most: when a post was seen, and the handle, if there is one and it was not
/// erased. The number of a row that exists is given, so that the sequence is not used up. `OFFSET 0` makes it a look at the key for each author.
const MERGE_AUTHORS: &str = "INSERT INTO authors AS a (id, author_id, seen_at, sealed_at, sealed)
    SELECT coalesce(o.id, nextval('authors_id_seq')), n.author_id, n.at, CASE WHEN n.sealed IS NOT NULL THEN n.at END, n.sealed
    FROM (SELECT i.author_id, i.at, CASE WHEN i.at <= (SELECT e.erased_at FROM author_erasures e WHERE e.author_id = i.author_id)
                                         THEN NULL ELSE i.sealed END AS sealed
          FROM unnest($1::text[], $2::timestamptz[], $3::bytea[]) AS i (author_id, at, sealed)) n
    LEFT JOIN LATERAL (SELECT * FROM authors o WHERE o.author_id = n.author_id OFFSET 0) o ON true
    WHERE o.id IS NULL OR n.at > o.seen_at + interval '1 day'
       OR n.sealed IS NOT NULL AND (o.sealed_at IS NULL OR n.at > o.sealed_at + interval '1 day')
    ORDER BY n.author_id
    ON CONFLICT (author_id) DO UPDATE SET seen_at = greatest(a.seen_at, excluded.seen_at),
        sealed_at = coalesce(excluded.sealed_at, a.sealed_at), sealed = coalesce(excluded.sealed, a.sealed)";

const AUTHOR_NUMBERS: &str = "SELECT author_id, id FROM authors WHERE author_id = ANY($1::text[])";

const STRIP_HANDLES: &str = "UPDATE authors a SET sealed_at = NULL, sealed = NULL FROM author_erasures e
    WHERE a.author_id = ANY($1::text[]) AND e.author_id = a.author_id AND a.sealed_at <= e.erased_at";

const ADD_ERASURES: &str = "INSERT INTO author_erasures AS e (author_id, erased_at)
    SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS n (author_id, erased_at) ORDER BY author_id
    ON CONFLICT (author_id) DO UPDATE SET erased_at = greatest(e.erased_at, excluded.erased_at)";

const DELETE_ERASED_KEYS: &str = "DELETE FROM author_keys k USING author_erasures e
    WHERE e.author_id = ANY($1::text[]) AND k.author_id = e.author_id AND k.made_at <= e.erased_at";

const MERGE_KEYS: &str = "INSERT INTO author_keys (author_id, dek_id, kek_id, wrapped_key, made_at)
    SELECT n.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[])
        AS n (author_id, dek_id, kek_id, wrapped_key, made_at)
    WHERE NOT EXISTS (SELECT FROM author_erasures e WHERE e.author_id = n.author_id AND e.erased_at >= n.made_at)
    ORDER BY n.author_id, n.dek_id
    ON CONFLICT (author_id, dek_id) DO UPDATE SET kek_id = excluded.kek_id, wrapped_key = excluded.wrapped_key";

const DELETE_KEYS: &str =
    "DELETE FROM author_keys WHERE (author_id, dek_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

/// The statements of this module, prepared.
pub(crate) struct AuthorStatements {
    lock_shared: Statement,
    merge_authors: Statement,
    author_numbers: Statement,
    strip_incoming: Statement,
    lock_alone: Statement,
    add_erasures: Statement,
    delete_erased_keys: Statement,
    strip_posts: Statement,
    strip_handles: Statement,
    merge_keys: Statement,
    delete_keys: Statement,
}

impl AuthorStatements {
    /// The temporary tables must be there.
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        // A subquery, so that the plan goes from the posts to the erasures, whatever the planner believes of their numbers.
        let strip = |table: &str, which: &str| {
            format!(
                "UPDATE {table} p SET {WITHOUT_TEXT}
                 WHERE {which} p.fetched_at <= (SELECT e.erased_at FROM author_erasures e JOIN authors a USING (author_id) WHERE a.id = p.author)"
            )
        };
        Ok(Self {
            lock_shared: client.prepare(LOCK_SHARED).await?,
            merge_authors: client.prepare(MERGE_AUTHORS).await?,
            author_numbers: client.prepare(AUTHOR_NUMBERS).await?,
            strip_incoming: client.prepare(&strip("incoming_stored_posts", "")).await?,
            lock_alone: client.prepare(LOCK_ALONE).await?,
            add_erasures: client.prepare(ADD_ERASURES).await?,
            delete_erased_keys: client.prepare(DELETE_ERASED_KEYS).await?,
            strip_posts: client
                .prepare(&strip(
                    "stored_posts",
                    "p.author = ANY (ARRAY(SELECT id FROM authors WHERE author_id = ANY($1::text[]))) AND",
                ))
                .await?,
            strip_handles: client.prepare(STRIP_HANDLES).await?,
            merge_keys: client.prepare(MERGE_KEYS).await?,
            delete_keys: client.prepare(DELETE_KEYS).await?,
        })
    }

    /// The numbers of the authors of a batch, which are there from now on. Keeps erasures away until the end of the transaction.
    pub(crate) async fn find(
        &self,
        tx: &Transaction<'_>,
        posts: &[&ScoredPost],
    ) -> Result<HashMap<String, i32>, Error> {
        tx.query(&self.lock_shared, &[]).await?;
        // Of each author the latest post that has a handle, or else the latest.
        let mut latest: BTreeMap<&str, (Option<&[u8]>, Timestamp)> = BTreeMap::new();
        for post in posts {
            let Some(author) = post.author_id.as_deref() else { continue };
            let (sealed, at) = latest.entry(author).or_insert((None, post.fetched_at));
            let newer = (post.author_sealed.is_some(), post.fetched_at) >= (sealed.is_some(), *at);
            if newer {
                (*sealed, *at) = (post.author_sealed.as_deref(), post.fetched_at);
            }
        }
        let authors: Vec<&str> = latest.keys().copied().collect();
        let (sealed, times): (Vec<_>, Vec<_>) = latest.values().map(|(sealed, at)| (*sealed, at.to_jiff())).unzip();
        tx.execute(&self.merge_authors, &[&authors, &times, &sealed]).await?;
        let rows = tx.query(&self.author_numbers, &[&authors]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Takes the texts of erased authors out of the posts of a batch, before they are merged.
    pub(crate) async fn strip_incoming(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        tx.execute(&self.strip_incoming, &[]).await.map(drop)
    }
}

/// What a batch says of authors: the last word on each key, and the latest erasure of each author.
#[derive(Default)]
pub(crate) struct AuthorChanges<'a> {
    keys: BTreeMap<(&'a str, &'a str), &'a AuthorKeyRecord>,
    destroyed: BTreeSet<(&'a str, &'a str)>,
    erased: BTreeMap<&'a str, Timestamp>,
}

impl<'a> AuthorChanges<'a> {
    /// A key, or an erasure, in the order of the topic.
    pub(crate) fn add(&mut self, record: &'a AuthorKeyRecord) {
        match &record.dek_id {
            Some(dek_id) => {
                let id = (record.author_id.as_str(), dek_id.as_str());
                self.destroyed.remove(&id);
                self.keys.insert(id, record);
            }
            None => {
                let latest = self.erased.entry(&record.author_id).or_insert(record.at);
                *latest = record.at.max(*latest);
            }
        }
    }

    /// A tombstone.
    pub(crate) fn destroy(&mut self, key: &'a DestroyedKey) {
        let id = (key.author_id.as_str(), key.dek_id.as_str());
        self.keys.remove(&id);
        self.destroyed.insert(id);
    }

    /// Erasures first: a key that is older than its author's erasure is not written at all.
    pub(crate) async fn write(
        &self,
        tx: &Transaction<'_>,
        statements: &AuthorStatements,
        written: &mut Written,
    ) -> Result<(), Error> {
        if !self.erased.is_empty() {
            let authors: Vec<&str> = self.erased.keys().copied().collect();
            let times: Vec<_> = self.erased.values().map(|at| at.to_jiff()).collect();
            tx.query(&statements.lock_alone, &[]).await?;
            written.push(("author_erasures", tx.execute(&statements.add_erasures, &[&authors, &times]).await?));
            written.push(("author_keys", tx.execute(&statements.delete_erased_keys, &[&authors]).await?));
            written.push(("posts", tx.execute(&statements.strip_posts, &[&authors]).await?));
            tx.execute(&statements.strip_handles, &[&authors]).await?;
        }
        if !self.keys.is_empty() {
            let (authors, deks): (Vec<&str>, Vec<&str>) = self.keys.keys().copied().unzip();
            let keks: Vec<_> = self.keys.values().map(|key| key.kek_id.as_deref()).collect();
            let wrapped: Vec<_> = self.keys.values().map(|key| key.wrapped_key.as_deref()).collect();
            let times: Vec<_> = self.keys.values().map(|key| key.at.to_jiff()).collect();
            let keys = tx.execute(&statements.merge_keys, &[&authors, &deks, &keks, &wrapped, &times]).await?;
            written.push(("author_keys", keys));
        }
        if !self.destroyed.is_empty() {
            let (authors, deks): (Vec<&str>, Vec<&str>) = self.destroyed.iter().copied().unzip();
            written.push(("author_keys", tx.execute(&statements.delete_keys, &[&authors, &deks]).await?));
        }
        Ok(())
    }
}
