//! An issuer on the network that publishes, rotates and withdraws keys, hangs, fails and lies.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use parking_lot::Mutex;
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const JWKS: &str = "/jwks";

#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    state: Arc<Shared>,
}

struct Shared {
    answers: Mutex<BTreeMap<&'static str, Reply>>,
    asked: AtomicUsize,
}

#[derive(Clone)]
pub(crate) enum Reply {
    Json(Value),
    /// With this Cache-Control.
    Kept(Value, &'static str),
    Text(String),
    Moved(String),
    Broken,
    Hanging,
}

impl Provider {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { answers: Mutex::default(), asked: AtomicUsize::new(0) };
        let provider = Self { issuer, state: Arc::new(shared) };
        let router = Router::new().fallback(answer).with_state(provider.state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider.says(DISCOVERY, Reply::Json(provider.discovery()));
        provider
    }

    pub(crate) fn discovery(&self) -> Value {
        json!({"issuer": self.issuer, "jwks_uri": format!("{}{JWKS}", self.issuer), "token_endpoint": self.issuer})
    }

    pub(crate) fn says(&self, path: &'static str, reply: Reply) {
        self.state.answers.lock().insert(path, reply);
    }

    /// Publishes these keys and no others.
    pub(crate) fn publishes(&self, keys: &[Value]) {
        self.says(JWKS, Reply::Json(json!({"keys": keys})));
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let reply = shared.answers.lock().get(request.uri().path()).cloned();
    match reply {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Reply::Broken) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Reply::Json(value)) => axum::Json(value).into_response(),
        Some(Reply::Kept(value, kept)) => ([("cache-control", kept)], axum::Json(value)).into_response(),
        Some(Reply::Text(text)) => text.into_response(),
        Some(Reply::Moved(url)) => Redirect::temporary(&url).into_response(),
        Some(Reply::Hanging) => std::future::pending().await,
    }
}

/// An issuer by another implementation: `tests/python/oidc_provider.py`.
pub(crate) struct Foreign {
    pub(crate) issuer: String,
    client: reqwest::Client,
    _process: Child,
}

impl Foreign {
    pub(crate) async fn start() -> Self {
        let python = std::env::var_os("VIGIE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/oidc_provider.py");
        let mut command = Command::new(python);
        let mut process = command.arg("-B").arg(script).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = lines.next_line().await.unwrap().unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { issuer, client, _process: process }
    }

    pub(crate) async fn ask(&self, path: &str) -> Value {
        let url = reqwest::Url::parse(&self.issuer).unwrap().join(path).unwrap();
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Where it sends a browser that comes by this address.
    pub(crate) async fn sends(&self, url: &str) -> String {
        let response = self.client.get(url).send().await.unwrap();
        response.headers().get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.issuer)).body(form.to_owned());
        let response = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// An issuer at `https://{host}:PORT` with the certificate, which publishes these keys. Returns its URL.
pub(crate) async fn by_tls(host: &str, certificate: &CertifiedKey<KeyPair>, keys: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("https://{host}:{}", listener.local_addr().unwrap().port());
    let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}{JWKS}")});
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us goes.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let mut stream = BufReader::new(stream);
            let (mut first, mut line) = (String::new(), String::new());
            stream.read_line(&mut first).await.unwrap();
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).await.unwrap();
            }
            let body = if first.contains(JWKS) { &keys } else { &discovery }.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    issuer
}
