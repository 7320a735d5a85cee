//! The time, as a value that a test can set.
//!
//! Nothing else in the workspace reads the system's clocks: code takes a [`Clock`], so that logic runs in tests under a
//! [`ManualClock`] and never sleeps. Event times and wall-clock times are both [`Timestamp`]s: milliseconds since the Unix epoch, UTC.

#[cfg(feature = "failpoints")]
mod step;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest representable time.
    pub const MIN: Self = Self(i64::MIN);

    /// `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time plus `duration`, saturating.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time minus `duration`, saturating.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this time is; zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The start of the window of length `size` (epoch-aligned, half-open) that holds this time.
    ///
    /// # Panics
    /// If `size` is shorter than a millisecond.
    pub fn window_start(self, size: Duration) -> Self {
        let size = i64::try_from(size.as_millis()).unwrap_or(i64::MAX);
        assert!(size > 0, "a window is at least 1 ms long");
        Self(self.0.saturating_sub(self.0.rem_euclid(size)))
    }

    /// As a calendar time; `None` outside the years that RFC 3339 can write.
    pub fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_millisecond(self.0).ok()
    }

    /// Parses RFC 3339 (any offset).
    ///
    /// # Errors
    /// If `text` is not an RFC 3339 date and time.
    pub fn parse_rfc3339(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_jiff() {
            Some(time) => write!(f, "{time}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        Self(time.as_millisecond())
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time. May step backwards.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start. Never goes backwards.
    fn monotonic(&self) -> Duration;

    /// Blocks for `duration` on this clock.
    fn sleep(&self, duration: Duration);
}

/// A clock that can be shared between threads.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn default() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let now: Timestamp = jiff::Timestamp::now().into();
        #[cfg(feature = "failpoints")]
        let now = step::step(now);
        now
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that stands still until it is moved. Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
    start: i64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(start.0)), start: start.0 }
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.millis.store(self.now().saturating_add(by).0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.millis.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.now().since(Timestamp(self.start))
    }

    /// Returns at once, and moves the time forward: whoever sleeps is the only one to wait for it.
    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_start_rounds_down_also_before_the_epoch() {
        let five = Duration::from_secs(300);
        assert_eq!(Timestamp(299_999).window_start(five), Timestamp(0));
        assert_eq!(Timestamp(300_000).window_start(five), Timestamp(300_000));
        assert_eq!(Timestamp(-1).window_start(five), Timestamp(-300_000));
    }

    #[test]
    fn manual_clock_moves_only_when_advanced() {
        let clock = ManualClock::new(Timestamp(5));
        assert_eq!(clock.now(), clock.now());
        clock.clone().advance(Duration::from_millis(3));
        clock.sleep(Duration::from_millis(4));
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp(12), Duration::from_millis(7)));
    }

    #[test]
    fn display_is_rfc3339_and_parses_back() {
        let time = Timestamp::parse_rfc3339("2022-05-09T12:00:00.250+02:00").unwrap();
        assert_eq!(time.to_string(), "2022-05-09T10:00:00.25Z");
        assert_eq!(Timestamp::parse_rfc3339(&time.to_string()).unwrap(), time);
    }
}
