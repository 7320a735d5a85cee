//! Reads from PostgreSQL. Rooms by what is read, one file per question; the SQL stands beside the type of its answer.
//!
//! Everything that one answer needs is read from one [`Snapshot`], so that it never mixes two versions of the data.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use futures_util::{TryStreamExt, try_join};
use tokio::runtime::Handle;
use tokio::task::coop::consume_budget;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tracing::{debug, error, warn};
use vigie_daemon::ServiceError;
use vigie_stores::Connector;

use crate::config::Checked;
use crate::http::problem::Problem;
use crate::presence::Presence;

pub(crate) mod operations;
pub(crate) mod posts;
mod row;
pub(crate) mod runs;
pub(crate) mod windows;

use runs::version::Versions;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const POOL_TIMEOUT: Duration = Duration::from_secs(3);
/// Asking the server to give up a statement takes no longer.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Try again later.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// Try again with less.
    #[error("the database took too long")]
    TooSlow,
    /// Ask for less.
    #[error("it takes more than {0} rows")]
    TooMuch(usize),
    /// Nothing to try.
    #[error("the role of this server in the database may not read this")]
    Forbidden,
    /// A mistake of ours.
    #[error("the database refused a query")]
    Refused(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(code) = error.code() else {
            // No answer of the server: the connection is gone, or the answer has another shape than expected.
            return if error.is_closed() || error.as_db_error().is_none() && is_io(&error) {
                Self::Unavailable(message_of(&error))
            } else {
                Self::Refused(error)
            };
        };
        if *code == SqlState::QUERY_CANCELED {
            return Self::TooSlow;
        }
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            return Self::Forbidden;
        }
        // 08 connection, 53 resources, 57 operator intervention, 58 system; 3D000: no such database; 42P01: not migrated yet.
        let class = code.code().get(..2).unwrap_or_default();
        if matches!(class, "08" | "53" | "57" | "58" | "3D" | "28") || *code == SqlState::UNDEFINED_TABLE {
            return Self::Unavailable(error.to_string());
        }
        Self::Refused(error)
    }
}

/// The error with its cause.
fn message_of(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            // No answer to a query: there is no connection.
            PoolError::Backend(error) if error.code().is_none() => Self::Unavailable(message_of(&error)),
            PoolError::Backend(error) => error.into(),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(problem: StoreError) -> Self {
        match problem {
            StoreError::Unavailable(reason) => {
                warn!(reason, "database is away");
                Self::unavailable("the database cannot be reached")
            }
            StoreError::TooSlow => Self::unavailable("the database took too long, ask for a shorter time range"),
            StoreError::TooMuch(most) => {
                let detail = format!("{problem}, expected {most} or fewer: choose a shorter range");
                Self::invalid_parameter("from", detail)
            }
            StoreError::Forbidden => Self::not_implemented(problem.to_string()),
            StoreError::Refused(source) => {
                let detail = source.as_db_error().map(ToString::to_string);
                error!(error = %source, detail, "query failed");
                Self::internal()
            }
        }
    }
}

/// How the statements of a snapshot are planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plans {
    /// Each for its parameters: right for whatever statement, but the tables of all months are planned again for every question.
    Each,
    /// Once for a connection, whatever the parameters: for statements that an index answers for any time, of which the months that are not
    /// asked for are passed over when they run.
    Once,
}

impl Plans {
    fn begin(self) -> &'static str {
        match self {
            Self::Each => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Self::Once => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan"
            }
        }
    }
}

/// Connections to PostgreSQL.
#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
    postgres: tokio_postgres::Config,
    connector: Connector,
    max_rows: usize,
    pub(crate) presence: Presence,
}

