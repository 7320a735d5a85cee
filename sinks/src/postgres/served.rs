//! Which run is served for which range: one row is the switch, nothing is copied (ADR 23).

use tokio_postgres::{Client, Row, Transaction};
use vigie_clock::Timestamp;
use vigie_schemas::{RunState, Segment, Switch, WINDOW, segments};
use vigie_stores::PostgresUrl;

use crate::postgres::cell::{Cell, Named};

/// What is to be served from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// The run.
    pub run_id: String,
    /// Start of the range, inclusive, moved back to that of its window; that of the run if not given.
    pub from: Option<Timestamp>,
    /// End of the range, exclusive, moved on to that of its window; that of the run if not given.
    pub to: Option<Timestamp>,
    /// Also a run for which posts of the range were gone.
    pub incomplete: bool,
    /// Why.
    pub reason: Option<String>,
}

/// A switch, with who made it and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PromotedRun {
    /// What is served.
    #[serde(flatten)]
    pub switch: Switch,
    /// The user of PostgreSQL that promoted it.
    pub promoted_by: String,
    /// Why.
    pub reason: Option<String>,
    /// The user of PostgreSQL that rolled it back.
    pub rolled_back_by: Option<String>,
}

/// Why what is served stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// PostgreSQL is not there, or refused.
    #[error("postgresql at {url}")]
    Postgres {
        /// Where, without password.
        url: String,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// There is no such run.
    #[error("run {0} is not recorded, see /v1/runs")]
    Unknown(String),
    /// The run goes on, or failed.
    #[error("run {run_id} is {state}, expected one that is finished")]
    NotFinished {
        /// The run.
        run_id: String,
        /// What it does instead.
        state: RunState,
    },
    /// The run was not recorded by a replay.
    #[error("run {0} has no range and no counts, as replays do")]
    NoReplay(String),
    /// The run read a part of the posts only.
    #[error("run {0} is of a part of the posts, by offsets, source or asset; expected one of all")]
    Partial(String),
    /// Retention had removed posts of the range.
    #[error("posts of its range were gone when run {0} read it, expected all; --incomplete serves it all the same")]
    Cut(String),
    /// Not all of the run is in PostgreSQL.
    #[error("run {run_id}: {stored} of {written} {what} are in postgresql, expected all: wait for the sink")]
    Incomplete {
        /// The run.
        run_id: String,
        /// `posts`, `windows` or `alerts`.
        what: &'static str,
        /// How many are there.
        stored: i64,
        /// How many the run wrote.
        written: i64,
    },
    /// The run has not computed all of the range.
    #[error("{from} to {to}, expected a range within that of run {run_id}: {first} to {last}")]
    OutOfRange {
        /// The run.
        run_id: String,
        /// What was asked for.
        from: Timestamp,
        /// What was asked for.
        to: Timestamp,
        /// Start of the first whole window of the run.
        first: Timestamp,
        /// End of its last whole window.
        last: Timestamp,
    },
    /// Nothing would change.
    #[error("run {0} is served for this range already")]
    Served(String),
    /// There is nothing to roll back.
    #[error("{}", .0.as_ref().map_or_else(|| "no run is promoted".to_owned(), |run| format!("run {run} is not promoted")))]
    NotPromoted(Option<String>),
}

/// Lets a run answer for a range, in place of what does now: at once, for every reader.
///
/// # Errors
/// [`SwitchError`]; nothing has changed then.
pub async fn promote(url: &PostgresUrl, promotion: &Promotion) -> Result<PromotedRun, SwitchError> {
    let mut client = connect(url).await?;
    let failed = |source| SwitchError::Postgres { url: url.to_string(), source };
    let transaction = begin(&mut client).await.map_err(failed)?;
    let run_id = &promotion.run_id;
    let (first, last) = complete_range(&transaction, promotion, &failed).await?;
    let from = promotion.from.map_or(first, |from| from.window_start(WINDOW));
    let to = promotion.to.map_or(last, window_end);
    if from >= to || from < first || to > last {
        return Err(SwitchError::OutOfRange { run_id: run_id.clone(), from, to, first, last });
    }
    let switches: Vec<Switch> = all(&transaction).await.map_err(failed)?.into_iter().map(|run| run.switch).collect();
    let has_all = |segment: &Segment| {
        segment.run_id == *run_id
            && segment.from.is_none_or(|start| start <= from)
            && segment.to.is_none_or(|end| to <= end)
    };
    if segments(&switches, None).iter().any(has_all) {
        return Err(SwitchError::Served(run_id.clone()));
    }
    let sql = format!(
        "INSERT INTO served_runs (run_id, from_time, to_time, promoted_at, reason) VALUES ($1, $2, $3, {NOW}, $4) RETURNING {COLUMNS}"
    );
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [run_id, &Cell::Time(from), &Cell::Time(to), &promotion.reason];
    let row = transaction.query_one(&sql, &params).await.map_err(failed)?;
    let promoted = read(&row).map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(promoted)
}

/// Takes back the last promotion that counts, or the last one of a run: what was served before it is served again.
///
/// # Errors
/// [`SwitchError`]; nothing has changed then.
pub async fn rollback(url: &PostgresUrl, run_id: Option<&str>) -> Result<PromotedRun, SwitchError> {
    let mut client = connect(url).await?;
    let failed = |source| SwitchError::Postgres { url: url.to_string(), source };
    let transaction = begin(&mut client).await.map_err(failed)?;
    let sql = format!(
        "UPDATE served_runs SET rolled_back_at = {NOW}, rolled_back_by = session_user WHERE id = (SELECT max(id) FROM served_runs \
         WHERE rolled_back_at IS NULL AND ($1::text IS NULL OR run_id = $1)) RETURNING {COLUMNS}"
    );
    let row = transaction.query_opt(&sql, &[&run_id]).await.map_err(failed)?;
    let row = row.ok_or_else(|| SwitchError::NotPromoted(run_id.map(str::to_owned)))?;
    let rolled_back = read(&row).map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(rolled_back)
}

