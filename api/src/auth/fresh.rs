//! A value from elsewhere that is loaded again as it ages: by one task at a time, however many ask, and not again at once when it failed.
//!
//! ```text
//!   age   0 ──────────── fresh ──────────────── stale ───────────▶
//!         answered       answered, and           waited for,
//!                        loaded meanwhile        refused if it cannot be loaded
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tracing::{info, warn};
use vigie_clock::SharedClock;

/// Gets the last value, if there is one; returns the next with how long it is fresh, or what went wrong.
pub(crate) type Load<T> =
    Box<dyn Fn(Option<Arc<T>>) -> BoxFuture<'static, Result<(Arc<T>, Duration), String>> + Send + Sync>;

type Flight = Shared<BoxFuture<'static, ()>>;

/// See the module.
pub(crate) struct Fresh<T>(Arc<Inner<T>>);

struct Inner<T> {
    what: String,
    load: Load<T>,
    clock: SharedClock,
    stale_for: Duration,
    cool_down: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<Arc<T>>,
    fresh_until: Duration,
    attempted_at: Option<Duration>,
    error: Option<String>,
    flight: Option<Flight>,
}

impl<T: Send + Sync + 'static> Fresh<T> {
    /// `what` names it in the log. `stale_for` is how long a value may be used after it was fresh; `cool_down` passes after a failure, and
    /// between two loads that [`Fresh::renewed`] asks for.
    pub(crate) fn new(
        what: String,
        load: Load<T>,
        stale_for: Duration,
        cool_down: Duration,
        clock: SharedClock,
    ) -> Self {
        let state = State { value: None, fresh_until: Duration::ZERO, attempted_at: None, error: None, flight: None };
        Self(Arc::new(Inner { what, load, clock, stale_for, cool_down, state: Mutex::new(state) }))
    }

    /// The value, not older than it may be. Once a load has failed, nobody waits for the next one but who has no value at all.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn get(&self) -> Result<Arc<T>, String> {
        let flight = {
            let mut state = self.0.state.lock();
            let now = self.0.clock.monotonic();
            match state.value.clone() {
                Some(value) if now <= state.fresh_until => return Ok(value),
                Some(value) if now <= state.fresh_until + self.0.stale_for => {
                    self.start(&mut state, false);
                    return Ok(value);
                }
                value => self.start(&mut state, false).filter(|_| value.is_none() || state.error.is_none()),
            }
        };
        if let Some(flight) = flight {
            flight.await;
        }
        let state = self.0.state.lock();
        let is_usable = self.0.clock.monotonic() <= state.fresh_until + self.0.stale_for;
        let reason = || state.error.clone().unwrap_or_else(|| "not loaded yet".to_owned());
        state.value.clone().filter(|_| is_usable).ok_or_else(reason)
    }

    /// The last value, whatever its age.
    pub(crate) fn last(&self) -> Option<Arc<T>> {
        self.0.state.lock().value.clone()
    }

    /// The value after another load, for something that is not in this one; without it if the last load is not long ago.
    pub(crate) async fn renewed(&self) -> Option<Arc<T>> {
        let flight = self.start(&mut self.0.state.lock(), true);
        flight?.await;
        self.last()
    }

    fn start(&self, state: &mut State<T>, again: bool) -> Option<Flight> {
        if let Some(flight) = &state.flight {
            return Some(flight.clone());
        }
        let now = self.0.clock.monotonic();
        let is_soon = state.attempted_at.is_some_and(|at| now < at + self.0.cool_down);
        if is_soon && (again || state.error.is_some()) {
            return None;
        }
        state.attempted_at = Some(now);
        let (inner, loading) = (self.0.clone(), (self.0.load)(state.value.clone()));
        // On its own: who asked for it may have hung up.
        let task = tokio::spawn(async move {
            let loaded = loading.await;
            inner.land(loaded);
        });
        let inner = self.0.clone();
        let flight = async move {
            if task.await.is_err() {
                inner.land(Err("loading it failed".to_owned()));
            }
        };
        let flight = flight.boxed().shared();
        state.flight = Some(flight.clone());
        Some(flight)
    }
}

