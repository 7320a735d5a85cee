//! Sockets of streams that stay open between two polls.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::Socket;

/// A connection that is silent for so long, not even answering a ping, is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

/// The sockets between two polls, by name.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: Mutex<HashMap<String, OpenSocket>>,
}

/// A socket that continues at a known cursor.
#[derive(Debug)]
pub(crate) struct OpenSocket {
    pub(crate) socket: Socket,
    /// The cursor at which it goes on; `None` before its first event.
    pub(crate) at: Option<i64>,
    /// When anything came last, in the clock's monotonic time.
    pub(crate) heard: Duration,
}

impl Sockets {
    /// The socket of this name, if it goes on at that very event and is alive.
    pub(crate) fn take(&self, name: &str, at: Option<i64>, now: Duration) -> Option<OpenSocket> {
        let open = self.open.lock().remove(name);
        open.filter(|open| open.at == at && now.saturating_sub(open.heard) < SILENCE)
    }

    pub(crate) fn keep(&self, name: String, open: OpenSocket) {
        self.open.lock().insert(name, open);
    }
}
