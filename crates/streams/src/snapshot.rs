//! Local snapshots: a task's stores in a file, so that a restart reads only the changelog's tail.
//!
//! The changelog is the truth. A snapshot only saves time, and is thrown away whenever it might not be a beginning of the log that is
//! there now:
//!
//! | reason | what was found |
//! |---|---|
//! | `damaged` | torn, cut off or changed: a checksum of [`format`](self::format) does not match, or the file cannot be read |
//! | `foreign` | of another application, topology or task, or from before the application's state was deleted and recreated |
//! | `old` | so old that the changelog may have forgotten tombstones that came after it (or from the future) |
//! | `behind` | it begins below what the log still has |
//! | `ahead` | it holds more than the log has, or a commit that the offsets do not have |
//!
//! ```text
//!   file ──▶ fits? ── yes ──▶ entries ──▶ whole, and not ahead? ── yes ──▶ restore the changelog from its offsets on
//!              │                              │
//!              └───────────── no ─────────────┴──▶ count, say so, remove, restore the whole changelog
//! ```
//!
//! Files are written aside, synced and renamed, each under a name of its own: two processes on one folder cannot mix their bytes, and
//! whichever renames last leaves a snapshot that is right.

pub(crate) mod format;
mod open;
pub(crate) mod schedule;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, info, warn};
use vigie_clock::{SharedClock, Timestamp};

use self::format::FrameReader;
use self::writer::Writer;
use crate::metrics::StreamsMetrics;
use crate::store::database::Memory;
use crate::task::StreamTask;
use crate::task::disk;
use crate::task::header::Header;
use crate::task::mark::Mark;

/// How far the clocks of two machines may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Why a snapshot is not used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    Damaged(String),
    Foreign(&'static str),
    Old,
    Behind,
    Ahead,
}

impl Discard {
    fn word(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "damaged",
            Self::Foreign(_) => "foreign",
            Self::Old => "old",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
        }
    }
}

/// What a [`StateDir`] is made of.
pub(crate) struct StateDirParts {
    /// The folder that the operator named.
    pub(crate) root: PathBuf,
    /// The application's id, as the brokers know it.
    pub(crate) application: String,
    pub(crate) instance: String,
    pub(crate) topology: Arc<str>,
    /// A snapshot older than this is not used.
    pub(crate) max_age: Duration,
    pub(crate) interval: Duration,
    /// Stores are kept on disk, with so much memory, and no snapshots are written.
    pub(crate) disk: Option<Arc<Memory>>,
    pub(crate) clock: SharedClock,
}

/// From which offset of each changelog on it completes what a task has, and the commit of which that is.
pub(crate) type RestorePoint = (Vec<i64>, Option<Mark>);

/// The folder with an application's local state: a snapshot or a database per task.
pub(crate) struct StateDir {
    parts: StateDirParts,
    folder: PathBuf,
    written: AtomicU64,
    /// A failure to write was reported, and no success since.
    failing: AtomicBool,
}

/// The folder of `application` below `root`.
pub(crate) fn folder(root: &Path, application: &str) -> PathBuf {
    root.join(file_name(application))
}

