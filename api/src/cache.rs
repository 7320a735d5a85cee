use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};

use axum::body::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::Expiration;
use tokio::sync::Mutex;
use tracing::debug;

use crate::problem::Problem;

/// Answers that cost much are shared for this long by all clients of all instances.
const LIFETIME_MS: i64 = 1000;
const LOCKS: usize = 64;

/// Answers, kept in Redis for a second. Without Redis every answer is computed.
pub(crate) struct Cache {
    redis: Client,
    prefix: String,
    /// Of equal questions that arrive together, this process works out one.
    locks: [Mutex<()>; LOCKS],
}

impl Cache {
    pub(crate) fn new(redis: Client, prefix: &str) -> Self {
        Self { redis, prefix: format!("{prefix}api:"), locks: std::array::from_fn(|_| Mutex::new(())) }
    }

    /// The answer to `question`, from the cache or from `work`.
    pub(crate) async fn answer<F>(&self, question: String, work: F) -> Result<Bytes, Problem>
    where
        F: Future<Output = Result<Bytes, Problem>>,
    {
        let key = format!("{}{question}", self.prefix);
        if let Some(body) = self.get(&key).await {
            return Ok(body);
        }
        let _alone = self.lock(&question).lock().await;
        if let Some(body) = self.get(&key).await {
            return Ok(body);
        }
        let body = work.await?;
        self.put(key, body.clone()).await;
        Ok(body)
    }

    fn lock(&self, question: &str) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        question.hash(&mut hasher);
        &self.locks[(hasher.finish() % LOCKS as u64) as usize]
    }

    async fn get(&self, key: &str) -> Option<Bytes> {
        if !self.redis.is_connected() {
            return None;
        }
        match self.redis.get::<Option<Bytes>, _>(key).await {
            Ok(body) => body,
            Err(error) => {
                debug!(%error, "cache not readable");
                None
            }
        }
    }

    async fn put(&self, key: String, body: Bytes) {
        if !self.redis.is_connected() {
            return;
        }
        let result: Result<(), _> = self.redis.set(key, body, Some(Expiration::PX(LIFETIME_MS)), None, false).await;
        if let Err(error) = result {
            debug!(%error, "cache not writable");
        }
    }
}
