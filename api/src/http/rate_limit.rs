use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use vigie_clock::SharedClock;

use crate::http::problem::{Problem, whole_seconds};

/// Forget idle clients each time this many requests were seen.
const SWEEP_EVERY: u64 = 4096;

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

#[derive(Clone, Debug)]
struct MonotonicClock(SharedClock);

impl governor::clock::Clock for MonotonicClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

type Limiter = RateLimiter<Client, HashMapStateStore<Client>, MonotonicClock, StateInformationMiddleware>;

/// One token bucket (GCRA) per client, in this process.
pub(crate) struct RateLimit {
    limiter: Limiter,
    clock: MonotonicClock,
    rate: NonZeroU32,
    burst: NonZeroU32,
    seen: AtomicU64,
}

impl RateLimit {
    /// `None` if `rate` is 0: without limit.
    pub(crate) fn new(rate: u32, burst: u32, clock: SharedClock) -> Option<Self> {
        let rate = NonZeroU32::new(rate)?;
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let clock = MonotonicClock(clock);
        let quota = Quota::per_second(rate).allow_burst(burst);
        let limiter = Limiter::new(quota, HashMapStateStore::default(), clock.clone());
        Some(Self { limiter, clock, rate, burst, seen: AtomicU64::new(0) })
    }

    /// Counts one request. The headers (draft-ietf-httpapi-ratelimit-headers) go on the answer either way.
    pub(crate) fn check(&self, client: &Client) -> (HeaderMap, Result<(), Problem>) {
        if self.seen.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let (remaining, outcome, wait) = match self.limiter.check_key(client) {
            Ok(snapshot) => (snapshot.remaining_burst_capacity(), Ok(()), self.time_to_refill(1)),
            Err(rejected) => {
                let wait = rejected.wait_time_from(self.clock.now());
                (0, Err(Problem::rate_limited(wait)), wait)
            }
        };
        (self.headers(remaining, wait), outcome)
    }

    fn time_to_refill(&self, requests: u32) -> Duration {
        Duration::from_secs_f64(f64::from(requests) / f64::from(self.rate.get()))
    }

    fn headers(&self, remaining: u32, wait: Duration) -> HeaderMap {
        let window = whole_seconds(self.time_to_refill(self.burst.get()));
        let policy = format!("\"client\";q={};w={window}", self.burst);
        let limit = format!("\"client\";r={remaining};t={}", whole_seconds(wait));
        [("ratelimit-policy", policy), ("ratelimit", limit)]
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?)))
            .collect()
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

    #[test]
    fn a_client_gets_its_burst_then_its_rate() {
        let clock = ManualClock::default();
        let limit = RateLimit::new(2, 3, Arc::new(clock.clone())).unwrap();
        let me = client("192.0.2.1");
        for remaining in [2, 1, 0] {
            let (headers, outcome) = limit.check(&me);
            outcome.unwrap();
            assert_eq!(headers["ratelimit"], format!("\"client\";r={remaining};t=1"));
        }
        let (headers, outcome) = limit.check(&me);
        assert_eq!(outcome.unwrap_err().status, 429);
        assert_eq!(headers["ratelimit-policy"], "\"client\";q=3;w=2");
        assert!(limit.check(&client("192.0.2.2")).1.is_ok(), "others are not affected");
        clock.advance(Duration::from_millis(500));
        assert!(limit.check(&me).1.is_ok());
        assert!(limit.check(&me).1.is_err());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }

    #[test]
    fn idle_clients_are_forgotten() {
        let clock = ManualClock::default();
        let limit = RateLimit::new(100, 1, Arc::new(clock.clone())).unwrap();
        for i in 0..SWEEP_EVERY {
            clock.advance(Duration::from_secs(1));
            let _ = limit.check(&Client::Subject(i.to_string()));
        }
        assert!(limit.limiter.len() < 10, "{}", limit.limiter.len());
    }
}
