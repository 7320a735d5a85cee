//! The table of runs, for the command that replays.

use serde_json::Value;
use tokio_postgres::Client;
use vigie_clock::Timestamp;
use vigie_stores::PostgresUrl;

use crate::postgres::cell::Cell;

/// A replay run that begins.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStarted {
    /// What its rows carry as `run_id`.
    pub run_id: String,
    /// The topic that it reads.
    pub topic: String,
    /// Start of the time range, inclusive.
    pub from_time: Option<Timestamp>,
    /// End of the time range, exclusive.
    pub to_time: Option<Timestamp>,
    /// `name@version`.
    pub model: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Anything else worth keeping; an object.
    pub detail: Value,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It goes on.
    Running,
    /// All of its range is done.
    Finished,
    /// It ended early.
    Failed,
}

impl RunState {
    /// As the table holds it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// A replay run that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFinished {
    /// The run.
    pub run_id: String,
    /// How it ended.
    pub state: RunState,
    /// When.
    pub finished_at: Timestamp,
    /// How many posts it scored.
    pub posts: Option<i64>,
    /// Merged into what [`RunStarted::detail`] holds; an object.
    pub detail: Value,
}

/// Why a run could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// PostgreSQL is not there, or refused.
    #[error("postgresql at {url}")]
    Postgres {
        /// Where, without password.
        url: String,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// There is no such run.
    #[error("run {0} is not recorded, expected one that was started")]
    Unknown(String),
    /// What it wrote is what readers get.
    #[error("run {0} is served, expected another id or `vigie replay rollback {0}` first")]
    Served(String),
}

/// Records that a run begins. A run of that id that was recorded before, as one that is resumed, begins anew, unless it is served.
///
/// # Errors
/// [`RunError`].
pub async fn record_run_started(url: &PostgresUrl, run: &RunStarted) -> Result<(), RunError> {
    let sql = "INSERT INTO runs (run_id, topic, from_time, to_time, model, state, started_at, detail)
        VALUES ($1, $2, $3, $4, $5, 'running', $6, $7)
        ON CONFLICT (run_id) DO UPDATE SET topic = excluded.topic, from_time = excluded.from_time, to_time = excluded.to_time,
            model = excluded.model, state = excluded.state, started_at = excluded.started_at, finished_at = NULL,
            posts = NULL, detail = excluded.detail
        WHERE NOT EXISTS (SELECT FROM served_runs s WHERE s.run_id = excluded.run_id AND s.rolled_back_at IS NULL)";
    let (from, to) = (run.from_time.map(Cell::Time), run.to_time.map(Cell::Time));
    let postgres = |source| RunError::Postgres { url: url.to_string(), source };
    let client = connect(url).await.map_err(postgres)?;
    let recorded = client
        .execute(sql, &[&run.run_id, &run.topic, &from, &to, &run.model, &Cell::Time(run.started_at), &run.detail])
        .await
        .map_err(postgres)?;
    if recorded == 0 { Err(RunError::Served(run.run_id.clone())) } else { Ok(()) }
}

/// Records how a run ended.
///
/// # Errors
/// [`RunError`].
pub async fn record_run_finished(url: &PostgresUrl, run: &RunFinished) -> Result<(), RunError> {
    let sql = "UPDATE runs SET state = $2, finished_at = $3, posts = $4, detail = detail || $5 WHERE run_id = $1";
    let postgres = |source| RunError::Postgres { url: url.to_string(), source };
    let client = connect(url).await.map_err(postgres)?;
    let finished_at = Cell::Time(run.finished_at);
    let updated = client
        .execute(sql, &[&run.run_id, &run.state.as_str(), &finished_at, &run.posts, &run.detail])
        .await
        .map_err(postgres)?;
    if updated == 0 { Err(RunError::Unknown(run.run_id.clone())) } else { Ok(()) }
}

async fn connect(url: &PostgresUrl) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = url.connect("vigie").await?;
    tokio::spawn(connection);
    Ok(client)
}
