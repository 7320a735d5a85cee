//! Turns at a host: few requests at once, a gap between them, a longer one when the host is pushed too hard, none while it asks to be left alone.
//!
//! ```text
//!                  429, 503, timeout: gap x 2 (up to 256 x base, 5 min)
//!   base ◀────────────────────────────────────────────────▶ gap
//!                  any other answer: gap - base (down to base)
//! ```
//!
//! `base` is the configured spacing or robots.txt's crawl-delay, whichever is longer. That is the additive increase and multiplicative decrease of
//! rate by which many that do not know of each other share a resource fairly (Chiu and Jain 1989). With one request at a time the gap is counted from
//! the end of an answer, so that a slow host gets more rest, not less. Scheme, port and a leading `www.` make no difference on the public web: it is one
//! machine that answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;
use vigie_clock::SharedClock;

use super::FetchError;

/// The longest gap that back-off makes, unless the host itself asks for a longer one.
const LONGEST_GAP: Duration = Duration::from_secs(300);

/// How far back-off stretches a gap.
const MOST_STRETCH: u32 = 256;

/// Hosts remembered before those at rest are forgotten.
const MAX_HOSTS: usize = 100_000;

/// The politeness policy for a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Politeness {
    /// Least time between two requests.
    pub(super) gap: Duration,
    /// Requests under way at most.
    pub(super) at_once: usize,
    /// A longer wait is not waited out here, but returned as [`FetchError::Wait`].
    pub(super) patience: Duration,
}

/// What a request came to, as far as the host is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The host copes.
    Fine,
    /// Too much for it (429, 503, or silence), with what it asks for.
    Strained(Option<Duration>),
    /// Unknown, since there was no answer.
    Unknown,
}

/// The hosts asked lately.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

#[derive(Debug)]
struct Host {
    name: String,
    /// One request at a time.
    is_single: bool,
    seats: Arc<Semaphore>,
    state: Mutex<State>,
}

/// All times are of the clock's monotonic time.
#[derive(Debug, Default)]
struct State {
    /// When the next request may start.
    next: Duration,
    /// The current gap.
    gap: Duration,
    /// What the gap comes back to.
    base: Duration,
    /// robots.txt's crawl-delay.
    crawl_delay: Duration,
    /// Requests that wait for a seat.
    waiting: u32,
    /// The last time that was promised to a request that could not wait.
    promised: Duration,
    /// No request before this, as the host asked.
    closed_until: Duration,
}

impl State {
    fn settle(&mut self, gap: Duration) {
        self.base = gap.max(self.crawl_delay);
        self.gap = self.gap.max(self.base);
    }

    /// How long a request that comes now has to wait.
    fn queue(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now) + self.gap.saturating_mul(self.waiting)
    }

    /// A time for one that cannot wait, each its own.
    fn promise(&mut self, now: Duration) -> Duration {
        self.promised = (self.promised + self.gap).max(now + self.queue(now));
        self.promised - now
    }

    /// Takes the next free slot; returns how far away it is.
    fn reserve(&mut self, now: Duration) -> Duration {
        let at = self.next.max(now);
        self.next = at + self.gap;
        at - now
    }

    fn learn(&mut self, outcome: Outcome, now: Duration) {
        match outcome {
            Outcome::Fine => self.gap = self.gap.saturating_sub(self.base).max(self.base),
            Outcome::Strained(retry_after) => {
                let longest = self.base.saturating_mul(MOST_STRETCH).min(LONGEST_GAP).max(self.base);
                self.gap = self.gap.max(Duration::from_millis(1)).saturating_mul(2).min(longest);
                self.closed_until = self.closed_until.max(now + retry_after.unwrap_or_default());
            }
            Outcome::Unknown => {}
        }
    }

    /// Where one request follows the other, the gap begins at the end of an answer.
    fn rest(&mut self, now: Duration) {
        self.next = self.next.max(now + self.gap);
    }
}

