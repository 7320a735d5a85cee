//! API keys, as the API changes them.

use std::time::Duration;

use vigie_clock::Timestamp;

use crate::auth::Scope;
use crate::auth::credentials::{self, KeyInfo, NewKey};
use crate::http::page::Page;
use crate::store::{Snapshot, Store, StoreError};
use crate::time::{LATEST, UtcTime};

impl Store {
    /// Whether there was room for it.
    pub(crate) async fn store_key(
        &self,
        key: &NewKey,
        name: &str,
        scopes: &[Scope],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut client = self.pool.get().await?;
        let transaction = client.build_transaction().read_only(false).start().await?;
        let is_stored = credentials::insert(&*transaction, key, name, scopes, lifetime, now).await?;
        transaction.commit().await?;
        Ok(is_stored)
    }

    /// Whether there is such a key, not revoked before.
    pub(crate) async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut client = self.pool.get().await?;
        let transaction = client.build_transaction().read_only(false).start().await?;
        let is_revoked = credentials::revoke(&*transaction, id, now).await?;
        transaction.commit().await?;
        Ok(is_revoked)
    }
}

impl Snapshot {
    /// Newest first, by time of creation and id.
    pub(crate) async fn keys(&self, page: &Page) -> Result<Vec<(UtcTime, KeyInfo)>, StoreError> {
        let sql = format!(
            "SELECT {} FROM api_keys WHERE created_at <= $1 AND (created_at < $1 OR key_id > $2) \
             ORDER BY created_at DESC, key_id LIMIT $3",
            credentials::COLUMNS
        );
        let (time, id) = page.begin(UtcTime(LATEST));
        let rows = self.rows(&sql, &[&time, &id, &page.rows()]).await?;
        rows.iter().map(|row| Ok((row.try_get("created_at")?, KeyInfo::of(row)?))).collect()
    }
}
