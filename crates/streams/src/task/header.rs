//! What is said of a task's state that is kept on this machine.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vigie_clock::Timestamp;

use super::mark::Mark;

/// Whose state it is, and from where on the changelogs complete it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The application's id, as the brokers know it.
    pub(crate) application: String,
    /// The topology; see [`Topology::fingerprint`](crate::Topology::fingerprint).
    pub(crate) topology: String,
    pub(crate) partition: i32,
    /// See [`Metadata`](super::metadata::Metadata).
    pub(crate) incarnation: u64,
    pub(crate) written_at: Timestamp,
    /// The last commit when it was begun; `None` in what an older version wrote.
    #[serde(default)]
    pub(crate) mark: Option<Mark>,
    /// By store: everything below this changelog offset is in the entries.
    pub(crate) from: Vec<i64>,
}

/// Whether what is of `written_at` should be renewed although nothing changed.
pub(crate) fn is_stale(written_at: Timestamp, now: Timestamp, max_age: Duration) -> bool {
    now.since(written_at) > max_age / 4
}
