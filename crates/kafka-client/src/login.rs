//! Tokens for the brokers: fetched before they are needed, and given to every client that lives.
//!
//! ```text
//!            first sign_in           4/5 of its lifetime
//!   no token ────────────▶ fetched ──────────────────────▶ fetched anew, given to all clients
//!                ▲                                              │ fails: the old one holds
//!                └─── after 1 s, 2 s ... 30 s, or a new client ◀┘ while it is valid
//! ```
//!
//! librdkafka asks for a token by an event, which only the owner's next poll would answer, and
//! rdkafka's admin client never does. So nobody is asked: one thread, with a runtime of its own,
//! fetches the tokens of a configuration and sets them. No call of ours, and no poll, waits for the
//! token endpoint, but for the first token.

pub(crate) mod endpoint;

use std::fmt;
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use tracing::{debug, warn};
use vigie_clock::{Clock, SystemClock, Timestamp};

use crate::deadline::Deadline;
use crate::login::endpoint::{Endpoint, TIMEOUT, Token};

/// How soon a failed fetch is repeated at the earliest, and at the latest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A client that shows the brokers a token.
pub(crate) trait Bearer: Send + Sync {
    /// Takes a token for the connections to come.
    fn take(&self, token: &Token) -> Result<(), String>;
}

impl<C: ConsumerContext + 'static> Bearer for BaseConsumer<C> {
    fn take(&self, token: &Token) -> Result<(), String> {
        set(self.client(), token)
    }
}

impl<C: ProducerContext + 'static> Bearer for BaseProducer<C> {
    fn take(&self, token: &Token) -> Result<(), String> {
        set(self.client(), token)
    }
}

impl<C: ClientContext> Bearer for AdminClient<C> {
    fn take(&self, token: &Token) -> Result<(), String> {
        set(self.inner(), token)
    }
}

fn set<C: ClientContext>(client: &Client<C>, token: &Token) -> Result<(), String> {
    let native = vigie_kafka_native::Token {
        value: token.value.reveal(),
        expires_ms: token.expires.as_millis(),
        principal: &token.principal,
        extensions: &token.extensions,
    };
    vigie_kafka_native::set_token(client, &native)
}

/// The tokens of one configuration. Its thread ends with it.
pub(crate) struct Login {
    shared: Arc<Shared>,
    wake: mpsc::SyncSender<()>,
}

#[derive(Default)]
struct Shared {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// How many fetches have ended.
    fetches: u64,
    failure: String,
    clients: Vec<Weak<dyn Bearer>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl Login {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let shared = Arc::<Shared>::default();
        let (wake, woken) = mpsc::sync_channel(1);
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kafka-login".to_owned());
        if let Err(error) = thread.spawn(move || renew(&endpoint, &of_thread, &woken)) {
            shared.held.lock().failure = format!("no thread for it: {error}");
        }
        Self { shared, wake }
    }

    /// Gives `client` the current token, waiting for the first one, and later ones as long as it
    /// lives.
    pub(crate) fn sign_in<T: Bearer + 'static>(&self, client: &Arc<T>) -> Result<(), String> {
        let weak = Arc::downgrade(client);
        self.shared.held.lock().clients.push(weak);
        let mut token = self.token()?;
        loop {
            client.take(&token).map_err(|error| format!("token refused: {error}"))?;
            // It may have been renewed in between, and this client have got the newer one first.
            let held = self.shared.held.lock().token.clone();
            match held.filter(|held| !Arc::ptr_eq(held, &token)) {
                Some(newer) => token = newer,
                None => return Ok(()),
            }
        }
    }

    fn token(&self) -> Result<Arc<Token>, String> {
        let deadline = Deadline::after(TIMEOUT + AGAIN.0);
        let mut held = self.shared.held.lock();
        let begun = held.fetches;
        loop {
            let now = SystemClock::default().now();
            if let Some(token) = held.token.as_ref().filter(|token| token.expires > now) {
                return Ok(Arc::clone(token));
            }
            if held.fetches > begun || deadline.passed() {
                return Err(if held.failure.is_empty() { "no token yet".to_owned() } else { held.failure.clone() });
            }
            let _ = self.wake.try_send(());
            self.shared.changed.wait_for(&mut held, deadline.remaining());
        }
    }
}

/// Fetches tokens until nobody can ask for one any more.
fn renew(endpoint: &Endpoint, shared: &Shared, woken: &mpsc::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            shared.held.lock().failure = format!("no runtime for it: {error}");
            return;
        }
    };
    let clock = SystemClock::default();
    let mut again = AGAIN.0;
    // Not before somebody needs one.
    if woken.recv().is_err() {
        return;
    }
    loop {
        let fetched = runtime.block_on(endpoint.fetch(clock.now()));
        let failed = fetched.is_err();
        let pause = match fetched {
            Ok(token) => {
                again = AGAIN.0;
                let pause = renewal(&token, clock.now());
                hand_out(shared, token);
                pause
            }
            Err(failure) => {
                warn!(reason = failure, "no token for kafka, tried again");
                shared.held.lock().failure = failure;
                let pause = again.mul_f64(rand::random_range(0.5..1.0));
                again = (again * 2).min(AGAIN.1);
                pause
            }
        };
        shared.held.lock().fetches += 1;
        shared.changed.notify_all();
        if failed {
            // Clients that cannot do without wake us at once: the endpoint is asked no more often
            // than that.
            std::thread::sleep(pause.min(AGAIN.0 / 2));
        }
        if matches!(woken.recv_timeout(pause), Err(mpsc::RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

/// How long after `now` a newer token is due: when this one has a fifth of its lifetime left.
fn renewal(token: &Token, now: Timestamp) -> Duration {
    let left = u64::try_from(token.expires.as_millis().saturating_sub(now.as_millis())).unwrap_or(0);
    Duration::from_millis(left / 5 * 4)
}

/// Keeps a token, and gives it to the clients that live.
fn hand_out(shared: &Shared, token: Token) {
    let token = Arc::new(token);
    let clients = {
        let mut held = shared.held.lock();
        held.token = Some(Arc::clone(&token));
        held.failure.clear();
        held.clients.retain(|client| client.strong_count() > 0);
        held.clients.clone()
    };
    debug!(expires = %token.expires, clients = clients.len(), "token for kafka");
    // On a thread of its own: should a client be dropped right now, this may be its last owner, and
    // its end may hang.
    let give = move || {
        for client in clients.iter().filter_map(Weak::upgrade) {
            if let Err(error) = client.take(&token) {
                warn!(error, "kafka client refuses its new token");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("kafka-token".to_owned()).spawn(give) {
        warn!(%error, "no thread to hand out a token for kafka");
    }
}
