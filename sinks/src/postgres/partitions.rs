//! Partitions by month: made before rows need them, rebuilt when their month is over, dropped when it is older than what is kept.
//!
//! A batch makes those that it needs and that are not there: a backfill of years ago finds none. The upkeep makes those of the
//! next months, drops expired ones, and analyses those that have grown; one sink does at a time. Dropping locks the table, so it
//! gives up after [`LOCK_TIMEOUT`] and tries again later: readers wait no longer than that.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use tokio_postgres::{Client, Error};
use tracing::{debug, info, warn};
use vigie_clock::Timestamp;
use vigie_daemon::units::days;
use vigie_stores::PostgresUrl;

use crate::postgres::cell::Cell;
use crate::postgres::dead_letters::EXPIRE;
use crate::postgres::failure::describe;
use crate::postgres::rebuild;
use crate::postgres::table::{FETCHES, POST_ASSETS, POSTS, TERMS, TREND_WINDOWS, WINDOW_REVISIONS};

const DAY_MILLIS: i64 = 86_400_000;
const INTERVAL: Duration = Duration::from_secs(60);
/// Partitions are made and dropped in one round of so many.
const ROUNDS: u64 = 10;
/// No round takes longer.
const ROUND_TIMEOUT: Duration = Duration::from_secs(60);
const LOCK_TIMEOUT: &str = "SET lock_timeout = '2s'";
/// The number spells "part".
const TAKE_TURN: &str = "SELECT pg_try_advisory_lock(1885434484)";
const MAKE: &str = "SELECT make_partition($1, $2)";
/// This month and the next two.
const MAKE_AHEAD: &str = "SELECT make_partition($1, now() + n * interval '1 month') FROM generate_series(0, 2) n";

/// $1: the parent. $2: days. A month goes as a whole; so does what is older than all months, if there is any.
const EXPIRED: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass($1) AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
      AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= now() - $2::integer * interval '1 day'
    UNION ALL SELECT $1 || '_past' WHERE pg_relation_size(to_regclass($1 || '_past')) > 0
    ORDER BY 1";

/// Partitions of the parents $1 that have rows and were never analysed, or have as many new ones as they had then. A plan that the API has
/// made for a month without rows may take the wrong index when there are many; an analysis has it made again.
const GROWN: &str = "SELECT s.relid::regclass::text FROM pg_inherits i JOIN pg_stat_user_tables s ON s.relid = i.inhrelid
    JOIN pg_class c ON c.oid = s.relid WHERE i.inhparent = ANY(SELECT to_regclass(parent) FROM unnest($1::text[]) parent)
      AND s.n_mod_since_analyze > CASE WHEN coalesce(s.last_analyze, s.last_autoanalyze) IS NULL THEN 0 ELSE greatest(c.reltuples, 0) END";

/// $1: days for which posts are kept. The last posts of these authors have gone with their month: the date is up to a day behind, a month has
/// 31 days, and no post is further ahead of its reading than the day that is left.
const FORGET_AUTHORS: &str = "DELETE FROM authors WHERE seen_at < now() - ($1::integer + 33) * interval '1 day'";

/// How long history is kept. Without an option everything is.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Retention {
    /// How long posts are kept, with what they say of assets; then they go month by month, of replays too [default: for ever]
    #[arg(long = "keep-posts", alias = "keep-posts-days", env = "VIGIE_KEEP_POSTS", value_name = "DURATION", value_parser = days(LEAST_DAYS..))]
    pub keep_posts_days: Option<i32>,
    /// How long windows and terms are kept [default: for ever]
    #[arg(long = "keep-windows", alias = "keep-windows-days", env = "VIGIE_KEEP_WINDOWS", value_name = "DURATION", value_parser = days(LEAST_DAYS..))]
    pub keep_windows_days: Option<i32>,
    /// How long the revisions of windows are kept, which answer what was known at a time [default: for ever]
    #[arg(long = "keep-revisions", alias = "keep-revisions-days", env = "VIGIE_KEEP_REVISIONS", value_name = "DURATION", value_parser = days(LEAST_DAYS..))]
    pub keep_revisions_days: Option<i32>,
    /// How long the fetch ledger is kept [default: for ever]
    #[arg(long = "keep-fetches", alias = "keep-fetches-days", env = "VIGIE_KEEP_FETCHES", value_name = "DURATION", value_parser = days(LEAST_DAYS..))]
    pub keep_fetches_days: Option<i32>,
}

/// The check of final windows looks back over 30 days.
const LEAST_DAYS: i32 = 31;

