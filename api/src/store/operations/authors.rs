use crate::store::row::columns;
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// What the history holds of an author.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthorRows {
    pub(crate) kind: Option<String>,
    pub(crate) first_seen: Option<UtcTime>,
    pub(crate) last_seen: Option<UtcTime>,
    pub(crate) posts: i64,
    /// The handle under seal.
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) keys: Vec<AuthorKeyRow>,
    pub(crate) erased_at: Option<UtcTime>,
}

/// A wrapped data key.
#[derive(Clone, Debug)]
pub(crate) struct AuthorKeyRow {
    pub(crate) dek_id: String,
    pub(crate) kek_id: String,
    pub(crate) wrapped_key: Vec<u8>,
}

impl Snapshot {
    /// Empty if nothing is known of the author.
    pub(crate) async fn author(&self, author_id: &str) -> Result<AuthorRows, StoreError> {
        let summary = "SELECT min(kind) AS kind, min(published_at) AS first_seen, max(published_at) AS last_seen, \
                       count(DISTINCT post_id) AS posts FROM posts WHERE author_id = $1";
        let sealed = "SELECT sealed FROM authors WHERE author_id = $1";
        let keys = "SELECT dek_id, kek_id, wrapped_key FROM author_keys WHERE author_id = $1";
        let erasure = "SELECT erased_at FROM author_erasures WHERE author_id = $1";
        let mut author = AuthorRows::default();
        if let Some(row) = self.rows(summary, &[&author_id]).await?.first() {
            author.kind = row.try_get("kind")?;
            author.first_seen = row.try_get("first_seen")?;
            author.last_seen = row.try_get("last_seen")?;
            author.posts = row.try_get("posts")?;
        }
        if let Some(row) = self.rows(sealed, &[&author_id]).await?.first() {
            author.sealed = row.try_get("sealed")?;
        }
        for row in self.rows(keys, &[&author_id]).await? {
            author.keys.push(columns!(row => AuthorKeyRow { dek_id, kek_id, wrapped_key }));
        }
        if let Some(row) = self.rows(erasure, &[&author_id]).await?.first() {
            author.erased_at = Some(row.try_get("erased_at")?);
        }
        Ok(author)
    }
}
