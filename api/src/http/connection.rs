//! Connections: how many there are, how long they may keep us waiting, and how they end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::http::idle::{Connection, Idle, Sending};
use crate::http::patient::Patient;
use crate::http::peers::{Guest, Peers};
use crate::http::tls::{ServerTls, is_http2};

/// A client that has not sent the head of its next request by then is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers in progress at a shutdown get this long.
const DRAIN: Duration = Duration::from_secs(5);
/// Wait after an error that more connections would only make worse, as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_HEAD_BYTES: u32 = 32 * 1024;
/// Requests of one HTTP/2 connection that are answered side by side, at most.
const MAX_STREAMS: u32 = 100;
/// An HTTP/2 client is asked so often whether it is still there, and let go if it does not say so in time.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection that the client took back before we came to them, and that we refused, at most (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
/// A client that takes nothing of its answer for so long is let go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until the shutdown, then lets answers in progress end. With `tls` it serves nothing else, and HTTP/2 to those who want it.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<ServerTls>,
    max_connections: usize,
    peers: Peers,
    shutdown: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(max_connections));
    let (connections, idle) = (TaskTracker::new(), Idle::default());
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &peers, &places, &idle) => accepted,
        };
        let Some((stream, peer, guest, place)) = accepted else { continue };
        let (router, tls, shutdown, cut) = (router.clone(), tls.clone(), shutdown.clone(), cut.clone());
        let connection = idle.connection();
        connections.spawn(async move {
            let service = Service { router, peer, connection: connection.clone() };
            tokio::select! {
                () = converse(stream, service, &guest, tls, shutdown) => {}
                () = connection.evicted() => debug!(%peer, "idle connection cut off for another one"),
                () = cut.cancelled() => {}
            }
            drop((place, guest));
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "connections were cut off at the shutdown");
        cut.cancel();
        connections.wait().await;
    }
}

type Accepted = (TcpStream, SocketAddr, Guest, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, peers: &Peers, places: &Arc<Semaphore>, idle: &Idle) -> Option<Accepted> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            let guest = peers.admit(peer.ip())?;
            loop {
                if let Ok(place) = places.clone().try_acquire_owned() {
                    return Some((stream, peer, guest, place));
                }
                let one_more = idle.one_more();
                idle.evict();
                tokio::select! {
                    place = places.clone().acquire_owned() => return Some((stream, peer, guest, place.ok()?)),
                    () = one_more => {}
                }
            }
        }
        Err(error) => {
            debug!(%error, "connection not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn converse(
    stream: TcpStream,
    service: Service,
    guest: &Guest,
    tls: Option<ServerTls>,
    shutdown: CancellationToken,
) {
    // Events are small and must not wait for more.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, WRITE_TIMEOUT);
    let result = match tls {
        None => http1(stream, service, shutdown).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) if is_http2(&stream) => http2(stream, service, shutdown).await,
            Ok(stream) => http1(stream, service, shutdown).await,
            Err(error) => return debug!(%error, "handshake not finished"),
        },
    };
    if let Err(error) = result {
        debug!(%error, "connection ended");
        if is_flood(&error) {
            guest.ban();
        }
    }
}

/// Whether we have cut an HTTP/2 connection because of what it made us do.
fn is_flood(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|error| error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
}

async fn http1<S>(stream: S, service: Service, shutdown: CancellationToken) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| service.clone().answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES as usize)
        .serve_connection(TokioIo::new(stream), service);
    until_shutdown(connection, http1::Connection::graceful_shutdown, shutdown).await
}

async fn http2<S>(stream: S, service: Service, shutdown: CancellationToken) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| service.clone().answer(request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_RESET_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    until_shutdown(connection, http2::Connection::graceful_shutdown, shutdown).await
}

/// Drives a connection to its end; a shutdown lets answers in progress end.
async fn until_shutdown<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    end: impl FnOnce(Pin<&mut C>),
    shutdown: CancellationToken,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            end(connection.as_mut());
            connection.await
        }
    }
}

/// What answers the requests of a connection.
#[derive(Clone)]
struct Service {
    router: Router,
    peer: SocketAddr,
    connection: Connection,
}

impl Service {
    async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let answering = self.connection.answering();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = self.router.oneshot(request).await?;
        Ok(response.map(|body| Body::new(Sending(body, answering))))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::{Path, PathBuf};

    use axum::routing::get;
    use reqwest::{Certificate, Client, ClientBuilder, Version};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::http::proxies::Proxies;
    use crate::http::tls::TlsConfig;

    /// A server with a certificate that is in files, and what its clients trust.
    struct Server {
        dir: tempfile::TempDir,
        addr: SocketAddr,
        _stop: tokio_util::sync::DropGuard,
    }

    /// A new certificate and key, in PEM.
    fn issue() -> (String, String) {
        let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        (issued.cert.pem(), issued.signing_key.serialize_pem())
    }

    fn files(dir: &Path) -> [PathBuf; 2] {
        ["cert.pem", "key.pem"].map(|name| dir.join(name))
    }

