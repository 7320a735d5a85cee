//! No orphans: a small shell process that outlives a crash of its parent and stops what the parent had started.
//!
//! ```text
//!   parent ──pipe──▶ watchdog (sh, own process group)      line "killed pids,quit pids" on every change
//!     │                  │
//!     │ killed           │ end of file: the parent is gone
//!     ✗                  └──▶ kill the pids of the last line, delete the data dir if it was a temporary one, exit
//! ```
//!
//! A server starts as a shell that waits for a go on its own standard input and then becomes the server by `exec`. The go is given after
//! the watchdog knows the pid, so there is no moment at which a crash of the parent leaves a server behind.
//! The watchdog also holds the data dir's lock: a new stack waits until the old one's servers are gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::environment;

use parking_lot::Mutex;

use crate::StackError;

const SCRIPT: &str = r#"
trap '' HUP INT TERM
killed= quit=
while IFS=, read -r k q; do killed=$k quit=$q; done
tries=0
gone() { # waits, 3 s in all
    while kill -0 $1 2>/dev/null && [ $tries -lt 60 ]; do sleep 0.05; tries=$((tries + 1)); done
}
[ -z "$quit" ] || { kill -CONT $quit; kill -QUIT $quit; } 2>/dev/null
[ -z "$killed" ] || kill -KILL $killed 2>/dev/null
for pid in $quit $killed; do gone $pid; done
[ -z "$quit" ] || kill -KILL $quit 2>/dev/null
[ -n "$1" ] || exit
cluster=$(readlink "$1/postgres")
case "$cluster" in /var/lib/vigie/postgres-*) rm -rf "$cluster" ;; esac
rm -rf "$2"
"#;

/// How the watchdog ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// SIGKILL.
    Kill,
    /// SIGQUIT, then SIGKILL after 3 s: PostgreSQL frees its shared memory on SIGQUIT.
    Quit,
}

/// What goes at the end.
#[derive(Debug)]
pub(crate) struct Removal {
    data_dir: PathBuf,
    /// The data dir, or a part of it.
    gone: PathBuf,
}

impl Removal {
    /// All of `data_dir`, or only what PostgreSQL stores, which may lie elsewhere.
    pub(crate) fn of(data_dir: &Path, only_postgres: bool) -> Self {
        let gone = if only_postgres { data_dir.join("postgres") } else { data_dir.to_owned() };
        Self { data_dir: data_dir.to_owned(), gone }
    }
}

#[derive(Debug)]
pub(crate) struct Watchdog {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    child: Child,
    pipe: Option<ChildStdin>,
    watched: BTreeMap<u32, Ending>,
    lock: File,
    remove: Option<Removal>,
}

impl Watchdog {
    /// Starts the watchdog. It keeps `lock` open, and deletes `remove` at its end.
    pub(crate) fn start(lock: File, remove: Option<Removal>) -> Result<Self, StackError> {
        let (child, pipe) = spawn(&lock, remove.as_ref()).map_err(StackError::io("start the watchdog"))?;
        Ok(Self { inner: Mutex::new(Inner { child, pipe, watched: BTreeMap::new(), lock, remove }) })
    }

    /// From now on, `pid` ends with this process.
    pub(crate) fn watch(&self, pid: u32, ending: Ending) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.watched.insert(pid, ending);
        inner.tell()
    }

    /// `pid` has ended.
    pub(crate) fn forget(&self, pid: u32) {
        let mut inner = self.inner.lock();
        inner.watched.remove(&pid);
        if let Err(error) = inner.tell() {
            tracing::warn!(%error, "cannot reach the watchdog");
        }
    }

    /// Lets the watchdog finish and waits for it: what it still watches ends, the data dir goes if it was a temporary one.
    pub(crate) fn finish(&self) {
        let mut inner = self.inner.lock();
        inner.pipe = None;
        let _ = inner.child.wait();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Inner {
    fn tell(&mut self) -> io::Result<()> {
        let list = |wanted: Ending| {
            let pids = self.watched.iter().filter(|(_, ending)| **ending == wanted);
            pids.map(|(pid, _)| pid.to_string()).collect::<Vec<_>>().join(" ")
        };
        let line = format!("{},{}\n", list(Ending::Kill), list(Ending::Quit));
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        if pipe.write_all(line.as_bytes()).is_ok() {
            return Ok(());
        }
        tracing::warn!("the watchdog is gone, starting another");
        let _ = self.child.wait();
        (self.child, self.pipe) = spawn(&self.lock, self.remove.as_ref())?;
        match &mut self.pipe {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

fn spawn(lock: &File, remove: Option<&Removal>) -> io::Result<(Child, Option<ChildStdin>)> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "vigie-watchdog"]);
    command.args(remove.into_iter().flat_map(|remove| [&remove.data_dir, &remove.gone]));
    command.env_clear().envs(environment::kept());
    command.current_dir("/").stdin(Stdio::piped()).stdout(lock.try_clone()?).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    let pipe = child.stdin.take();
    Ok((child, pipe))
}