impl Host {
    /// Refuses while the host wants to be left alone.
    fn check_open(&self, now: Duration) -> Result<(), FetchError> {
        let wait = self.state.lock().closed_until.saturating_sub(now);
        if wait.is_zero() {
            return Ok(());
        }
        let reason = format!("{} asked to be left alone (Retry-After)", self.name);
        Err(FetchError::Wait { wait, reason })
    }
}

/// Leave to ask a host once; counts as asked until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    host: Arc<Host>,
    clock: SharedClock,
    outcome: Outcome,
    _seat: OwnedSemaphorePermit,
}

impl Turn {
    /// Ends the turn with what the request came to.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = self.clock.monotonic();
        let mut state = self.host.state.lock();
        state.learn(self.outcome, now);
        if self.host.is_single {
            state.rest(now);
        }
    }
}

/// A request that waits for a seat; counted out even if it stops waiting.
struct Waiting<'a>(&'a Host);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

impl Hosts {
    /// Waits for a turn.
    ///
    /// # Errors
    /// [`FetchError::Wait`] if the host wants to be left alone or the queue is too long.
    pub(super) async fn turn(
        &self,
        name: &str,
        politeness: Politeness,
        clock: &SharedClock,
    ) -> Result<Turn, FetchError> {
        let host = self.host(name, politeness.at_once, clock.monotonic());
        host.check_open(clock.monotonic())?;
        let queued = {
            let mut state = host.state.lock();
            let now = clock.monotonic();
            state.settle(politeness.gap);
            if state.queue(now) > politeness.patience {
                let wait = state.promise(now);
                let reason = format!("{name} is asked once in {:?}, others are before", state.gap);
                return Err(FetchError::Wait { wait, reason });
            }
            state.waiting += 1;
            Waiting(&host)
        };
        let seat = tokio::time::timeout(politeness.patience, Arc::clone(&host.seats).acquire_owned()).await;
        drop(queued);
        let Ok(Ok(seat)) = seat else {
            let wait = host.state.lock().promise(clock.monotonic());
            return Err(FetchError::Wait { wait, reason: format!("{name} is busy with other requests of ours") });
        };
        let wait = {
            let mut state = host.state.lock();
            let now = clock.monotonic();
            // What went before may have made the gap longer.
            if state.next.saturating_sub(now) > politeness.patience {
                let (wait, gap) = (state.promise(now), state.gap);
                return Err(FetchError::Wait { wait, reason: format!("{name} is asked once in {gap:?}") });
            }
            state.reserve(now)
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        host.check_open(clock.monotonic())?;
        Ok(Turn { host, clock: clock.clone(), outcome: Outcome::Unknown, _seat: seat })
    }

    /// Keeps a host free for its gap from now on.
    pub(super) fn hold_off(&self, name: &str, politeness: Politeness, now: Duration) {
        let host = self.host(name, politeness.at_once, now);
        let mut state = host.state.lock();
        state.settle(politeness.gap);
        state.next = state.next.max(now + state.gap);
    }

    /// Takes note of a crawl-delay; `None` if there is none any more.
    pub(super) fn slow_down(&self, name: &str, politeness: Politeness, delay: Option<Duration>, now: Duration) {
        let host = self.host(name, politeness.at_once, now);
        let mut state = host.state.lock();
        let before = state.base;
        state.crawl_delay = delay.unwrap_or_default();
        state.settle(politeness.gap);
        if state.gap == before {
            state.gap = state.base;
        }
    }

    fn host(&self, name: &str, at_once: usize, now: Duration) -> Arc<Host> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(name) {
            return Arc::clone(host);
        }
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, host| {
                let state = host.state.lock();
                let at_rest = state.next.max(state.closed_until).max(state.promised) <= now && state.gap <= state.base;
                Arc::strong_count(host) > 1 || !at_rest
            });
        }
        let seats = Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)));
        let host = Arc::new(Host { name: name.to_owned(), is_single: at_once <= 1, seats, state: Mutex::default() });
        hosts.insert(name.to_owned(), Arc::clone(&host));
        host
    }
}

