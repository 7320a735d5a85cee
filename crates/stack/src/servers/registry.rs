//! A schema registry for Avro: the part of the Confluent REST API that serializers, deserializers and schema checks use.
//!
//! | request | answer |
//! |---|---|
//! | `GET /subjects`, `GET /subjects/{s}/versions` | names, version numbers |
//! | `GET /subjects/{s}/versions/{v or latest}`, `.../schema` | one version |
//! | `POST /subjects/{s}/versions` | registers, answers the id; 409 if incompatible |
//! | `POST /subjects/{s}` | looks a schema up in a subject |
//! | `GET /schemas/ids/{id}`, `.../schema`, `.../versions`, `.../subjects` | by id |
//! | `GET, PUT /config`, `GET, PUT, DELETE /config/{s}` | compatibility level |
//! | `POST /compatibility/subjects/{s}/versions[/{v}]` | checks without registering |
//!
//! Guarantees: the same schema has the same id in every subject, an id never changes its meaning, and a registration is on disk
//! (written beside, synced, renamed) before it is answered. Not there: deletion, references, contexts, JSON Schema, Protobuf.

mod compatibility;
mod http;
mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::compatibility::Level;
pub use self::http::router;
pub use self::store::{Registered, RegistryError, SchemaStore};
use crate::{ServerKind, StackError};

/// The registry as a server of the stack.
#[derive(Debug)]
pub(crate) struct RegistryServer {
    port: u16,
    file: PathBuf,
    gate: Arc<watch::Sender<bool>>,
}

impl RegistryServer {
    pub(crate) fn new(port: u16, file: PathBuf) -> Self {
        Self { port, file, gate: Arc::new(watch::Sender::new(false)) }
    }

    /// While it holds `true`, no answer leaves.
    pub(crate) fn gate(&self) -> Arc<watch::Sender<bool>> {
        Arc::clone(&self.gate)
    }

    pub(crate) async fn launch(&self) -> Result<Serving, StackError> {
        let store = SchemaStore::open(&self.file).map_err(|error| StackError::prepare(ServerKind::Registry, error))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listener = TcpListener::bind(address)
            .await
            .map_err(StackError::io(format!("bind the schema registry to {address}")))?;
        self.gate.send_replace(false);
        let (stop, mut stopped) = watch::channel(false);
        let router = router(store).layer(axum::middleware::from_fn_with_state(self.gate.subscribe(), hold));
        let task = tokio::spawn(async move {
            let until_stopped = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            axum::serve(listener, router).with_graceful_shutdown(until_stopped).await
        });
        Ok(Serving { task, stop })
    }

    /// `GET /subjects`, answered by 200.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        let ask = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            stream.write_all(b"GET /subjects HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
            let mut answer = String::new();
            stream.take(4096).read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        match ask.await {
            Ok(answer) if answer.lines().next().is_some_and(|line| line.contains(" 200 ")) => Ok(()),
            Ok(answer) => Err(format!("it answered {:?}, expected 200", answer.lines().next().unwrap_or_default())),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn hold(
    axum::extract::State(mut gate): axum::extract::State<watch::Receiver<bool>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let _ = gate.wait_for(|held| !*held).await;
    next.run(request).await
}

/// A registry that serves, until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    task: JoinHandle<std::io::Result<()>>,
    stop: watch::Sender<bool>,
}

impl Serving {
    /// Answers what has been asked, then ends.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends; idle connections are closed.
    pub(crate) fn kill(&self) {
        self.stop.send_replace(true);
        self.task.abort();
    }

    pub(crate) async fn wait(&mut self) -> String {
        if self.task.is_finished() && *self.stop.borrow() {
            return "stopped".to_owned();
        }
        match (&mut self.task).await {
            Ok(Ok(())) => "stopped".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.kill();
    }
}
