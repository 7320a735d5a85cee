//! What a client may ask: a budget of units (GCRA), in this process and, through Redis, over all replicas.
//!
//! ```text
//!   question ─▶ cost ─▶ budget here ─▶ lease of the shared budget ─▶ answer
//!                        │ used up         │ used up: another from Redis
//!                        ▼                 ▼ none left
//!                       429               429
//! ```
//!
//! A lease is worth some requests, so that most of them need no word with Redis. Without Redis the budget of each process counts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use vigie_clock::SharedClock;

use crate::http::problem::{Problem, whole_seconds};
use lease::{Lessor, Offer};

pub(crate) mod lease;

/// Forget idle clients each time this many requests were seen.
const SWEEP_EVERY: u64 = 4096;
/// A lease is worth a tenth of a second of refill: little enough to be left over in a process that the client no longer asks.
const LEASES_PER_SECOND: u32 = 10;
/// And a twentieth of the budget, at most.
const LEASES_PER_BURST: u32 = 20;

/// Who is being limited.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// The subject of a valid token.
    Subject(String),
    Address(IpAddr),
}

impl Client {
    /// IPv6 hosts own a /64 at least, so that is what counts.
    pub(crate) fn from_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::Address(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            v4 @ IpAddr::V4(_) => Self::Address(v4),
        }
    }
}

/// How a budget refills.
#[derive(Clone, Copy, Debug)]
struct Quota {
    /// Time in which one unit comes back.
    emission: Duration,
    burst: u32,
    /// Units of a lease.
    slice: u32,
}

impl Quota {
    fn refill(self, units: u32) -> Duration {
        self.emission * units
    }
}

#[derive(Default)]
struct Account {
    /// When the budget of this process will be full again (GCRA's theoretical arrival time).
    full_at: Duration,
    leased: u32,
    /// By then the shared budget is full again without what was leased.
    lease_ends: Duration,
    /// What Redis had left after the last lease.
    left: u32,
}

#[derive(Default)]
struct Accounts {
    by_client: HashMap<Client, Account>,
    seen: u64,
}

/// The budgets of all clients.
pub(crate) struct RateLimit {
    quota: Quota,
    clock: SharedClock,
    accounts: Mutex<Accounts>,
    lessor: Option<Lessor>,
}

impl RateLimit {
    /// A budget of `burst` units that refills by `rate` per second, shared with the replicas that have the same `lessor`; `None` if `rate`
    /// is 0: without limit.
    pub(crate) fn new(rate: u32, burst: u32, clock: SharedClock, lessor: Option<Lessor>) -> Option<Self> {
        let emission = Duration::from_secs(1).checked_div(rate)?.max(Duration::from_nanos(1));
        let slice = (rate / LEASES_PER_SECOND).min(burst / LEASES_PER_BURST).max(1);
        let quota = Quota { emission, burst: burst.max(1), slice };
        Some(Self { quota, clock, accounts: Mutex::default(), lessor })
    }

    /// Spends `cost` units, or all that there can be. The headers (draft-ietf-httpapi-ratelimit-headers) go on the answer either way.
    pub(crate) async fn check(&self, client: &Client, cost: u32) -> (HeaderMap, Result<(), Problem>) {
        let cost = cost.clamp(1, self.quota.burst);
        let spent = match (self.spend(client, cost), &self.lessor) {
            (Some(spent), _) => spent,
            (None, None) => self.settle(client, cost, None),
            (None, Some(lessor)) => self.settle(client, cost, lessor.lease(client, self.quota, cost).await),
        };
        let (remaining, outcome, wait) = match spent {
            Ok(remaining) => (remaining, Ok(()), self.quota.emission),
            Err(wait) => (0, Err(Problem::rate_limited(wait)), wait),
        };
        (self.headers(remaining, wait), outcome)
    }

    /// What is left after `cost` was taken from the budget of this process and from the lease, or how long to wait; `None` if the lease
    /// does not reach.
    fn spend(&self, client: &Client, cost: u32) -> Option<Result<u32, Duration>> {
        let now = self.clock.monotonic();
        let mut accounts = self.accounts.lock();
        accounts.seen += 1;
        if accounts.seen.is_multiple_of(SWEEP_EVERY) {
            accounts.by_client.retain(|_, account| account.full_at.max(account.lease_ends) > now);
        }
        let account = accounts.by_client.entry(client.clone()).or_default();
        let (full_at, limit) =
            (account.full_at.max(now) + self.quota.refill(cost), now + self.quota.refill(self.quota.burst));
        if full_at > limit {
            return Some(Err(full_at - limit));
        }
        account.full_at = full_at;
        if account.lease_ends <= now {
            account.leased = 0;
        }
        let shared = account.take(cost)?;
        Some(Ok(shared.min(self.left_here(account, now))))
    }

