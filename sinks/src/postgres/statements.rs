//! The SQL of a batch. A table has a temporary twin `incoming_<table>` that COPY fills and one statement merges. Only the assets of posts are
//! copied as they are: what was there of a post has been deleted before.

use tokio_postgres::{Client, Error, Statement};

use crate::postgres::authors::AuthorStatements;
use crate::postgres::dead_letters::{DEAD_LETTERS, DeadLetterStatements};
use crate::postgres::dictionaries::DictionaryStatements;
use crate::postgres::table::{ALERTS, FETCHES, POST_ASSETS, POSTS, TERMS, TREND_WINDOWS, Table, WINDOW_REVISIONS};

/// All statements of a session, prepared.
pub(crate) struct Statements {
    pub(crate) load_offsets: Statement,
    pub(crate) claim_offset: Statement,
    pub(crate) reset_offset: Statement,
    pub(crate) lock_offsets: Statement,
    pub(crate) store_offsets: Statement,
    pub(crate) copy_posts: Statement,
    pub(crate) copy_post_assets: Statement,
    pub(crate) copy_trends: Statement,
    pub(crate) copy_alerts: Statement,
    pub(crate) copy_terms: Statement,
    pub(crate) copy_fetches: Statement,
    pub(crate) copy_dead_letters: Statement,
    pub(crate) replaced_posts: Statement,
    pub(crate) delete_post_assets: Statement,
    pub(crate) merge_posts: Statement,
    pub(crate) merge_trends: Statement,
    pub(crate) merge_revisions: Statement,
    pub(crate) merge_alerts: Statement,
    pub(crate) merge_terms: Statement,
    pub(crate) merge_fetches: Statement,
    pub(crate) see_run: Statement,
    pub(crate) authors: AuthorStatements,
    pub(crate) dead_letters: DeadLetterStatements,
    pub(crate) dictionaries: DictionaryStatements,
}

impl Statements {
    /// Makes the session's temporary tables and prepares everything.
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        client.batch_execute(&temporary_tables()).await?;
        Ok(Self {
            load_offsets: client.prepare(&offsets_of("")).await?,
            claim_offset: client.prepare(CLAIM_OFFSET).await?,
            reset_offset: client.prepare(RESET_OFFSET).await?,
            lock_offsets: client.prepare(&offsets_of("FOR UPDATE OF o")).await?,
            store_offsets: client.prepare(STORE_OFFSETS).await?,
            copy_posts: client.prepare(&copy(&POSTS, "incoming_")).await?,
            copy_post_assets: client.prepare(&copy(&POST_ASSETS, "")).await?,
            copy_trends: client.prepare(&copy(&TREND_WINDOWS, "incoming_")).await?,
            copy_alerts: client.prepare(&copy(&ALERTS, "incoming_")).await?,
            copy_terms: client.prepare(&copy(&TERMS, "incoming_")).await?,
            copy_fetches: client.prepare(&copy(&FETCHES, "incoming_")).await?,
            copy_dead_letters: client.prepare(&copy(&DEAD_LETTERS, "incoming_")).await?,
            replaced_posts: client.prepare(&replaced_posts()).await?,
            delete_post_assets: client.prepare(DELETE_POST_ASSETS).await?,
            merge_posts: client.prepare(&merge_posts()).await?,
            merge_trends: client.prepare(&merge_revised(&TREND_WINDOWS, &["run_id", "asset", "window_start"])).await?,
            merge_revisions: client.prepare(&merge_revisions()).await?,
            merge_alerts: client.prepare(&merge_new(&ALERTS, "alert_id")).await?,
            merge_terms: client
                .prepare(&merge_revised(&TERMS, &["run_id", "window_seconds", "window_start", "term"]))
                .await?,
            merge_fetches: client.prepare(&merge_new(&FETCHES, "source, at, \"offset\", partition, topic")).await?,
            see_run: client.prepare(SEE_RUN).await?,
            authors: AuthorStatements::prepare(client).await?,
            dead_letters: DeadLetterStatements::prepare(client).await?,
            dictionaries: DictionaryStatements::prepare(client).await?,
        })
    }
}

const CLAIM_OFFSET: &str = "INSERT INTO sink_offsets (sink, topic, partition, next_offset) VALUES ($1, $2, $3, $4)
    ON CONFLICT (sink, topic, partition) DO NOTHING";

const RESET_OFFSET: &str = "INSERT INTO sink_offsets (sink, topic, partition, next_offset) VALUES ($1, $2, $3, $4)
    ON CONFLICT (sink, topic, partition) DO UPDATE SET next_offset = excluded.next_offset, updated_at = now()";

const STORE_OFFSETS: &str = "UPDATE sink_offsets o SET next_offset = n.next_offset, updated_at = now()
    FROM unnest($2::text[], $3::int[], $4::bigint[]) AS n (topic, partition, next_offset)
    WHERE o.sink = $1 AND o.topic = n.topic AND o.partition = n.partition";