impl StateDir {
    /// The folder as it should be; removes what a predecessor left unfinished, and what is too old to be used: of tasks that went to other
    /// instances, for one. Trouble with it is reported when a snapshot is written.
    pub(crate) fn new(parts: StateDirParts) -> Self {
        let folder = folder(&parts.root, &parts.application);
        let now = parts.clock.now();
        let is_old = |entry: &fs::DirEntry| written_at(entry).is_some_and(|at| now.since(at) > parts.max_age);
        disk::remove_old(&folder, is_old);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let unfinished = entry.file_name().to_string_lossy().ends_with(".tmp");
            let finished = entry.file_name().to_string_lossy().ends_with(".snapshot");
            if unfinished || finished && is_old(&entry) {
                let removed = fs::remove_file(entry.path());
                debug!(file = %entry.path().display(), ok = removed.is_ok(), "useless snapshot removed");
            }
        }
        Self { parts, folder, written: AtomicU64::new(0), failing: AtomicBool::new(false) }
    }

    pub(crate) fn parts(&self) -> &StateDirParts {
        &self.parts
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fills the stores of `task` with what is here of them, if it can be used, and says from where on the changelogs complete it.
    ///
    /// # Errors
    /// Why its stores cannot be kept on disk now.
    pub(crate) fn restore_point(
        &self,
        task: &mut StreamTask,
        logs: &[(i64, i64)],
        metrics: &StreamsMetrics,
    ) -> Result<Option<RestorePoint>, String> {
        match &self.parts.disk {
            Some(memory) => self.open(memory, task, logs, metrics),
            None => Ok(self.load(task, logs, metrics)),
        }
    }

    fn path(&self, partition: i32) -> PathBuf {
        self.folder.join(format!("{partition}.snapshot"))
    }

    /// Fills the stores of `task`, whose changelogs have the given beginnings and ends, from its snapshot if there is one that can be
    /// used: then returns the offsets from where on the changelogs complete it, and the commit that it is of.
    pub(crate) fn load(
        &self,
        task: &mut StreamTask,
        logs: &[(i64, i64)],
        metrics: &StreamsMetrics,
    ) -> Option<RestorePoint> {
        let path = self.path(task.id().partition);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.discarded(task, &Discard::Damaged(error.to_string()), metrics);
                return None;
            }
        };
        match self.read(file, task, logs) {
            Ok((header, entries)) => {
                let count: usize = entries.iter().map(Vec::len).sum();
                for (store, entries) in entries.into_iter().enumerate() {
                    task.load_store(store, entries);
                }
                info!(task = %task.id(), records = count, written_at = %header.written_at, "snapshot loaded");
                metrics.snapshot_loaded(count as u64);
                Some((header.from, header.mark))
            }
            Err(discard) => {
                self.discarded(task, &discard, metrics);
                // The next one replaces it; if it cannot be removed either, it will be found useless again.
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    fn read(&self, file: File, task: &StreamTask, logs: &[(i64, i64)]) -> Result<(Header, Vec<Entries>), Discard> {
        let damaged = |error: io::Error| Discard::Damaged(error.to_string());
        let (header, reader) = FrameReader::open(file).map_err(damaged)?;
        self.fits(&header, task, logs)?;
        let mut entries = vec![Entries::new(); logs.len()];
        let footer =
            reader.entries(logs.len(), |store, key, value| entries[store].push((key, value))).map_err(damaged)?;
        match footer.until.iter().zip(logs).all(|(until, (_, end))| until <= end) {
            true => Ok((header, entries)),
            false => Err(Discard::Ahead),
        }
    }

    pub(crate) fn fits(&self, header: &Header, task: &StreamTask, logs: &[(i64, i64)]) -> Result<(), Discard> {
        let parts = &self.parts;
        let foreign = [
            (header.application != parts.application, "another application"),
            (header.topology != *parts.topology, "another topology"),
            (header.partition != task.id().partition, "another task"),
            (header.incarnation != task.incarnation(), "state that was recreated since"),
            (header.from.len() != logs.len(), "other stores"),
        ];
        if let Some((_, what)) = foreign.into_iter().find(|(is, _)| *is) {
            return Err(Discard::Foreign(what));
        }
        let now = parts.clock.now();
        if now.since(header.written_at) > parts.max_age || header.written_at.since(now) > CLOCK_SKEW {
            return Err(Discard::Old);
        }
        if header.from.iter().zip(logs).any(|(from, (low, _))| from < low) {
            return Err(Discard::Behind);
        }
        match header.mark.as_ref().is_some_and(|mark| mark.commit > task.mark().commit) {
            true => Err(Discard::Ahead),
            false => Ok(()),
        }
    }

    pub(crate) fn discarded(&self, task: &StreamTask, discard: &Discard, metrics: &StreamsMetrics) {
        metrics.snapshot_discarded(discard.word());
        let reason = discard.word();
        warn!(task = %task.id(), reason, detail = ?discard, "local state not used, the whole changelog is restored");
    }

    /// Begins to write a snapshot of `task` as it is now.
    fn begin(&self, task: &StreamTask, from: &[i64]) -> io::Result<Writer> {
        let header = Header {
            application: self.parts.application.clone(),
            topology: self.parts.topology.to_string(),
            partition: task.id().partition,
            incarnation: task.incarnation(),
            written_at: self.parts.clock.now(),
            mark: Some(task.mark().clone()),
            from: from.to_vec(),
        };
        let header = serde_json::to_vec(&header).map_err(io::Error::other)?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let own = file_name(&self.parts.instance);
        let temporary = self.folder.join(format!("{}.{own}-{}-{number}.tmp", task.id().partition, std::process::id()));
        Writer::begin(self.path(task.id().partition), temporary, header)
    }

    /// Tells of a failure once, until a snapshot succeeds again.
    fn failed(&self, error: &io::Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let folder = self.folder.display();
            warn!(%error, %folder, "snapshot not written, a restart will read the whole changelog; said once");
        }
    }

    fn succeeded(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }
}

/// When a file was last written, by the file system.
fn written_at(entry: &fs::DirEntry) -> Option<Timestamp> {
    let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let since_epoch = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).saturating_add(since_epoch))
}

/// Keys and values of a store, in key order.
type Entries = Vec<(Bytes, Bytes)>;

/// A name as a file's: other bytes than letters, digits, `-`, `_` and inner dots are written as `%` and two digits.
fn file_name(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => safe.push(char::from(byte)),
            b'.' if at > 0 => safe.push('.'),
            other => safe.push_str(&format!("%{other:02x}")),
        }
    }
    safe
}

/// Half of the time for which changelogs keep tombstones: a snapshot older than they are could bring deleted keys back.
pub(crate) fn max_age(delete_retention: Duration) -> Duration {
    delete_retention / 2
}
