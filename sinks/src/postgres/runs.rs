//! The table of runs, for the commands that replay: who works on a run, how far it is, what is wanted of it.

mod costs;
mod removal;

pub use costs::Pace;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{Client, Error, Row};
use vigie_clock::Timestamp;
use vigie_schemas::{LIVE_RUN, RunState, RunWish};
use vigie_stores::PostgresUrl;

use crate::postgres::cell::{Cell, Named};

/// A replay run that begins, or goes on.
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
    /// The model.
    pub model: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Anything else worth keeping; an object.
    pub detail: Value,
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

/// A run as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// Its id.
    pub run_id: String,
    /// What it does, as its process last said.
    pub state: RunState,
    /// Whether a process works on it now.
    pub alive: bool,
    /// Seconds since its process was last heard from; none if never.
    pub silent_seconds: Option<f64>,
    /// What it is asked to do.
    pub wanted: RunWish,
    /// Start of its range of time, in RFC 3339.
    pub from_time: Option<String>,
    /// End of its range, exclusive.
    pub to_time: Option<String>,
    /// Where its model is from.
    pub model: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Posts that it scored.
    pub posts: Option<i64>,
    /// How far it is, as it last said.
    pub progress: Option<Value>,
    /// More about it.
    pub detail: Value,
}

/// Why something could not be done with a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// PostgreSQL is not there, or refused.
    #[error("postgresql at {url}")]
    Postgres {
        /// Where, without password.
        url: String,
        /// What it said.
        source: Error,
    },
    /// There is no such run.
    #[error("run {0} is not recorded, expected one that was started")]
    Unknown(String),
    /// What it wrote is what readers get.
    #[error("run {0} is served, expected another id or `vigie replay rollback {0}` first")]
    Served(String),
}

/// The number spells "rply"; with the hash of a run's id it is the lock that the run's process holds.
const LOCK: i32 = 1_919_970_425;
/// The class and object of a lock of two numbers, as pg_locks shows them, are unsigned.
const COLUMNS: &str = "run_id, state, wanted, model, posts, progress, detail, \
    (extract(epoch FROM now() - heard_at))::double precision AS silent_seconds, \
    EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 \
        AND l.classid::bigint = 1919970425 AND l.objid::bigint = hashtext(run_id)::bigint & 4294967295 \
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS alive, \
    to_json(from_time AT TIME ZONE 'UTC') #>> '{}' || 'Z' AS from_time, to_json(to_time AT TIME ZONE 'UTC') #>> '{}' || 'Z' AS to_time, \
    to_json(started_at AT TIME ZONE 'UTC') #>> '{}' || 'Z' AS started_at, to_json(finished_at AT TIME ZONE 'UTC') #>> '{}' || 'Z' AS finished_at";

/// A connection to the table of runs.
pub struct Runs {
    client: Client,
    url: String,
}

impl Runs {
    /// Connects.
    ///
    /// # Errors
    /// [`RunError::Postgres`].
    pub async fn connect(url: &PostgresUrl) -> Result<Self, RunError> {
        let connected = url.connect("vigie-replay").await;
        let (client, connection) = connected.map_err(|source| RunError::Postgres { url: url.to_string(), source })?;
        tokio::spawn(connection);
        Ok(Self { client, url: url.to_string() })
    }

    fn failed(&self, source: Error) -> RunError {
        RunError::Postgres { url: self.url.clone(), source }
    }

    /// Makes this connection the one that works on the run, until it is closed, if none is. A process that dies gives it up.
    ///
    /// # Errors
    /// [`RunError::Postgres`].
    pub async fn claim(&self, run_id: &str) -> Result<bool, RunError> {
        let sql = "SELECT pg_try_advisory_lock($1, hashtext($2))";
        let row = self.client.query_one(sql, &[&LOCK, &run_id]).await.map_err(|e| self.failed(e))?;
        row.try_get(0).map_err(|e| self.failed(e))
    }

