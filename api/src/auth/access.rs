//! Who may ask by an API key, and whose tokens are revoked: the tables in memory, looked at again several times a second while somebody asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use vigie_clock::{SharedClock, Timestamp};

use super::Scope;
use super::api_key::KeyHash;
use super::fresh::{Fresh, Load};
use super::token::LEEWAY;

/// A revocation holds after a second at most: after both of these nobody is answered before the lists are read again.
const FRESH: Duration = Duration::from_millis(250);
const STALE: Duration = Duration::from_millis(250);
const LOAD_TIMEOUT: Duration = Duration::from_secs(1);
/// After a failure. Until then the last lists hold.
const COOL_DOWN: Duration = Duration::from_secs(2);
/// The last use of a key is stored to the minute.
const NOTE_EVERY: i64 = 60_000;

type Read = Box<dyn Fn(Option<i64>) -> BoxFuture<'static, Result<Option<Access>, String>> + Send + Sync>;

/// Where the tables are.
pub(crate) struct Ledger {
    /// Reads them; `None` if they are as in what is known.
    pub(crate) read: Read,
    /// Notes that the key with this id was used.
    pub(crate) note: Box<dyn Fn(String, Timestamp) -> BoxFuture<'static, ()> + Send + Sync>,
}

#[derive(Default)]
pub(crate) struct Access {
    changes: i64,
    keys: HashMap<KeyHash, Key>,
    revoked_ids: HashSet<String>,
    revoked_subjects: HashMap<String, Timestamp>,
}

pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) expires_at: Timestamp,
    /// When the last use was that is stored, in ms.
    noted: AtomicI64,
}

impl Key {
    /// Whether this use is to be stored; the answer is yes once a minute.
    pub(crate) fn is_to_be_noted(&self, now: Timestamp) -> bool {
        let (now, noted) = (now.as_millis(), self.noted.load(Ordering::Relaxed));
        let is_due = now - noted >= NOTE_EVERY;
        is_due && self.noted.compare_exchange(noted, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Access {
    /// Without keys and revocations yet, after this many changes.
    pub(crate) fn after(changes: i64) -> Self {
        Self { changes, ..Self::default() }
    }

    /// A key that is not revoked.
    pub(crate) fn add_key(
        &mut self,
        id: String,
        hash: KeyHash,
        scopes: &[String],
        expires_at: Timestamp,
        last_used_at: Option<Timestamp>,
    ) {
        let scopes = Scope::ALL.into_iter().filter(|scope| scopes.iter().any(|name| name == scope.name())).collect();
        let noted = AtomicI64::new(last_used_at.map_or(i64::MIN / 2, Timestamp::as_millis));
        self.keys.insert(hash, Key { id, scopes, expires_at, noted });
    }

    pub(crate) fn revoke_id(&mut self, id: String) {
        self.revoked_ids.insert(id);
    }

    /// Every token of the subject that was issued until then.
    pub(crate) fn revoke_subject(&mut self, subject: String, at: Timestamp) {
        self.revoked_subjects.insert(subject, at);
    }

    /// As the ledger has it.
    pub(crate) fn watched(ledger: Arc<Ledger>, clock: SharedClock) -> Fresh<Self> {
        let load: Load<Self> = Box::new(move |known| {
            let reading = (ledger.read)(known.as_ref().map(|access| access.changes));
            Box::pin(async move {
                let read = tokio::time::timeout(LOAD_TIMEOUT, reading).await;
                let read = read.unwrap_or_else(|_| Err("no answer in time".to_owned()))?;
                Ok((read.map(Arc::new).or(known).unwrap_or_default(), FRESH))
            })
        });
        Fresh::new("API keys and revocations".to_owned(), load, STALE, COOL_DOWN, clock)
    }

    /// The key of this hash, until it expires.
    pub(crate) fn key(&self, hash: &KeyHash, now: Timestamp) -> Option<&Key> {
        self.keys.get(hash).filter(|key| key.expires_at > now)
    }

    /// Whether the token, or every one that its subject had, is revoked. The issuer's clock may be ahead.
    pub(crate) fn is_revoked(&self, ids: &[String], issued_at: Timestamp, subject: &str) -> bool {
        let by_id = ids.iter().any(|id| self.revoked_ids.contains(id));
        let revoked_at = self.revoked_subjects.get(subject);
        by_id || revoked_at.is_some_and(|at| issued_at <= at.saturating_add(LEEWAY))
    }
}
