//! Whether a server answers, as far as the last probe knows.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vigie_daemon::Component;

/// Time between probes.
const EVERY: Duration = Duration::from_secs(1);
/// A server that has not answered for so long is away; shorter, and one that is only busy would be.
const PATIENCE: Duration = Duration::from_millis(2500);

/// What the probes of one server have found. Before the first one it is taken to be there. Clones share it.
#[derive(Clone)]
pub(crate) struct Presence(Arc<watch::Sender<Option<Arc<str>>>>);

impl Presence {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Why it cannot be asked.
    pub(crate) fn away(&self) -> Option<Arc<str>> {
        self.0.borrow().clone()
    }

    /// What comes of `work`, or why it is given up: as soon as the server is away, nobody waits for it any longer.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, Arc<str>> {
        let mut away = self.0.subscribe();
        let lost = async {
            match away.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) {
                Some(why) => why,
                // Nobody probes any more.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            why = lost => Err(why),
            done = work => Ok(done),
        }
    }

    /// Asks `server` by `probe` again and again until the shutdown, and reports it to `health`.
    pub(crate) async fn watch<E: ToString, F: Future<Output = Result<(), E>>>(
        &self,
        server: &'static str,
        health: Component,
        shutdown: CancellationToken,
        probe: impl Fn() -> F,
    ) {
        let rounds = async {
            loop {
                let why = match tokio::time::timeout(PATIENCE, probe()).await {
                    Ok(answer) => answer.err().map(|error| error.to_string()),
                    Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs_f64())),
                };
                match (&why, self.away()) {
                    (Some(why), None) => warn!(server, why, "server is away, what needs it is answered 503"),
                    (None, Some(_)) => info!(server, "server is back"),
                    _ => {}
                }
                match &why {
                    Some(why) => health.not_ready(why),
                    None => health.ready(),
                }
                self.0.send_replace(why.map(Arc::from));
                tokio::time::sleep(EVERY).await;
            }
        };
        let _ = shutdown.run_until_cancelled(rounds).await;
    }
}
