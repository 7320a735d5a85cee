//! The proxy through which a page reaches the web, and nothing else.
//!
//! It speaks as much HTTP as a browser speaks to a proxy: `CONNECT`, and requests that name the whole address, one to a connection. Names are
//! resolved here, and a connection is made to an address that passed the guard, so that a name that changes its answer gains nothing.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use super::super::guard;

/// The longest head of a request.
const MAX_HEAD: usize = 64 * 1024;

/// Connections of one page at once.
const MAX_CONNECTIONS: usize = 64;

const CONNECT: Duration = Duration::from_secs(10);
const REFUSAL: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const FAILURE: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy for one page; gone with its connections when dropped.
pub(super) struct Filter {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    /// The one private address that may be reached: host and port of a local page.
    own: Option<(String, u16)>,
    left: AtomicU64,
    exhausted: Notify,
    refused: Mutex<HashSet<String>>,
}

/// Why there is no connection.
enum Refusal {
    Refused,
    Failed,
}

impl Filter {
    /// Starts a proxy on the loopback; `own` is a local page, `traffic` the bytes that may come through.
    pub(super) async fn start(own: Option<&Url>, traffic: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = own.and_then(host_and_port);
        let shared = Arc::new(Shared {
            own,
            left: AtomicU64::new(traffic),
            exhausted: Notify::new(),
            refused: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting: serving.abort_handle() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether this address's host was refused.
    pub(super) fn refused(&self, url: &Url) -> bool {
        let refused = self.shared.refused.lock();
        host_and_port(url).is_some_and(|(host, _)| refused.contains(&host))
    }

    /// Ends once as many bytes came through as may.
    pub(super) async fn exhausted(&self) {
        self.shared.exhausted.notified().await;
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn host_and_port(url: &Url) -> Option<(String, u16)> {
    Some((url.host_str()?.trim_matches(['[', ']']).to_ascii_lowercase(), url.port_or_known_default()?))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                if let Ok((client, _)) = accepted {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        // What goes wrong between a page and its servers is the page's matter.
                        let _ = shared.connection(client).await;
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Shared {
    async fn connection(&self, mut client: TcpStream) -> io::Result<()> {
        let Some((head, rest)) = read_head(&mut client).await? else { return Ok(()) };
        let Some((url, head)) = forward(&head) else { return client.write_all(REFUSAL).await };
        let mut server = match self.connect(&url).await {
            Ok(server) => server,
            Err(Refusal::Refused) => return client.write_all(REFUSAL).await,
            Err(Refusal::Failed) => return client.write_all(FAILURE).await,
        };
        match head {
            Some(head) => server.write_all(head.as_bytes()).await?,
            None => client.write_all(ESTABLISHED).await?,
        }
        server.write_all(&rest).await?;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (up, down) =
            tokio::join!(self.pump(&mut from_client, &mut to_server), self.pump(&mut from_server, &mut to_client));
        up.and(down)
    }

    /// Connects to an address that passed the guard.
    async fn connect(&self, url: &Url) -> Result<TcpStream, Refusal> {
        let Some((host, port)) = host_and_port(url) else { return Err(Refusal::Refused) };
        let is_own = self.own.as_ref().is_some_and(|own| *own == (host.clone(), port));
        if !is_own && (guard::check(url).is_err() || !matches!(port, 80 | 443)) {
            return Err(self.refuse(host));
        }
        let found = tokio::time::timeout(CONNECT, tokio::net::lookup_host((host.as_str(), port))).await;
        let found: Vec<SocketAddr> = found.map_err(|_| Refusal::Failed)?.map_err(|_| Refusal::Failed)?.collect();
        let allowed: Vec<SocketAddr> =
            found.into_iter().filter(|address| is_own || guard::is_public(address.ip())).collect();
        if allowed.is_empty() {
            return Err(self.refuse(host));
        }
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(&*allowed)).await;
        connected.map_err(|_| Refusal::Failed)?.map_err(|_| Refusal::Failed)
    }

    fn refuse(&self, host: String) -> Refusal {
        self.refused.lock().insert(host);
        Refusal::Refused
    }

    async fn pump(&self, from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            let taken =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(read as u64));
            if taken.is_err() {
                self.exhausted.notify_one();
                return Err(io::Error::other("too many bytes"));
            }
            to.write_all(&buffer[..read]).await?;
        }
    }
}

/// Reads up to the empty line; also returns what came after it.
async fn read_head(client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = client.read(&mut buffer).await?;
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok(String::from_utf8(bytes).ok().map(|head| (head, rest)));
        }
        if read == 0 || bytes.len() > MAX_HEAD {
            return Ok(None);
        }
    }
}

/// Where a request is to go, and its head as the server is to see it; no head for a tunnel. `None` if it is neither.
fn forward(head: &str) -> Option<(Url, Option<String>)> {
    let (first, headers) = head.split_once("\r\n")?;
    let mut parts = first.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    if method == "CONNECT" {
        // The port says nothing of the scheme: it is the guard's only in name.
        let url = Url::parse(&format!("https://{target}/")).ok()?;
        return (url.path() == "/" && url.username().is_empty()).then_some((url, None));
    }
    let url = Url::parse(target).ok().filter(|url| url.scheme() == "http")?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut out = format!("{method} {path} HTTP/1.1\r\n");
    for line in headers.split("\r\n").filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection" | "proxy-authorization") {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
    // One request to a connection: the next may be for another host.
    out.push_str("Connection: close\r\n\r\n");
    Some((url, Some(out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_rewritten_for_their_server_and_tunnels_are_not() {
        let head = "GET http://a.example:8080/x?y=1 HTTP/1.1\r\nHost: a.example:8080\r\nProxy-Connection: keep-alive\r\nAccept: */*\r\n\r\n";
        let (url, head) = forward(head).unwrap();
        assert_eq!((url.host_str(), url.port()), (Some("a.example"), Some(8080)));
        assert_eq!(
            head.unwrap(),
            "GET /x?y=1 HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        let (url, head) = forward("CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(head.is_none() && guard::check(&url).is_err());
        for refused in
            ["GET /x HTTP/1.1\r\n\r\n", "GET ftp://a/ HTTP/1.1\r\n\r\n", "CONNECT a/b:1 HTTP/1.1\r\n\r\n", "\r\n\r\n"]
        {
            assert!(forward(refused).is_none(), "{refused}");
        }
    }

    #[tokio::test]
    async fn only_the_pages_own_place_is_reached_off_the_public_web() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nhere").await;
            }
        });
        let filter = Filter::start(Some(&own), 1 << 20).await.unwrap();
        let ask = async |target: String| {
            let mut socket = TcpStream::connect(filter.address()).await.unwrap();
            socket.write_all(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            let _ = socket.read_to_string(&mut answer).await;
            answer
        };
        assert!(ask(own.to_string()).await.ends_with("here"));
        for target in [
            format!("http://{other}/"),
            format!("http://localhost:{}/", own.port().unwrap()),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "http://[::ffff:127.0.0.1]/".to_owned(),
            "http://0x7f.1/".to_owned(),
            "http://1.1.1.1:22/".to_owned(),
        ] {
            assert!(ask(target.clone()).await.starts_with("HTTP/1.1 403"), "{target}");
        }
        assert!(
            filter.refused(&Url::parse("http://169.254.169.254/").unwrap())
                && !filter.refused(&Url::parse("http://1.2.3.4/").unwrap())
        );
    }
}
