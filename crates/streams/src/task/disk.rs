//! Stores on disk: an embedded database for each task, so that memory does not grow with state.
//!
//! The changelog is the truth. After a commit, and never before, what it changed goes to the database in one write, with a *manifest* that
//! tells which commit that was and where the changelogs end with it. Nothing waits for the disk: after a power cut the database is at an
//! older commit, whole, and a restore reads the changelogs from there. It is removed, and the whole changelog restored, for the reasons for
//! which a snapshot is discarded.
//!
//! ```text
//!   <state dir>/<application>/3.lock        held by the process that has task 3 open
//!                            /3.store/      its database; 3-1.store if another process has that one
//!
//!   commit:   transaction ─▶ stores and manifest, one write
//!   restore:  manifest, `until` = ends of the changelogs ─▶ records, as they come ─▶ manifest of the commit reached
//! ```
//!
//! While a restore writes, the stores are of different moments. As for a snapshot, that does no harm: it is `until` that the changelogs
//! are read at least, if it is interrupted.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use vigie_clock::{SharedClock, Timestamp};

use super::header::{Header, is_stale};
use super::mark::Mark;
use crate::store::database::{Database, Memory, OpenError};
use crate::store::table::Table;

/// A restore writes whenever this many bytes have come.
const RESTORE_WRITE: usize = 1024 * 1024;
/// How often, and how far apart, the lock of a task is tried: a thread that lost the task may be closing it.
const LOCK_TRIES: u32 = 20;
const LOCK_AGAIN: Duration = Duration::from_millis(50);

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    #[serde(flatten)]
    pub(crate) header: Header,
    /// The stores, in the order of their numbers: see [`StreamTask::store_names`](crate::task::StreamTask::store_names).
    pub(crate) stores: Vec<String>,
    /// By store: nothing from this changelog offset on is in it.
    pub(crate) until: Vec<i64>,
}

/// The stores of one task on disk.
pub(crate) struct TaskDisk {
    database: Arc<Database>,
    manifest: Manifest,
    /// A manifest is there, and goes along with each write. An empty database gets none before it is complete.
    is_complete: bool,
    clock: SharedClock,
    max_age: Duration,
    /// Keeps other processes out.
    _lock: File,
}

/// The folder for a database, locked.
pub(crate) struct Place {
    path: PathBuf,
    lock: File,
}

impl Place {
    /// The folder of task `partition` in `folder`, or one beside it if another process has that.
    pub(crate) fn lock(folder: &Path, partition: i32) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for number in 0_u32.. {
            let name = if number == 0 { partition.to_string() } else { format!("{partition}-{number}") };
            let lock = File::create(folder.join(format!("{name}.lock")))?;
            if is_locked(&lock)? {
                return Ok(Self { path: folder.join(format!("{name}.store")), lock });
            }
            warn!(folder = %folder.display(), name, "another process has the task's store open, one beside it is used");
        }
        Err(io::Error::other("every number is taken"))
    }

    /// The database that is there, with its manifest.
    pub(crate) fn found(&self, memory: &Arc<Memory>) -> Result<Option<(Database, Manifest)>, OpenError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let database = Database::open(&self.path, memory)?;
        let Some(manifest) = database.manifest() else {
            return Err(OpenError::Damaged(database.failure().unwrap_or("its restore did not end").to_owned()));
        };
        let manifest = serde_json::from_slice(&manifest);
        let manifest = manifest.map_err(|error| OpenError::Damaged(format!("manifest: {error}")))?;
        Ok(Some((database, manifest)))
    }

    /// An empty database in place of what is there.
    pub(crate) fn emptied(&self, memory: &Arc<Memory>) -> Result<Database, String> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.to_string()),
            _ => {}
        }
        Database::open(&self.path, memory).map_err(|(OpenError::Damaged(reason) | OpenError::Failed(reason))| reason)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Locks, unless another has the lock for longer than a thread needs to close a task.
fn is_locked(lock: &File) -> io::Result<bool> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_AGAIN),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Removes the databases in `folder` of which `is_old` says so, unless they are in use.
pub(crate) fn remove_old(folder: &Path, is_old: impl Fn(&fs::DirEntry) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let files = fs::read_dir(&path).into_iter().flatten().flatten();
        if path.extension().is_none_or(|extension| extension != "store") || !files.into_iter().all(|file| is_old(&file))
        {
            continue;
        }
        let lock = File::create(path.with_extension("lock"));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let removed = fs::remove_dir_all(&path);
            info!(store = %path.display(), ok = removed.is_ok(), "old store removed");
        }
    }
}

impl TaskDisk {
    pub(crate) fn new(
        database: Database,
        place: Place,
        manifest: Manifest,
        clock: SharedClock,
        max_age: Duration,
    ) -> Self {
        let is_complete = database.manifest().is_some();
        Self { database: Arc::new(database), manifest, is_complete, clock, max_age, _lock: place.lock }
    }

    /// Of each store its table and that of its index.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (Table, Table)> {
        let stores = u8::try_from(self.manifest.stores.len()).ok().filter(|stores| *stores < u8::MAX / 2);
        let numbers = 0..stores.expect("a fingerprint has no room for that many stores");
        let table = |number| Table::new(Arc::clone(&self.database), number);
        numbers.map(move |number| (table(2 * number), table(2 * number + 1)))
    }

    /// Why the stores cannot be used any more. What was read since then may be missing.
    pub(crate) fn failure(&self) -> Option<String> {
        self.database.failure().map(|reason| format!("the store on disk failed: {reason}"))
    }

    /// Notes that what follows comes from changelogs that end at `ends`.
    pub(crate) fn restoring(&mut self, ends: Vec<i64>) {
        self.following(ends);
        self.write();
    }

    /// Notes that what follows is below `until`.
    pub(crate) fn following(&mut self, until: Vec<i64>) {
        self.manifest.until = until;
    }

    /// Writes what a restore brought, if it is much.
    pub(crate) fn restored(&mut self) {
        if self.database.noted_bytes() >= RESTORE_WRITE {
            self.write();
        }
    }

    /// The stores hold what is in the changelogs below `logged`, by store, as of the commit `mark`: writes what is new.
    pub(crate) fn save(&mut self, mark: &Mark, logged: &[i64]) {
        let now = self.clock.now();
        let header = &self.manifest.header;
        let is_same = header.from == logged && self.manifest.until == logged && header.mark.as_ref() == Some(mark);
        if is_same && !is_stale(header.written_at, now, self.max_age) {
            return;
        }
        self.checkpoint(mark.clone(), logged.to_vec(), logged.to_vec(), now);
    }

    /// The changelogs complete what is here from `from` on, as of the commit `mark`. Nothing from `until` on is here, and everything that they
    /// had at `as_of`: for a copy that follows them.
    pub(crate) fn checkpoint(&mut self, mark: Mark, from: Vec<i64>, until: Vec<i64>, as_of: Timestamp) {
        let header = &mut self.manifest.header;
        (header.written_at, header.mark, header.from) = (as_of, Some(mark), from);
        (self.manifest.until, self.is_complete) = (until, true);
        self.write();
    }

    /// Writes what is new. A failure shows in [`failure`](Self::failure).
    pub(crate) fn write(&self) {
        let manifest =
            self.is_complete.then(|| serde_json::to_vec(&self.manifest).expect("numbers and texts are JSON"));
        // It is remembered.
        let _ = self.database.write(manifest);
    }

    /// See [`Database::disk_bytes`].
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.database.disk_bytes()
    }
}