impl Retention {
    /// Every table by time, and for how many days it is kept. An asset's row goes before its post.
    fn tables(self) -> [(&'static str, Option<i32>); 6] {
        [
            (POST_ASSETS.name, self.keep_posts_days),
            (POSTS.name, self.keep_posts_days),
            (TREND_WINDOWS.name, self.keep_windows_days),
            (TERMS.name, self.keep_windows_days),
            (WINDOW_REVISIONS, self.keep_revisions_days),
            (FETCHES.name, self.keep_fetches_days),
        ]
    }
}

/// The partitions that a session knows to be there, by the days that it has seen.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeSet<(&'static str, i64)>);

impl Known {
    /// Makes the partitions that rows of these tables and times need. Not in the transaction of the rows: others wait for its lock.
    pub(crate) async fn make(
        &mut self,
        client: &Client,
        rows: impl Iterator<Item = (&'static str, Timestamp)>,
    ) -> Result<(), Error> {
        for (table, at) in rows {
            let day = (table, at.as_millis().div_euclid(DAY_MILLIS));
            if !self.0.contains(&day) {
                client.execute(MAKE, &[&table, &Cell::Time(at)]).await?;
                self.0.insert(day);
            }
        }
        Ok(())
    }
}

/// Makes partitions ahead, drops what has expired, and analyses what has grown, until it is dropped. A failure is no reason to stop writing.
pub(super) async fn upkeep(database: PostgresUrl, keep: Retention) -> Infallible {
    let mut rounds = tokio::time::interval(INTERVAL);
    for number in 0_u64.. {
        rounds.tick().await;
        let makes = number % ROUNDS == 0;
        match timeout(ROUND_TIMEOUT, round(&database, keep, makes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = describe(&error), "upkeep of the tables failed, trying again later"),
            Err(_) => {
                warn!(seconds = ROUND_TIMEOUT.as_secs(), "upkeep of the tables took too long, trying again later")
            }
        }
        if makes && let Err(error) = rebuild::closed_months(&database).await {
            warn!(error = describe(&error), "indexes not rebuilt, trying again later");
        }
    }
    std::future::pending().await
}

async fn round(database: &PostgresUrl, keep: Retention, makes: bool) -> Result<(), Error> {
    let (client, connection) = database.connect("sink-postgres-upkeep").await?;
    tokio::spawn(connection); // the lock goes with it
    client.batch_execute(LOCK_TIMEOUT).await?;
    if !client.query_one(TAKE_TURN, &[]).await?.get::<_, bool>(0) {
        debug!("another sink keeps up the tables");
        return Ok(());
    }
    if makes {
        make_and_drop(&client, keep).await?;
    }
    let parents = keep.tables().map(|(table, _)| table);
    for row in client.query(GROWN, &[&&parents[..]]).await? {
        client.batch_execute(&format!("ANALYZE {}", row.get::<_, &str>(0))).await?;
    }
    Ok(())
}

async fn make_and_drop(client: &Client, keep: Retention) -> Result<(), Error> {
    for (table, keep_days) in keep.tables() {
        client.execute(MAKE_AHEAD, &[&table]).await?;
        let Some(days) = keep_days else { continue };
        let expired = client.query(EXPIRED, &[&table, &days]).await?;
        for row in &expired {
            retire(client, row.get(0)).await?;
        }
        if table == POSTS.name && !expired.is_empty() {
            client.execute(FORGET_AUTHORS, &[&days]).await?;
        }
    }
    client.execute(EXPIRE, &[]).await.map(drop)
}

/// What was added up of the windows of $1, a month that has gone, or of all that was older. Their triggers do not see it.
const FORGET_WINDOWS: [&str; 3] = [
    "DELETE FROM stored_hours WHERE hour < forgotten_until($1)",
    "DELETE FROM run_assets WHERE latest_window < forgotten_until($1)",
    "UPDATE run_assets r SET first_window = w.first_window FROM run_assets a CROSS JOIN LATERAL (SELECT min(window_start) AS first_window
         FROM stored_windows w WHERE w.run_id = a.run_id AND w.asset = a.asset) w
     WHERE a.first_window < forgotten_until($1) AND (r.run_id, r.asset) = (a.run_id, a.asset) AND w.first_window IS NOT NULL",
];

/// Gives the data another version, for those who keep answers of it.
const NEW_VERSION: &str = "UPDATE sink_offsets SET updated_at = now()";

/// The one place where history leaves the database. What writes a partition to files is to be called here, before the statement.
async fn retire(client: &Client, partition: &str) -> Result<(), Error> {
    let verb = if partition.ends_with("_past") { "TRUNCATE" } else { "DROP TABLE" };
    client.batch_execute(&format!("{verb} {partition}")).await?;
    if partition.starts_with(TREND_WINDOWS.name) {
        for sql in FORGET_WINDOWS {
            client.execute(sql, &[&partition]).await?;
        }
    }
    // Answers that the API keeps are of other data now (ADR 16). Not in one transaction: it would hold the table while it waits for a sink.
    client.execute(NEW_VERSION, &[]).await?;
    info!(partition, "expired history dropped");
    Ok(())
}
