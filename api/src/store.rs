//! Reads from PostgreSQL. One file per question; the SQL stands beside the type of its answer.
//!
//! Everything that one answer needs is read from one [`Snapshot`], so that it never mixes two versions of the data.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use futures_util::try_join;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tracing::{debug, error, warn};
use vigie_daemon::ServiceError;

use crate::config::Checked;
use crate::http::problem::Problem;

pub(crate) mod alerts;
pub(crate) mod assets;
pub(crate) mod authors;
pub(crate) mod closed;
pub(crate) mod ground;
pub(crate) mod leaderboard;
pub(crate) mod lineage;
pub(crate) mod next_hour;
pub(crate) mod posts;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod series;
pub(crate) mod sources;
pub(crate) mod terms;
pub(crate) mod unique;
pub(crate) mod version;
pub(crate) mod windows;

use version::Versions;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const POOL_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Try again later.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// Try again with less.
    #[error("the database took too long")]
    TooSlow,
    /// A mistake of ours.
    #[error("the database refused a query")]
    Refused(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(code) = error.code() else {
            // No answer of the server: the connection is gone, or the answer has another shape than expected.
            return if error.is_closed() || error.as_db_error().is_none() && is_io(&error) {
                Self::Unavailable(told(&error))
            } else {
                Self::Refused(error)
            };
        };
        if *code == SqlState::QUERY_CANCELED {
            return Self::TooSlow;
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
fn told(error: &tokio_postgres::Error) -> String {
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
            PoolError::Backend(error) if error.code().is_none() => Self::Unavailable(told(&error)),
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
            StoreError::Refused(source) => {
                let detail = source.as_db_error().map(ToString::to_string);
                error!(error = %source, detail, "query failed");
                Self::internal()
            }
        }
    }
}

/// A pool of connections to PostgreSQL.
#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
}

impl Store {
    /// Connects on demand only.
    pub(crate) fn new(checked: &Checked) -> Result<Self, ServiceError> {
        let (mut postgres, config) = (checked.postgres.to_config("vigie-api"), &checked.config);
        postgres.connect_timeout(CONNECT_TIMEOUT);
        // The server gives up when nobody waits for the answer any more. Read-only guards against ourselves. A plan for all times would pass over no
        // partition, and compiling takes longer than most answers.
        let options = format!(
            "-c statement_timeout={}s -c default_transaction_read_only=on \
             -c plan_cache_mode=force_custom_plan -c jit=off",
            config.timeout_seconds
        );
        postgres.options(options);
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(postgres, checked.postgres.connector(), settings);
        let pool = Pool::builder(manager)
            .max_size(config.postgres_connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(ServiceError::failed)?;
        Ok(Self { pool })
    }

    /// Whether the database answers and has our tables.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let snapshot = self.snapshot().await?;
        snapshot.rows("SELECT 1 FROM trend_windows LIMIT 1", &[]).await?;
        snapshot.end().await;
        Ok(())
    }

    /// The data as it is now. Tries once more if the connection turns out to be broken: after a restart of the server, all in the
    /// pool are.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        match self.try_snapshot().await {
            Err(StoreError::Unavailable(reason)) => {
                debug!(reason, "connection lost, trying a new one");
                self.pool.retain(|_, _| false);
                self.try_snapshot().await
            }
            result => result,
        }
    }

    async fn try_snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot { client: Some(self.pool.get().await?), versions: Versions::default() };
        // Both are sent at once; the first statement of a transaction takes its snapshot.
        let begin =
            async { Ok(snapshot.client().batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?) };
        let ((), versions) = try_join!(begin, snapshot.read_versions())?;
        snapshot.versions = versions;
        Ok(snapshot)
    }
}

/// A read-only transaction: all of its reads see the data of one moment. A connection whose snapshot was not [ended](Self::end)
/// is closed.
pub(crate) struct Snapshot {
    client: Option<Object>,
    versions: Versions,
}

impl Snapshot {
    /// What the data of this moment is called.
    pub(crate) fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Gives the connection back.
    pub(crate) async fn end(mut self) {
        if let Some(client) = self.client.take()
            && client.batch_execute("COMMIT").await.is_err()
        {
            drop(Object::take(client));
        }
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("only the end and the drop of a snapshot take it")
    }

    async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let client = self.client();
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}