impl Store {
    /// Connects on demand only.
    pub(crate) fn new(checked: &Checked) -> Result<Self, ServiceError> {
        let (mut postgres, config) = (checked.postgres.to_config("vigie-api"), &checked.config);
        postgres.connect_timeout(CONNECT_TIMEOUT);
        // The server gives up when nobody waits for the answer any more, nor for the next question. Read-only guards against ourselves. A plan for
        // all times would pass over no partition, and compiling takes longer than most answers. With the default cost of a random page, which is
        // that of a spinning disk, a day of all assets reads its whole month; and workers would serve one question at the expense of the others.
        let seconds = config.timeout_seconds;
        let options = format!(
            "-c statement_timeout={seconds}s -c idle_in_transaction_session_timeout={seconds}s \
             -c default_transaction_read_only=on -c plan_cache_mode=force_custom_plan -c jit=off \
             -c random_page_cost=1.1 -c max_parallel_workers_per_gather=0",
        );
        postgres.options(options);
        let connector = checked.postgres.connector();
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(postgres.clone(), connector.clone(), settings);
        let pool = Pool::builder(manager)
            .max_size(config.postgres_connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(ServiceError::failed)?;
        Ok(Self { pool, postgres, connector, max_rows: config.max_rows, presence: Presence::new() })
    }

    /// Whether the database takes connections, answers and has our tables. One that has no place for another connection may still
    /// answer on those that there are.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let (client, connection) = match self.postgres.connect(self.connector.clone()).await {
            Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => return Ok(()),
            connected => connected?,
        };
        let ask = async move { client.simple_query("SELECT 1 FROM trend_windows LIMIT 1").await };
        let (answer, _) = tokio::join!(ask, connection);
        answer?;
        Ok(())
    }

    /// The data as it is now, with [`Plans::Each`].
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.snapshot_with(Plans::Each).await
    }

    /// The data as it is now. Tries once more if the connection turns out to be broken: after a restart of the server, all in the
    /// pool are.
    pub(crate) async fn snapshot_with(&self, plans: Plans) -> Result<Snapshot, StoreError> {
        let first = match self.presence.away() {
            Some(why) => return lost(why),
            None => self.presence.during(self.try_snapshot(plans)).await.unwrap_or_else(lost),
        };
        match first {
            Err(StoreError::Unavailable(reason)) => {
                debug!(reason, "connection lost, trying a new one");
                self.pool.retain(|_, _| false);
                self.presence.during(self.try_snapshot(plans)).await.unwrap_or_else(lost)
            }
            result => result,
        }
    }

    async fn try_snapshot(&self, plans: Plans) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot {
            client: Some(self.pool.get().await?),
            connector: self.connector.clone(),
            presence: self.presence.clone(),
            rows_left: AtomicUsize::new(self.max_rows),
            max_rows: self.max_rows,
            versions: Versions::default(),
        };
        // Both are sent at once; the first statement of a transaction takes its snapshot.
        let begin = async { Ok(snapshot.client().batch_execute(plans.begin()).await?) };
        let ((), versions) = try_join!(begin, snapshot.read_versions())?;
        snapshot.versions = versions;
        Ok(snapshot)
    }
}

/// A read-only transaction: all of its reads see the data of one moment. If it was not [ended](Self::end), as when nobody waits for
/// the answer any more, its statement is cancelled and its connection closed.
pub(crate) struct Snapshot {
    client: Option<Object>,
    connector: Connector,
    presence: Presence,
    /// Rows that may still be read.
    rows_left: AtomicUsize,
    max_rows: usize,
    versions: Versions,
}

impl Snapshot {
    /// What the data of this moment is called.
    pub(crate) fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Gives the connection back.
    pub(crate) async fn end(mut self) {
        if matches!(self.presence.during(self.client().batch_execute("COMMIT")).await, Ok(Ok(()))) {
            drop(self.client.take());
        }
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("only the end and the drop of a snapshot take it")
    }

    async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.presence.during(self.read(sql, params)).await.unwrap_or_else(lost)
    }

    async fn read(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let client = self.client();
        let statement = client.prepare_cached(sql).await?;
        let mut stream = pin!(client.query_raw(&statement, params.iter().copied()).await?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            let left = self.rows_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.map_err(|_| StoreError::TooMuch(self.max_rows))?;
            rows.push(row);
            // Many come at once, and other questions wait.
            consume_budget().await;
        }
        Ok(rows)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let Some(client) = self.client.take().map(Object::take) else { return };
        let (token, connector) = (client.cancel_token(), self.connector.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // If the server does not hear of it, its own time limit ends the statement.
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(connector)).await;
            });
        }
    }
}

fn lost<T>(why: Arc<str>) -> Result<T, StoreError> {
    Err(StoreError::Unavailable(why.to_string()))
}
