//! Requests to one host keep their distance.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vigie_clock::SharedClock;

/// When each host may be asked next, in the clock's monotonic time.
#[derive(Debug, Default)]
pub(super) struct Spacing {
    next: Mutex<HashMap<String, Duration>>,
}

impl Spacing {
    /// Takes the next free slot of `host` and waits for it.
    pub(super) async fn wait(&self, host: &str, gap: Duration, clock: &SharedClock) {
        let wait = self.reserve(host, gap, clock.monotonic());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Keeps `host` free for `gap` from now on.
    pub(super) fn hold_off(&self, host: &str, gap: Duration, clock: &SharedClock) {
        let until = clock.monotonic() + gap;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.entry(host.to_owned()).or_insert(until);
        *at = until.max(*at);
    }

    /// Takes the next free slot of `host`; returns how far away it is.
    fn reserve(&self, host: &str, gap: Duration, now: Duration) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.len() > 10_000 {
            next.retain(|_, at| *at > now);
        }
        let at = next.get(host).copied().unwrap_or(now).max(now);
        next.insert(host.to_owned(), at + gap);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_one_host_queue_and_others_do_not_wait() {
        let spacing = Spacing::default();
        let second = Duration::from_secs(1);
        let start = Duration::from_secs(100);
        assert_eq!(spacing.reserve("a", second, start), Duration::ZERO);
        assert_eq!(spacing.reserve("a", second, start), second);
        assert_eq!(spacing.reserve("a", second, start), 2 * second);
        assert_eq!(spacing.reserve("b", second, start), Duration::ZERO);
        assert_eq!(spacing.reserve("a", second, start + 10 * second), Duration::ZERO);
    }
}