/// What of an address is one host. Local servers share a machine, so that there the port counts.
pub(crate) fn name_of(url: &Url, local: bool) -> String {
    let name = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if local {
        return format!("{name}:{}", url.port_or_known_default().unwrap_or_default());
    }
    name.strip_prefix("www.").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigie_clock::{ManualClock, Timestamp};

    const SECOND: Duration = Duration::from_secs(1);
    const POLITENESS: Politeness = Politeness { gap: SECOND, at_once: 1, patience: Duration::ZERO };

    fn state() -> State {
        let mut state = State::default();
        state.settle(SECOND);
        state
    }

    #[test]
    fn requests_to_one_host_queue() {
        let mut state = state();
        let start = 100 * SECOND;
        assert_eq!(state.reserve(start), Duration::ZERO);
        assert_eq!(state.reserve(start), SECOND);
        assert_eq!(state.reserve(start), 2 * SECOND);
        assert_eq!(state.reserve(start + 10 * SECOND), Duration::ZERO);
        // The gap counts from the end of an answer.
        state.rest(start + 14 * SECOND);
        assert_eq!(state.reserve(start + 14 * SECOND), SECOND);
    }

    #[test]
    fn strain_doubles_the_gap_and_each_answer_takes_one_base_off() {
        let mut state = state();
        let mut gaps = Vec::new();
        for outcome in [Outcome::Strained(None); 3].into_iter().chain([Outcome::Fine; 8]) {
            state.learn(outcome, Duration::ZERO);
            gaps.push(state.gap.as_secs());
        }
        assert_eq!(gaps, [2, 4, 8, 7, 6, 5, 4, 3, 2, 1, 1]);
        for _ in 0..40 {
            state.learn(Outcome::Strained(None), Duration::ZERO);
        }
        assert_eq!(state.gap, 256 * SECOND);
        state.crawl_delay = 60 * SECOND;
        state.settle(SECOND);
        state.learn(Outcome::Strained(None), Duration::ZERO);
        assert_eq!(state.gap, LONGEST_GAP);
    }

    #[tokio::test]
    async fn who_cannot_wait_gets_a_time_of_its_own() {
        let hosts = Hosts::default();
        let manual = ManualClock::new(Timestamp::from_millis(1_000_000));
        let clock: SharedClock = Arc::new(manual.clone());
        hosts.turn("a", POLITENESS, &clock).await.unwrap().end(Outcome::Fine);
        let mut waits = Vec::new();
        for _ in 0..3 {
            let FetchError::Wait { wait, .. } = hosts.turn("a", POLITENESS, &clock).await.unwrap_err() else {
                panic!()
            };
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 3]);
        assert!(hosts.turn("b", POLITENESS, &clock).await.is_ok(), "another host is not concerned");
        manual.advance(SECOND);
        assert!(hosts.turn("a", POLITENESS, &clock).await.is_ok());
    }

    #[tokio::test]
    async fn a_host_that_asks_for_peace_is_closed_until_then() {
        let hosts = Hosts::default();
        let manual = ManualClock::new(Timestamp::from_millis(1_000_000));
        let clock: SharedClock = Arc::new(manual.clone());
        hosts.turn("a", POLITENESS, &clock).await.unwrap().end(Outcome::Strained(Some(90 * SECOND)));
        for left in [90, 60, 30] {
            let error = hosts.turn("a", POLITENESS, &clock).await.unwrap_err();
            assert!(
                matches!(&error, FetchError::Wait { wait, reason } if *wait == left * SECOND && reason.contains("Retry-After"))
            );
            manual.advance(30 * SECOND);
        }
        assert!(hosts.turn("a", POLITENESS, &clock).await.is_ok());
    }

    #[test]
    fn scheme_port_case_and_www_make_no_other_host() {
        let name = |url: &str, local| name_of(&Url::parse(url).unwrap(), local);
        for url in ["http://a.example/x", "https://A.example:8443/", "https://www.a.example./feed"] {
            assert_eq!(name(url, false), "a.example");
        }
        assert_ne!(name("http://127.0.0.1:1/", true), name("http://127.0.0.1:2/", true));
    }
}
