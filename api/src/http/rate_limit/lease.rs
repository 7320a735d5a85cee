use std::time::Duration;

use fred::clients::Client as Redis;
use fred::interfaces::{ClientLike, LuaInterface};
use sha2::{Digest, Sha256};
use tracing::debug;

use super::{Client, Quota};
use crate::presence::Presence;

/// Longer than that, nobody waits for Redis.
const PATIENCE: Duration = Duration::from_millis(250);

/// GCRA by Redis' own clock: the key holds when the budget will be full again, in microseconds. Grants from `cost` units up to a slice
/// of them, or none; answers with what was granted, what is left, and the microseconds until `cost` units are there.
const SCRIPT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local emission, burst, cost, slice = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local free = (now + burst * emission - full_at) / emission
if free < cost then return {0, math.max(0, math.floor(free)), math.ceil((cost - free) * emission)} end
local granted = math.min(math.floor(free), math.max(cost, slice))
full_at = full_at + granted * emission
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return {granted, math.floor(free) - granted, 0}";

/// What Redis says to a wish.
pub(super) struct Offer {
    pub(super) granted: u32,
    /// What it has left.
    pub(super) left: u32,
    /// If nothing was granted: how long until it would be.
    pub(super) wait: Duration,
}

/// The budgets in Redis, which all replicas share.
pub(crate) struct Lessor {
    redis: Redis,
    prefix: String,
    presence: Presence,
}

impl Lessor {
    /// Under keys with the prefix. Whether Redis answers is what `presence` knows.
    pub(crate) fn new(redis: Redis, prefix: &str, presence: Presence) -> Self {
        Self { redis, prefix: format!("{prefix}rate:"), presence }
    }

    /// `None` if Redis cannot be asked.
    pub(super) async fn lease(&self, client: &Client, quota: Quota, cost: u32) -> Option<Offer> {
        if self.presence.away().is_some() || !self.redis.is_connected() {
            return None;
        }
        let micros = quota.emission.as_secs_f64() * 1e6;
        let args = vec![micros.to_string(), quota.burst.to_string(), cost.to_string(), quota.slice.to_string()];
        let answer =
            tokio::time::timeout(PATIENCE, self.redis.eval::<Vec<u64>, _, _, _>(SCRIPT, self.key(client), args));
        let answer = answer.await.ok()?.inspect_err(|error| debug!(%error, "shared budget not readable")).ok()?;
        let &[granted, left, wait] = answer.as_slice() else { return None };
        let units = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Some(Offer { granted: units(granted), left: units(left), wait: Duration::from_micros(wait) })
    }

    /// Of a fixed length, whoever the client is.
    fn key(&self, client: &Client) -> String {
        let name = match client {
            Client::Subject(subject) => format!("subject {subject}"),
            Client::Address(address) => format!("address {address}"),
        };
        let digest = Sha256::digest(name.as_bytes());
        let short: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{}{short}", self.prefix)
    }
}
