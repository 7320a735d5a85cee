//! The servers for integration tests: one stack for all tests of a run, and for each test a database, a prefix for topics and keys.
//!
//! ```no_run
//! let stack = vigie_stack::testing::shared();
//! let topic = format!("{}posts", stack.prefix);
//! ```
//!
//! `./dev test` starts the stack and names it in `VIGIE_TEST_STACK`: [`Endpoints`] as JSON, or the path of a file with them. Without
//! that variable the first call starts one in a temporary folder; it ends, and the folder goes, with the test process.

mod coordinator;

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use vigie_clock::{Clock, SystemClock};

pub use self::coordinator::{Coordinated, coordinator};
use crate::servers::postgres::NAME;
use crate::servers::postgres::wire::Session;
use crate::{Endpoints, Stack, StackConfig};

/// What one test may use.
#[derive(Clone, Debug)]
pub struct TestStack {
    /// Bootstrap servers.
    pub brokers: String,
    /// URL of a database made for this test, empty.
    pub postgres_url: String,
    /// URL of Redis, shared: put [`Self::prefix`] before every key.
    pub redis_url: String,
    /// URL of the schema registry, shared: put [`Self::prefix`] before every subject.
    pub registry_url: String,
    /// Begins the names that belong to this test: letters, digits, and a `-` at the end.
    pub prefix: String,
}

/// A place of its own for the calling test on the run's shared stack. Blocks while the stack starts.
///
/// # Panics
/// If the servers cannot be started or reached.
pub fn shared() -> TestStack {
    static ENDPOINTS: OnceLock<Endpoints> = OnceLock::new();
    static COUNTER: AtomicU32 = AtomicU32::new(0);

    let endpoints = ENDPOINTS.get_or_init(|| named().unwrap_or_else(start)).clone();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let millis = SystemClock::default().now().as_millis();
    let name = format!("t{:x}x{:x}x{number}", millis & 0xFFFF_FFFF, std::process::id());
    let server = endpoints.postgres_url.trim_end_matches(NAME);
    let postgres_url = format!("{server}{name}");
    create_database(&endpoints.postgres_url, &name);
    TestStack {
        brokers: endpoints.kafka_brokers,
        postgres_url,
        redis_url: endpoints.redis_url,
        registry_url: endpoints.registry_url,
        prefix: format!("{name}-"),
    }
}

/// A configuration for a stack of the test's own, in `data_dir`, which goes away with the stack.
pub fn own(data_dir: &Path) -> StackConfig {
    StackConfig { ephemeral: true, ..StackConfig::new(data_dir) }
}

/// A temporary folder for a stack of the test's own, which stays if the test fails: only the broker's log and records tell what it did.
/// Name it before the stack, so that it goes after it.
#[derive(Debug)]
pub struct Evidence(tempfile::TempDir);

impl Evidence {
    /// A new folder.
    ///
    /// # Panics
    /// If it cannot be made.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("vigie-test-").tempdir().expect("a temporary folder"))
    }

    /// A configuration for the stack.
    pub fn stack(&self) -> StackConfig {
        StackConfig::new(self.0.path())
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            println!("what the servers wrote is kept in {}", self.0.path().display());
        }
    }
}

fn named() -> Option<Endpoints> {
    let value = std::env::var("VIGIE_TEST_STACK").ok().filter(|value| !value.is_empty())?;
    let text = if value.trim_start().starts_with('{') {
        value
    } else {
        std::fs::read_to_string(&value).unwrap_or_else(|error| panic!("cannot read VIGIE_TEST_STACK={value}: {error}"))
    };
    Some(
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("VIGIE_TEST_STACK is not the endpoints as JSON: {error}")),
    )
}

/// Starts a stack on a thread of its own, which keeps it for the life of the process.
fn start() -> Endpoints {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        runtime.block_on(async {
            let dir = tempfile::Builder::new().prefix("vigie-test-").tempdir().expect("a temporary folder");
            let stack = Stack::start(own(dir.path())).await;
            let _ = sender.send(stack.as_ref().map(|stack| stack.endpoints().clone()).map_err(ToString::to_string));
            if stack.is_ok() {
                // The folder goes with the stack, also if this process is killed.
                let _ = dir.keep();
                std::future::pending::<()>().await;
            }
        });
    });
    match receiver.recv() {
        Ok(Ok(endpoints)) => endpoints,
        Ok(Err(error)) => panic!("the servers for the tests cannot start: {error}"),
        Err(_) => panic!("the servers for the tests cannot start"),
    }
}

fn create_database(postgres_url: &str, name: &str) {
    let address = postgres_url.rsplit_once('@').map_or("", |(_, rest)| rest);
    let port = address.split(['/', ':']).nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.unwrap_or_else(|| panic!("no port in {postgres_url}"));
    let statement = format!("CREATE DATABASE {name}");
    // On a thread of its own: the caller may be inside a runtime, which must not block on another.
    let created = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let mut session = Session::open(port, NAME, "postgres").await.map_err(|error| error.to_string())?;
            session.execute(&statement).await.map_err(|error| error.to_string())
        })
    });
    match created.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("cannot create database {name}: {error}"),
        Err(_) => panic!("cannot create database {name}"),
    }
}
