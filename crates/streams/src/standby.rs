//! Standby replicas: copies of the state of tasks that other instances run, so that a hand-over reads only the end of the changelogs.
//!
//! One thread of an instance follows the changelogs of all tasks that the instance does not run. Where the group gives it one of them, the
//! stream thread takes the copy, reads what the changelogs have after it, and compares commits and offsets as in any
//! [restore](crate::task::restoring).
//!
//! ```text
//!            nobody here runs it                  assigned to a thread of this instance
//!   (none) ──────────────────────▶ copy ─────────────────────────────────────────────────▶ task
//!      ▲                          │    ▲                                                     │
//!      └── of no use any more ────┘    └────────────── revoked or lost: what is on disk ─────┘
//! ```
//!
//! A copy reads committed records only and holds the last commit of each store back until another follows. What is on disk is at any time a
//! beginning of the changelogs from a [checkpoint](self::checkpoint) on. An instance joins the group when its copies are warm.

mod checkpoint;
pub(crate) mod copy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use copy::Copy;

/// The copies of one instance, and which tasks its stream threads have.
pub(crate) struct Standbys {
    pub(crate) partitions: i32,
    /// A copy that has not read its changelogs to their ends for longer is not used.
    pub(crate) max_age: Duration,
    desk: Mutex<Desk>,
    /// Stream threads that restore: they go first.
    restoring: AtomicUsize,
}

/// What its threads look at one at a time.
#[derive(Default)]
pub(crate) struct Desk {
    /// By partition: the stream thread that has it.
    pub(crate) claims: BTreeMap<i32, usize>,
    pub(crate) copies: BTreeMap<i32, Copy>,
    /// Partitions of which there is no state yet.
    pub(crate) without: BTreeSet<i32>,
}

impl Standbys {
    pub(crate) fn new(partitions: i32, max_age: Duration) -> Self {
        Self { partitions, max_age, desk: Mutex::default(), restoring: AtomicUsize::new(0) }
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock()
    }

    /// These partitions are `thread`'s from now on; no copy of them is made until they are released.
    pub(crate) fn claim(&self, thread: usize, partitions: impl IntoIterator<Item = i32>) {
        self.desk.lock().claims.extend(partitions.into_iter().map(|partition| (partition, thread)));
    }

    /// What `thread` has no more of `partitions`; all that it had if none are given. Its stores must be closed.
    pub(crate) fn release(&self, thread: usize, partitions: Option<&BTreeSet<i32>>) {
        let is_released = |partition: &i32| partitions.is_none_or(|released| released.contains(partition));
        self.desk.lock().claims.retain(|partition, owner| *owner != thread || !is_released(partition));
    }

    /// The copy of a claimed partition.
    pub(crate) fn take(&self, partition: i32) -> Option<Copy> {
        self.desk.lock().copies.remove(&partition)
    }

    /// Keeps copies waiting while `restore` runs.
    pub(crate) fn while_restoring<T>(&self, restore: impl FnOnce() -> T) -> T {
        self.restoring.fetch_add(1, Ordering::SeqCst);
        let restored = restore();
        self.restoring.fetch_sub(1, Ordering::SeqCst);
        restored
    }

    pub(crate) fn is_restoring(&self) -> bool {
        self.restoring.load(Ordering::SeqCst) > 0
    }

    /// Whether everything that this instance could be given is at hand.
    pub(crate) fn is_warm(&self) -> bool {
        let desk = self.desk.lock();
        (0..self.partitions).all(|partition| {
            desk.claims.contains_key(&partition)
                || desk.without.contains(&partition)
                || desk.copies.get(&partition).is_some_and(Copy::is_warm)
        })
    }
}