/// Every promotion, the earliest first, with those that were rolled back.
///
/// # Errors
/// [`SwitchError::Postgres`].
pub async fn promoted_runs(url: &PostgresUrl) -> Result<Vec<PromotedRun>, SwitchError> {
    let failed = |source| SwitchError::Postgres { url: url.to_string(), source };
    let mut client = connect(url).await?;
    all(&client.transaction().await.map_err(failed)?).await.map_err(failed)
}

async fn connect(url: &PostgresUrl) -> Result<Client, SwitchError> {
    let connected = url.connect("vigie").await;
    let (client, connection) = connected.map_err(|source| SwitchError::Postgres { url: url.to_string(), source })?;
    tokio::spawn(connection);
    Ok(client)
}

/// One switch after the other; readers go on.
async fn begin(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE served_runs IN SHARE ROW EXCLUSIVE MODE").await?;
    Ok(transaction)
}

/// The whole windows of a run that has finished and is all there. The run cannot start over until the transaction has ended.
async fn complete_range(
    transaction: &Transaction<'_>,
    Promotion { run_id, incomplete, .. }: &Promotion,
    failed: &impl Fn(tokio_postgres::Error) -> SwitchError,
) -> Result<(Timestamp, Timestamp), SwitchError> {
    let sql = "SELECT state, posts, (detail->>'windows')::bigint AS windows, \
         coalesce((detail->>'alerts')::bigint, 0) AS alerts, \
         coalesce(detail->'offsets', '[]') <> '[]' OR coalesce(detail->'only', 'null') <> 'null' AS partial, \
         coalesce((detail->>'complete')::boolean, true) AS complete, \
         (extract(epoch FROM from_time) * 1000)::bigint AS first, (extract(epoch FROM to_time) * 1000)::bigint AS last, \
         (SELECT count(*) FROM stored_posts p WHERE p.run_id = r.run_id) AS stored_posts, \
         (SELECT count(*) FROM stored_windows w WHERE w.run_id = r.run_id) AS stored_windows, \
         (SELECT count(*) FROM alerts a WHERE a.run_id = r.run_id) AS stored_alerts \
         FROM runs r WHERE run_id = $1 FOR SHARE";
    let row = transaction.query_opt(sql, &[&run_id]).await.map_err(failed)?;
    let row = row.ok_or_else(|| SwitchError::Unknown(run_id.to_owned()))?;
    let Named(state) = row.try_get("state").map_err(failed)?;
    if state != RunState::Finished {
        return Err(SwitchError::NotFinished { run_id: run_id.to_owned(), state });
    }
    if row.try_get("partial").map_err(failed)? {
        return Err(SwitchError::Partial(run_id.to_owned()));
    }
    if !incomplete && !row.try_get::<_, bool>("complete").map_err(failed)? {
        return Err(SwitchError::Cut(run_id.to_owned()));
    }
    let recorded = |column: &str| -> Result<i64, SwitchError> {
        row.try_get::<_, Option<i64>>(column).map_err(failed)?.ok_or_else(|| SwitchError::NoReplay(run_id.to_owned()))
    };
    for (what, stored) in [("posts", "stored_posts"), ("windows", "stored_windows"), ("alerts", "stored_alerts")] {
        let (written, stored) = (recorded(what)?, recorded(stored)?);
        if stored < written {
            return Err(SwitchError::Incomplete { run_id: run_id.to_owned(), what, stored, written });
        }
    }
    let (first, last) = (Timestamp::from_millis(recorded("first")?), Timestamp::from_millis(recorded("last")?));
    Ok((window_end(first), last.window_start(WINDOW)))
}

/// The earliest border of windows that is not before `time`.
fn window_end(time: Timestamp) -> Timestamp {
    let start = time.window_start(WINDOW);
    if start == time { time } else { start.saturating_add(WINDOW) }
}

/// To the millisecond, as readers ask for it.
const NOW: &str = "date_trunc('milliseconds', clock_timestamp())";

const COLUMNS: &str = "id, run_id, promoted_by, reason, rolled_back_by, (extract(epoch FROM from_time) * 1000)::bigint AS from_time, \
    (extract(epoch FROM to_time) * 1000)::bigint AS to_time, (extract(epoch FROM promoted_at) * 1000)::bigint AS promoted_at, \
    (extract(epoch FROM rolled_back_at) * 1000)::bigint AS rolled_back_at";

async fn all(transaction: &Transaction<'_>) -> Result<Vec<PromotedRun>, tokio_postgres::Error> {
    let rows = transaction.query(&format!("SELECT {COLUMNS} FROM served_runs ORDER BY id"), &[]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<PromotedRun, tokio_postgres::Error> {
    let time = |column: &str| row.try_get(column).map(Timestamp::from_millis);
    Ok(PromotedRun {
        switch: Switch {
            id: row.try_get("id")?,
            run_id: row.try_get("run_id")?,
            from: time("from_time")?,
            to: time("to_time")?,
            promoted_at: time("promoted_at")?,
            rolled_back_at: row.try_get::<_, Option<i64>>("rolled_back_at")?.map(Timestamp::from_millis),
        },
        promoted_by: row.try_get("promoted_by")?,
        reason: row.try_get("reason")?,
        rolled_back_by: row.try_get("rolled_back_by")?,
    })
}
