//! Indexes of months that are over, rebuilt once. Rows that come in by time, and by twos and threes for each word and asset, leave the pages
//! of the other indexes between half and two thirds full; built at once, they are nearly full (ADR 27).
//!
//! Readers and writers go on meanwhile. A month that gets many more rows later, from a backfill or a replay, stays as it is then.

use tokio_postgres::{Client, Error};
use tracing::{debug, info};
use vigie_stores::PostgresUrl;

use crate::postgres::table::{POST_ASSETS, POSTS, WINDOW_REVISIONS};

/// A rebuild waits for all transactions that were there before it.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '10min'";
/// The number spells "idx".
const TAKE_TURN: &str = "SELECT pg_try_advisory_lock(6906488)";
pub(super) const TABLES: [&str; 3] = [POSTS.name, POST_ASSETS.name, WINDOW_REVISIONS];

/// $1: the parents. Three days after its end little is written to a month. The comment says that it is done.
const CLOSED: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = ANY(SELECT to_regclass(parent) FROM unnest($1::text[]) parent) AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
      AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month 3 days') AT TIME ZONE 'UTC' <= now()
      AND obj_description(c.oid, 'pg_class') IS DISTINCT FROM 'indexes rebuilt'
    ORDER BY c.relname DESC";

/// What an earlier attempt left that was broken off. PostgreSQL marks it.
const LEFT: &str =
    "SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = to_regclass($1) AND NOT i.indisvalid";

/// Rebuilds those that are not yet. Each takes as long as it takes.
pub(super) async fn closed_months(database: &PostgresUrl) -> Result<(), Error> {
    let (client, connection) = database.connect("sink-postgres-rebuild").await?;
    tokio::spawn(connection); // the lock goes with it
    client.batch_execute(LOCK_TIMEOUT).await?;
    if !client.query_one(TAKE_TURN, &[]).await?.get::<_, bool>(0) {
        debug!("another sink rebuilds indexes");
        return Ok(());
    }
    for row in client.query(CLOSED, &[&&TABLES[..]]).await? {
        rebuild(&client, row.get(0)).await?;
    }
    Ok(())
}

async fn rebuild(client: &Client, partition: &str) -> Result<(), Error> {
    for left in client.query(LEFT, &[&partition]).await? {
        client.batch_execute(&format!("DROP INDEX CONCURRENTLY {}", left.get::<_, &str>(0))).await?;
    }
    client.batch_execute(&format!("REINDEX TABLE CONCURRENTLY {partition}")).await?;
    client.batch_execute(&format!("COMMENT ON TABLE {partition} IS 'indexes rebuilt'")).await?;
    info!(partition, "indexes of a closed month rebuilt");
    Ok(())
}
