//! API keys, and tokens that are revoked.

use std::sync::Arc;

use vigie_clock::{SharedClock, Timestamp};

use crate::auth::{Access, Ledger};
use crate::store::{Store, StoreError};

fn time(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millisecond())
}

impl Store {
    /// The tables, for who checks tokens and keys.
    pub(crate) fn ledger(self, clock: SharedClock) -> Ledger {
        let (reader, writer) = (Arc::new(self.clone()), Arc::new(self));
        Ledger {
            read: Box::new(move |known| {
                let (store, now) = (reader.clone(), clock.now());
                Box::pin(async move { store.access(known, now).await.map_err(|error| error.to_string()) })
            }),
            note: Box::new(move |id, at| {
                let store = writer.clone();
                Box::pin(async move {
                    if let Err(error) = store.key_used(&id, at).await {
                        tracing::warn!(key = id, %error, "the use of an API key is not noted");
                    }
                })
            }),
        }
    }

    /// Who may ask at `now`; `None` if nothing has changed since `known`.
    async fn access(&self, known: Option<i64>, now: Timestamp) -> Result<Option<Access>, StoreError> {
        let changes = "SELECT changes FROM access_changes";
        let keys = "SELECT key_id, hash, scopes, expires_at, last_used_at FROM api_keys \
                    WHERE revoked_at IS NULL AND expires_at > $1";
        let revoked = "SELECT kind, value, revoked_at FROM revoked_tokens WHERE keep_until > $1";
        let now = now.to_jiff().unwrap_or(jiff::Timestamp::MAX);
        let data = self.snapshot().await?;
        let row = data.rows(changes, &[]).await?;
        let changes = row.first().map(|row| row.try_get("changes")).transpose()?.unwrap_or_default();
        if known == Some(changes) {
            data.end().await;
            return Ok(None);
        }
        let mut access = Access::after(changes);
        for row in data.rows(keys, &[&now]).await? {
            let Ok(hash) = row.try_get::<_, &[u8]>("hash")?.try_into() else { continue };
            let scopes: Vec<String> = row.try_get("scopes")?;
            let last_used_at = row.try_get::<_, Option<_>>("last_used_at")?.map(time);
            access.add_key(row.try_get("key_id")?, hash, &scopes, time(row.try_get("expires_at")?), last_used_at);
        }
        for row in data.rows(revoked, &[&now]).await? {
            match row.try_get("kind")? {
                "jti" => access.revoke_id(row.try_get("value")?),
                _ => access.revoke_subject(row.try_get("value")?, time(row.try_get("revoked_at")?)),
            }
        }
        data.end().await;
        Ok(Some(access))
    }

    /// Unless another server has noted a later use.
    async fn key_used(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let at = at.to_jiff().unwrap_or(jiff::Timestamp::MAX);
        let mut client = self.pool.get().await?;
        let transaction = client.build_transaction().read_only(false).start().await?;
        let sql = "UPDATE api_keys SET last_used_at = greatest(last_used_at, $2) WHERE key_id = $1";
        transaction.execute(sql, &[&id, &at]).await?;
        Ok(transaction.commit().await?)
    }
}
