//! How long to wait before the next attempt.

use std::time::Duration;

/// Doubles from 100 ms to 5 s, each with a random part so that instances do not come back in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// How many attempts have failed.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The next wait: between half and all of the current step.
    pub(crate) fn next(&mut self) -> Duration {
        let step = Self::FIRST.saturating_mul(1 << self.attempts.min(10)).min(Self::LONGEST);
        self.attempts += 1;
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Whether this failure is worth a line: the first, then ever fewer.
    pub(crate) fn is_news(&self) -> bool {
        self.attempts.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] <= Duration::from_millis(100) && waits[0] >= Duration::from_millis(50));
        assert!(waits[19] <= Duration::from_secs(5) && waits[19] >= Duration::from_millis(2500));
        assert_eq!(backoff.attempts(), 20);
    }
}
