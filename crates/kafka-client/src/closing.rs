//! A client of librdkafka whose end is not waited for without end.
//!
//! To close a consumer is to leave its group, and to close a producer is to wait for its threads: while coordinators move, either may hang.
//! Whoever drops a client waits for a while, then goes on and leaves it behind with the thread that closes it.

use std::ops::Deref;
use std::sync::mpsc;
use std::time::Duration;

use tracing::warn;

/// How long a drop waits: a group is left within two round trips, and a shutdown has 15 s for everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Closes what it holds on a thread of its own.
pub(crate) struct Closing<T: Send + 'static> {
    client: Option<T>,
    what: &'static str,
    patience: Duration,
}

impl<T: Send + 'static> Closing<T> {
    pub(crate) fn new(what: &'static str, client: T) -> Self {
        Self { client: Some(client), what, patience: PATIENCE }
    }
}

impl<T: Send + 'static> Deref for Closing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.client.as_ref().expect("only a drop takes it")
    }
}

impl<T: Send + 'static> Drop for Closing<T> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let (closed, is_closed) = mpsc::sync_channel::<()>(1);
        // If no thread can be made, the client is dropped with the closure, here.
        let closer = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
            drop(client);
            drop(closed);
        });
        let timed_out = matches!(is_closed.recv_timeout(self.patience), Err(mpsc::RecvTimeoutError::Timeout));
        if closer.is_ok() && timed_out {
            let seconds = self.patience.as_secs();
            warn!(client = self.what, seconds, "the kafka client does not close, it is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its end waits until the sender is dropped, and is noted.
    struct Hangs(mpsc::Receiver<()>, mpsc::Sender<&'static str>);

    impl Drop for Hangs {
        fn drop(&mut self) {
            let _ = self.0.recv();
            let _ = self.1.send("closed");
        }
    }

    #[test]
    fn a_client_that_hangs_is_left_behind_and_closed_in_its_own_time() {
        let (release, released) = mpsc::channel();
        let (note, notes) = mpsc::channel();
        let client = Closing { client: Some(Hangs(released, note)), what: "test", patience: Duration::ZERO };
        drop(client);
        assert_eq!(notes.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(release);
        assert_eq!(notes.recv(), Ok("closed"));
    }

    #[test]
    fn a_client_that_closes_is_closed_when_the_drop_returns() {
        let (release, released) = mpsc::channel();
        let (note, notes) = mpsc::channel();
        drop(release);
        drop(Closing::new("test", Hangs(released, note)));
        assert_eq!(notes.try_recv(), Ok("closed"));
    }
}
