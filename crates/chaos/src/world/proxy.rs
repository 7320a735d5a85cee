//! Proxies before the brokers, to which the brokers send their clients: they lose, hold back or repeat requests, and keep a client apart
//! from a broker. Brokers reach each other without them.

mod rules;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::error::ChaosError;
pub(crate) use rules::{Order, Request, Rules, Trick};

const LARGEST_FRAME: usize = 128 << 20;
/// The correlation id of a repeated request: no client has it, so that the second answer can be distinguished from the first.
const REPEATED: [u8; 4] = [0xFF; 4];

pub(crate) struct Proxies {
    listeners: Vec<TcpListener>,
    pub(crate) rules: Rules,
}

/// One client's connection to one broker.
#[derive(Clone)]
struct Connection {
    rules: Rules,
    /// Node id of the broker.
    node: u8,
    /// What the client calls itself, once it has asked for something.
    client: Arc<OnceLock<String>>,
    /// Ends before the next answer.
    cut: Arc<AtomicBool>,
}

impl Proxies {
    /// Takes a port for each broker.
    pub(crate) async fn bind(brokers: u8) -> Result<Self, ChaosError> {
        let mut listeners = Vec::new();
        for _ in 0..brokers {
            listeners.push(TcpListener::bind(("127.0.0.1", 0)).await.map_err(ChaosError::io("bind a proxy"))?);
        }
        Ok(Self { listeners, rules: Rules::default() })
    }

    /// The ports, in the order of the brokers.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.listeners.iter().filter_map(|listener| Some(listener.local_addr().ok()?.port())).collect()
    }

    /// Passes connections on to `brokers` (`host:port`, by commas), in the same order.
    pub(crate) fn serve(&mut self, brokers: &str) {
        for ((node, listener), broker) in (1..).zip(std::mem::take(&mut self.listeners)).zip(brokers.split(',')) {
            let (broker, rules) = (broker.to_owned(), self.rules.clone());
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    let rules = rules.clone();
                    let connection = Connection { rules, node, client: Arc::default(), cut: Arc::default() };
                    tokio::spawn(connection.pass(client, broker.clone()));
                }
            });
        }
    }
}

impl Connection {
    /// Whichever direction ends first ends both.
    async fn pass(self, client: TcpStream, broker: String) -> std::io::Result<()> {
        let server = TcpStream::connect(&broker).await?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            ended = self.requests(from_client, to_server) => ended,
            ended = self.answers(from_server, to_client) => ended,
        }
    }

    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
        loop {
            let mut request = frame(&mut from).await?;
            if let Some(client) = rules::client_of(&request[4..]) {
                let _ = self.client.set(client);
            }
            self.rules.until_together(self.client.get(), self.node).await;
            let trick = self.rules.take(&request[4..]);
            match trick {
                Some(Trick::Cut) => return Ok(()),
                Some(Trick::CutAnswer) => self.cut.store(true, Ordering::SeqCst),
                Some(Trick::Delay(time)) => tokio::time::sleep(time).await,
                None | Some(Trick::Twice | Trick::Pass) => {}
            }
            to.write_all(&request).await?;
            match trick {
                Some(Trick::Twice) => {
                    request[8..12].copy_from_slice(&REPEATED);
                    to.write_all(&request).await?;
                }
                Some(Trick::Pass) => self.rules.count_passed(),
                _ => {}
            }
        }
    }

    async fn answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
        loop {
            let answer = frame(&mut from).await?;
            if self.cut.load(Ordering::SeqCst) {
                return Ok(());
            }
            if answer[4..].starts_with(&REPEATED) {
                self.rules.count_dropped();
                continue;
            }
            self.rules.until_together(self.client.get(), self.node).await;
            to.write_all(&answer).await?;
        }
    }
}

/// A request or an answer, with the four bytes of its length before it. A request has at least api key, version and correlation id.
async fn frame(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size > LARGEST_FRAME {
        return Err(std::io::Error::other(format!("request or answer of {size} bytes, expected Kafka's protocol")));
    }
    let mut frame = vec![0; 4 + size];
    frame[..4].copy_from_slice(&length.to_be_bytes());
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}
