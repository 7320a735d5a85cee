//! Looks after `sources.toml` while the producers run: a changed file is read again, no restart needed.
//!
//! Polled, for changes of a mounted ConfigMap or a network share raise no event. A file that is being written is left alone until
//! two looks in a row find it the same.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::warn;
use vigie_daemon::Mistake;

use crate::sources::SourceConfig;
use crate::sources::catalogue;

/// A new list, or every mistake in it.
pub(crate) type Reloaded = Result<Vec<SourceConfig>, Vec<Mistake>>;

/// Sends what the file says each time that its content changes, and once at the start. Ends with the receiver.
pub(crate) fn watch(path: PathBuf, every: Duration) -> mpsc::Receiver<Reloaded> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut file = Watched::new(path);
        let mut hangups = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "no handler for SIGHUP, changes of the file are polled only"))
            .ok();
        loop {
            let asked = tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(every) => false,
                () = hangup(&mut hangups) => true,
            };
            let Ok((back, reloaded)) = tokio::task::spawn_blocking(move || {
                let reloaded = file.look(asked);
                (file, reloaded)
            })
            .await
            else {
                return;
            };
            file = back;
            if let Some(reloaded) = reloaded
                && sender.send(reloaded).await.is_err()
            {
                return;
            }
        }
    });
    receiver
}

async fn hangup(signals: &mut Option<Signal>) {
    match signals {
        Some(signals) => {
            signals.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// What a look at the file costs as long as it does not change: one call for its metadata.
#[derive(Debug, Default)]
struct Watched {
    path: PathBuf,
    /// Time and length at the last look.
    seen: Option<(SystemTime, u64)>,
    /// The same when the content was last read.
    read: Option<(SystemTime, u64)>,
    digest: Option<[u8; 32]>,
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    /// What the file says, if it says something new; `at_once` if it need not be the same as at the last look.
    fn look(&mut self, at_once: bool) -> Option<Reloaded> {
        let state = state(&self.path);
        let settled = state.is_some() && state == std::mem::replace(&mut self.seen, state);
        let is_known = state.is_some() && state == self.read;
        if !at_once && (!settled || is_known) {
            return None;
        }
        self.read = state;
        let name = self.path.display();
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) => return Some(Err(vec![Mistake::new(name.to_string(), error, "a readable file")])),
        };
        let digest: [u8; 32] = Sha256::digest(&text).into();
        if self.digest.replace(digest) == Some(digest) {
            return None;
        }
        let parsed = match std::str::from_utf8(&text) {
            Ok(text) => catalogue::parse(text),
            Err(error) => Err(vec![Mistake::new("text", error, "UTF-8")]),
        };
        Some(parsed.map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.within(&name)).collect()))
    }
}

fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_it_rests_and_only_if_it_says_something_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sources.toml");
        let one = "[[source]]\nid = \"a\"\nkind = \"rss\"\nurl = \"https://example.org/\"\nevery_seconds = 60\n";
        std::fs::write(&path, one).unwrap();
        let mut file = Watched::new(path.clone());
        assert!(file.look(false).is_none(), "it may still be written");
        assert_eq!(file.look(false).unwrap().unwrap().len(), 1);
        assert!(file.look(false).is_none() && file.look(true).is_none());
        std::fs::write(&path, "[[source]]\nid = \"B\"\n").unwrap();
        assert!(file.look(false).is_none());
        let mistakes = file.look(false).unwrap().unwrap_err();
        assert!(mistakes[0].to_string().contains("sources.toml: line "), "{mistakes:?}");
        assert!(file.look(false).is_none(), "mistakes are reported once");
        std::fs::write(&path, one).unwrap();
        assert_eq!(file.look(true).unwrap().unwrap().len(), 1, "asked for, it is read at once");
        std::fs::remove_file(&path).unwrap();
        assert!(file.look(true).unwrap().is_err());
    }
}
