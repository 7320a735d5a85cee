//! The tables, as numbered SQL files that are part of the binary.

use refinery::{Migration, Runner};
use tokio_postgres::Client;
use vigie_schemas::sql::MIGRATIONS;
use vigie_stores::PostgresUrl;

/// Held while migrating, so that two services that start at once take turns. The number spells "vigie".
const ADVISORY_LOCK: i64 = 0x76_69_67_69_65;

/// Why the tables could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// PostgreSQL refused the connection, or broke it.
    #[error("postgresql at {url} is not available")]
    Unavailable {
        /// Where, without password.
        url: String,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// A migration failed, or the database holds migrations that this binary does not know.
    #[error("the tables could not be migrated")]
    Migration(#[from] refinery::Error),
}

/// Brings the database up to this binary's tables; returns the names of the migrations that it applied. Creates nothing else, does
/// nothing if all is there, and waits if another process is at it.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(url: &PostgresUrl) -> Result<Vec<String>, MigrateError> {
    let unavailable = |source| MigrateError::Unavailable { url: url.to_string(), source };
    let (mut client, connection) = url.connect("vigie").await.map_err(unavailable)?;
    let connection = tokio::spawn(connection);
    // The lock goes with the session, also when this process dies.
    client.execute("SELECT pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await.map_err(unavailable)?;
    let applied = apply(&mut client, &MIGRATIONS).await?;
    drop(client);
    let _ = connection.await;
    Ok(applied)
}

async fn apply(client: &mut Client, migrations: &[(&str, &str)]) -> Result<Vec<String>, refinery::Error> {
    let migrations: Result<Vec<_>, _> = migrations.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect();
    let report = Runner::new(&migrations?).run_async(client).await?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All rows of all tables that were there before the tables by time, by the names of their columns.
    async fn rows(client: &Client) -> Vec<String> {
        let tables = "posts post_assets trend_windows trend_window_revisions fetches author_keys author_erasures runs sink_offsets";
        let mut rows = Vec::new();
        for table in tables.split(' ') {
            let sql = format!("SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1");
            let found = client.query(&sql, &[]).await.unwrap();
            assert!(!found.is_empty(), "{table}");
            rows.extend(found.iter().map(|row| format!("{table} {}", row.get::<_, String>(0))));
        }
        rows
    }

    #[tokio::test]
    async fn a_filled_database_of_before_has_the_same_rows_in_tables_by_time() {
        let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
        let url: PostgresUrl = stack.postgres_url.parse().unwrap();
        let (mut client, connection) = url.connect("vigie").await.unwrap();
        tokio::spawn(connection);
        apply(&mut client, &MIGRATIONS[..4]).await.unwrap();
        client.batch_execute(include_str!("../../tests/v4_rows.sql")).await.unwrap();
        let before = rows(&client).await;
        // Months are those of UTC, wherever the server is.
        client.batch_execute("SET TimeZone = 'Australia/Eucla'").await.unwrap();
        assert_eq!(apply(&mut client, &MIGRATIONS[..5]).await.unwrap(), ["V5__tables_by_time"]);
        client.batch_execute("RESET TimeZone").await.unwrap();
        assert_eq!(rows(&client).await, before);
        let partition = "SELECT DISTINCT tableoid::regclass::text FROM stored_posts ORDER BY 1";
        let partitions: Vec<String> =
            client.query(partition, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let months = ["2022_05", "2026_10", "2026_11", "future", "past"].map(|month| format!("stored_posts_{month}"));
        assert_eq!(partitions, months);
        let assets = "SELECT assets FROM stored_posts WHERE run_id = 'live' AND post_id = 'rss:2'";
        assert_eq!(client.query_one(assets, &[]).await.unwrap().get::<_, String>(0), "BTC\nETH");
    }

    async fn lines(client: &Client, sql: &str) -> Vec<String> {
        client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    #[tokio::test]
    async fn posts_of_before_have_the_same_columns_and_assets_and_their_authors_one_row_each() {
        let stack = tokio::task::spawn_blocking(vigie_stack::testing::shared).await.unwrap();
        let url: PostgresUrl = stack.postgres_url.parse().unwrap();
        let (mut client, connection) = url.connect("vigie").await.unwrap();
        tokio::spawn(connection);
        apply(&mut client, &MIGRATIONS[..4]).await.unwrap();
        client.batch_execute(include_str!("../../tests/v4_rows.sql")).await.unwrap();
        let narrow = MIGRATIONS.iter().position(|(name, _)| *name == "V14__narrow_posts").unwrap();
        apply(&mut client, &MIGRATIONS[..narrow]).await.unwrap();
        // Handles of some posts only, each another.
        let odd = "UPDATE stored_posts SET post_id = post_id || E'\\\\x41\u{e9}' WHERE post_id = 'rss:7'; UPDATE post_assets SET post_id = post_id \
            || E'\\\\x41\u{e9}' WHERE post_id = 'rss:7'; UPDATE stored_posts SET author_sealed = CASE WHEN input_offset < 20 THEN \
            convert_to(author_id || fetched_at, 'UTF8') END";
        client.batch_execute(odd).await.unwrap();
        let posts = "SELECT (to_jsonb(p) - ARRAY['author_sealed', 'post_key', 'author'])::text FROM posts p ORDER BY 1";
        let before = lines(&client, posts).await;
        let assets = lines(&client, "SELECT to_jsonb(a)::text FROM post_assets a ORDER BY 1").await;
        let handles = "SELECT DISTINCT ON (author_id) author_id || ' ' || coalesce(author_sealed::text, '') FROM posts \
            WHERE author_id IS NOT NULL ORDER BY author_id, author_sealed IS NULL, fetched_at DESC";
        let handles = lines(&client, handles).await;
        assert!(before.len() > 80 && assets.len() > 80 && handles.len() == 6);

        assert_eq!(apply(&mut client, &MIGRATIONS[..=narrow]).await.unwrap(), ["V14__narrow_posts"]);
        assert_eq!(lines(&client, posts).await, before);
        let joined = "SELECT (to_jsonb(a) - 'post_key' || jsonb_build_object('post_id', p.post_id))::text \
            FROM post_assets a JOIN posts p USING (run_id, published_at, post_key) ORDER BY 1";
        assert_eq!(lines(&client, joined).await, assets);
        let authors = "SELECT author_id || ' ' || coalesce(sealed::text, '') FROM authors ORDER BY author_id";
        assert_eq!(lines(&client, authors).await, handles);
        let hashed =
            "SELECT post_id FROM posts WHERE substr(sha256(convert_to(post_id, 'UTF8')), 1, 8) <> int8send(post_key)";
        assert!(lines(&client, hashed).await.is_empty());
        let seen = "SELECT a.author_id FROM authors a JOIN posts p ON p.author = a.id GROUP BY 1, a.seen_at HAVING max(fetched_at) <> a.seen_at";
        assert!(lines(&client, seen).await.is_empty());
    }
}
