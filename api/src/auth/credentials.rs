//! API keys and revocations, as an operator changes them in the database. Who calls audits it.

use std::time::Duration;

use jiff::Timestamp as Time;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Row};
use utoipa::ToSchema;
use vigie_clock::Timestamp;
use vigie_daemon::{Mistake, Secret, ServiceError};
use vigie_stores::PostgresUrl;

use crate::auth::Scope;
use crate::auth::api_key::{self, ApiKey};

/// Every API holds all of them in memory.
const MAX_KEYS: i64 = 10_000;
const MAX_REVOKED: i64 = 100_000;
const MAX_NAME: usize = 100;

/// A connection to the tables of API keys and revoked tokens.
pub struct Credentials {
    client: Client,
    url: PostgresUrl,
}

/// A key that was just made: the only time that it is seen.
pub struct NewKey {
    /// Its id, for revoking it.
    pub id: String,
    /// The key itself.
    pub key: Secret,
}

impl NewKey {
    /// A random one, which is stored nowhere yet.
    pub fn random() -> Self {
        let ApiKey { id, text } = ApiKey::random();
        Self { id, key: text }
    }
}

/// What is known of a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyInfo {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it ends.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// When it was revoked.
    #[schema(format = DateTime)]
    pub revoked_at: Option<String>,
    /// When it was used last, to the minute.
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
}

/// What is revoked.
pub enum Revoked<'a> {
    /// The token of this id (jti).
    Token(&'a str),
    /// Every token that the subject had until now.
    Subject(&'a str),
}

fn time(timestamp: Timestamp) -> Time {
    timestamp.to_jiff().unwrap_or(Time::MAX)
}

impl Credentials {
    /// Connects.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn connect(url: &PostgresUrl) -> Result<Self, ServiceError> {
        let unavailable = |error| ServiceError::unavailable(format!("postgresql at {url}"), error);
        let (client, connection) = url.connect("vigie").await.map_err(unavailable)?;
        tokio::spawn(connection);
        Ok(Self { client, url: url.clone() })
    }

    /// Makes a key.
    ///
    /// # Errors
    /// As [`Self::store_key`].
    pub async fn create_key(
        &self,
        name: &str,
        scopes: &[Scope],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<NewKey, ServiceError> {
        let key = NewKey::random();
        self.store_key(&key, name, scopes, lifetime, now).await?;
        Ok(key)
    }

    /// Makes a key valid.
    ///
    /// # Errors
    /// [`ServiceError::Config`] if the name is empty or too long; [`ServiceError::Failed`] if there are too many keys.
    pub async fn store_key(
        &self,
        key: &NewKey,
        name: &str,
        scopes: &[Scope],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        if !is_name(name) {
            return Err(Mistake::new(
                "--name",
                format!("{name:?}"),
                format!("1 to {MAX_NAME} characters, none of control"),
            )
            .into());
        }
        if !insert(&self.client, key, name, scopes, lifetime, now).await.map_err(|error| self.failed(error))? {
            return Err(ServiceError::failed(format!("there are {MAX_KEYS} API keys, revoke one first")));
        }
        Ok(())
    }

    /// All keys, the newest first; of revoked and expired ones too.
    ///
    /// # Errors
    /// [`ServiceError::Failed`].
    pub async fn keys(&self) -> Result<Vec<KeyInfo>, ServiceError> {
        let sql = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created_at DESC, key_id");
        let rows = self.client.query(&sql, &[]).await.map_err(|error| self.failed(error))?;
        rows.iter().map(KeyInfo::of).collect::<Result<_, _>>().map_err(|error| self.failed(error))
    }

    /// Revokes a key for good; false if there is none of this id that is not revoked.
    ///
    /// # Errors
    /// [`ServiceError::Failed`].
    pub async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, ServiceError> {
        revoke(&self.client, id, now).await.map_err(|error| self.failed(error))
    }

    /// Revokes tokens, which are valid for `lifetime` at most; forgets those that are no longer valid anyway.
    ///
    /// # Errors
    /// [`ServiceError::Failed`] if there are too many already.
    pub async fn revoke_tokens(
        &self,
        what: Revoked<'_>,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let (kind, value) = match what {
            Revoked::Token(id) => ("jti", id),
            Revoked::Subject(subject) => ("subject", subject),
        };
        let forget = "DELETE FROM revoked_tokens WHERE keep_until <= $1";
        self.client.execute(forget, &[&time(now)]).await.map_err(|error| self.failed(error))?;
        let sql = "INSERT INTO revoked_tokens SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM revoked_tokens) < $5 \
                   ON CONFLICT (kind, value) DO UPDATE SET revoked_at = excluded.revoked_at, keep_until = excluded.keep_until";
        // A minute for clocks that differ.
        let keep_until = time(now.saturating_add(lifetime + Duration::from_secs(60)));
        let row: [&(dyn ToSql + Sync); 5] = [&kind, &value, &time(now), &keep_until, &MAX_REVOKED];
        if self.client.execute(sql, &row).await.map_err(|error| self.failed(error))? == 0 {
            let hint = "revoke a subject in place of its tokens, or change the key that signs them";
            return Err(ServiceError::failed(format!("{MAX_REVOKED} revocations are in force: {hint}")));
        }
        Ok(())
    }

    fn failed(&self, error: tokio_postgres::Error) -> ServiceError {
        if error.code() == Some(&SqlState::UNDEFINED_TABLE) {
            return ServiceError::failed(format!(
                "the tables at {} are of an older version: run vigie migrate",
                self.url
            ));
        }
        ServiceError::failed(error)
    }
}

pub(crate) const COLUMNS: &str = "key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at";

impl KeyInfo {
    /// Of a row with [`COLUMNS`].
    pub(crate) fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let maybe = |name: &str| row.try_get::<_, Option<Time>>(name).map(|time| time.map(|time| time.to_string()));
        Ok(Self {
            id: row.try_get("key_id")?,
            name: row.try_get("name")?,
            scopes: row.try_get("scopes")?,
            created_at: row.try_get::<_, Time>("created_at")?.to_string(),
            expires_at: row.try_get::<_, Time>("expires_at")?.to_string(),
            revoked_at: maybe("revoked_at")?,
            last_used_at: maybe("last_used_at")?,
        })
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains(char::is_control)
}

/// Whether there was room for it.
pub(crate) async fn insert(
    client: &impl GenericClient,
    key: &NewKey,
    name: &str,
    scopes: &[Scope],
    lifetime: Duration,
    now: Timestamp,
) -> Result<bool, tokio_postgres::Error> {
    let hash = api_key::hash(key.key.reveal()).expect("a key of ours has a hash");
    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    let sql = "INSERT INTO api_keys (key_id, hash, name, scopes, created_at, expires_at) SELECT $1, $2, $3, $4, $5, $6 \
               WHERE (SELECT count(*) FROM api_keys WHERE revoked_at IS NULL AND expires_at > $5) < $7";
    let row: [&(dyn ToSql + Sync); 7] =
        [&key.id, &&hash[..], &name, &scopes, &time(now), &time(now.saturating_add(lifetime)), &MAX_KEYS];
    Ok(client.execute(sql, &row).await? > 0)
}

/// Whether there is such a key, not revoked before.
pub(crate) async fn revoke(
    client: &impl GenericClient,
    id: &str,
    now: Timestamp,
) -> Result<bool, tokio_postgres::Error> {
    let sql = "UPDATE api_keys SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL";
    Ok(client.execute(sql, &[&id, &time(now)]).await? > 0)
}
