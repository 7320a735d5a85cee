//! The database with all stores of one task, and what bounds its memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode};

/// Whose state it is. No store has this number.
const MANIFEST: [u8; 1] = [u8::MAX];
/// A file beside the database which says why it must not be used again.
const DAMAGED: &str = "damaged";
/// Write buffers that wait for the disk before writes do.
const MAX_SEALED: usize = 2;
/// Unsorted files that wait for a compaction before writes do.
const MAX_UNSORTED: usize = 16;
/// The smallest write buffer, in bytes.
const MIN_BUFFER: usize = 1024 * 1024;
/// The largest key: a limit of the format.
const MAX_KEY: usize = u16::MAX as usize;
/// What a write takes in memory besides key and value, about.
const OVERHEAD: usize = 64;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The memory that all databases of an application share: half of it caches blocks, half is for write buffers.
pub(crate) struct Memory {
    /// Holds the cache.
    template: fjall::Config,
    buffers: usize,
    open: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        let template = fjall::Database::builder(".").cache_size(bytes / 2).into_config();
        Self { template, buffers: (bytes / 2) as usize, open: AtomicUsize::new(0) }
    }

    /// The bytes of one write buffer: a database has one that fills, and some that wait for the disk.
    fn buffer(&self) -> usize {
        let each = self.buffers / self.open.load(Ordering::Relaxed).max(1) / (MAX_SEALED + 1);
        each.max(MIN_BUFFER)
    }
}

/// Why a database is not opened.
pub(crate) enum OpenError {
    /// What is there makes no sense: it can be removed.
    Damaged(String),
    /// It may go later.
    Failed(String),
}

pub(crate) struct Database {
    path: PathBuf,
    inner: fjall::Database,
    entries: Keyspace,
    memory: Arc<Memory>,
    noted: Mutex<Noted>,
    failure: OnceLock<String>,
}

#[derive(Default)]
struct Noted {
    writes: BTreeMap<Vec<u8>, Option<Bytes>>,
    bytes: usize,
    /// Bytes in the write buffer.
    buffered: usize,
}

impl Database {
    /// Opens, or makes, the database in the folder `path`.
    pub(crate) fn open(path: &Path, memory: &Arc<Memory>) -> Result<Self, OpenError> {
        if let Ok(reason) = std::fs::read_to_string(path.join(DAMAGED)) {
            return Err(OpenError::Damaged(reason));
        }
        let open = || {
            let mut config = fjall::Database::builder(path).worker_threads(1).max_cached_files(Some(64)).into_config();
            config.cache = Arc::clone(&memory.template.cache);
            let inner = fjall::Database::open(config)?;
            let entries = inner.keyspace("stores", KeyspaceCreateOptions::default)?;
            Ok((inner, entries))
        };
        // Files that were changed can make it panic.
        let opened = catch_unwind(AssertUnwindSafe(open));
        let opened = opened.map_err(|_| OpenError::Damaged("the database panicked when it was opened".to_owned()))?;
        let (inner, entries) = opened.map_err(open_error)?;
        memory.open.fetch_add(1, Ordering::Relaxed);
        let (path, memory) = (path.to_owned(), Arc::clone(memory));
        Ok(Self { path, inner, entries, memory, noted: Mutex::default(), failure: OnceLock::new() })
    }

