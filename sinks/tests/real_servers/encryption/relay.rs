//! Stands between a client and a server, with a certificate of its own or none, and records all that the client sends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How it meets clients.
#[derive(Clone)]
pub(super) enum Face {
    /// As the server does.
    Plain,
    /// As PostgreSQL without TLS.
    PostgresPlain,
    Tls(Arc<ServerConfig>),
    PostgresTls(Arc<ServerConfig>),
    /// On to a server that speaks TLS.
    TlsToTls(Arc<ServerConfig>, Arc<ClientConfig>),
}

type Heard = Arc<Mutex<Vec<u8>>>;

pub(super) struct Relay {
    pub(super) port: u16,
    heard: Heard,
}

impl Relay {
    /// On to the port `server` of this machine.
    pub(super) async fn to(server: u16, face: Face) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), Heard::default());
        let seen = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, face.clone(), Arc::clone(&seen)));
            }
        });
        Self { port, heard }
    }

    /// Whether `text` was sent, in clear or in what only the certificate's owner can read.
    pub(super) fn has_heard(&self, text: &str) -> bool {
        self.heard.lock().windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
    }

    pub(super) fn is_silent(&self) -> bool {
        self.heard.lock().is_empty()
    }
}

async fn pass(client: TcpStream, server: u16, face: Face, heard: Heard) -> io::Result<()> {
    let mut client = Recorded { stream: client, heard: Arc::clone(&heard) };
    let mut onward = None;
    let encrypted = match face {
        Face::Plain => None,
        Face::PostgresPlain => {
            ask_for_tls(&mut client, b'N').await?;
            None
        }
        Face::Tls(config) => Some(config),
        Face::PostgresTls(config) => {
            ask_for_tls(&mut client, b'S').await?;
            Some(config)
        }
        Face::TlsToTls(config, client) => {
            onward = Some(client);
            Some(config)
        }
    };
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    match encrypted {
        None => copy_bidirectional(&mut client, &mut server).await.map(drop),
        Some(config) => {
            let mut client = Recorded { stream: TlsAcceptor::from(config).accept(client).await?, heard };
            let Some(onward) = onward else { return copy_bidirectional(&mut client, &mut server).await.map(drop) };
            let host = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
            let mut server = TlsConnector::from(onward).connect(host, server).await?;
            copy_bidirectional(&mut client, &mut server).await.map(drop)
        }
    }
}

/// PostgreSQL's SSLRequest, and the answer to it.
async fn ask_for_tls(client: &mut Recorded<TcpStream>, answer: u8) -> io::Result<()> {
    client.read_exact(&mut [0; 8]).await?;
    client.write_u8(answer).await
}

struct Recorded<S> {
    stream: S,
    heard: Heard,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.heard.lock().extend(&buf.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
