//! A point on the monotonic clock after which an operation gives up.

use std::time::Duration;

use vigie_clock::{Clock, SystemClock};

#[derive(Debug)]
pub(crate) struct Deadline {
    clock: SystemClock,
    after: Duration,
}

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self { clock: SystemClock::default(), after: duration }
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.after.saturating_sub(self.clock.monotonic())
    }

    pub(crate) fn passed(&self) -> bool {
        self.remaining().is_zero()
    }
}