    /// Why it cannot be used any more.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(crate) fn manifest(&self) -> Option<Bytes> {
        self.get(&MANIFEST)
    }

    /// What was noted counts: a restore changes an entry again before it is written.
    pub(super) fn get(&self, key: &[u8]) -> Option<Bytes> {
        if let Some(noted) = self.noted().writes.get(key) {
            return noted.clone();
        }
        self.read(self.entries.get(key))?.map(Bytes::from)
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.read(self.entries.contains_key(key)).unwrap_or(false)
    }

    /// `None` if there can be none.
    pub(super) fn range(&self, (from, to): (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Option<fjall::Iter> {
        let is_empty = match (&from, &to) {
            (Bound::Included(from), Bound::Excluded(to)) => from >= to,
            (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
            _ => false,
        };
        (!is_empty).then(|| self.entries.range((from, to)))
    }

    pub(super) fn entry(&self, found: fjall::Guard) -> Option<(Bytes, Bytes)> {
        self.read(found.into_inner()).map(|(key, value)| (key.into(), value.into()))
    }

    /// What was read. A failure is remembered: the processor goes on without what it asked for, and its task must not commit.
    fn read<T>(&self, found: fjall::Result<T>) -> Option<T> {
        let failed = |error| {
            let reason = format!("it cannot be read: {error}");
            if is_damage(&error) {
                self.damaged(&reason);
            }
            self.failed(reason)
        };
        found.map_err(failed).ok()
    }

    /// It must not be opened again.
    pub(crate) fn damaged(&self, reason: &str) {
        // If that cannot be written either, the next start will find out again.
        let _ = std::fs::write(self.path.join(DAMAGED), reason);
    }

    pub(super) fn note(&self, key: Vec<u8>, value: Option<Bytes>) {
        let mut noted = self.noted();
        noted.bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + OVERHEAD;
        noted.writes.insert(key, value);
    }

    /// The bytes of what was noted and not written.
    pub(crate) fn noted_bytes(&self) -> usize {
        self.noted().bytes
    }

    /// Writes what was noted, with a manifest if one is given, all or nothing. It survives the process at once, and the machine some time later.
    ///
    /// # Errors
    /// Why nothing can be written any more.
    pub(crate) fn write(&self, manifest: Option<Vec<u8>>) -> Result<(), String> {
        if let Some(failure) = self.failure() {
            return Err(failure.to_owned());
        }
        let mut noted = self.noted();
        let (writes, bytes) = (std::mem::take(&mut noted.writes), std::mem::take(&mut noted.bytes));
        let mut batch = self.inner.batch();
        for (key, value) in writes {
            if key.len() > MAX_KEY {
                return Err(self.failed(format!("a key of {} bytes, expected at most {MAX_KEY}", key.len())));
            }
            match value {
                Some(value) => batch.insert(&self.entries, Bytes::from(key), value),
                None => batch.remove(&self.entries, Bytes::from(key)),
            }
        }
        if let Some(manifest) = manifest {
            batch.insert(&self.entries, &MANIFEST[..], manifest);
        }
        batch.commit().map_err(|error| self.failed(format!("it cannot be written: {error}")))?;
        noted.buffered += bytes;
        if noted.buffered >= self.memory.buffer() {
            self.wait_for_disk()?;
            self.entries.rotate_memtable().map_err(|error| self.failed(format!("it cannot be written: {error}")))?;
            noted.buffered = 0;
        }
        Ok(())
    }

    /// Waits until few enough buffers and files wait for the worker, which it would otherwise do without an end if the worker has failed.
    fn wait_for_disk(&self) -> Result<(), String> {
        while self.entries.sealed_memtable_count() >= MAX_SEALED || self.entries.l0_table_count() >= MAX_UNSORTED {
            let alive = self.inner.persist(PersistMode::Buffer);
            alive.map_err(|error| self.failed(format!("it cannot be written: {error}")))?;
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    fn failed(&self, reason: String) -> String {
        self.failure.get_or_init(|| reason).clone()
    }

    /// The bytes of its files, but for a journal of 64 MiB or two.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.entries.disk_space()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.memory.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open_error(error: fjall::Error) -> OpenError {
    match is_damage(&error) {
        true => OpenError::Damaged(error.to_string()),
        false => OpenError::Failed(error.to_string()),
    }
}

/// Whether the files make no sense, rather than that they cannot be read or written now.
fn is_damage(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => {
            // Cut off, or gone.
            matches!(io.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::NotFound)
        }
        fjall::Error::Locked | fjall::Error::Poisoned => false,
        _ => true,
    }
}