impl<T> Inner<T> {
    fn land(&self, loaded: Result<(Arc<T>, Duration), String>) {
        let mut state = self.state.lock();
        state.flight = None;
        match loaded {
            Ok((value, fresh_for)) => {
                state.value = Some(value);
                state.fresh_until = self.clock.monotonic() + fresh_for;
                if state.error.take().is_some() {
                    info!(what = self.what, "loaded again");
                }
            }
            Err(error) => {
                if state.error.is_none() {
                    warn!(what = self.what, error, "cannot be loaded, the last one holds for a while");
                }
                state.error = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;
    use vigie_clock::ManualClock;

    use super::*;

    const FRESH: Duration = Duration::from_secs(60);
    const STALE: Duration = Duration::from_secs(600);
    const COOL: Duration = Duration::from_secs(10);

    /// Loads 1, 2, 3, each when it is let through; fails while `broken`.
    struct Source {
        fresh: Arc<Fresh<u32>>,
        clock: ManualClock,
        gate: Arc<Semaphore>,
        loads: Arc<AtomicU32>,
        broken: Arc<std::sync::atomic::AtomicBool>,
    }

    fn source() -> Source {
        let (clock, gate) = (ManualClock::default(), Arc::new(Semaphore::new(0)));
        let (loads, broken) = (Arc::<AtomicU32>::default(), Arc::<std::sync::atomic::AtomicBool>::default());
        let (g, l, b) = (gate.clone(), loads.clone(), broken.clone());
        let load: Load<u32> = Box::new(move |_| {
            let (gate, loads, broken) = (g.clone(), l.clone(), b.clone());
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                let load = loads.fetch_add(1, Ordering::SeqCst) + 1;
                if broken.load(Ordering::SeqCst) { Err("away".to_owned()) } else { Ok((Arc::new(load), FRESH)) }
            })
        });
        let fresh = Arc::new(Fresh::new("numbers".to_owned(), load, STALE, COOL, Arc::new(clock.clone())));
        Source { fresh, clock, gate, loads, broken }
    }

    impl Source {
        /// Lets loads through until there were this many.
        async fn loaded(&self, loads: u32) {
            self.gate.add_permits(1);
            while self.loads.load(Ordering::SeqCst) < loads || self.fresh.0.state.lock().flight.is_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn many_who_ask_at_once_load_once_even_if_the_first_hangs_up() {
        let source = source();
        let ask = || {
            tokio::spawn({
                let fresh = source.fresh.clone();
                async move { fresh.get().await }
            })
        };
        let first = ask();
        tokio::task::yield_now().await;
        let others: Vec<_> = (0..100).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        first.abort();
        source.gate.add_permits(100);
        for other in others {
            assert_eq!(*other.await.unwrap().unwrap(), 1);
        }
        assert_eq!(source.loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_old_value_is_answered_while_it_is_loaded_and_refused_when_it_is_too_old() {
        let source = source();
        source.gate.add_permits(1);
        assert_eq!(source.fresh.get().await.as_deref(), Ok(&1));
        source.clock.advance(FRESH + Duration::from_secs(1));
        assert_eq!(source.fresh.get().await.as_deref(), Ok(&1), "nobody waits for the second load");
        source.loaded(2).await;
        assert_eq!(source.fresh.get().await.as_deref(), Ok(&2));
        source.broken.store(true, Ordering::SeqCst);
        source.clock.advance(FRESH + STALE);
        assert_eq!(source.fresh.get().await.as_deref(), Ok(&2));
        source.loaded(3).await;
        source.clock.advance(Duration::from_secs(1));
        assert_eq!(source.fresh.get().await, Err("away".to_owned()), "a failure cools down");
        assert_eq!(source.loads.load(Ordering::SeqCst), 3);
        source.broken.store(false, Ordering::SeqCst);
        source.clock.advance(COOL);
        assert_eq!(source.fresh.get().await, Err("away".to_owned()), "nobody waits for what has failed");
        source.loaded(4).await;
        assert_eq!(source.fresh.get().await.as_deref(), Ok(&4));
    }

    #[tokio::test]
    async fn what_is_missing_is_looked_for_once_in_a_while() {
        let source = source();
        source.gate.add_permits(1);
        assert_eq!(source.fresh.get().await.as_deref(), Ok(&1));
        source.gate.add_permits(10);
        for _ in 0..100 {
            assert_eq!(source.fresh.renewed().await, None, "just loaded");
        }
        source.clock.advance(COOL);
        assert_eq!(source.fresh.renewed().await.as_deref(), Some(&2));
        assert_eq!(source.fresh.renewed().await, None);
    }
}
