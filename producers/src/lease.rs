//! Whether this process may still ask sites in the name of its group, as far as it can know by itself.
//!
//! A process that is stopped for longer than the group waits (a suspended machine, `SIGSTOP`) wakes in the middle of whatever it did,
//! while its sources are another's. Kafka refuses what it publishes then, but no site would refuse its requests. So
//! the thread that speaks with the group says at every step that it is awake, and every request looks at how long ago that was.

use std::time::Duration;

use parking_lot::Mutex;
use vigie_clock::SharedClock;

/// Renewed by the member's thread, looked at before each request and each transaction.
#[derive(Debug)]
pub(crate) struct Lease {
    clock: SharedClock,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    held: bool,
    /// When the member was last awake, in monotonic time.
    awake: Duration,
}

impl Lease {
    /// A lease that is not held yet. A silence of more than `limit` ends it.
    pub(crate) fn new(clock: SharedClock, limit: Duration) -> Self {
        let awake = clock.monotonic();
        Self { clock, limit, state: Mutex::new(State { held: false, awake }) }
    }

    /// The group has given this process partitions.
    pub(crate) fn begin(&self) {
        self.state.lock().held = true;
    }

    /// The group has taken them away.
    pub(crate) fn end(&self) {
        *self.state.lock() = State { held: false, awake: self.clock.monotonic() };
    }

    /// The member is awake; false if it was not for too long, which ends the lease.
    pub(crate) fn renew(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let in_time = now.saturating_sub(state.awake) <= self.limit;
        *state = State { held: state.held && in_time, awake: now };
        in_time
    }

    /// Whether sites may be asked now.
    pub(crate) fn holds(&self) -> bool {
        let now = self.clock.monotonic();
        let state = self.state.lock();
        state.held && now.saturating_sub(state.awake) <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vigie_clock::{ManualClock, Timestamp};

    use super::*;

    #[test]
    fn who_slept_too_long_may_ask_nobody_until_the_group_has_spoken() {
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let lease = Lease::new(Arc::new(clock.clone()), Duration::from_secs(5));
        assert!(!lease.holds());
        lease.begin();
        clock.advance(Duration::from_secs(5));
        assert!(lease.holds() && lease.renew());
        clock.advance(Duration::from_millis(5_001));
        // Whoever wakes first, the one who asks or the one who renews, sees it.
        assert!(!lease.holds());
        assert!(!lease.renew());
        assert!(lease.renew() && !lease.holds());
        lease.begin();
        assert!(lease.holds());
        lease.end();
        assert!(!lease.holds());
    }
}
