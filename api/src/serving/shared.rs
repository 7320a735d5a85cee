use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderValue;
use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::Expiration;
use tracing::debug;

/// Long enough for the other processes to ask; nobody asks for a former version.
const LIFETIME: Duration = Duration::from_secs(10);
/// Building an answer takes no longer: Redis must not hold it up.
const PATIENCE: Duration = Duration::from_millis(20);
const MAX_BYTES: usize = 1 << 20;

/// Answers that other processes have built, in Redis, each under its tag: a tag names a question and a version of the data.
/// Without Redis every process builds its own.
pub(super) struct Shared {
    redis: Client,
    prefix: String,
}

impl Shared {
    pub(super) fn new(redis: Client, prefix: &str) -> Self {
        Self { redis, prefix: format!("{prefix}answer:") }
    }

    fn key(&self, etag: &HeaderValue) -> String {
        format!("{}{}", self.prefix, etag.to_str().unwrap_or_default().trim_matches(['W', '/', '"']))
    }

    pub(super) async fn get(&self, etag: &HeaderValue) -> Option<Bytes> {
        if !self.redis.is_connected() {
            return None;
        }
        let read = tokio::time::timeout(PATIENCE, self.redis.get::<Option<Bytes>, _>(self.key(etag)));
        read.await.ok()?.inspect_err(|error| debug!(%error, "shared answer not readable")).ok()?
    }

    /// Nobody waits for it.
    pub(super) fn put(&self, etag: &HeaderValue, body: Bytes) {
        if body.len() > MAX_BYTES || !self.redis.is_connected() {
            return;
        }
        let (redis, key) = (self.redis.clone(), self.key(etag));
        tokio::spawn(async move {
            let lifetime = Expiration::PX(i64::try_from(LIFETIME.as_millis()).unwrap_or(i64::MAX));
            if let Err(error) = redis.set::<(), _, _>(key, body, Some(lifetime), None, false).await {
                debug!(%error, "answer not shared");
            }
        });
    }
}
