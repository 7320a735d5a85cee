//! Data keys of authors as they come and go, and what an erasure takes from the posts.
//!
//! A batch of posts and an erasure exclude each other by an advisory lock: whichever comes second sees what the first wrote, so that no text
//! of an erased author slips in between.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, Error, Statement, Transaction};
use vigie_clock::Timestamp;
use vigie_schemas::AuthorKeyRecord;

use crate::insight::DestroyedKey;
use crate::sink::Written;

/// The lock's number spells "auth".
const LOCK_SHARED: &str = "SELECT pg_advisory_xact_lock_shared(1635087464)";
const LOCK_ALONE: &str = "SELECT pg_advisory_xact_lock(1635087464)";

/// What a post of an erased author loses. `stored_posts` and its temporary twin have these columns.
const WITHOUT_TEXT: &str = "url = NULL, title = NULL, excerpt = '', author_sealed = NULL";

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
    strip_incoming: Statement,
    lock_alone: Statement,
    add_erasures: Statement,
    delete_erased_keys: Statement,
    strip_posts: Statement,
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
                 WHERE {which} p.fetched_at <= (SELECT e.erased_at FROM author_erasures e WHERE e.author_id = p.author_id)"
            )
        };
        Ok(Self {
            lock_shared: client.prepare(LOCK_SHARED).await?,
            strip_incoming: client.prepare(&strip("incoming_stored_posts", "")).await?,
            lock_alone: client.prepare(LOCK_ALONE).await?,
            add_erasures: client.prepare(ADD_ERASURES).await?,
            delete_erased_keys: client.prepare(DELETE_ERASED_KEYS).await?,
            strip_posts: client.prepare(&strip("stored_posts", "p.author_id = ANY($1::text[]) AND")).await?,
            merge_keys: client.prepare(MERGE_KEYS).await?,
            delete_keys: client.prepare(DELETE_KEYS).await?,
        })
    }

    /// Takes the texts of erased authors out of the posts of a batch, before they are merged.
    pub(crate) async fn strip_incoming(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        tx.query(&self.lock_shared, &[]).await?;
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
