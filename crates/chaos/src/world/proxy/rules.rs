//! What the proxies are to do: a trick with the next request of a kind, and a client and a broker that do not reach each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The transactional id comes first in these requests, right after the header.
const ID_WITHIN: usize = 1 << 10;

/// Requests of a transaction, by their API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Produce = 0,
    AddPartitionsToTxn = 24,
    EndTxn = 26,
}

/// What is done to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trick {
    /// The connection ends before the broker has it.
    Cut,
    /// The broker gets it, and the connection ends before the client has the answer.
    CutAnswer,
    /// The broker gets it so much later.
    Delay(Duration),
    /// The broker gets it twice, and the client the first answer only.
    Twice,
    /// Nothing is done, but it is known when the broker has got it.
    Pass,
}

/// A trick for the next request of a kind with a transactional id.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) request: Request,
    pub(crate) trick: Trick,
}

/// A client, by its client.id, and a broker, by its node id, that do not reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Apart {
    client: String,
    node: u8,
}

/// Shared by all connections.
#[derive(Clone)]
pub(crate) struct Rules {
    next: Arc<Mutex<Option<Order>>>,
    apart: watch::Sender<Option<Apart>>,
    done: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    held: Arc<AtomicU64>,
}

impl Default for Rules {
    fn default() -> Self {
        let apart = watch::Sender::new(None);
        Self { next: Arc::default(), apart, done: Arc::default(), dropped: Arc::default(), held: Arc::default() }
    }
}

impl Rules {
    /// One order at a time: it replaces one that was not carried out.
    pub(crate) fn order(&self, order: Order) {
        *self.next.lock() = Some(order);
    }

    /// How many orders were carried out.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// How many second answers were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::SeqCst)
    }

    /// From now on `client` and the broker `node` do not reach each other, until [`Self::join`]. What they send arrives then, as after a
    /// break of the network.
    pub(crate) fn part(&self, client: &str, node: u8) {
        self.apart.send_replace(Some(Apart { client: client.to_owned(), node }));
    }

    pub(crate) fn join(&self) {
        self.apart.send_replace(None);
    }

    /// How many requests and answers were held back between clients and brokers that were apart.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    /// The trick that is meant for this request.
    pub(super) fn take(&self, request: &[u8]) -> Option<Trick> {
        let mut next = self.next.lock();
        let Order { id, request: kind, trick } = next.as_ref()?;
        let (id, key, trick) = (id.as_bytes(), *kind as u16, *trick);
        let head = &request[..request.len().min(ID_WITHIN)];
        if !head.starts_with(&key.to_be_bytes()) || !head.windows(id.len()).any(|part| part == id) {
            return None;
        }
        *next = None;
        if !matches!(trick, Trick::Pass) {
            self.done.fetch_add(1, Ordering::SeqCst);
        }
        Some(trick)
    }

    /// A request with [`Trick::Pass`] is on its way to the broker.
    pub(super) fn count_passed(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits while this client and this broker are apart.
    pub(super) async fn until_together(&self, client: Option<&String>, node: u8) {
        let Some(client) = client else { return };
        let own = Some(Apart { client: client.clone(), node });
        let mut apart = self.apart.subscribe();
        if *apart.borrow() != own {
            return;
        }
        self.held.fetch_add(1, Ordering::SeqCst);
        // An error would mean that nobody can join them any more: then nobody waits for it either.
        let _ = apart.wait_for(|apart| *apart != own).await;
    }
}

/// The client.id of a request's header: api key, version, correlation id, then length (-1 for none) and text.
pub(super) fn client_of(request: &[u8]) -> Option<String> {
    let length = request.get(8..10)?.try_into().map(i16::from_be_bytes).ok()?;
    let text = request.get(10..10 + usize::try_from(length).ok()?)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: u8, id: &str) -> Vec<u8> {
        [&[0, key, 0, 1, 0, 0, 0, 9, 0, 5][..], b"vigie\0\x10", id.as_bytes()].concat()
    }

    #[test]
    fn an_order_is_for_one_request_of_its_kind_and_id() {
        let rules = Rules::default();
        rules.order(Order { id: "vigie-trends-a-0".to_owned(), request: Request::EndTxn, trick: Trick::Cut });
        assert!(rules.take(&request(26, "vigie-trends-b-0")).is_none());
        assert!(rules.take(&request(24, "vigie-trends-a-0")).is_none());
        assert!(rules.take(&request(26, "vigie-trends-a-0")).is_some());
        assert!(rules.take(&request(26, "vigie-trends-a-0")).is_none());
        assert_eq!(rules.done(), 1);
    }

    #[tokio::test]
    async fn only_the_client_and_the_broker_that_are_apart_wait() {
        let rules = Rules::default();
        let client = client_of(&request(26, "x"));
        assert_eq!(client.as_deref(), Some("vigie"));
        rules.part("vigie", 2);
        rules.until_together(client.as_ref(), 1).await;
        rules.until_together(Some(&"another".to_owned()), 2).await;
        assert_eq!(rules.held(), 0);
        let waits = tokio::spawn({
            let rules = rules.clone();
            async move { rules.until_together(client.as_ref(), 2).await }
        });
        while rules.held() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!waits.is_finished());
        rules.join();
        waits.await.unwrap();
    }
}