const SEE_RUN: &str = "INSERT INTO runs (run_id, topic, model, state, started_at) VALUES ($1, $2, $3, 'running', now())
    ON CONFLICT (run_id) DO NOTHING";

/// In the order of the key, so that two sinks that lock several partitions cannot wait for each other.
fn offsets_of(lock: &str) -> String {
    format!(
        "SELECT o.topic, o.partition, o.next_offset FROM sink_offsets o
         WHERE o.sink = $1 AND (o.topic, o.partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
         ORDER BY o.topic, o.partition {lock}"
    )
}

/// Plans are made once for a session, mostly while the tables are small: a scan that is right then reads the whole table for each
/// batch later on. Compiling a statement (`jit`) takes some 200 ms, longer than any of them runs.
const SETTINGS: &str = "SET jit = off; SET enable_seqscan = off; SET temp_buffers = '64MB'; SET lock_timeout = '20s';
    SET idle_in_transaction_session_timeout = '60s';";

fn temporary_tables() -> String {
    let create =
        |table: &Table| format!("CREATE TEMP TABLE incoming_{0} (LIKE {0}) ON COMMIT DELETE ROWS;", table.name);
    let tables = [&POSTS, &TREND_WINDOWS, &ALERTS, &TERMS, &FETCHES, &DEAD_LETTERS].map(create).concat();
    format!("{SETTINGS} {tables}")
}

fn copy(table: &Table, twin: &str) -> String {
    format!("COPY {twin}{} ({}) FROM STDIN BINARY", table.name, table.list(""))
}

/// Whether a post `new` replaces `p`, which is there under the same key: it was read later from the same partition, or was scored later when
/// it came another way. A redelivered one is neither.
fn is_newer(new: &str) -> String {
    format!(
        "CASE WHEN (SELECT count(DISTINCT (l.input_topic, l.input_partition)) FROM lineages l WHERE l.id IN (p.lineage_id, {new}.lineage_id)) = 1
              THEN {new}.input_offset > p.input_offset
              ELSE {new}.scored_at > p.scored_at END"
    )
}

/// Keys and assets of the posts that the merge will replace. All revisions of a post have the event time of the first (`docs/identity.md`), so
/// they have one key, and one partition. `OFFSET 0` makes it a look at the key for each incoming post, whatever the planner believes.
fn replaced_posts() -> String {
    format!(
        "SELECT p.run_id, p.post_key, p.published_at, p.assets FROM incoming_stored_posts i CROSS JOIN LATERAL (
             SELECT * FROM stored_posts p WHERE p.run_id = i.run_id AND p.published_at = i.published_at AND p.post_key = post_key(i.post_id) OFFSET 0) p
         WHERE p.assets IS NOT NULL AND {newer}",
        newer = is_newer("i"),
    )
}

const DELETE_POST_ASSETS: &str = "DELETE FROM post_assets
    WHERE run_id = $1 AND post_key = $2 AND published_at = $3 AND asset = ANY(string_to_array($4, E'\\n'))";

/// Returns runs, ids and numbers of the posts that it wrote.
fn merge_posts() -> String {
    format!(
        "INSERT INTO stored_posts AS p ({columns}) SELECT {columns} FROM incoming_stored_posts ORDER BY run_id, published_at, post_id
         ON CONFLICT (run_id, published_at, post_key) DO UPDATE SET {replace} WHERE {newer}
         RETURNING p.run_id, p.post_id, p.post_key",
        columns = POSTS.list(""),
        replace = POSTS.replace(&["run_id", "published_at", "post_id"]),
        newer = is_newer("excluded"),
    )
}

/// One batch may hold several revisions of a key: the highest counts, and only if it is higher than the stored one.
fn merge_revised(table: &Table, key: &[&str]) -> String {
    format!(
        "INSERT INTO {table} AS w ({columns})
         SELECT DISTINCT ON ({keys}) {columns} FROM incoming_{table} ORDER BY {keys}, revision DESC
         ON CONFLICT ({keys}) DO UPDATE SET {replace} WHERE excluded.revision > w.revision",
        table = table.name,
        keys = key.join(", "),
        columns = table.list(""),
        replace = table.replace(key),
    )
}

fn merge_revisions() -> String {
    format!(
        "INSERT INTO {WINDOW_REVISIONS} ({columns})
         SELECT {columns} FROM incoming_{table} ORDER BY run_id, asset, window_start, revision
         ON CONFLICT (run_id, asset, window_start, revision) DO NOTHING",
        table = TREND_WINDOWS.name,
        columns = TREND_WINDOWS.list(""),
    )
}

/// The first record of a key stays.
fn merge_new(table: &Table, key: &str) -> String {
    format!(
        "INSERT INTO {name} ({columns}) SELECT {columns} FROM incoming_{name} ORDER BY {key} ON CONFLICT ({key}) DO NOTHING",
        name = table.name,
        columns = table.list(""),
    )
}