    /// The same with what Redis offers; without, the budget of this process is all that counts.
    fn settle(&self, client: &Client, cost: u32, offer: Option<Offer>) -> Result<u32, Duration> {
        let now = self.clock.monotonic();
        let mut accounts = self.accounts.lock();
        let account = accounts.by_client.entry(client.clone()).or_default();
        let here = self.left_here(account, now);
        let Some(offer) = offer else { return Ok(here) };
        account.left = offer.left;
        account.leased += offer.granted;
        if offer.granted > 0 {
            account.lease_ends = now + self.quota.refill(self.quota.burst);
        }
        // Another request may have leased meanwhile.
        account.take(cost).map(|shared| shared.min(here)).ok_or(offer.wait)
    }

    fn left_here(&self, account: &Account, now: Duration) -> u32 {
        let free = (now + self.quota.refill(self.quota.burst)).saturating_sub(account.full_at);
        u32::try_from(free.as_nanos() / self.quota.emission.as_nanos()).unwrap_or(u32::MAX)
    }

    fn headers(&self, remaining: u32, wait: Duration) -> HeaderMap {
        let window = whole_seconds(self.quota.refill(self.quota.burst));
        let policy = format!("\"client\";q={};w={window}", self.quota.burst);
        let limit = format!("\"client\";r={remaining};t={}", whole_seconds(wait));
        [("ratelimit-policy", policy), ("ratelimit", limit)]
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?)))
            .collect()
    }
}

impl Account {
    /// What is left of the shared budget, if `cost` could be taken from the lease.
    fn take(&mut self, cost: u32) -> Option<u32> {
        self.leased = self.leased.checked_sub(cost)?;
        Some(self.leased + self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vigie_clock::ManualClock;

    use super::*;

    fn client(text: &str) -> Client {
        Client::from_address(text.parse().unwrap())
    }

    fn alone(rate: u32, burst: u32, clock: &ManualClock) -> RateLimit {
        RateLimit::new(rate, burst, Arc::new(clock.clone()), None).unwrap()
    }

    #[tokio::test]
    async fn a_client_gets_its_burst_then_its_rate() {
        let clock = ManualClock::default();
        let limit = alone(2, 3, &clock);
        let me = client("192.0.2.1");
        for remaining in [2, 1, 0] {
            let (headers, outcome) = limit.check(&me, 1).await;
            outcome.unwrap();
            assert_eq!(headers["ratelimit"], format!("\"client\";r={remaining};t=1"));
        }
        let (headers, outcome) = limit.check(&me, 1).await;
        assert_eq!(outcome.unwrap_err().status, 429);
        assert_eq!(headers["ratelimit-policy"], "\"client\";q=3;w=2");
        assert!(limit.check(&client("192.0.2.2"), 1).await.1.is_ok(), "others are not affected");
        clock.advance(Duration::from_millis(500));
        assert!(limit.check(&me, 1).await.1.is_ok());
        assert!(limit.check(&me, 1).await.1.is_err());
    }

    #[tokio::test]
    async fn what_costs_more_is_answered_less_often() {
        let clock = ManualClock::default();
        let limit = alone(1, 10, &clock);
        let me = client("192.0.2.1");
        assert!(limit.check(&me, 7).await.1.is_ok());
        let (headers, outcome) = limit.check(&me, 7).await;
        assert_eq!((outcome.unwrap_err().status, &headers["ratelimit"]), (429, &"\"client\";r=0;t=4".parse().unwrap()));
        assert!(limit.check(&me, 3).await.1.is_ok(), "what is refused costs nothing");
        clock.advance(Duration::from_secs(10));
        assert!(limit.check(&me, 1000).await.1.is_ok(), "nothing costs more than there can be");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }

    #[tokio::test]
    async fn idle_clients_are_forgotten() {
        let clock = ManualClock::default();
        let limit = alone(100, 1, &clock);
        for i in 0..SWEEP_EVERY {
            clock.advance(Duration::from_secs(1));
            let _ = limit.check(&Client::Subject(i.to_string()), 1).await;
        }
        let known = limit.accounts.lock().by_client.len();
        assert!(known < 10, "{known}");
    }
}
