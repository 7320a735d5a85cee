use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::sync::CancellationToken;

/// The connections that wait for a request, in the order in which they began to. Where there is no place for another connection, the
/// one that has waited longest goes: so nobody keeps others out with connections that do nothing.
#[derive(Clone, Default)]
pub(super) struct Idle {
    waiting: Arc<Mutex<Waiting>>,
    begun: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    by_turn: BTreeMap<u64, CancellationToken>,
}

impl Idle {
    /// Ends the connection that has waited longest, if one waits.
    pub(super) fn evict(&self) {
        if let Some((_, cut)) = self.waiting.lock().by_turn.pop_first() {
            cut.cancel();
        }
    }

    /// Ends when another connection begins to wait, from now on.
    pub(super) fn one_more(&self) -> Notified<'_> {
        self.begun.notified()
    }

    /// A new connection, which waits for its first request.
    pub(super) fn connection(&self) -> Connection {
        let connection =
            Connection(Arc::new(Inner { idle: self.clone(), cut: CancellationToken::new(), state: Mutex::default() }));
        connection.0.wait(&mut connection.0.state.lock());
        connection
    }
}

/// One connection. It waits while none of its requests is being answered.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    idle: Idle,
    cut: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answering: usize,
    turn: u64,
}

impl Connection {
    /// Returns when the connection is to end for another one.
    pub(super) async fn evicted(&self) {
        self.0.cut.cancelled().await;
    }

    /// A request has come, and is being answered until this is dropped.
    pub(super) fn answering(&self) -> Answering {
        let mut state = self.0.state.lock();
        state.answering += 1;
        self.0.idle.waiting.lock().by_turn.remove(&state.turn);
        Answering(self.clone())
    }
}

impl Inner {
    fn wait(&self, state: &mut State) {
        let mut waiting = self.idle.waiting.lock();
        state.turn = waiting.next;
        waiting.next += 1;
        waiting.by_turn.insert(state.turn, self.cut.clone());
        self.idle.begun.notify_waiters();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.idle.waiting.lock().by_turn.remove(&self.state.get_mut().turn);
    }
}

pub(super) struct Answering(Connection);

impl Drop for Answering {
    fn drop(&mut self) {
        let inner = &self.0.0;
        let mut state = inner.state.lock();
        state.answering -= 1;
        if state.answering == 0 {
            inner.wait(&mut state);
        }
    }
}

/// A body that is being sent as long as it is there.
pub(super) struct Sending(pub(super) Body, #[expect(dead_code, reason = "acts when dropped")] pub(super) Answering);

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