    impl Server {
        async fn start() -> (Self, String) {
            Self::start_with(Duration::from_secs(10)).await
        }

        async fn start_with(patience: Duration) -> (Self, String) {
            let dir = tempfile::tempdir().unwrap();
            let ([certificate, key], (pem, secret)) = (files(dir.path()), issue());
            std::fs::write(&certificate, &pem).unwrap();
            std::fs::write(&key, secret).unwrap();
            let config = TlsConfig { api_tls_cert_file: Some(certificate), api_tls_key_file: Some(key) };
            let mut tls = config.check().unwrap().unwrap();
            tls.patience = patience;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (addr, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
            let router = Router::new().route("/", get(async || "here"));
            let stop = shutdown.clone().drop_guard();
            let peers = Peers::new(10, Proxies::default());
            tokio::spawn(async move { serve(listener, router, Some(tls), 10, peers, &shutdown).await });
            (Self { dir, addr, _stop: stop }, pem)
        }

        /// Asks on a new connection; the version of HTTP that was answered.
        async fn ask(&self, trusted: &str, builder: ClientBuilder) -> Result<Version, reqwest::Error> {
            let roots = [Certificate::from_pem(trusted.as_bytes()).unwrap()];
            let client = builder.no_proxy().tls_certs_only(roots).build().unwrap();
            let response = client.get(format!("https://{}/", self.addr)).send().await?;
            let version = response.version();
            assert_eq!(response.text().await?, "here");
            Ok(version)
        }
    }

    fn client() -> ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
    }

    #[tokio::test]
    async fn an_encrypted_listener_speaks_http_2_and_1_1_and_nothing_in_clear() {
        let (server, pem) = Server::start().await;
        assert_eq!(server.ask(&pem, client()).await.unwrap(), Version::HTTP_2);
        assert_eq!(server.ask(&pem, client().http1_only()).await.unwrap(), Version::HTTP_11);
        assert!(server.ask(&issue().0, client()).await.unwrap_err().is_connect());
        let clear = client().no_proxy().build().unwrap().get(format!("http://{}/", server.addr)).send().await;
        assert!(clear.is_err(), "{clear:?}");
    }

    #[tokio::test]
    async fn a_renewed_certificate_holds_for_the_next_connection_and_a_broken_one_is_not_taken() {
        let (server, first) = Server::start().await;
        let ([certificate, key], (second, secret)) = (files(server.dir.path()), issue());
        std::fs::write(&certificate, &second).unwrap();
        // Its key is still to come.
        server.ask(&first, client()).await.unwrap();
        std::fs::write(&key, secret).unwrap();
        server.ask(&second, client()).await.unwrap();
        assert!(server.ask(&first, client()).await.is_err());
        std::fs::write(&certificate, "nonsense").unwrap();
        server.ask(&second, client()).await.unwrap();
    }

    #[tokio::test]
    async fn who_does_not_finish_the_handshake_is_let_go() {
        let (server, _) = Server::start_with(Duration::from_millis(50)).await;
        let mut idle = TcpStream::connect(server.addr).await.unwrap();
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_client_that_takes_its_requests_back_again_and_again_is_cut_off_and_kept_out() {
        let (server, pem) = Server::start().await;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = || axum::http::Request::get(format!("https://{}/", server.addr)).body(()).unwrap();
        for _ in 0..10_000 {
            let Ok(ready) = client.ready().await else { break };
            client = ready;
            let Ok((_, mut sent)) = client.send_request(request(), false) else { break };
            sent.send_reset(h2::Reason::CANCEL);
        }
        connection.await.unwrap().expect_err("the server ends it");
        // It may see the end before the server has drawn its conclusion.
        while server.ask(&pem, self::client()).await.is_ok() {}
        let other = self::client().local_address(IpAddr::from([127, 0, 0, 2]));
        assert_eq!(server.ask(&pem, other).await.unwrap(), Version::HTTP_2, "others are answered");
    }

    #[test]
    fn a_certificate_that_cannot_be_served_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let ([certificate, key], (pem, _)) = (files(dir.path()), issue());
        let check = |config: TlsConfig| config.check().err().unwrap()[0].to_string();
        let alone = TlsConfig { api_tls_cert_file: Some(certificate.clone()), api_tls_key_file: None };
        assert!(check(alone).starts_with("--api-tls-key-file (VIGIE_API_TLS_KEY_FILE): one without the other"));
        let both = TlsConfig { api_tls_cert_file: Some(certificate.clone()), api_tls_key_file: Some(key.clone()) };
        assert!(check(both.clone()).contains("cert.pem: No such file"));
        std::fs::write(&certificate, pem).unwrap();
        std::fs::write(&key, issue().1).unwrap();
        let error = check(both);
        assert!(
            error.starts_with("--api-tls-cert-file (VIGIE_API_TLS_CERT_FILE): ") && error.contains("cert.pem"),
            "{error}"
        );
    }
}