    /// Records that a run begins; of one that goes on, that it does.
    ///
    /// # Errors
    /// [`RunError::Postgres`]; [`RunError::Served`] for a run that is served.
    pub async fn started(&self, run: &RunStarted) -> Result<(), RunError> {
        let sql = "INSERT INTO runs (run_id, topic, from_time, to_time, model, state, started_at, detail, heard_at)
            VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, now())
            ON CONFLICT (run_id) DO UPDATE SET topic = excluded.topic, from_time = excluded.from_time,
                to_time = excluded.to_time, model = excluded.model, state = 'running', wanted = 'run', heard_at = now(),
                finished_at = NULL, posts = NULL, detail = runs.detail - 'error' || excluded.detail
            WHERE NOT EXISTS (SELECT FROM served_runs s WHERE s.run_id = excluded.run_id AND s.rolled_back_at IS NULL)";
        let (from, to) = (Cell::OptTime(run.from_time), Cell::OptTime(run.to_time));
        let at = Cell::Time(run.started_at);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&run.run_id, &run.topic, &from, &to, &run.model, &at, &run.detail];
        let recorded = self.client.execute(sql, &values).await.map_err(|e| self.failed(e))?;
        if recorded == 0 { Err(RunError::Served(run.run_id.clone())) } else { Ok(()) }
    }

    /// Records how far a run is, and returns what is wanted of it.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn beat(&self, run_id: &str, paused: bool, progress: &Value) -> Result<RunWish, RunError> {
        let sql = "UPDATE runs SET heard_at = now(), progress = $3, state = $2 WHERE run_id = $1 RETURNING wanted";
        let state = if paused { RunState::Paused } else { RunState::Running };
        let rows = self.client.query(sql, &[&run_id, &state.as_str(), progress]).await.map_err(|e| self.failed(e))?;
        let Some(row) = rows.first() else { return Err(RunError::Unknown(run_id.to_owned())) };
        let Named(wanted) = row.try_get(0).map_err(|e| self.failed(e))?;
        Ok(wanted)
    }

    /// Records how a run ended.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn finished(&self, run: &RunFinished) -> Result<(), RunError> {
        let sql = "UPDATE runs SET state = $2, finished_at = $3, posts = $4, detail = detail || $5 WHERE run_id = $1";
        let finished_at = Cell::Time(run.finished_at);
        let updated = self
            .client
            .execute(sql, &[&run.run_id, &run.state.as_str(), &finished_at, &run.posts, &run.detail])
            .await
            .map_err(|e| self.failed(e))?;
        if updated == 0 { Err(RunError::Unknown(run.run_id.clone())) } else { Ok(()) }
    }

    /// Asks something of a run.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn want(&self, run_id: &str, wish: RunWish) -> Result<(), RunError> {
        let sql = "UPDATE runs SET wanted = $2 WHERE run_id = $1";
        let updated = self.client.execute(sql, &[&run_id, &wish.as_str()]).await.map_err(|e| self.failed(e))?;
        if updated == 0 { Err(RunError::Unknown(run_id.to_owned())) } else { Ok(()) }
    }

    /// The run, if it is recorded.
    ///
    /// # Errors
    /// [`RunError::Postgres`].
    pub async fn get(&self, run_id: &str) -> Result<Option<RunRow>, RunError> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE run_id = $1");
        let rows = self.client.query(&sql, &[&run_id]).await.map_err(|e| self.failed(e))?;
        rows.first().map(run_row).transpose().map_err(|e| self.failed(e))
    }

    /// The latest replays, newest first.
    ///
    /// # Errors
    /// [`RunError::Postgres`].
    pub async fn list(&self, limit: i64) -> Result<Vec<RunRow>, RunError> {
        let sql =
            format!("SELECT {COLUMNS} FROM runs WHERE run_id <> $2 ORDER BY runs.started_at DESC, run_id LIMIT $1");
        let rows = self.client.query(&sql, &[&limit, &LIVE_RUN]).await.map_err(|e| self.failed(e))?;
        rows.iter().map(run_row).collect::<Result<_, _>>().map_err(|e| self.failed(e))
    }
}

fn run_row(row: &Row) -> Result<RunRow, Error> {
    Ok(RunRow {
        run_id: row.try_get("run_id")?,
        state: row.try_get::<_, Named<_>>("state")?.0,
        alive: row.try_get("alive")?,
        silent_seconds: row.try_get("silent_seconds")?,
        wanted: row.try_get::<_, Named<_>>("wanted")?.0,
        from_time: row.try_get("from_time")?,
        to_time: row.try_get("to_time")?,
        model: row.try_get("model")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        posts: row.try_get("posts")?,
        progress: row.try_get("progress")?,
        detail: row.try_get("detail")?,
    })
}
