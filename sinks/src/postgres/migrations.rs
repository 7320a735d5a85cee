//! The tables, as numbered SQL files that are part of the binary.

use refinery::{Migration, Runner};
use tokio_postgres::NoTls;
use vigie_schemas::sql::MIGRATIONS;

use crate::config::PostgresUrl;

/// Held while migrating, so that two services that start at once take turns. The number spells "vigie".
const ADVISORY_LOCK: i64 = 0x76_69_67_69_65;

/// Why the tables could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// PostgreSQL refused the connection, or broke it.
    #[error("postgresql at {url}")]
    Unavailable {
        /// Where, without password.
        url: String,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// A migration failed, or the database holds migrations that this binary does not know.
    #[error("migration")]
    Migration(#[from] refinery::Error),
}

/// Brings the database up to this binary's tables; returns the names of the migrations that it applied. Creates nothing else, does
/// nothing if all is there, and waits if another process is at it.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(url: &PostgresUrl) -> Result<Vec<String>, MigrateError> {
    let unavailable = |source| MigrateError::Unavailable { url: url.to_string(), source };
    let (mut client, connection) = url.to_config().connect(NoTls).await.map_err(unavailable)?;
    let connection = tokio::spawn(connection);
    // The lock goes with the session, also when this process dies.
    client.execute("SELECT pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await.map_err(unavailable)?;
    let migrations =
        MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect::<Result<Vec<_>, _>>()?;
    let report = Runner::new(&migrations).run_async(&mut client).await?;
    drop(client);
    let _ = connection.await;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}
