//! TLS of the API's own listener, with a certificate that may change while it serves.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};
use vigie_daemon::{Check, Mistake};

/// A client that has not finished the handshake by then is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Files of the API's certificate.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsConfig {
    /// PEM file of the API's certificate and its chain: serves https and HTTP/2; looked at with every connection, so that it can be renewed
    #[arg(long = "api-tls-cert-file", env = "VIGIE_API_TLS_CERT_FILE", value_name = "FILE")]
    pub api_tls_cert_file: Option<PathBuf>,
    /// PEM file of that certificate's private key
    #[arg(long = "api-tls-key-file", env = "VIGIE_API_TLS_KEY_FILE", value_name = "FILE")]
    pub api_tls_key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// `None` if the API serves in clear.
    pub(crate) fn check(&self) -> Result<Option<ServerTls>, Vec<Mistake>> {
        let mistake = |option: &str, found: String, expected: &str| vec![Mistake::of::<Self>(option, found, expected)];
        let (certificate, key) = match (&self.api_tls_cert_file, &self.api_tls_key_file) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            _ => {
                return Err(mistake(
                    "api-tls-key-file",
                    "one without the other".into(),
                    "it beside --api-tls-cert-file",
                ));
            }
        };
        let mut check = Check::<Self>::default();
        for (option, file) in [("api-tls-cert-file", certificate), ("api-tls-key-file", key)] {
            if let Err(error) = std::fs::File::open(file) {
                check.option(option, false, format!("{}: {error}", file.display()), "a file in PEM");
            }
        }
        check.finish(Some(()))?;
        ServerTls::new(certificate, key)
            .map(Some)
            .map_err(|found| mistake("api-tls-cert-file", found, "a certificate in PEM, and its key"))
    }
}

/// Speaks TLS with those who connect.
#[derive(Clone)]
pub(crate) struct ServerTls {
    acceptor: TlsAcceptor,
    /// How long a handshake may take.
    pub(super) patience: Duration,
}

impl ServerTls {
    fn new(certificate: &Path, key: &Path) -> Result<Self, String> {
        let files = [certificate.to_owned(), key.to_owned()];
        let state = State { stamps: files.each_ref().map(|file| Stamp::of(file)), key: load(&files)? };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Certificate { files, state: Mutex::new(state) }));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: Arc::new(config).into(), patience: HANDSHAKE_TIMEOUT })
    }

    /// The handshake.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let handshake = tokio::time::timeout(self.patience, self.acceptor.accept(stream));
        handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Whether the client wants HTTP/2.
pub(super) fn is_http2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// The certificate as its files are now.
#[derive(Debug)]
struct Certificate {
    files: [PathBuf; 2],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The files that were looked at last.
    stamps: [Option<Stamp>; 2],
    /// The last that was right.
    key: Arc<CertifiedKey>,
}

/// What changes with a file: where, how long, and when it was written.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64);

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let of = |file: Metadata| Self(file.ino(), file.len(), file.mtime(), file.mtime_nsec());
        std::fs::metadata(file).ok().map(of)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut state = self.state.lock();
        let stamps = self.files.each_ref().map(|file| Stamp::of(file));
        if stamps != state.stamps {
            match load(&self.files) {
                Ok(key) => {
                    info!("certificate of the api renewed");
                    state.key = key;
                }
                // Half of it may be written; the next change is looked at again.
                Err(error) => warn!(error, "new certificate of the api cannot be used, the old one is kept"),
            }
            state.stamps = stamps;
        }
        Some(state.key.clone())
    }
}

fn load([certificate, key]: &[PathBuf; 2]) -> Result<Arc<CertifiedKey>, String> {
    let in_file = |file: &Path, found: &dyn std::fmt::Display| format!("{}: {found}", file.display());
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|e| in_file(certificate, &e))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| in_file(key, &e))?;
    let key = CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|e| in_file(certificate, &e))?;
    Ok(Arc::new(key))
}
