use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vigie_clock::{SharedClock, SystemClock};

use crate::Health;

/// What a service is given by the process it runs in. Clones share everything.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time.
    pub clock: SharedClock,
    /// Cancelled when the process is asked to stop: finish the work in hand, then return.
    pub shutdown: CancellationToken,
    /// What `/livez` and `/readyz` report.
    pub health: Health,
    /// What `/metrics` reports. Shared by all services of the process, so names carry the service's prefix.
    pub metrics: prometheus::Registry,
}

impl Context {
    /// A context with no component, no metric and no shutdown yet.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            shutdown: CancellationToken::new(),
            health: Health::default(),
            metrics: prometheus::Registry::new(),
        }
    }

    /// A context on the machine's clocks.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock::default()))
    }
}
