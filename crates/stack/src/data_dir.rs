//! The folder that holds all a stack stores: lock, remembered ports, logs, and one folder per server.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::ports::random_cluster_id;
use crate::{ServerKind, StackError};

const LOG_KEPT_BYTES: u64 = 16 << 20;
const LOG_TAIL_BYTES: u64 = 2_000;
/// How long the remains of a stack that was killed may hold the lock: its watchdog is stopping the servers.
const TAKEOVER: Duration = Duration::from_secs(10);

/// What a restart needs to know of the last run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) cluster_id: String,
    pub(crate) kafka_nodes: u8,
    /// Ports by server, and `kafka-N-controller`.
    pub(crate) ports: BTreeMap<String, u16>,
}

/// A data dir that no other stack uses. The lock lasts as long as any clone of its file, so also as long as the watchdog.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates the folder if need be and locks it.
    pub(crate) async fn open(path: &Path) -> Result<Self, StackError> {
        let what = || format!("create data dir {}", path.display());
        fs::create_dir_all(path).map_err(StackError::io(what()))?;
        let path = fs::canonicalize(path).map_err(StackError::io(what()))?;
        if nix::unistd::geteuid().is_root() {
            // PostgreSQL runs as another user below this folder: let it pass through, not list.
            let mode = fs::metadata(&path).map_err(StackError::io(what()))?.permissions().mode();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o011)).map_err(StackError::io(what()))?;
        }
        fs::create_dir_all(path.join("logs")).map_err(StackError::io(what()))?;
        let lock = lock(&path).await?;
        Ok(Self { path, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that keeps the lock while it is open.
    pub(crate) fn share_lock(&self) -> Result<File, StackError> {
        self.lock.try_clone().map_err(StackError::io("share the data dir's lock"))
    }

    pub(crate) fn log_path(&self, server: ServerKind) -> PathBuf {
        self.path.join("logs").join(format!("{server}.log"))
    }

    pub(crate) fn remembered(&self) -> Remembered {
        let text = fs::read(self.path.join("stack.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_else(|_| Remembered {
            cluster_id: random_cluster_id(),
            kafka_nodes: 0,
            ports: BTreeMap::new(),
        })
    }

    pub(crate) fn remember(&self, remembered: &Remembered) -> Result<(), StackError> {
        let text = serde_json::to_vec_pretty(remembered).unwrap_or_default();
        write_atomically(&self.path.join("stack.json"), &text).map_err(StackError::io("write stack.json"))
    }
}

/// Opens a log to append to; one that has grown large is set aside as `.1`.
pub(crate) fn open_log(path: &Path) -> std::io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_KEPT_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last lines of a log, for an error message.
pub(crate) fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    match read() {
        Ok(text) if text.is_empty() => format!("{} is empty", path.display()),
        Ok(text) => format!("end of {}:\n{text}", path.display()),
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    }
}

/// Replaces the file at `path` so that a crash leaves either the old or the new content.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

async fn lock(path: &Path) -> Result<File, StackError> {
    let failed = || StackError::io(format!("lock data dir {}", path.display()));
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(path.join("lock"))
        .map_err(failed())?;
    let wait = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed()(error)),
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(path.join("lock")).unwrap_or_default().trim().to_owned();
                if is_alive(&holder) || waited >= TAKEOVER {
                    let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
                    return Err(StackError::DataDirInUse { dir: path.to_owned(), holder });
                }
            }
        }
        tokio::time::sleep(wait).await;
        waited += wait;
    }
    file.set_len(0).map_err(failed())?;
    writeln!(file, "{}", std::process::id()).map_err(failed())?;
    Ok(file)
}

fn is_alive(pid: &str) -> bool {
    pid.parse().is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn second_opening_is_refused_with_the_holders_pid() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).await.unwrap();
        let error = DataDir::open(dir.path()).await.unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(dir.path()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_remembered_survives() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).await.unwrap();
        let mut remembered = data.remembered();
        remembered.ports.insert("redis".into(), 6379);
        data.remember(&remembered).unwrap();
        let again = data.remembered();
        assert_eq!((again.cluster_id, again.ports), (remembered.cluster_id, remembered.ports));
    }
}
