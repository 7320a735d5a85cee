//! Percentiles of measured times.

use std::time::Duration;

/// Times in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest time that at least `percent` of the times do not exceed (nearest rank); `None` if there is none.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is between 1 and the length"
        )]
        let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50.0), None);
        for millis in (1..=100).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let millis = |percent| latencies.percentile(percent).unwrap().as_millis();
        assert_eq!((millis(50.0), millis(95.0), millis(99.0), millis(100.0), millis(0.0)), (50, 95, 99, 100, 1));
    }
}
