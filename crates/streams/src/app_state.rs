//! What an application is doing, as one word for its health check.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// What an application is doing: the worst of what its threads do.
///
/// ```text
///   from \ to   Restoring         Running           Degraded                       Stopped
///   Starting    partitions came   joined, with no   no broker                      shut down,
///                                 partitions                                       bounds reached
///   Restoring                     state restored    no broker                      or given up
///   Running     partitions came                     broker away, aborted commits,
///                                                   stalled, stuck
///   Degraded    partitions came   it works again
/// ```
///
/// These are the transitions of a thread: none goes back to `Starting`, none leaves `Stopped`. The application's state is derived from
/// those of all threads, and may change in any way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppState {
    /// Joining the group.
    Starting,
    /// Reading state back from the changelogs.
    Restoring,
    /// Processing, or waiting for records.
    Running,
    /// Not processing for now; it tries again by itself.
    Degraded(String),
    /// Done, or given up.
    Stopped,
}

impl fmt::Display for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Restoring => f.write_str("restoring"),
            Self::Running => f.write_str("running"),
            Self::Degraded(why) => write!(f, "degraded: {why}"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl AppState {
    /// Whether a thread in this state may change to `next`; see the table.
    fn may_become(&self, next: &Self) -> bool {
        match self {
            Self::Starting => !matches!(next, Self::Starting),
            Self::Restoring => matches!(next, Self::Running | Self::Degraded(_) | Self::Stopped),
            Self::Running => matches!(next, Self::Restoring | Self::Degraded(_) | Self::Stopped),
            Self::Degraded(_) => !matches!(next, Self::Starting),
            Self::Stopped => false,
        }
    }
}

pub(crate) type Listener = dyn Fn(&AppState) + Send + Sync;

/// The states of the stream threads and what they amount to.
pub(crate) struct StateBoard {
    inner: Mutex<Inner>,
    listener: Option<Arc<Listener>>,
}

struct Inner {
    threads: Vec<AppState>,
    reported: Option<AppState>,
}

impl StateBoard {
    pub(crate) fn new(threads: usize, listener: Option<Arc<Listener>>) -> Self {
        let inner = Inner { threads: vec![AppState::Starting; threads], reported: None };
        Self { inner: Mutex::new(inner), listener }
    }

    /// Notes what a thread does; notifies the listener if that changes what the application does.
    ///
    /// # Panics
    /// On a transition that is not in the table of [`AppState`].
    pub(crate) fn set(&self, thread: usize, state: AppState) {
        let mut inner = self.inner.lock();
        if inner.threads[thread] == state && inner.reported.is_some() {
            return;
        }
        let now = &inner.threads[thread];
        assert!(*now == state || now.may_become(&state), "stream thread {thread} cannot go from {now} to {state}");
        inner.threads[thread] = state;
        let overall = overall(&inner.threads);
        if inner.reported.as_ref() != Some(&overall) {
            if let Some(listener) = &self.listener {
                listener(&overall);
            }
            inner.reported = Some(overall);
        }
    }
}

fn overall(threads: &[AppState]) -> AppState {
    let first = |wanted: fn(&AppState) -> bool| threads.iter().find(|state| wanted(state)).cloned();
    first(|state| matches!(state, AppState::Degraded(_)))
        .or_else(|| first(|state| *state == AppState::Starting))
        .or_else(|| first(|state| *state == AppState::Restoring))
        .or_else(|| first(|state| *state == AppState::Running))
        .unwrap_or(AppState::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_change_as_the_table_says_and_no_other_way() {
        let degraded = || AppState::Degraded("no broker".to_owned());
        let states = [AppState::Starting, AppState::Restoring, AppState::Running, degraded(), AppState::Stopped];
        let table = ["-xxxx", "--xxx", "-x-xx", "-xxxx", "-----"];
        for (from, row) in states.iter().zip(table) {
            let allowed: String = states.iter().map(|next| if from.may_become(next) { 'x' } else { '-' }).collect();
            assert_eq!(allowed, row, "from {from}");
        }
    }

    #[test]
    #[should_panic(expected = "stream thread 0 cannot go from stopped to running")]
    fn a_change_that_the_table_lacks_is_a_panic() {
        let board = StateBoard::new(1, None);
        board.set(0, AppState::Stopped);
        board.set(0, AppState::Running);
    }

    #[test]
    fn application_is_running_only_when_all_threads_are() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let board = StateBoard::new(2, Some(Arc::new(move |state: &AppState| log.lock().push(state.to_string()))));
        board.set(0, AppState::Running);
        board.set(1, AppState::Running);
        board.set(1, AppState::Running);
        board.set(0, AppState::Degraded("no broker".to_owned()));
        board.set(0, AppState::Stopped);
        board.set(1, AppState::Stopped);
        assert_eq!(*seen.lock(), ["starting", "running", "degraded: no broker", "running", "stopped"]);
    }
}
