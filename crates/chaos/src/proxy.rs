//! Proxies before the brokers, to which the brokers send their clients: they can lose or hold back the request that ends a transaction
//! (EndTxn, API key 26), or its answer. Brokers reach each other without them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::error::ChaosError;

const END_TXN: [u8; 2] = [0, 26];
const LARGEST_REQUEST: usize = 128 << 20;

/// What is done to an EndTxn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trick {
    /// The connection ends before the broker has it.
    Cut,
    /// The broker gets it, and the connection ends before the client has the answer.
    CutAnswer,
    /// The broker gets it so much later.
    Delay(Duration),
}

/// One trick, for the next EndTxn of a transactional id.
struct Order {
    id: String,
    trick: Trick,
}

#[derive(Clone, Default)]
struct Orders {
    next: Arc<Mutex<Option<Order>>>,
    done: Arc<AtomicU64>,
}

pub(crate) struct Proxies {
    listeners: Vec<TcpListener>,
    orders: Orders,
}

impl Proxies {
    /// Takes a port for each broker.
    pub(crate) async fn bind(brokers: u8) -> Result<Self, ChaosError> {
        let mut listeners = Vec::new();
        for _ in 0..brokers {
            listeners.push(TcpListener::bind(("127.0.0.1", 0)).await.map_err(ChaosError::io("bind a proxy"))?);
        }
        Ok(Self { listeners, orders: Orders::default() })
    }

    /// The ports, in the order of the brokers.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.listeners.iter().filter_map(|listener| Some(listener.local_addr().ok()?.port())).collect()
    }

    /// Passes connections on to `brokers` (`host:port`, by commas), in the same order.
    pub(crate) fn serve(&mut self, brokers: &str) {
        for (listener, broker) in std::mem::take(&mut self.listeners).into_iter().zip(brokers.split(',')) {
            let (broker, orders) = (broker.to_owned(), self.orders.clone());
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(pass(client, broker.clone(), orders.clone()));
                }
            });
        }
    }

    /// Does this to the next EndTxn of the transactional id `id`.
    pub(crate) fn order(&self, id: &str, trick: Trick) {
        *lock(&self.orders.next) = Some(Order { id: id.to_owned(), trick });
    }

    /// How many orders were carried out.
    pub(crate) fn done(&self) -> u64 {
        self.orders.done.load(Ordering::SeqCst)
    }
}

impl Orders {
    /// The trick that is meant for this request.
    fn take(&self, request: &[u8]) -> Option<Trick> {
        if !request.starts_with(&END_TXN) {
            return None;
        }
        let mut next = lock(&self.next);
        let order = next.as_ref()?;
        let (id, trick) = (order.id.as_bytes(), order.trick);
        if !request.windows(id.len()).any(|part| part == id) {
            return None;
        }
        *next = None;
        self.done.fetch_add(1, Ordering::SeqCst);
        Some(trick)
    }
}

/// Whichever direction ends first ends both.
async fn pass(client: TcpStream, broker: String, orders: Orders) -> std::io::Result<()> {
    let server = TcpStream::connect(&broker).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cut = Arc::new(AtomicBool::new(false));
    tokio::select! {
        ended = requests(from_client, to_server, orders, Arc::clone(&cut)) => ended,
        ended = answers(from_server, to_client, cut) => ended,
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    orders: Orders,
    cut: Arc<AtomicBool>,
) -> std::io::Result<()> {
    loop {
        let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
        if length > LARGEST_REQUEST {
            return Err(std::io::Error::other(format!("request of {length} bytes, expected a Kafka client")));
        }
        let mut request = vec![0; 4 + length];
        request[..4].copy_from_slice(&(length as u32).to_be_bytes());
        from.read_exact(&mut request[4..]).await?;
        match orders.take(&request[4..]) {
            None => {}
            Some(Trick::Cut) => return Ok(()),
            Some(Trick::CutAnswer) => cut.store(true, Ordering::SeqCst),
            Some(Trick::Delay(time)) => tokio::time::sleep(time).await,
        }
        to.write_all(&request).await?;
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: Arc<AtomicBool>) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 || cut.load(Ordering::SeqCst) {
            return Ok(());
        }
        to.write_all(&bytes[..length]).await?;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_for_one_end_of_a_transaction_of_its_id() {
        let orders = Orders::default();
        *lock(&orders.next) = Some(Order { id: "vigie-trends-a-0".to_owned(), trick: Trick::Cut });
        let request =
            |key: u8, id: &str| [&[0, key, 0, 1, 0, 0, 0, 9, 0, 5][..], b"vigie\0\x10", id.as_bytes()].concat();
        assert!(orders.take(&request(26, "vigie-trends-b-0")).is_none());
        assert!(orders.take(&request(24, "vigie-trends-a-0")).is_none());
        assert!(orders.take(&request(26, "vigie-trends-a-0")).is_some());
        assert!(orders.take(&request(26, "vigie-trends-a-0")).is_none());
        assert_eq!(orders.done.load(Ordering::SeqCst), 1);
    }
}
